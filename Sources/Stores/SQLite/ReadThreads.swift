public import Conversations
public import Events
import GRDB

extension SQLiteStore {
    public func threads(
        in project: Project, matching filter: ThreadFilter, limit: Int, after cursor: String?, now: Timestamp
    ) async throws -> Page<ThreadSummary> {
        var query = ThreadQuery(project: project, now: now)
        query.narrow(to: filter)
        if let cursor { try query.start(after: cursor) }
        return try await pool.read { [query] db in
            var rows = try Row.fetchAll(db, sql: query.sql, arguments: query.arguments + [limit + 1])
            var next: String?
            if rows.count > limit {
                rows.removeLast()
                next = rows.last.map { "\($0[ThreadFold.lastAtColumn] as Int64)~\($0[ThreadFold.numberColumn] as Int64)" }
            }
            let reader = ConversationReader(db: db, project: project, now: now)
            return Page(items: try reader.summaries(rows), next: next)
        }
    }
}

/// The list's SQL, put together from a filter; every value is an argument.
struct ThreadQuery: Sendable {
    private var conditions: [String]
    private(set) var arguments: StatementArguments
    private let project: Project
    private let now: Timestamp

    init(project: Project, now: Timestamp) {
        self.project = project
        self.now = now
        conditions = ["t.project = ?"]
        arguments = [project.number.number]
    }

    var sql: String {
        "SELECT \(ThreadFold.columns) FROM thread t WHERE " + conditions.joined(separator: " AND ")
            + " ORDER BY t.last_at DESC, t.number DESC LIMIT ?"
    }

    private mutating func add(_ condition: String, _ arguments: StatementArguments = []) {
        conditions.append(condition)
        self.arguments += arguments
    }

    mutating func narrow(to filter: ThreadFilter) {
        let number = project.number.number
        if let words = filter.words {
            add(
                """
                t.number IN (SELECT e.thread FROM event e WHERE e.project = ? AND e.sequence IN
                    (SELECT rowid FROM search WHERE search MATCH ?))
                """, [number, SearchText.query(words, in: project.number)])
        }
        if let user = filter.user { add("t.person = ?", [user]) }
        if let tag = filter.tag {
            add("t.number IN (SELECT thread FROM thread_tag WHERE project = ? AND tag = ? AND off = 0)", [number, tag])
        }
        if let role = filter.role { add("t.roles & ? <> 0", [ThreadFold.bit(of: role)]) }
        switch filter.feedback {
        case .up?: add("EXISTS (SELECT 1 FROM vote v WHERE v.project = t.project AND v.thread = t.number AND v.thumb = 1)")
        case .down?: add("EXISTS (SELECT 1 FROM vote v WHERE v.project = t.project AND v.thread = t.number AND v.thumb = -1)")
        case .any?: add("EXISTS (SELECT 1 FROM vote v WHERE v.project = t.project AND v.thread = t.number AND v.thumb IS NOT NULL)")
        case .none?: add("NOT EXISTS (SELECT 1 FROM vote v WHERE v.project = t.project AND v.thread = t.number AND v.thumb IS NOT NULL)")
        case nil: break
        }
        if let from = filter.from { add("t.last_at >= ?", [from.microseconds]) }
        if let to = filter.to { add("t.first_at <= ?", [to.microseconds]) }
        if let status = filter.status {
            // The words of ThreadSummary.status, for the index: closed and nothing since, or no activity for the time.
            let deadline = now.advanced(bySeconds: -project.settings.inactiveAfterSeconds).microseconds
            add(
                """
                (CASE WHEN t.status IS NOT NULL AND t.status_at >= t.last_at
                    THEN t.status = 'active' AND t.status_at > ? ELSE t.last_at > ? END) = ?
                """, [deadline, deadline, status == .active])
        }
    }

    mutating func start(after cursor: String) throws {
        let parts = cursor.split(separator: "~").compactMap { Int64($0) }
        guard parts.count == 2 else { throw ReadFailure.badCursor }
        add("(t.last_at < ? OR (t.last_at = ? AND t.number < ?))", [parts[0], parts[0], parts[1]])
    }
}

extension ConversationReader {
    /// Characters of a message that a list shows.
    static let excerptLength = 300

    func summary(of thread: String) throws -> (fold: ThreadFold, summary: ThreadSummary)? {
        let row = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT \(ThreadFold.columns) FROM thread WHERE project = ? AND id = ?"),
            arguments: [project.number.number, Aliases(db: db, project: project.number).id(of: thread)])
        guard let row else { return nil }
        return try summaries([row], withTurns: false).first.map { (ThreadFold(row), $0) }
    }

    /// - Parameter withTurns: whether what turns say is counted and shown too, for which their threads are read whole.
    func summaries(_ rows: [Row], withTurns: Bool = true) throws -> [ThreadSummary] {
        let ids = rows.flatMap { row in
            let fold = ThreadFold(row)
            return [fold.firstMessage?.id, fold.lastMessage?.id].compactMap(\.self)
        }
        let excerpts = try excerpts(of: ids)
        let scores = try scores(on: rows.map { $0[ThreadFold.idColumn] })
        let comments = try comments(on: rows.map { $0[ThreadFold.idColumn] })
        return try rows.map { row in
            let number: Int64 = row[ThreadFold.numberColumn]
            let fold = ThreadFold(row)
            let votes = try Row.fetchOne(
                db.cachedStatement(
                    sql: """
                        SELECT count(*) FILTER (WHERE thumb = 1), count(*) FILTER (WHERE thumb = -1) FROM vote WHERE project = ? AND thread = ?
                        """), arguments: [project.number.number, number])!
            let tags = try String.fetchAll(
                db.cachedStatement(sql: "SELECT tag FROM thread_tag WHERE project = ? AND thread = ? AND off = 0 ORDER BY tag"),
                arguments: [project.number.number, number])
            let lastAt = Timestamp(microseconds: row[ThreadFold.lastAtColumn])
            let id: String = row[ThreadFold.idColumn]
            let activeAt = fold.status.flatMap { $0.value == .active ? max($0.place.at, lastAt) : nil } ?? lastAt
            let summary = ThreadSummary(
                id: id, number: number,
                status: ThreadSummary.status(
                    set: fold.status.map { ($0.value, $0.place.at) }, lastAt: lastAt, now: now,
                    inactiveAfterSeconds: project.settings.inactiveAfterSeconds),
                user: try fold.user.map { Event.User(id: $0.value, props: try props(of: $0.value)) }, tags: tags,
                metadata: fold.metadata?.value, messageCount: fold.messageCount, firstAt: Timestamp(microseconds: row[2]),
                lastAt: lastAt, first: fold.firstMessage.flatMap { excerpts[$0.id] }, last: fold.lastMessage.flatMap { excerpts[$0.id] },
                up: votes[0], down: votes[1],
                scores: Score.standing(scores[id] ?? [], activeAt: activeAt, under: project.settings.scoring), comments: comments[id] ?? [])
            return withTurns && fold.hasTurns ? try wholeConversation(summary).thread : summary
        }
    }

    private func props(of user: String) throws -> JSONText? {
        let stored = try String.fetchOne(
            db.cachedStatement(sql: "SELECT props FROM person WHERE project = ? AND id = ?"), arguments: [project.number.number, user])
        return stored.flatMap { PropsFold(stored: Array($0.utf8)).props }
    }

    private func excerpts(of ids: [String]) throws -> [String: ThreadSummary.Excerpt] {
        let rows = try Row.fetchAll(
            db.cachedStatement(
                sql: """
                    SELECT id, role, at, substr(content, 1, \(Self.excerptLength)), CASE WHEN content IS NULL THEN payload END FROM event
                    WHERE project = ? AND space = 0 AND part = x'' AND id IN (SELECT value FROM json_each(?))
                    """), arguments: [project.number.number, EventRows.list(ids)])
        var excerpts: [String: ThreadSummary.Excerpt] = [:]
        for row in rows {
            let text = (row[3] as String?) ?? (row[4] as String?).map { SearchText.words(ofPayload: $0) } ?? ""
            excerpts[row[0]] = ThreadSummary.Excerpt(
                id: row[0], role: Event.Role.allCases[row[1]], text: String(text.prefix(Self.excerptLength)),
                at: Timestamp(microseconds: row[2]))
        }
        return excerpts
    }
}
