import Conversations
import Events
import GRDB

extension SQLiteStore {
    /// Follows the next events; answers how many there were.
    func followNext(_ limit: Int = 128) async throws -> Int {
        let (from, isWaiting) = try await pool.read { db in
            let from = try Int64.fetchOne(db, sql: "SELECT followed FROM follower") ?? 0
            let isBehind = try Int64.fetchOne(db, sql: "SELECT max(sequence) FROM event") ?? 0 > from
            return (from, try isBehind || Int.fetchOne(db, sql: "SELECT 1 FROM dirty LIMIT 1") != nil)
        }
        guard isWaiting else { return 0 }
        return try await writeDerived { db in
            let rows = try Row.fetchAll(db.cachedStatement(sql: Follower.next), arguments: [from, limit])
            if let last = rows.last {
                // Another process may have been here in the meantime.
                try db.execute(sql: "UPDATE follower SET followed = ? WHERE followed = ?", arguments: [last[0] as Int64, from])
                guard db.changesCount > 0 else { return rows.count }
            }
            let dirty = try Row.fetchAll(db, sql: "SELECT project, id FROM dirty LIMIT ?", arguments: [limit])
            for row in dirty {
                try db.execute(sql: "DELETE FROM dirty WHERE project = ? AND id = ?", arguments: [row[0] as Int64, row[1] as String])
            }
            var projects: [Int64: Follower] = [:]
            for row in rows { try projects[row[1], default: Follower(db: db, project: ProjectID(row[1]))].note(row) }
            for row in dirty { projects[row[0], default: Follower(db: db, project: ProjectID(row[0]))].noteMoved(row[1]) }
            for var follower in projects.values { try follower.settle() }
            return rows.count + dirty.count
        }
    }
}

/// Settles the facts and figures that a stretch of the log changes, all of one project; from what stands now, so that the order of
/// arrival decides nothing.
struct Follower {
    static let next = """
        SELECT sequence, project, id, space, thread, at, role, type, target, received,
            CASE WHEN role = 1 AND instr(payload, '"replyTo":') > 0 THEN payload END
        FROM event WHERE sequence > ? ORDER BY sequence LIMIT ?
        """

    let db: Database
    let project: ProjectID
    private let reader: ConversationReader
    private var messages: Set<String> = []
    private var runs: Set<String> = []
    /// Threads that something happened in, with when that arrived.
    private var threads: [Int64: Int64] = [:]
    private var figures = FigureFold()

    init(db: Database, project: ProjectID) {
        self.db = db
        self.project = project
        reader = ConversationReader(db: db, project: Project(number: project, id: "", name: ""), now: Timestamp(microseconds: 0))
    }

    mutating func note(_ row: Row) throws {
        let id: String = row[2]
        if let thread: Int64 = row[4] { threads[thread] = row[9] }
        switch Event.IDSpace(rawValue: row[3]) {
        case .message:
            messages.insert(id)
            figures.add(.messages, 1, at: Timestamp(microseconds: row[5]))
            if let payload: String = row[10],
                let question = try? JSONDocument.read(Array(payload.utf8), isOurs: true, { $0["replyTo"]?.string })
            {
                try db.cachedStatement(sql: "INSERT INTO reply VALUES (?,?,?) ON CONFLICT DO NOTHING")
                    .execute(arguments: [project.number, question, id])
                // What it displays may be what the run behind its question was said to differ from in other tries.
                messages.insert(question)
            }
        case .run: runs.insert(id)
        default:
            // Which trace a message went with may hang runs under it.
            if row[7] as String == "trace", let target: String = row[8] { messages.insert(target) }
        }
    }

    /// An ID that a message or run has, or had, changed without an event of its own.
    mutating func noteMoved(_ id: String) {
        messages.insert(id)
        runs.insert(id)
    }

    mutating func settle() throws {
        let touched = Array(messages.union(runs))
        runs.formUnion(try reader.descendants(of: touched, and: touched))
        try settleRuns()
        try settleAnswers()
        for (thread, received) in threads { try noteRemovedScores(of: thread, at: Timestamp(microseconds: received)) }
        try FigureRows(db: db, project: project).write(figures)
    }

    // MARK: runs

    private mutating func settleRuns() throws {
        guard !runs.isEmpty else { return }
        let ids = Array(runs)
        let parts = Dictionary(grouping: try EventRows.fetch(db, project: project, runs: ids), by: \.event.id)
        let places = RunPlaces(db: db, project: project)
        let tallies = FigureRows(db: db, project: project)
        for id in ids {
            let place = try places.place(of: id)
            let run = Run(folding: (parts[id] ?? []).map { .init(event: $0.event, at: $0.at, digest: $0.digest) })
            guard let place, let run else {
                if !messages.contains(id) { try keep([], of: id, thread: nil, among: FactKind.ofRuns) }
                try tallies.replace("r:" + id, with: [:], in: &figures)
                continue
            }
            var kinds: [FactKind] = []
            if run.failed { kinds.append(.failed) }
            if place.isPending { kinds.append(.pending) }
            var among: [FactKind] = [.failed, .pending]
            if let thread = place.thread {
                threads[thread] = max(threads[thread] ?? 0, parts[id]?.map(\.receivedAt.microseconds).max() ?? 0)
                if try hasTurns(thread) {
                    // Whether its conversation shows it under a message is found out where that is read whole.
                    try db.cachedStatement(sql: "UPDATE thread SET view = NULL WHERE number = ? AND view IS NOT NULL")
                        .execute(arguments: [thread])
                } else {
                    among = FactKind.ofRuns
                    if place.hasOwnThread, !place.isBound { kinds.append(.orphan) }
                }
            }
            try keep(kinds, of: id, thread: place.thread, among: among)
            try tallies.replace("r:" + id, with: FigureFold.tally(of: run, isRoot: !place.hasParentRun), in: &figures)
            messages.formUnion([place.message, place.fallback].compactMap(\.self))
        }
    }

    private func hasTurns(_ thread: Int64) throws -> Bool {
        try Bool.fetchOne(db.cachedStatement(sql: "SELECT turns FROM thread WHERE number = ?"), arguments: [thread]) ?? false
    }

    // MARK: answers

    /// The answers that one of the messages or its runs bears on: itself, what follows it, what replies to it.
    private func settleAnswers() throws {
        // A run may have hung under the message of its own ID.
        let touched = messages.union(runs)
        guard !touched.isEmpty else { return }
        let list = EventRows.list(touched)
        var answers = Set(try String.fetchAll(db.cachedStatement(sql: Self.replies), arguments: [project.number, list]))
        let places = try Row.fetchCursor(db.cachedStatement(sql: Self.places), arguments: [project.number, list])
        while let row = try places.next() {
            let id: String = row[0]
            switch row[1] as Int? {
            case nil: if !runs.contains(id) { try keep([], of: id, thread: nil, among: FactKind.ofAnswers) }
            case 1: answers.insert(id)
            default: break
            }
            if let next: String = row[2] { answers.insert(next) }
        }
        guard !answers.isEmpty else { return }
        let rows = try Row.fetchAll(
            db.cachedStatement(
                sql: """
                    SELECT \(EventRows.columns) \(EventRows.joins)
                    WHERE e.project = ? AND e.space = 0 AND e.part = x'' AND e.id IN (SELECT value FROM json_each(?))
                    """), arguments: [project.number, EventRows.list(answers)])
        let items = try rows.map(EventRows.item)
        let confirmations = try reader.confirmations(of: items)
        // Most have none and get none.
        let subjects = Set(
            try String.fetchAll(db.cachedStatement(sql: Self.subjects), arguments: [project.number, EventRows.list(answers)]))
        let turned = Set(
            try Int64.fetchAll(db.cachedStatement(sql: Self.turned), arguments: [EventRows.list(Set(items.compactMap(\.thread)))]))
        for item in items {
            guard let thread = item.thread else { continue }
            if turned.contains(thread) {
                // A run of another thread may hang under it; what the thread shows is found out anew.
                try db.cachedStatement(sql: "UPDATE thread SET view = NULL WHERE number = ? AND view IS NOT NULL").execute(arguments: [
                    thread
                ])
                continue
            }
            let kinds: [FactKind] =
                switch confirmations[item.event.id] {
                case .confirmed?: [.confirmed]
                case .differs?: [.differs]
                case nil: []
                }
            guard !kinds.isEmpty || subjects.contains(item.event.id) else { continue }
            try keep(kinds, of: item.event.id, thread: thread, among: FactKind.ofAnswers)
        }
    }

    static let replies = "SELECT r.message FROM json_each(?2) j CROSS JOIN reply r ON r.project = ?1 AND r.question = j.value"
    static let subjects = "SELECT f.subject FROM json_each(?2) j CROSS JOIN fact f ON f.project = ?1 AND f.subject = j.value"
    static let turned = "SELECT t.number FROM json_each(?1) j CROSS JOIN thread t ON t.number = j.value WHERE t.turns <> 0"

    /// Of each ID: the role of its message, and the answer that a user or assistant gave next.
    static let places = """
        SELECT j.value, e.role, (
            SELECT CASE n.role WHEN 1 THEN n.id END FROM event n INDEXED BY event_item
            WHERE n.project = ?1 AND n.thread = e.thread AND n.thread IS NOT NULL AND n.type = 'message'
                AND \(EventRows.isItem("n.")) AND n.role IN (0, 1) AND n.at >= e.at AND (n.at > e.at OR n.id > e.id)
            ORDER BY n.at, n.id LIMIT 1)
        FROM json_each(?2) j LEFT JOIN event e ON e.project = ?1 AND e.id = j.value AND e.space = 0 AND e.part = x''
        """

    // MARK: facts

    /// Writes what holds of a message or run, and takes off what does not.
    private func keep(_ kinds: [FactKind], of subject: String, thread: Int64?, among: [FactKind]) throws {
        let wanted = thread == nil ? [] : kinds
        let standing = try Row.fetchAll(
            db.cachedStatement(sql: "SELECT kind, thread FROM fact WHERE project = ? AND subject = ?"),
            arguments: [project.number, subject])
        var there: Set<Int> = []
        for row in standing {
            guard let kind = FactKind(rawValue: row[0]), among.contains(kind) else { continue }
            if wanted.contains(kind), row[1] as Int64 == thread {
                there.insert(kind.rawValue)
            } else {
                try db.cachedStatement(sql: "DELETE FROM fact WHERE project = ? AND kind = ? AND thread = ? AND subject = ?")
                    .execute(arguments: [project.number, kind.rawValue, row[1] as Int64, subject])
            }
        }
        for kind in wanted where !there.contains(kind.rawValue) {
            try db.cachedStatement(sql: "INSERT INTO fact VALUES (?,?,?,?) ON CONFLICT DO NOTHING")
                .execute(arguments: [project.number, kind.rawValue, thread, subject])
        }
    }

    // MARK: scores

    /// P-SCORE-3: what a policy takes off is in the audit log, once.
    private func noteRemovedScores(of thread: Int64, at time: Timestamp) throws {
        let isScored = try Int.fetchOne(
            db.cachedStatement(sql: "SELECT 1 FROM score INDEXED BY score_thread WHERE project = ? AND thread = ? AND thread IS NOT NULL"),
            arguments: [project.number, thread])
        guard isScored != nil,
            let text = try String.fetchOne(
                db.cachedStatement(sql: "SELECT settings FROM project WHERE number = ?"), arguments: [project.number]),
            let row = try Row.fetchOne(
                db.cachedStatement(sql: "SELECT \(ThreadFold.columns) FROM thread WHERE number = ?"), arguments: [thread])
        else { return }
        let settings = try Project.Settings(stored: text)
        let id: String = row[ThreadFold.idColumn]
        let scores = try reader.scores(on: [id])[id] ?? []
        let removed = Score.removed(scores, activeAt: ThreadFold.activeAt(row), under: settings.scoring)
        for score in removed {
            try db.cachedStatement(
                sql: "UPDATE score SET noted = 1 WHERE project = ? AND target = ? AND name = ? AND author = ? AND noted = 0"
            ).execute(arguments: [project.number, score.target, score.name, score.author])
            guard db.changesCount > 0 else { continue }
            var writer = JSONWriter()
            writer.object { writer in
                writer.field("name", score.name)
                writer.field("author", score.author)
                writer.field(ifPresent: "value", score.value)
                writer.field(ifPresent: "category", score.category)
                writer.field("at", score.at)
            }
            try Audit.note(
                AuditEntry(at: time, by: "parley", action: "scores.removed", subject: id, detail: JSONText(trusted: writer.bytes)),
                in: project, db: db)
        }
    }
}
