public import Conversations
public import Events
import GRDB
import Synchronization

extension SQLiteStore {
    /// Rows taken away in one transaction, so that no ack waits long: some ten milliseconds.
    private static let eraseChunk = 2000
    /// Merges of the search index before the rest of them is left to the indexer.
    private static let purgesAtOnce = 32

    public func erase(user: String, in project: ProjectID) async throws -> Erasure {
        var erasure = Erasure()
        let before = try await tombstones(in: project)
        let keys = Event.User.keys(of: user)
        while try await eraseNext(
            &erasure, in: project,
            { eraser in
                let numbers = try Int64.fetchAll(
                    eraser.db, sql: "SELECT number FROM thread WHERE project = ? AND person IN (?, ?) LIMIT ?",
                    arguments: [project.number] + StatementArguments(keys) + [Self.eraseChunk])
                if !numbers.isEmpty { return try eraser.remove(threads: numbers, atMost: Self.eraseChunk) || true }
                // Whoever asks to be forgotten is so under what others said in their name as well.
                return try keys.contains { try eraser.removeWords(of: $0, atMost: Self.eraseChunk) }
            })
        {}
        try await eraseQuarantined(of: user, in: project, &erasure)
        // Two erasures beside each other may each count the other's.
        erasure.tombstones = try await tombstones(in: project) - before
        try await finishErasure()
        return erasure
    }

    public func eraseThreads(inactiveSince time: Timestamp, in project: ProjectID, limit: Int) async throws -> Erasure {
        var erasure = Erasure()
        let numbers = try await pool.read { db in
            try Int64.fetchAll(
                db, sql: "SELECT number FROM thread WHERE project = ? AND last_at < ? ORDER BY last_at LIMIT ?",
                arguments: [project.number, time.microseconds, limit])
        }
        guard !numbers.isEmpty else { return erasure }
        while try await eraseNext(
            &erasure, in: project,
            { eraser in
                // One that went on in the meantime stays.
                let still = try Int64.fetchAll(
                    eraser.db,
                    sql: """
                        SELECT number FROM thread NOT INDEXED
                        WHERE number IN (SELECT value FROM json_each(?)) AND project = ? AND last_at < ?
                        """, arguments: [ThreadQuery.list(numbers), project.number, time.microseconds])
                return try !still.isEmpty && (eraser.remove(threads: still, atMost: Self.eraseChunk) || true)
            })
        {}
        try await eraseQuarantined(of: nil, in: project, &erasure)
        try await finishErasure()
        return erasure
    }

    private func tombstones(in project: ProjectID) async throws -> Int {
        try await pool.read {
            try Int.fetchOne($0, sql: "SELECT count(*) FROM tombstone WHERE project = ?", arguments: [project.number]) ?? 0
        }
    }

    /// One transaction of an erasure; answers whether there may be more to do.
    private func eraseNext(
        _ erasure: inout Erasure, in project: ProjectID, _ body: @Sendable @escaping (inout Eraser) throws -> Bool
    ) async throws -> Bool {
        appended.add(Self.eraseChunk, ordering: .relaxed)
        let (isMore, sum) = try await pool.writeWithoutTransaction { [erasure] db in
            // What goes is overwritten where it stood.
            try db.execute(sql: "PRAGMA secure_delete = ON")
            defer { try? db.execute(sql: "PRAGMA secure_delete = FAST") }
            return try self.turnstile.transaction(db) {
                try LogEnd.keep(db)
                var eraser = try Eraser(db: db, project: project, erasure: erasure)
                let isMore = try body(&eraser)
                // Numbers of people that are gone must not be given to events again, by any process.
                try db.execute(sql: "UPDATE control SET revision = revision + 1")
                return (isMore, eraser.erasure)
            }
        }
        erasure = sum
        return isMore
    }

    private func eraseQuarantined(of user: String?, in project: ProjectID, _ erasure: inout Erasure) async throws {
        var after: Int64 = 0
        while true {
            let from = after
            let (last, found) = try await pool.read { db -> (Int64?, [String]) in
                let tombstones = try Tombstones(db: db, project: project)
                let rows = try Row.fetchAll(
                    db, sql: "SELECT number, event, payload FROM quarantine WHERE project = ? AND number > ? ORDER BY number LIMIT 500",
                    arguments: [project.number, from])
                let theirs = try rows.filter { row in
                    let payload = JSONText(trusted: Array((row[2] as String).utf8))
                    let named = try? JSONDocument.read(payload.bytes) { $0.member("user")?.member("id")?.string }
                    if let user, named == user { return true }
                    return try tombstones.covers(payload, id: row[1])
                }
                return (rows.last?[0], theirs.map { String($0[0] as Int64) })
            }
            if !found.isEmpty {
                try await removeQuarantineItems(found, in: project)
                erasure.quarantined += found.count
            }
            guard let last else { return }
            after = last
        }
    }

    /// Takes the words out of the search index, and what is left of them out of the file.
    private func finishErasure() async throws {
        try await write { try $0.execute(sql: "UPDATE search_state SET purging = 1") }
        for _ in 0..<Self.purgesAtOnce where try await !purgeNext() { break }
        // The log that changes go through still has what they replaced; readers at work keep it until they are done.
        try await pool.writeWithoutTransaction { db in
            // Nobody's ack waits for a long reader: what is left is overwritten as the log starts over.
            try db.execute(sql: "PRAGMA busy_timeout = 100")
            _ = try? Row.fetchOne(db, sql: "PRAGMA wal_checkpoint(TRUNCATE)")
            try db.execute(sql: "PRAGMA busy_timeout = 10000")
        }
    }

    /// One step of taking what was erased out of the file; answers whether there is more to do.
    ///
    /// First the search index is merged into one, which leaves out what was deleted (FTS5, section 6.8). Then all pages that are free
    /// are filled with zeros and freed again: what was merged or moved still stands in them.
    func purgeNext() async throws -> Bool {
        let step = try await pool.read { try Int.fetchOne($0, sql: "SELECT purging FROM search_state").flatMap(PurgeStep.init) }
        guard let step else { return false }
        appended.add(1, ordering: .relaxed)
        return try await pool.writeWithoutTransaction { db in
            try db.execute(sql: "PRAGMA secure_delete = ON")
            defer { try? db.execute(sql: "PRAGMA secure_delete = FAST") }
            return try self.turnstile.transaction(db) {
                let isDone = try step.take(db)
                if isDone { try db.execute(sql: "UPDATE search_state SET purging = ?", arguments: [step.next?.rawValue ?? 0]) }
                return !isDone || step.next != nil
            }
        }
    }
}

/// What an erasure still has to do in the file, one after the other.
private enum PurgeStep: Int {
    case begin = 1
    case merge = 2
    case fill = 3
    case free = 4

    /// Pages merged, filled or freed in one transaction: about as long as a step of the indexer takes.
    private static let pages = 256
    /// Of a page of 4 KiB, what a long value has in each (File format, section 1.6).
    private static let bytesAPage = 4092

    var next: PurgeStep? { PurgeStep(rawValue: rawValue + 1) }

    /// Takes a bounded part of the step; answers whether all of it is done.
    func take(_ db: Database) throws -> Bool {
        switch self {
        case .begin:
            // Once; said again it would begin anew with whatever was indexed since.
            try db.execute(sql: "INSERT INTO search (search, rank) VALUES ('merge', ?)", arguments: [-Self.pages])
            return true
        case .merge:
            let before = db.totalChangesCount
            try db.execute(sql: "INSERT INTO search (search, rank) VALUES ('merge', ?)", arguments: [Self.pages])
            return db.totalChangesCount - before < 2
        case .fill:
            let free = try Int.fetchOne(db, sql: "PRAGMA freelist_count") ?? 0
            guard free > 1 else { return true }
            try db.execute(sql: "INSERT INTO blank (zeros) VALUES (zeroblob(?))", arguments: [min(free, Self.pages) * Self.bytesAPage])
            return false
        case .free:
            try db.execute(sql: "DELETE FROM blank WHERE number = (SELECT max(number) FROM blank)")
            return db.changesCount == 0
        }
    }
}

/// The end of the log, which never moves back.
///
/// SQLite gives a number again when the newest row with it is gone; whoever follows the log would then pass over what comes next. An
/// empty row of no project keeps the place.
enum LogEnd {
    /// To be called in each transaction that takes rows out of the log, before it does.
    static func keep(_ db: Database) throws {
        try db.execute(
            sql: """
                INSERT INTO event (project, id, space, part, type, at, received, source, digest)
                VALUES (0, hex(randomblob(16)), 2, x'', '', 0, 0, 0, x'')
                """)
        try db.execute(sql: "DELETE FROM event WHERE project = 0 AND sequence < ?", arguments: [db.lastInsertedRowID])
    }
}

/// One transaction's worth of taking away.
struct Eraser {
    let db: Database
    let project: ProjectID
    private(set) var erasure: Erasure
    private let tombstones: Tombstones
    private let indexed: Int64
    private var rows = 0

    init(db: Database, project: ProjectID, erasure: Erasure) throws {
        (self.db, self.project, self.erasure) = (db, project, erasure)
        tombstones = try Tombstones(db: db, project: project)
        indexed = try Int64.fetchOne(db, sql: "SELECT indexed FROM search_state") ?? 0
    }

    // MARK: threads

    /// Takes threads away with all that is in them, until `limit` rows are gone; answers whether all are.
    mutating func remove(threads: [Int64], atMost limit: Int) throws -> Bool {
        // First nothing new may come in.
        for number in threads {
            guard let id = try String.fetchOne(db.cachedStatement(sql: "SELECT id FROM thread WHERE number = ?"), arguments: [number])
            else { continue }
            try bury(.thread, id)
        }
        for number in threads {
            guard try remove(thread: number, atMost: limit) else { return false }
        }
        return true
    }

    private mutating func remove(thread number: Int64, atMost limit: Int) throws -> Bool {
        while rows < limit {
            let messages = try Row.fetchAll(
                db.cachedStatement(
                    sql: """
                        SELECT sequence, id, space FROM event INDEXED BY event_item WHERE project = ? AND thread = ? AND thread IS NOT NULL
                            AND \(EventRows.isItem()) LIMIT 200
                        """), arguments: [project.number, number])
            if messages.isEmpty { break }
            for row in messages where row[2] as Int == 0 { try removeMessage(row[1]) }
            for row in messages where row[2] as Int != 0 { try removeEvent(row[0]) }
        }
        while rows < limit {
            let runs = try String.fetchAll(
                db.cachedStatement(sql: "SELECT id FROM run WHERE project = ? AND thread = ? AND thread IS NOT NULL LIMIT 200"),
                arguments: [project.number, number])
            if runs.isEmpty { break }
            for run in try tree(under: [], and: runs) { try removeRun(run) }
        }
        while rows < limit {
            let others = try Int64.fetchAll(
                db.cachedStatement(
                    sql: """
                        SELECT sequence FROM event INDEXED BY event_beside WHERE project = ? AND thread = ? AND thread IS NOT NULL
                            AND \(EventRows.isBeside()) LIMIT 200
                        """), arguments: [project.number, number])
            if others.isEmpty { break }
            for sequence in others { try removeEvent(sequence) }
        }
        guard rows < limit,
            let id = try String.fetchOne(db.cachedStatement(sql: "SELECT id FROM thread WHERE number = ?"), arguments: [number])
        else { return false }
        try removeWhatIsSaid(of: id)
        for statement in [
            "DELETE FROM thread_tag WHERE project = ? AND thread = ?", "DELETE FROM seen WHERE project = ? AND thread = ?",
            "DELETE FROM reviewed WHERE project = ? AND thread = ?", "DELETE FROM vote WHERE project = ? AND thread = ?",
            "DELETE FROM score WHERE project = ? AND thread = ?",
        ] { try db.cachedStatement(sql: statement).execute(arguments: [project.number, number]) }
        for kind in FactKind.allCases {
            try db.cachedStatement(sql: "DELETE FROM fact WHERE project = ? AND kind = ? AND thread = ?")
                .execute(arguments: [project.number, kind.rawValue, number])
        }
        try db.cachedStatement(sql: "DELETE FROM counted WHERE project = ? AND subject = ?")
            .execute(arguments: [project.number, "t:\(number)"])
        try db.cachedStatement(sql: "DELETE FROM thread WHERE number = ?").execute(arguments: [number])
        rows += 1
        erasure.threads += 1
        return true
    }

    // MARK: users

    /// Takes away what a user said in the threads of others, and at last the user; answers whether there is more.
    /// - Parameter user: `Event.User.key`.
    mutating func removeWords(of user: String, atMost limit: Int) throws -> Bool {
        guard
            let person = try Int64.fetchOne(
                db, sql: "SELECT number FROM person WHERE project = ? AND id = ?", arguments: [project.number, user])
        else { return false }
        let events = try Row.fetchAll(
            db,
            sql: """
                SELECT sequence, id, space, thread FROM event INDEXED BY event_person
                WHERE project = ? AND person = ? AND person IS NOT NULL LIMIT ?
                """, arguments: [project.number, person, limit / 4])
        var threads: Set<Int64> = []
        for row in events {
            if let thread: Int64 = row[3] { threads.insert(thread) }
            switch Event.IDSpace(rawValue: row[2]) {
            case .message: try removeMessage(row[1])
            case .run: for run in try tree(under: [], and: [row[1]]) { try removeRun(run) }
            default: try removeEvent(row[0])
            }
        }
        for thread in threads { try refold(thread) }
        if !events.isEmpty { return true }
        try db.execute(sql: "DELETE FROM vote WHERE project = ? AND voter = ?", arguments: [project.number, "user:" + user])
        try db.execute(sql: "DELETE FROM person WHERE number = ?", arguments: [person])
        return false
    }

    /// Folds a thread again from what is left of it.
    private mutating func refold(_ number: Int64) throws {
        guard
            let row = try Row.fetchOne(
                db, sql: "SELECT \(ThreadFold.columns) FROM thread WHERE number = ?", arguments: [number])
        else { return }
        let left = try Row.fetchAll(
            db,
            sql: """
                SELECT \(EventRows.columns) \(EventRows.joins) WHERE e.project = ?1 AND e.sequence IN (
                    SELECT sequence FROM event INDEXED BY event_item WHERE project = ?1 AND thread = ?2 AND thread IS NOT NULL
                        AND \(EventRows.isItem())
                    UNION SELECT sequence FROM event INDEXED BY event_beside WHERE project = ?1 AND thread = ?2 AND thread IS NOT NULL
                        AND \(EventRows.isBeside()))
                """, arguments: [project.number, number]
        ).map(EventRows.item)
        guard !left.isEmpty else {
            _ = try remove(threads: [number], atMost: .max)
            return
        }
        var fold = ThreadFold()
        for item in left {
            let isTagging = item.source.lane == .secret || fold.tags.count < ThreadFold.mostTags
            fold.apply(item.event, at: item.at, from: item.provenance, isTagging: isTagging)
        }
        let turns = Dictionary(grouping: left.filter { $0.event.idSpace == .run }, by: \.event.id)
        for id in turns.keys {
            let parts = try EventRows.fetch(db, project: project, runs: [id]).map {
                Run.Part(event: $0.event, at: $0.at, digest: $0.digest)
            }
            guard let run = Run(folding: parts), run.isTurn else { continue }
            for time in Run.turnTimes(of: parts) { fold.applyTurn(at: time, roles: run.turnRoles) }
        }
        try ThreadRows.rewrite(fold, number: number, id: row[ThreadFold.idColumn], project: project, db: db)
    }

    // MARK: things

    /// Sets a tombstone for an ID, and for whatever else it is called.
    private func bury(_ kind: Tombstones.Kind, _ id: String) throws {
        try tombstones.set(kind, id)
        let names = try String.fetchAll(
            db.cachedStatement(sql: "SELECT name FROM alias INDEXED BY alias_id WHERE project = ? AND id = ?"),
            arguments: [project.number, id])
        for name in names { try tombstones.set(kind, name) }
    }

    /// The names of an ID that nothing has any more.
    private func removeNames(of id: String) throws {
        try db.cachedStatement(sql: "DELETE FROM alias INDEXED BY alias_id WHERE project = ? AND id = ?")
            .execute(arguments: [project.number, id])
    }

    private mutating func removeMessage(_ id: String) throws {
        try bury(.message, id)
        let traces = try String.fetchAll(
            db.cachedStatement(sql: "SELECT trace FROM message_trace INDEXED BY message_trace_message WHERE project = ? AND message = ?"),
            arguments: [project.number, id])
        for trace in traces + [TraceID(ofMessage: id)?.text].compactMap(\.self) { try tombstones.set(.trace, trace) }
        for run in try tree(under: [id], and: [id]) { try removeRun(run) }
        let sequences = try Int64.fetchAll(
            db.cachedStatement(sql: "SELECT sequence FROM event WHERE project = ? AND id = ? AND space = 0"),
            arguments: [project.number, id])
        for sequence in sequences { try removeRow(sequence) }
        erasure.messages += sequences.count
        try db.cachedStatement(sql: "DELETE FROM message_trace WHERE project = ? AND message = ?").execute(arguments: [project.number, id])
        try db.cachedStatement(sql: "DELETE FROM reply WHERE project = ? AND question = ?").execute(arguments: [project.number, id])
        try removeWhatIsSaid(of: id)
    }

    /// The runs under messages, those of `ids`, and all below them, however many.
    private func tree(under messages: [String], and ids: [String]) throws -> [String] {
        try String.fetchAll(
            db.cachedStatement(sql: ConversationReader.tree),
            arguments: [
                "project": project.number, "parents": EventRows.list(messages), "ids": EventRows.list(ids), "limit": -1,
            ])
    }

    private mutating func removeRun(_ id: String) throws {
        try bury(.run, id)
        let sequences = try Int64.fetchAll(
            db.cachedStatement(sql: "SELECT sequence FROM event WHERE project = ? AND id = ? AND space = 1"),
            arguments: [project.number, id])
        for sequence in sequences { try removeRow(sequence) }
        try db.cachedStatement(sql: "DELETE FROM run WHERE project = ? AND id = ?").execute(arguments: [project.number, id])
        erasure.runs += db.changesCount
        try db.cachedStatement(sql: "DELETE FROM run_trace WHERE project = ? AND run = ?").execute(arguments: [project.number, id])
        try db.cachedStatement(sql: "DELETE FROM counted WHERE project = ? AND subject = ?").execute(arguments: [project.number, "r:" + id])
        try removeWhatIsSaid(of: id)
        // What is said of an ID that a message has is the message's; the answer then has the next.
        for answer in TurnFold.answerIDs(of: id) where try Targets(db: db, project: project).thread(ofMessage: answer) == nil {
            try removeWhatIsSaid(of: answer)
            guard try tombstones.isSet(.message, answer) else { break }
        }
    }

    /// An event that is neither a message nor a run.
    private mutating func removeEvent(_ sequence: Int64) throws {
        guard
            let row = try Row.fetchOne(
                db.cachedStatement(sql: "SELECT id, space, type FROM event WHERE sequence = ?"), arguments: [sequence])
        else { return }
        let id: String = row[0]
        if row[1] as Int == Event.IDSpace.run.rawValue {
            // Its row may say another thread, and have runs below it.
            let runs = try tree(under: [], and: [id])
            for run in runs.isEmpty ? [id] : runs { try removeRun(run) }
            return
        }
        try tombstones.set(.event, id)
        try removeRow(sequence)
        switch row[2] as String {
        case "comment":
            // Also where it only changes another, whose words may be its.
            try db.cachedStatement(sql: "DELETE FROM comment WHERE project = ? AND (id = ?)").execute(arguments: [project.number, id])
            try removeWhatIsSaid(of: id)
        default: break
        }
    }

    /// Votes, scores and remarks on an ID with their history, facts about it, and its other names.
    private mutating func removeWhatIsSaid(of id: String) throws {
        let events = try Int64.fetchAll(
            db.cachedStatement(
                sql: "SELECT sequence FROM event INDEXED BY event_target WHERE project = ? AND target = ? AND target IS NOT NULL"),
            arguments: [project.number, id])
        for statement in ["DELETE FROM vote WHERE project = ? AND target = ?", "DELETE FROM score WHERE project = ? AND target = ?"] {
            try db.cachedStatement(sql: statement).execute(arguments: [project.number, id])
        }
        let remarks = try String.fetchAll(
            db.cachedStatement(sql: "SELECT id FROM comment WHERE project = ? AND target = ?"), arguments: [project.number, id])
        try db.cachedStatement(sql: "DELETE FROM comment WHERE project = ? AND target = ?").execute(arguments: [project.number, id])
        try db.cachedStatement(sql: "DELETE FROM fact WHERE project = ? AND subject = ?").execute(arguments: [project.number, id])
        try db.cachedStatement(sql: "DELETE FROM dirty WHERE project = ? AND id = ?").execute(arguments: [project.number, id])
        for sequence in events { try removeEvent(sequence) }
        for remark in remarks {
            try tombstones.set(.event, remark)
            try removeWhatIsSaid(of: remark)
        }
        try removeNames(of: id)
    }

    /// A row of the log, with its words in the search index.
    private mutating func removeRow(_ sequence: Int64) throws {
        try SearchText.remove(sequence, indexed: indexed, db: db)
        try db.cachedStatement(sql: "DELETE FROM event WHERE sequence = ?").execute(arguments: [sequence])
        erasure.events += db.changesCount
        rows += 1
    }
}
