public import Conversations
public import Events
import GRDB

extension SQLiteStore {
    public func users(in project: ProjectID, matching words: String?, limit: Int, after cursor: String?) async throws -> Page<UserSummary> {
        var condition = ""
        var arguments: StatementArguments = [project.number]
        if let words = words?.lowercased(), !words.isEmpty {
            condition += """
                 AND EXISTS (SELECT 1 FROM person p WHERE p.project = t.project AND p.id = t.person
                    AND (instr(lower(p.id), ?) > 0 OR instr(lower(coalesce(p.props, '')), ?) > 0))
                """
            arguments += [words, words]
        }
        if let cursor {
            let parts = cursor.split(separator: "~").compactMap { Int64($0) }
            guard parts.count == 2 else { throw ReadFailure.badCursor }
            condition += " AND (t.last_at, t.number) < (?, ?)"
            arguments += [parts[0], parts[1]]
        }
        let sql = Self.latestOfEach(condition)
        return try await pool.read { [arguments] db in
            var rows = try Row.fetchAll(db, sql: sql, arguments: arguments + [limit + 1])
            var next: String?
            if rows.count > limit {
                rows.removeLast()
                next = rows.last.map { "\($0[1] as Int64)~\($0[2] as Int64)" }
            }
            return Page(items: try rows.compactMap { try Self.user($0[0], in: project, db: db) }, next: next)
        }
    }

    /// Each user's latest thread, latest first.
    static func latestOfEach(_ condition: String = "") -> String {
        """
        SELECT t.person, t.last_at, t.number FROM thread t INDEXED BY thread_activity WHERE t.project = ? AND t.person IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM thread l INDEXED BY thread_person
                WHERE l.project = t.project AND l.person = t.person AND l.person IS NOT NULL AND l.last_at >= t.last_at
                    AND (l.last_at, l.number) > (t.last_at, t.number))\(condition)
        ORDER BY t.last_at DESC, t.number DESC LIMIT ?
        """
    }

    public func user(_ id: String, in project: ProjectID) async throws -> UserSummary? {
        try await pool.read { db in
            // Who proved the name comes before who only says it.
            for key in Event.User.keys(of: id) {
                if let user = try Self.user(key, in: project, db: db) { return user }
            }
            return nil
        }
    }

    static let countsOfUser = """
        SELECT count(*), coalesce(sum(messages), 0), min(first_at), max(last_at)
        FROM thread INDEXED BY thread_person WHERE project = ? AND person = ? AND person IS NOT NULL
        """
    /// Votes of whoever chats in the user's threads.
    static let votesOfUser = """
        SELECT count(*) FILTER (WHERE v.thumb = 1), count(*) FILTER (WHERE v.thumb = -1)
        FROM thread t INDEXED BY thread_person CROSS JOIN vote v INDEXED BY vote_thread
            ON v.project = t.project AND v.thread = t.number AND v.thread IS NOT NULL
        WHERE t.project = ? AND t.person = ? AND t.person IS NOT NULL AND v.voter NOT LIKE 'reviewer:%'
        """

    /// - Parameter key: `Event.User.key`.
    private static func user(_ key: String, in project: ProjectID, db: Database) throws -> UserSummary? {
        let user = Event.User(key: key)
        let arguments: StatementArguments = [project.number, key]
        let counts = try Row.fetchOne(db.cachedStatement(sql: countsOfUser), arguments: arguments)!
        let person = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT props FROM person WHERE project = ? AND id = ?"), arguments: arguments)
        guard let first: Int64 = counts[2] else {
            // Somebody who was named, by an `identify` or in another's thread, and has no thread.
            guard let person else { return nil }
            let times = try Row.fetchOne(
                db.cachedStatement(
                    sql: """
                        SELECT min(at), max(at) FROM event INDEXED BY event_person
                        WHERE project = ? AND person = (SELECT number FROM person WHERE project = ?1 AND id = ?2) AND person IS NOT NULL
                        """), arguments: arguments)
            guard let first = times?[0] as Int64?, let last = times?[1] as Int64? else { return nil }
            return UserSummary(
                id: user.id, isProven: user.isProven, props: props(person), threads: 0, messages: 0,
                firstAt: Timestamp(microseconds: first),
                lastAt: Timestamp(microseconds: last), up: 0, down: 0)
        }
        let votes = try Row.fetchOne(db.cachedStatement(sql: votesOfUser), arguments: arguments)!
        return UserSummary(
            id: user.id, isProven: user.isProven, props: props(person), threads: counts[0], messages: counts[1],
            firstAt: Timestamp(microseconds: first),
            lastAt: Timestamp(microseconds: counts[3]), up: votes[0], down: votes[1])
    }

    private static func props(_ person: Row?) -> JSONText? {
        (person?[0] as String?).flatMap { PropsFold(stored: Array($0.utf8)).props }
    }
}
