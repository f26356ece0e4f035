public import Conversations
public import Events
import GRDB

extension SQLiteStore {
    public func users(in project: ProjectID, matching words: String?, limit: Int, after cursor: String?) async throws -> Page<UserSummary> {
        var start: (lastAt: Int64, number: Int64) = (.max, .max)
        if let cursor {
            let parts = cursor.split(separator: "~").compactMap { Int64($0) }
            guard parts.count == 2 else { throw ReadFailure.badCursor }
            start = (parts[0], parts[1])
        }
        let words = words?.lowercased() ?? ""
        return try await pool.read { [start] db in
            var arguments: StatementArguments = [project.number, limit + 1, start.lastAt, start.number]
            var sql = words.isEmpty ? Self.latestOfEach : Self.latestOfEachMatching
            if let people = try Self.people(matching: words, in: project, db: db) {
                sql = Self.latestOfThese
                arguments += [EventRows.list(people)]
            } else if !words.isEmpty {
                arguments += [words]
            }
            var rows = try Row.fetchAll(db, sql: sql, arguments: arguments)
            var next: String?
            if rows.count > limit {
                rows.removeLast()
                next = rows.last.map { "\($0[1] as Int64)~\($0[2] as Int64)" }
            }
            return Page(items: try rows.compactMap { try Self.user($0[0], in: project, db: db) }, next: next)
        }
    }

    /// Up to so many are asked for their latest threads one by one. Of more, the next are met soon where threads are walked, latest first;
    /// of few they might all be at its far end.
    static let peopleAtOnce = 2000

    /// Those whose names or props have these words; nil where there are too many to ask each.
    private static func people(matching words: String, in project: ProjectID, db: Database) throws -> [String]? {
        guard words.isEmpty else {
            let found = try String.fetchAll(db, sql: peopleMatching, arguments: [project.number, peopleAtOnce + 1, words])
            return found.count > peopleAtOnce ? nil : found
        }
        guard try Int64.fetchOne(db, sql: oneOfMany, arguments: [project.number, peopleAtOnce]) == nil else { return nil }
        return try String.fetchAll(db, sql: people, arguments: [project.number])
    }

    static let oneOfMany = "SELECT number FROM person WHERE project = ?1 LIMIT 1 OFFSET ?2"
    static let people = "SELECT id FROM person WHERE project = ?1"
    static let peopleMatching = "SELECT p.id FROM person p WHERE p.project = ?1 AND \(isNamed("?3")) LIMIT ?2"

    private static func isNamed(_ words: String) -> String {
        "(instr(lower(p.id), \(words)) > 0 OR instr(lower(coalesce(p.props, '')), \(words)) > 0)"
    }

    static let latestOfThese = """
        SELECT t.person, t.last_at, t.number FROM json_each(?5) j CROSS JOIN thread t ON t.number = (
            SELECT l.number FROM thread l INDEXED BY thread_person
            WHERE l.project = ?1 AND l.person = j.value AND l.person IS NOT NULL ORDER BY l.last_at DESC, l.number DESC LIMIT 1)
        WHERE (t.last_at, t.number) < (?3, ?4) ORDER BY t.last_at DESC, t.number DESC LIMIT ?2
        """

    static let latestOfEach = latestOfEach("")
    static let latestOfEachMatching = latestOfEach(
        " AND EXISTS (SELECT 1 FROM person p WHERE p.project = ?1 AND p.id = t.person AND \(isNamed("?5")))")

    /// Each user's latest thread, latest first.
    private static func latestOfEach(_ condition: String) -> String {
        """
        SELECT t.person, t.last_at, t.number FROM thread t INDEXED BY thread_activity
        WHERE t.project = ?1 AND t.person IS NOT NULL AND (t.last_at, t.number) < (?3, ?4)
            AND NOT EXISTS (SELECT 1 FROM thread l INDEXED BY thread_person
                WHERE l.project = ?1 AND l.person = t.person AND l.person IS NOT NULL AND l.last_at >= t.last_at
                    AND (l.last_at, l.number) > (t.last_at, t.number))\(condition)
        ORDER BY t.last_at DESC, t.number DESC LIMIT ?2
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
