import Conversations
import Events

extension PostgresStore {
    /// Events that facts and figures take on in one step: what a step asks, it asks for all of them at once.
    static let followChunk = 1024

    /// Follows the next events; answers how many there were, nil where it is another's turn.
    func followNext(_ limit: Int = PostgresStore.followChunk, waits: Bool = false) async throws -> Int? {
        try await derive(waits: waits) { db, end in
            let from = try Int64.fetchOne(db, sql: "SELECT followed FROM follower") ?? 0
            var pipeline = Pipeline()
            let (next, moved) = (pipeline.add(Follower.next, [from, end, limit]), pipeline.add(Follower.nextMoved, [limit]))
            let answers = try db.run(pipeline)
            let (rows, dirty) = (answers[next], answers[moved])
            guard !rows.isEmpty || !dirty.isEmpty else { return 0 }
            var followers: [Int64: Follower] = [:]
            for row in rows { followers[row[1], default: Follower(db, ProjectID(row[1]))].note(row) }
            for row in dirty { followers[row[0], default: Follower(db, ProjectID(row[0]))].noteMoved(row[2]) }
            for project in followers.keys.sorted() { try followers[project]!.settle() }
            try Follower.write(&followers, db) { pipeline in
                // Up to the end there is nothing else, nor will there be.
                let followed: Int64 = rows.count < limit ? end : rows[rows.count - 1][0]
                pipeline.add("UPDATE follower SET followed = $1", [followed])
                guard !dirty.isEmpty else { return }
                pipeline.add(
                    "DELETE FROM dirty WHERE project = ANY($1) AND number = ANY($2)",
                    [Array(Set(dirty.map { $0[0] as Int64 })), dirty.map { $0[1] as Int64 }])
            }
            return rows.count + dirty.count
        }
    }
}

/// Settles the facts and figures that a stretch of the log changes, all of one project; from what stands now, so that the order of
/// arrival decides nothing.
///
/// It reads beside the appends: what one of them changes meanwhile has an event, or a note of its own, that comes after this stretch and
/// settles it again. What it found out it writes while no append is under way (`write`).
struct Follower {
    static let next = """
        SELECT sequence, project, id, space, thread, at, role, type, target, received,
            CASE WHEN role = 1 AND strpos(payload, '"replyTo":') > 0 THEN payload END
        FROM event WHERE sequence > $1 AND sequence <= $2 ORDER BY sequence LIMIT $3
        """
    static let nextMoved = "SELECT project, number, id FROM dirty LIMIT $1"

    private let db: Database
    private let project: ProjectID
    private let reader: ConversationReader
    private var messages: Set<OwnedID> = []
    private var runs: Set<OwnedID> = []
    /// Threads that something happened in, with when that arrived.
    private var threads: [Int64: Int64] = [:]
    private var replies: [(question: String, message: String)] = []
    private var facts: FactRows
    private var figures: FigureRows
    /// Threads whose conversation is to be found out anew.
    private var unviewed: Set<Int64> = []
    private var removedScores: [(score: Score, at: Int64)] = []

    init(_ db: Database, _ project: ProjectID) {
        (self.db, self.project) = (db, project)
        reader = ConversationReader(db: db, project: project)
        (facts, figures) = (FactRows(project), FigureRows(project))
    }

    private func key(_ id: String) -> OwnedID { OwnedID(project: project, id: id) }

    mutating func note(_ row: Row) {
        let id: String = row[2]
        if let thread: Int64 = row[4] { threads[thread] = row[9] }
        switch Event.IDSpace(rawValue: row[3]) {
        case .message:
            messages.insert(key(id))
            figures.add(.messages, 1, at: Timestamp(microseconds: row[5]))
            if let payload: TextBytes = row[10],
                let question = try? JSONDocument.read(payload.bytes, isOurs: true, { $0["replyTo"]?.string })
            {
                replies.append((question, id))
                // What it displays may be what the run behind its question was said to differ from in other tries.
                messages.insert(key(question))
            }
        case .run: runs.insert(key(id))
        default:
            // Which trace a message went with may hang runs under it.
            if row[7] as String == "trace", let target: String = row[8] { messages.insert(key(target)) }
        }
    }

    /// An ID that a message or run has, or had, changed without an event of its own.
    mutating func noteMoved(_ id: String) {
        messages.insert(key(id))
        runs.insert(key(id))
    }

    mutating func settle() throws {
        if !replies.isEmpty {
            try db.execute(
                "INSERT INTO reply (project, question, message) SELECT $1, * FROM unnest($2::text[], $3::text[]) ON CONFLICT DO NOTHING",
                [project.number, replies.map(\.question), replies.map(\.message)])
        }
        let touched = messages.union(runs).map(\.id)
        runs.formUnion(try reader.descendants(of: touched, and: touched).map(key))
        try settleRuns()
        try settleAnswers()
        try findRemovedScores()
    }

    // MARK: runs

    private mutating func settleRuns() throws {
        guard !runs.isEmpty else { return }
        let ids = runs.map(\.id)
        let parts = Dictionary(grouping: try EventRows.fetch(db, project: project, runs: ids)) { key($0.event.id) }
        let places = try RunPlaces(db: db, project: project).places(of: ids)
        let turned = try turned(among: Set(places.values.compactMap(\.thread)))
        var tallies: [(subject: String, tally: [FigureFold.Place: Int])] = []
        for id in runs {
            let own = parts[id] ?? []
            let run = Run(folding: own.map { .init(event: $0.event, at: $0.at, digest: $0.digest) })
            guard let place = places[id], let run else {
                if !messages.contains(id) { facts.keep([], of: id, thread: nil, among: FactKind.ofRuns) }
                tallies.append(("r:" + id.id, [:]))
                continue
            }
            var kinds: [FactKind] = []
            if run.failed { kinds.append(.failed) }
            if place.isPending { kinds.append(.pending) }
            var among: [FactKind] = [.failed, .pending]
            if let thread = place.thread {
                threads[thread] = max(threads[thread] ?? 0, own.map(\.receivedAt.microseconds).max() ?? 0)
                if turned.contains(thread) {
                    // Whether its conversation shows it under a message is found out where that is read whole.
                    unviewed.insert(thread)
                } else {
                    among = FactKind.ofRuns
                    if place.hasOwnThread, !place.isBound { kinds.append(.orphan) }
                }
            }
            facts.keep(kinds, of: id, thread: place.thread, among: among)
            tallies.append(("r:" + id.id, FigureFold.tally(of: run, isRoot: !place.hasParentRun)))
            messages.formUnion([place.message, place.fallback].compactMap { $0.map(key) })
        }
        try figures.replace(tallies, db)
    }

    static let turned = "SELECT number FROM thread WHERE project = $1 AND number = ANY($2) AND turns"

    private func turned(among threads: Set<Int64>) throws -> Set<Int64> {
        threads.isEmpty ? [] : Set(try Int64.fetchAll(db, sql: Self.turned, arguments: [project.number, Array(threads)]))
    }

    // MARK: answers

    /// The answers that one of the messages or its runs bears on: itself, what follows it, what replies to it.
    private mutating func settleAnswers() throws {
        // A run may have hung under the message of its own ID.
        let touched = messages.union(runs)
        guard !touched.isEmpty else { return }
        let arguments: Arguments = [project.number, touched.map(\.id)]
        var pipeline = Pipeline()
        let (replying, placed) = (pipeline.add(Self.replies, arguments), pipeline.add(Self.places, arguments))
        let found = try db.run(pipeline)
        var answers = Set(found[replying].map { key($0[0]) })
        var missing = touched
        for row in found[placed] {
            let id = key(row[0])
            missing.remove(id)
            if row[1] as Int? == 1 { answers.insert(id) }
            if let next: String = row[2] { answers.insert(key(next)) }
        }
        for id in missing where !runs.contains(id) { facts.keep([], of: id, thread: nil, among: FactKind.ofAnswers) }
        guard !answers.isEmpty else { return }
        let items = try db.fetchAll(Self.messagesOf, [project.number, answers.map(\.id)]).map(EventRows.item)
        let confirmations = try reader.confirmations(of: items)
        let turned = try turned(among: Set(items.compactMap(\.thread)))
        for item in items {
            guard let thread = item.thread else { continue }
            if turned.contains(thread) {
                // A run of another thread may hang under it; what the thread shows is found out anew.
                unviewed.insert(thread)
                continue
            }
            let kinds: [FactKind] =
                switch confirmations[item.event.id] {
                case .confirmed?: [.confirmed]
                case .differs?: [.differs]
                case nil: []
                }
            facts.keep(kinds, of: key(item.event.id), thread: thread, among: FactKind.ofAnswers)
        }
    }

    static let replies = "SELECT message FROM reply WHERE project = $1 AND question = ANY($2)"
    static let messagesOf = """
        SELECT \(EventRows.columns) \(EventRows.joins) WHERE e.project = $1 AND e.space = 0 AND e.part = '' AND e.id = ANY($2)
        """

    /// Of each message: its role, and the answer that a user or assistant gave next.
    static let places = """
        SELECT e.id, e.role, (
            SELECT CASE n.role WHEN 1 THEN n.id END FROM event n
            WHERE n.project = $1 AND n.thread = e.thread AND n.thread IS NOT NULL AND n.type = 'message'
                AND \(EventRows.isItem("n.")) AND n.role IN (0, 1) AND n.at >= e.at AND (n.at > e.at OR n.id > e.id)
            ORDER BY n.at, n.id LIMIT 1)
        FROM event e WHERE e.project = $1 AND e.id = ANY($2) AND e.space = 0 AND e.part = ''
        """

    // MARK: scores

    static let scoredThreads =
        "SELECT DISTINCT thread FROM score WHERE project = $1 AND thread = ANY($2) AND thread IS NOT NULL AND NOT noted"
    static let threadsOf = "SELECT \(ThreadFold.columns) FROM thread WHERE project = $1 AND number = ANY($2)"

    private mutating func findRemovedScores() throws {
        guard !threads.isEmpty else { return }
        let scored = try Int64.fetchAll(db, sql: Self.scoredThreads, arguments: [project.number, Array(threads.keys)])
        guard !scored.isEmpty,
            let text = try String.fetchOne(db, sql: "SELECT settings FROM project WHERE number = $1", arguments: [project.number])
        else { return }
        let settings = try Project.Settings(stored: text)
        let rows = try db.fetchAll(Self.threadsOf, [project.number, scored])
        let scores = try db.ask { reader.scores(on: rows.map { $0[ThreadFold.idColumn] }, &$0) }
        for row in rows {
            guard let own = scores[row[ThreadFold.idColumn]] else { continue }
            let removed = Score.removed(own, activeAt: ThreadFold.activeAt(row), under: settings.scoring)
            for score in removed { removedScores.append((score, threads[row[ThreadFold.numberColumn]] ?? 0)) }
        }
    }

    /// P-SCORE-3: what a policy takes off is in the audit log, once; nothing is noted of a score that was given anew meanwhile.
    static let noteRemoved = """
        WITH noted AS (
            UPDATE score SET noted = true WHERE project = $1 AND target = $2 AND name = $3 AND author = $4 AND event = $5 AND NOT noted
            RETURNING 1)
        INSERT INTO audit (project, at, by, action, subject, detail) SELECT $1, $6, 'parley', 'scores.removed', $2, $7 FROM noted
        """

    private func noteRemovedScores(_ pipeline: inout Pipeline) {
        for (score, at) in removedScores {
            var writer = JSONWriter()
            writer.object { writer in
                writer.field("name", score.name)
                writer.field("author", score.author)
                writer.field(ifPresent: "value", score.value)
                writer.field(ifPresent: "category", score.category)
                writer.field("at", score.at)
            }
            pipeline.add(
                Self.noteRemoved,
                [project.number, score.target, score.name, score.author, score.event, at, TextBytes(writer.bytes)])
        }
    }

    // MARK: writing

    static let namesAmong = "SELECT name, id FROM alias WHERE project = $1 AND name = ANY($2)"
    static let moveReplies = """
        UPDATE reply r SET question = $3 WHERE project = $1 AND question = $2 AND NOT EXISTS (
            SELECT 1 FROM reply o WHERE o.project = $1 AND o.question = $3 AND o.message = r.message)
        """

    /// Writes what was settled, with what `mark` adds, and commits. No append to one of the projects is under way meanwhile.
    static func write(_ followers: inout [Int64: Follower], _ db: Database, mark: (inout Pipeline) -> Void) throws {
        var asking = Pipeline()
        asking.lock(followers.keys.map { ProjectID($0) })
        var places: [Int64: (facts: FactRows.Places, names: Pipeline.Place?)] = [:]
        for (project, follower) in followers {
            let questions = follower.replies.map(\.question)
            places[project] = (
                follower.facts.ask(&asking), questions.isEmpty ? nil : asking.add(namesAmong, [project, questions])
            )
        }
        let answers = try db.run(asking)
        var pipeline = Pipeline()
        for (project, follower) in followers {
            var moved = follower.facts.write(&pipeline, answers, places[project]!.facts)
            for row in places[project]!.names.map({ Array(answers[$0]) }) ?? [] {
                // A question got its name while its replies were not yet to be seen.
                pipeline.add(moveReplies, [project, row[0] as String, row[1] as String])
                moved.append(row[1])
            }
            if !moved.isEmpty { pipeline.add("INSERT INTO dirty (project, id) SELECT $1, unnest($2::text[])", [project, moved]) }
            follower.figures.write(&pipeline)
            if !follower.unviewed.isEmpty {
                pipeline.add(
                    "UPDATE thread SET view = NULL WHERE project = $1 AND number = ANY($2) AND view IS NOT NULL",
                    [project, Array(follower.unviewed)])
            }
            follower.noteRemovedScores(&pipeline)
        }
        mark(&pipeline)
        try db.commit(with: pipeline)
    }
}

/// What holds of messages and runs of a project, to be written beside what stood.
struct FactRows {
    typealias Places = (standing: Pipeline.Place, threads: Pipeline.Place)?

    private struct Demand {
        var kinds: [FactKind]
        var thread: Int64?
        var among: [FactKind]
    }

    private let project: ProjectID
    private var demands: [OwnedID: [Demand]] = [:]

    init(_ project: ProjectID) { self.project = project }

    /// Notes what holds of a message or run; of those `among`, what does not is taken off.
    mutating func keep(_ kinds: [FactKind], of subject: OwnedID, thread: Int64?, among: [FactKind]) {
        demands[subject, default: []].append(Demand(kinds: thread == nil ? [] : kinds, thread: thread, among: among))
    }

    static let standing = "SELECT subject, kind, thread FROM fact WHERE project = $1 AND subject = ANY($2)"
    static let threads = "SELECT number FROM thread WHERE project = $1 AND number = ANY($2)"

    func ask(_ pipeline: inout Pipeline) -> Places {
        guard !demands.isEmpty else { return nil }
        let threads = Set(demands.values.flatMap { $0.filter { !$0.kinds.isEmpty }.compactMap(\.thread) })
        return (
            pipeline.add(Self.standing, [project.number, demands.keys.map(\.id)]),
            pipeline.add(Self.threads, [project.number, Array(threads)])
        )
    }

    /// Answers the subjects whose thread is gone by now: they are to be settled again.
    func write(_ pipeline: inout Pipeline, _ answers: Pipeline.Answers, _ places: Places) -> [String] {
        guard let places else { return [] }
        let threads = Set(answers[places.threads].map { $0[0] as Int64 })
        var standing: [OwnedID: [(kind: Int, thread: Int64)]] = [:]
        for row in answers[places.standing] {
            standing[OwnedID(project: project, id: row[0]), default: []].append((row[1], row[2]))
        }
        var (kinds, numbers, subjects): ([Int], [Int64], [String]) = ([], [], [])
        var (oldKinds, oldNumbers, oldSubjects): ([Int], [Int64], [String]) = ([], [], [])
        var moved: [String] = []
        for (subject, demands) in demands {
            for demand in demands {
                var wanted = demand.kinds
                if !wanted.isEmpty, let thread = demand.thread, !threads.contains(thread) {
                    moved.append(subject.id)
                    wanted = []
                }
                var there: Set<Int> = []
                for (kind, thread) in standing[subject] ?? [] {
                    guard let known = FactKind(rawValue: kind), demand.among.contains(known) else { continue }
                    if wanted.contains(known), thread == demand.thread {
                        there.insert(kind)
                    } else {
                        oldKinds.append(kind)
                        oldNumbers.append(thread)
                        oldSubjects.append(subject.id)
                    }
                }
                for kind in wanted where !there.contains(kind.rawValue) {
                    kinds.append(kind.rawValue)
                    numbers.append(demand.thread!)
                    subjects.append(subject.id)
                }
            }
        }
        if !oldSubjects.isEmpty {
            pipeline.add(
                """
                DELETE FROM fact WHERE project = $1 AND subject = ANY($4)
                    AND (kind, thread, subject) IN (SELECT * FROM unnest($2::bigint[], $3::bigint[], $4::text[]))
                """, [project.number, oldKinds, oldNumbers, oldSubjects])
        }
        if !subjects.isEmpty {
            pipeline.add(
                """
                INSERT INTO fact (project, kind, thread, subject) SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::text[])
                ON CONFLICT DO NOTHING
                """, [project.number, kinds, numbers, subjects])
        }
        return moved
    }
}
