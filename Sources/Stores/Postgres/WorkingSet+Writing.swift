import Conversations
import Events

extension WorkingSet {
    /// Writes what is to be written, in one round trip; what is known still holds.
    func flush() throws {
        var pipeline = Pipeline()
        try write(into: &pipeline)
        guard !pipeline.isEmpty else { return }
        _ = try db.run(pipeline)
    }

    /// The statements that write all that is to be written, each table's rows in one; nothing is left to do then.
    func write(into pipeline: inout Pipeline) throws {
        writePeople(&pipeline)
        writeEvents(&pipeline)
        threads.write(into: &pipeline)
        writeRuns(&pipeline)
        writeTraces(&pipeline)
        writeVotes(&pipeline)
        if !newAliases.isEmpty {
            pipeline.add(
                "INSERT INTO alias (project, name, id) SELECT $1, * FROM unnest($2::text[], $3::text[]) ON CONFLICT DO NOTHING",
                [project.number, newAliases.map(\.name), newAliases.map(\.id)])
            newAliases = []
        }
        pipeline.add(later)
        later = Pipeline()
        if !moved.isEmpty {
            pipeline.add("INSERT INTO dirty (project, id) SELECT $1, * FROM unnest($2::text[])", [project.number, moved.map(\.id)])
            moved = []
        }
    }

    private func writePeople(_ pipeline: inout Pipeline) {
        guard !changedPeople.isEmpty else { return }
        var (ids, numbers, props): ([String], [Int64], [TextBytes?]) = ([], [], [])
        for key in changedPeople {
            var person = people[key]!!
            if !person.changes.isEmpty {
                var fold = person.props.map { PropsFold(stored: Array($0.utf8)) } ?? PropsFold()
                for change in person.changes { fold.apply(change.props, at: change.place, from: change.lane) }
                person.props = fold.stored.string
                person.changes = []
                people[key] = person
            }
            ids.append(key.id)
            numbers.append(person.number)
            props.append(person.props.map { TextBytes(Array($0.utf8)) })
        }
        changedPeople = []
        pipeline.add(
            """
            INSERT INTO person (project, number, id, props) SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[])
            ON CONFLICT (project, id) DO UPDATE SET props = excluded.props
            """, [project.number, numbers, ids, props])
    }

    /// Without ON CONFLICT: whether an ID is taken was asked under the project's lock. Should it be taken all the same, the transaction
    /// fails and is tried again, rather than that a verdict says what did not happen.
    private static let insertEvents = """
        INSERT INTO event (project, sequence, id, space, part, type, thread, at, received, source, person, role, digest, target, content, payload)
        SELECT $1, nextval('event_sequence'), id, space, part, type, thread, at, received, source, person, role, digest, target, content, payload
        FROM unnest($2::text[], $3::bigint[], $4::bytea[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[],
            $11::bigint[], $12::bytea[], $13::text[], $14::text[], $15::text[])
            AS new(id, space, part, type, thread, at, received, source, person, role, digest, target, content, payload)
        """

    private func writeEvents(_ pipeline: inout Pipeline) {
        guard !newEvents.isEmpty else { return }
        var (ids, types, targets, contents): ([String], [String], [String?], [String?]) = ([], [], [], [])
        var (spaces, threads, times, received): ([Int], [Int64?], [Int64], [Int64]) = ([], [], [], [])
        var (sources, people, roles): ([Int64], [Int64?], [Int?]) = ([], [], [])
        var (parts, digests, payloads): ([Blob], [Blob], [TextBytes?]) = ([], [], [])
        for row in newEvents {
            let event = row.admitted.event
            let space = event.idSpace
            let digest = row.admitted.digest.bytes
            ids.append(event.id)
            spaces.append(space.rawValue)
            parts.append(Blob(space == .run ? digest : []))
            types.append(event.type)
            threads.append(row.thread)
            times.append(row.admitted.at.microseconds)
            received.append(row.receivedAt.microseconds)
            sources.append(row.source)
            people.append(row.person)
            digests.append(Blob(digest))
            targets.append(event.target)
            var (role, content): (Int?, String?)
            if case .message(let message) = event.body {
                role = Event.Role.allCases.firstIndex(of: message.role)
                // One with a NUL travels in the payload, as in every store.
                if case .text(let text) = message.content, !text.hasNUL { content = text }
            }
            roles.append(role)
            contents.append(content)
            let payload = row.admitted.payload.bytes
            payloads.append(payload.count > 2 ? TextBytes(payload) : nil)
        }
        newEvents = []
        pipeline.add(
            Self.insertEvents,
            [
                project.number, ids, spaces, parts, types, threads, times, received, sources, people, roles, digests, targets, contents,
                payloads,
            ])
    }

    private func writeRuns(_ pipeline: inout Pipeline) {
        guard !changedRuns.isEmpty else { return }
        var (ids, parents, links): ([String], [String?], [Int]) = ([], [], [])
        var (threads, fallbacks): ([Int64?], [String?]) = ([], [])
        for key in changedRuns {
            let row = runs[key]!!
            ids.append(key.id)
            parents.append(row.parent)
            links.append(row.link.rawValue)
            threads.append(row.thread)
            fallbacks.append(row.fallback)
        }
        changedRuns = []
        pipeline.add(
            """
            INSERT INTO run (project, id, parent, link, thread, fallback)
            SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[])
            ON CONFLICT (project, id) DO UPDATE SET parent = excluded.parent, link = excluded.link, thread = excluded.thread,
                fallback = excluded.fallback
            """, [project.number, ids, parents, links, threads, fallbacks])
    }

    private func writeTraces(_ pipeline: inout Pipeline) {
        if !newMessageTraces.isEmpty {
            pipeline.add(
                """
                INSERT INTO message_trace (project, trace, message) SELECT $1, * FROM unnest($2::text[], $3::text[]) ON CONFLICT DO NOTHING
                """, [project.number, newMessageTraces.map(\.trace), newMessageTraces.map(\.message)])
            newMessageTraces = []
        }
        if !newRunTraces.isEmpty {
            pipeline.add(
                """
                INSERT INTO run_trace (project, trace, run, rank) SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[])
                ON CONFLICT DO NOTHING
                """, [project.number, newRunTraces.map(\.trace), newRunTraces.map(\.run), newRunTraces.map(\.rank)])
            newRunTraces = []
        }
    }

    private func writeVotes(_ pipeline: inout Pipeline) {
        guard !changedVotes.isEmpty else { return }
        let rows = changedVotes.map { (vote: votes[$0.key]!!, thread: $0.value) }
        changedVotes = [:]
        pipeline.add(
            Vote.upsert,
            [
                project.number, rows.map(\.vote.target), rows.map(\.vote.voter),
                rows.map { row in row.vote.thumb.map { $0 == .up ? 1 : -1 } }, rows.map(\.vote.comment), rows.map(\.vote.at.microseconds),
                rows.map(\.vote.event), rows.map(\.vote.commentAt.microseconds), rows.map(\.vote.commentEvent), rows.map(\.thread),
            ])
    }
}

extension Vote {
    static let columns = "target, voter, thumb, comment, at, event, comment_at, comment_event"

    static let upsert = """
        INSERT INTO vote (project, \(columns), thread)
        SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::bigint[], $9::text[], $10::bigint[])
        ON CONFLICT (project, target, voter) DO UPDATE SET thumb = excluded.thumb, comment = excluded.comment, at = excluded.at,
            event = excluded.event, comment_at = excluded.comment_at, comment_event = excluded.comment_event, thread = excluded.thread
        """

    init(_ row: Row) {
        self.init(
            target: row[0], voter: row[1], thumb: (row[2] as Int?).map { $0 > 0 ? .up : .down }, comment: row[3],
            at: Timestamp(microseconds: row[4]), event: row[5], commentAt: (row[6] as Int64?).map { Timestamp(microseconds: $0) },
            commentEvent: row[7])
    }
}
