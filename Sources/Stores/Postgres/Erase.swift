public import Conversations
public import Events
import Logging

extension PostgresStore {
    /// Rows taken away in one transaction, so that no append waits long: some ten milliseconds.
    private static let eraseChunk = 2000
    /// Threads whose rows go together.
    private static let threadChunk = 200

    /// Takes a user away from every table, step by step; appends of the project go on between the steps, and what they bring in names
    /// nothing that is erased, since the hashes of its IDs are set before its rows go, under the same lock.
    ///
    /// When it returns, no statement finds anything of it. Where it stood on disks it stays for a while, as everything deleted from a
    /// PostgreSQL does: in pages of the tables and indexes until they are used again (the `VACUUM` after an erasure frees them; only
    /// `VACUUM FULL` writes a table anew); in the write-ahead log until its segments are recycled, and in their archive as long as that is
    /// kept; on standbys, which follow within moments, likewise; in base backups and dumps until they are thrown away.
    public func erase(user: String, in project: ProjectID) async throws -> Erasure {
        var erasure = Erasure()
        let keys = Event.User.keys(of: user)
        while try await eraseNext(
            &erasure, in: project,
            { eraser in
                let numbers = try Int64.fetchAll(
                    eraser.db, sql: "SELECT number FROM thread WHERE project = $1 AND person = ANY($2) AND person IS NOT NULL LIMIT $3",
                    arguments: [project.number, keys, Self.threadChunk])
                if !numbers.isEmpty { return try eraser.remove(threads: numbers, atMost: Self.eraseChunk) || true }
                // Whoever asks to be forgotten is so under what others said in their name as well.
                return try keys.contains { try eraser.removeWords(of: $0, atMost: Self.eraseChunk) }
            })
        {}
        try await eraseQuarantined(of: user, in: project, &erasure)
        await finishErasure(in: project)
        return erasure
    }

    public func eraseThreads(inactiveSince time: Timestamp, in project: ProjectID, limit: Int) async throws -> Erasure {
        var erasure = Erasure()
        let numbers = try await pool.read { db in
            try Int64.fetchAll(
                db, sql: "SELECT number FROM thread WHERE project = $1 AND last_at < $2 ORDER BY last_at, number LIMIT $3",
                arguments: [project.number, time.microseconds, limit])
        }
        guard !numbers.isEmpty else { return erasure }
        while try await eraseNext(
            &erasure, in: project,
            { eraser in
                // One that went on in the meantime stays.
                let still = try Int64.fetchAll(
                    eraser.db, sql: "SELECT number FROM thread WHERE project = $1 AND number = ANY($2) AND last_at < $3 LIMIT $4",
                    arguments: [project.number, numbers, time.microseconds, Self.threadChunk])
                return try !still.isEmpty && (eraser.remove(threads: still, atMost: Self.eraseChunk) || true)
            })
        {}
        try await eraseQuarantined(of: nil, in: project, &erasure)
        // Once after all of them, where they are taken away in several goes.
        if numbers.count < limit { await finishErasure(in: project) }
        return erasure
    }

    /// One transaction of an erasure; answers whether there may be more to do.
    private func eraseNext(
        _ erasure: inout Erasure, in project: ProjectID, _ body: @Sendable @escaping (inout Eraser) throws -> Bool
    ) async throws -> Bool {
        let (isMore, sum) = try await pool.write { [erasure] db in
            var pipeline = Pipeline()
            // Nobody finds out anything of the log that is to go, nobody adds to the project.
            Turn.keep(&pipeline)
            pipeline.lock([project])
            _ = try db.run(pipeline)
            var eraser = try Eraser(db: db, project: project, erasure: erasure)
            let isMore = try body(&eraser)
            return (isMore, eraser.erasure)
        }
        erasure = sum
        return isMore
    }

    private func eraseQuarantined(of user: String?, in project: ProjectID, _ erasure: inout Erasure) async throws {
        var after: Int64 = 0
        while true {
            let from = after
            let (last, found) = try await pool.read { db -> (Int64?, [String]) in
                let rows = try db.fetchAll(
                    "SELECT number, event, payload FROM quarantine WHERE project = $1 AND number > $2 ORDER BY number LIMIT 500",
                    [project.number, from])
                let items = rows.map {
                    (number: $0[0] as Int64, id: $0[1] as String?, payload: JSONText(trusted: ($0[2] as TextBytes).bytes))
                }
                let tombstones = try Tombstones(db: db, project: project)
                try tombstones.prefetch { for item in items { _ = try tombstones.covers(item.payload, id: item.id) } }
                let theirs = try items.filter { item in
                    let named = try? JSONDocument.read(item.payload.bytes) { $0.member("user")?.member("id")?.string }
                    if let user, named == user { return true }
                    return try tombstones.covers(item.payload, id: item.id)
                }
                return (rows.last?[0], theirs.map { String($0.number) })
            }
            if !found.isEmpty {
                try await removeQuarantineItems(found, in: project)
                erasure.quarantined += found.count
            }
            guard let last else { return }
            after = last
        }
    }

    // MARK: dead rows

    /// Tables that texts and IDs stand in.
    private static let vacuumed = [
        "event", "thread", "thread_tag", "run", "run_trace", "message_trace", "vote", "score", "comment", "person", "alias", "fact",
        "reply",
        "counted", "search", "quarantine", "dirty", "seen", "reviewed",
    ]
    /// What is left then is autovacuum's: an erasure need not wait for it.
    private static let vacuumTime = Duration.seconds(60)

    /// Frees what was deleted, as far as the database's user may and time allows; autovacuum does so some time later.
    private func finishErasure(in project: ProjectID) async {
        do {
            let part = try await pool.read { db in
                try Int.fetchOne(
                    db,
                    sql: """
                        SELECT part FROM parley, generate_series(0, partitions - 1) AS part
                        WHERE partitions > 1 AND satisfies_hash_partition('event'::regclass, partitions, part, $1)
                        """, arguments: [project.number])
            }
            let deadline = ContinuousClock.now + Self.vacuumTime
            for table in Self.vacuumed where ContinuousClock.now < deadline {
                let own = part.map { Migrations.partitioned.contains(table) ? "\(table)_\($0)" : table } ?? table
                // One that is being vacuumed is left to who does it. Longer than a statement may take none takes.
                _ = try await pool.withoutTransaction { try $0.execute("VACUUM (SKIP_LOCKED) \(own)") }
            }
        } catch {
            logger.debug("what was erased is left to autovacuum", metadata: ["error": "\(error)"])
        }
    }
}

/// One transaction's worth of taking away: the IDs of what goes get their tombstones, then their rows go, each table's at once.
struct Eraser {
    let db: Database
    let project: ProjectID
    private(set) var erasure: Erasure
    private let tombstones: Tombstones
    private var rows = 0

    /// Messages, runs or events taken away together.
    private static let stretch = 500

    init(db: Database, project: ProjectID, erasure: Erasure) throws {
        (self.db, self.project, self.erasure) = (db, project, erasure)
        tombstones = try Tombstones(db: db, project: project)
    }

    // MARK: threads

    static let items = """
        SELECT sequence, id, space, type FROM event WHERE project = $1 AND thread = ANY($2) AND thread IS NOT NULL
            AND \(EventRows.isItem()) LIMIT $3
        """
    static let runsOfThreads = "SELECT id FROM run WHERE project = $1 AND thread = ANY($2) AND thread IS NOT NULL LIMIT $3"
    static let beside = """
        SELECT sequence, id, space, type FROM event WHERE project = $1 AND thread = ANY($2) AND thread IS NOT NULL
            AND \(EventRows.isBeside()) LIMIT $3
        """

    /// Takes threads away with all that is in them, until `limit` rows are gone; answers whether all are.
    mutating func remove(threads numbers: [Int64], atMost limit: Int) throws -> Bool {
        // First nothing new may come in.
        try bury(.thread, names(of: numbers))
        let arguments: Arguments = [project.number, numbers, Self.stretch]
        while rows < limit {
            let events = try db.fetchAll(Self.items, arguments).map(EventRow.init)
            if events.isEmpty { break }
            try removeMessages(events.filter { $0.space == .message }.map(\.id))
            try removeEvents(events.filter { $0.space != .message })
        }
        while rows < limit {
            let runs = try String.fetchAll(db, sql: Self.runsOfThreads, arguments: arguments)
            if runs.isEmpty { break }
            try removeRuns(tree(under: [], and: runs))
        }
        while rows < limit {
            let events = try db.fetchAll(Self.beside, arguments).map(EventRow.init)
            if events.isEmpty { break }
            try removeEvents(events)
        }
        guard rows < limit else { return false }
        try removeWhatIsSaid(of: names(of: numbers))
        var pipeline = Pipeline()
        for table in ["thread_tag", "seen", "reviewed", "vote", "score"] {
            // The indexes of some tables have only rows with a thread.
            pipeline.add("DELETE FROM \(table) WHERE project = $1 AND thread = ANY($2) AND thread IS NOT NULL", [project.number, numbers])
        }
        pipeline.add(
            "DELETE FROM fact WHERE project = $1 AND kind = ANY($3) AND thread = ANY($2)",
            [project.number, numbers, FactKind.allCases.map(\.rawValue)])
        pipeline.add(
            "DELETE FROM counted WHERE project = $1 AND subject = ANY($2)", [project.number, numbers.map { "t:\($0)" }])
        let threads = pipeline.add("DELETE FROM thread WHERE project = $1 AND number = ANY($2)", [project.number, numbers])
        erasure.threads += try db.run(pipeline)[threads].changesCount
        rows += numbers.count
        return true
    }

    private func names(of threads: [Int64]) throws -> [String] {
        try String.fetchAll(db, sql: "SELECT id FROM thread WHERE project = $1 AND number = ANY($2)", arguments: [project.number, threads])
    }

    // MARK: users

    static let ofPerson = """
        SELECT sequence, id, space, type, thread FROM event WHERE project = $1 AND person = $2 AND person IS NOT NULL LIMIT $3
        """

    /// Takes away what a user said in the threads of others, and at last the user; answers whether there is more.
    /// - Parameter user: `Event.User.key`.
    mutating func removeWords(of user: String, atMost limit: Int) throws -> Bool {
        let person = try Int64.fetchOne(
            db, sql: "SELECT number FROM person WHERE project = $1 AND id = $2", arguments: [project.number, user])
        guard let person else { return false }
        let found = try db.fetchAll(Self.ofPerson, [project.number, person, limit / 4])
        let events = found.map(EventRow.init)
        try removeMessages(events.filter { $0.space == .message }.map(\.id))
        try removeRuns(tree(under: [], and: events.filter { $0.space == .run }.map(\.id)))
        try removeEvents(events.filter { $0.space == .other })
        for thread in Set(found.compactMap { $0[4] as Int64? }) { try refold(thread) }
        if !events.isEmpty { return true }
        try db.execute("DELETE FROM vote WHERE project = $1 AND voter = $2", [project.number, "user:" + user])
        try db.execute("DELETE FROM person WHERE project = $1 AND number = $2", [project.number, person])
        return false
    }

    static let leftInThread = """
        SELECT \(EventRows.columns) \(EventRows.joins) WHERE e.project = $1 AND e.thread = $2 AND e.thread IS NOT NULL
            AND \(EventRows.isItem("e."))
        UNION ALL
        SELECT \(EventRows.columns) \(EventRows.joins) WHERE e.project = $1 AND e.thread = $2 AND e.thread IS NOT NULL
            AND \(EventRows.isBeside("e."))
        """

    /// Folds a thread again from what is left of it.
    private mutating func refold(_ number: Int64) throws {
        guard let id = try names(of: [number]).first else { return }
        let left = try db.fetchAll(Self.leftInThread, [project.number, number]).map(EventRows.item)
        guard !left.isEmpty else {
            _ = try remove(threads: [number], atMost: .max)
            return
        }
        var fold = ThreadFold()
        for item in left {
            let isTagging = item.source.lane == .secret || fold.tags.count < ThreadFold.mostTags
            fold.apply(item.event, at: item.at, from: item.provenance, isTagging: isTagging)
        }
        let runs = Set(left.filter { $0.event.idSpace == .run }.map(\.event.id))
        let parts = Dictionary(
            grouping: runs.isEmpty ? [] : try EventRows.fetch(db, project: project, runs: Array(runs)), by: \.event.id)
        for own in parts.values {
            let own = own.map { Run.Part(event: $0.event, at: $0.at, digest: $0.digest) }
            guard let run = Run(folding: own), run.isTurn else { continue }
            for time in Run.turnTimes(of: own) { fold.applyTurn(at: time, roles: run.turnRoles) }
        }
        try ThreadRows.rewrite(fold, number: number, id: id, project: project, db: db)
    }

    // MARK: things

    private struct EventRow {
        var sequence: Int64
        var id: String
        var space: Event.IDSpace
        var type: String

        init(_ row: Row) { (sequence, id, space, type) = (row[0], row[1], Event.IDSpace(rawValue: row[2]) ?? .other, row[3]) }
    }

    /// Sets tombstones for IDs, and for whatever else they are called.
    private mutating func bury(_ kind: Tombstones.Kind, _ ids: [String]) throws {
        guard !ids.isEmpty else { return }
        let names = try String.fetchAll(
            db, sql: "SELECT name FROM alias WHERE project = $1 AND id = ANY($2)", arguments: [project.number, ids])
        try set(kind, ids + names)
    }

    private mutating func set(_ kind: Tombstones.Kind, _ ids: [String]) throws {
        erasure.tombstones += try tombstones.set(kind, ids)
    }

    private mutating func removeMessages(_ ids: [String]) throws {
        guard !ids.isEmpty else { return }
        try bury(.message, ids)
        let traces = try String.fetchAll(
            db, sql: "SELECT trace FROM message_trace WHERE project = $1 AND message = ANY($2)", arguments: [project.number, ids])
        try set(.trace, traces + ids.compactMap { TraceID(ofMessage: $0)?.text })
        try removeRuns(tree(under: ids, and: ids))
        erasure.messages += try removeRows("DELETE FROM event WHERE project = $1 AND id = ANY($2) AND space = 0 RETURNING sequence", ids)
        var pipeline = Pipeline()
        for statement in [
            "DELETE FROM message_trace WHERE project = $1 AND message = ANY($2)",
            "DELETE FROM reply WHERE project = $1 AND question = ANY($2)", "DELETE FROM reply WHERE project = $1 AND message = ANY($2)",
        ] { pipeline.add(statement, [project.number, ids]) }
        _ = try db.run(pipeline)
        try removeWhatIsSaid(of: ids)
    }

    /// The runs under messages, those of `ids`, and all below them, however many.
    private func tree(under messages: [String], and ids: [String]) throws -> [String] {
        guard !messages.isEmpty || !ids.isEmpty else { return [] }
        return try String.fetchAll(db, sql: ConversationReader.tree, arguments: [project.number, messages, ids, Int64.max])
    }

    private mutating func removeRuns(_ ids: [String]) throws {
        guard !ids.isEmpty else { return }
        try bury(.run, ids)
        try removeRows("DELETE FROM event WHERE project = $1 AND id = ANY($2) AND space = 1 RETURNING sequence", ids)
        var pipeline = Pipeline()
        let runs = pipeline.add("DELETE FROM run WHERE project = $1 AND id = ANY($2)", [project.number, ids])
        pipeline.add("DELETE FROM run_trace WHERE project = $1 AND run = ANY($2)", [project.number, ids])
        pipeline.add("DELETE FROM counted WHERE project = $1 AND subject = ANY($2)", [project.number, ids.map { "r:" + $0 }])
        erasure.runs += try db.run(pipeline)[runs].changesCount
        try removeWhatIsSaid(of: ids)
        try removeAnswers(of: ids)
    }

    /// What is said of the answers that runs make. An ID that a message has is the message's; the answer then has the next.
    private mutating func removeAnswers(of runs: [String]) throws {
        var rest = runs.map { Array(TurnFold.answerIDs(of: $0))[...] }
        while !rest.isEmpty {
            let ids = rest.map { $0.first! }
            let messages = Set(
                try String.fetchAll(
                    db,
                    sql: """
                        SELECT id FROM event WHERE project = $1 AND id = ANY($2) AND space = 0 AND part = '' AND thread IS NOT NULL
                        """, arguments: [project.number, ids]
                ).map(key))
            let gone = ids.filter { !messages.contains(key($0)) }
            try removeWhatIsSaid(of: gone)
            try tombstones.prefetch(.message, gone)
            rest = try rest.filter { try messages.contains(key($0.first!)) || tombstones.isSet(.message, $0.first!) }
                .map { $0.dropFirst() }.filter { !$0.isEmpty }
        }
    }

    private func key(_ id: String) -> OwnedID { OwnedID(project: project, id: id) }

    /// Events that are neither messages nor, but for one by its own row, runs.
    private mutating func removeEvents(_ events: [EventRow]) throws {
        guard !events.isEmpty else { return }
        let runs = Set(events.filter { $0.space == .run }.map { key($0.id) })
        // Their rows may say another thread, and have runs below them.
        try removeRuns(runs.union(tree(under: [], and: runs.map(\.id)).map(key)).map(\.id))
        let others = events.filter { $0.space != .run }
        guard !others.isEmpty else { return }
        try set(.event, others.map(\.id))
        try removeRows("DELETE FROM event WHERE project = $1 AND sequence = ANY($2) RETURNING sequence", others.map(\.sequence))
        // Also where one only changes another, whose words may be its.
        let comments = others.filter { $0.type == "comment" }.map(\.id)
        guard !comments.isEmpty else { return }
        try db.execute("DELETE FROM comment WHERE project = $1 AND id = ANY($2)", [project.number, comments])
        try removeWhatIsSaid(of: comments)
    }

    /// Votes, scores and remarks on IDs with their history, facts about them, and their other names.
    private mutating func removeWhatIsSaid(of ids: [String]) throws {
        var ids = ids
        while !ids.isEmpty {
            let arguments: Arguments = [project.number, ids]
            var pipeline = Pipeline()
            let said = pipeline.add(
                "SELECT sequence, id, space, type FROM event WHERE project = $1 AND target = ANY($2) AND target IS NOT NULL", arguments)
            let remarked = pipeline.add("DELETE FROM comment WHERE project = $1 AND target = ANY($2) RETURNING id", arguments)
            for statement in [
                "DELETE FROM vote WHERE project = $1 AND target = ANY($2)", "DELETE FROM score WHERE project = $1 AND target = ANY($2)",
                "DELETE FROM fact WHERE project = $1 AND subject = ANY($2)", "DELETE FROM dirty WHERE project = $1 AND id = ANY($2)",
                "DELETE FROM alias WHERE project = $1 AND id = ANY($2)",
            ] { pipeline.add(statement, arguments) }
            let answers = try db.run(pipeline)
            let remarks = answers[remarked].map { $0[0] as String }
            try removeEvents(answers[said].map(EventRow.init))
            try set(.event, remarks)
            ids = remarks
        }
    }

    /// Rows of the log with their words in the search index; answers how many there were.
    @discardableResult
    private mutating func removeRows(_ sql: String, _ which: any Bindable) throws -> Int {
        let sequences = try Int64.fetchAll(db, sql: sql, arguments: [project.number, which])
        guard !sequences.isEmpty else { return 0 }
        try db.execute("DELETE FROM search WHERE project = $1 AND sequence = ANY($2)", [project.number, sequences])
        erasure.events += sequences.count
        rows += sequences.count
        return sequences.count
    }
}
