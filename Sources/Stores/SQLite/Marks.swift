public import Conversations
public import Events
import GRDB

/// What reviewers leave beside the log: marks, views and the audit log; and what they look up about a thread.
extension SQLiteStore {
    public func markSeen(_ thread: String, by member: String, at time: Timestamp, in project: ProjectID) async throws {
        try await write { db in
            guard let number = try Targets(db: db, project: project).thread(named: thread) else { return }
            try db.execute(
                sql: "INSERT INTO seen VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET at = max(at, excluded.at)",
                arguments: [project.number, member, number, time.microseconds])
        }
    }

    public func markReviewed(_ thread: String, by name: String, at time: Timestamp?, in project: ProjectID) async throws -> Bool {
        try await write { db in
            guard let number = try Targets(db: db, project: project).thread(named: thread) else { return false }
            if let time {
                try db.execute(
                    sql: "INSERT OR REPLACE INTO reviewed VALUES (?,?,?,?)", arguments: [project.number, number, name, time.microseconds])
            } else {
                try db.execute(sql: "DELETE FROM reviewed WHERE project = ? AND thread = ?", arguments: [project.number, number])
            }
            return true
        }
    }

    // MARK: views

    public func views(of member: String, in project: ProjectID) async throws -> [SavedView] {
        try await pool.read { db in
            try Row.fetchAll(
                db,
                sql:
                    "SELECT id, name, query, owner, shared FROM saved_view WHERE project = ? AND (owner = ? OR shared = 1) ORDER BY name, id",
                arguments: [project.number, member]
            ).map { SavedView(id: $0[0], name: $0[1], query: $0[2], owner: $0[3], isShared: $0[4]) }
        }
    }

    public func insert(_ view: SavedView, in project: ProjectID) async throws {
        try await write { db in
            try db.execute(
                sql: "INSERT OR REPLACE INTO saved_view VALUES (?,?,?,?,?,?)",
                arguments: [project.number, view.id, view.name, view.query, view.owner, view.isShared])
        }
    }

    public func removeView(_ id: String, of owner: String?, in project: ProjectID) async throws -> Bool {
        try await write { db in
            try db.execute(
                sql: "DELETE FROM saved_view WHERE project = ? AND id = ? AND (?3 IS NULL OR owner = ?3)",
                arguments: [project.number, id, owner])
            return db.changesCount > 0
        }
    }

    // MARK: names

    public func scoreNames(in project: ProjectID) async throws -> [(name: String, count: Int)] {
        try await pool.read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT name, count(*) FROM score WHERE project = ? AND (value IS NOT NULL OR category IS NOT NULL)
                    GROUP BY name ORDER BY 2 DESC, 1 LIMIT 100
                    """, arguments: [project.number]
            ).map { ($0[0], $0[1]) }
        }
    }

    public func tags(in project: ProjectID) async throws -> [(tag: String, count: Int)] {
        try await pool.read { db in
            try Row.fetchAll(
                db, sql: "SELECT tag, count(*) FROM thread_tag WHERE project = ? AND off = 0 GROUP BY tag ORDER BY 2 DESC, 1 LIMIT 500",
                arguments: [project.number]
            ).map { ($0[0], $0[1]) }
        }
    }

    public func authorOfComment(_ id: String, in project: ProjectID) async throws -> String?? {
        try await pool.read { db in
            try Row.fetchOne(
                db, sql: "SELECT author FROM comment WHERE project = ? AND id = ? AND text IS NOT NULL", arguments: [project.number, id]
            ).map { .some($0[0] as String?) } ?? nil
        }
    }

    public func threadOf(target: String, in project: ProjectID) async throws -> String? {
        try await pool.read { db in try Targets(db: db, project: project).threadName(of: target) }
    }

    public func standing(of project: ProjectID) async throws -> (lastEventAt: Timestamp?, threads: Int) {
        try await pool.read { db in
            // Events come in the order of their numbers: the newest of a project is among the last, or a look over its sources.
            let last = try Int64.fetchOne(
                db, sql: "SELECT max(minute) FROM outcome WHERE project = ? AND name = 'stored'", arguments: [project.number])
            let exact = try Int64.fetchOne(
                db,
                sql: """
                    SELECT max(received) FROM (SELECT project, received FROM event ORDER BY sequence DESC LIMIT 10000) WHERE project = ?
                    """, arguments: [project.number])
            let threads = try Int.fetchOne(db, sql: "SELECT count(*) FROM thread WHERE project = ?", arguments: [project.number]) ?? 0
            return ((exact ?? last).map { Timestamp(microseconds: $0) }, threads)
        }
    }

    // MARK: audit

    public func note(_ entry: AuditEntry, in project: ProjectID?) async throws {
        try await write { db in try Audit.note(entry, in: project, db: db) }
    }

    public func audit(matching filter: AuditFilter, limit: Int, after cursor: String?) async throws -> Page<AuditEntry> {
        let before = try cursor.map { text in
            guard let number = Int64(text) else { throw ReadFailure.badCursor }
            return number
        }
        var project: Int64?
        if case .project(let wanted) = filter.scope { project = wanted.number }
        // Both name the parameter, so that it may be given in each.
        let scope = filter.scope == .everything ? "AND :project IS NULL" : "AND project IS :project"
        return try await pool.read { [project] db in
            var rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT number, at, by, action, subject, detail, project FROM audit
                    WHERE number < :before \(scope) AND (:action IS NULL OR action = :action OR substr(action, 1, length(:action) + 1) = :action || '.')
                        AND (:by IS NULL OR by = :by) AND (:from IS NULL OR at >= :from) AND (:to IS NULL OR at < :to)
                    ORDER BY number DESC LIMIT :limit
                    """,
                arguments: [
                    "before": before ?? .max, "project": project, "action": filter.action, "by": filter.by,
                    "from": filter.from?.microseconds,
                    "to": filter.to?.microseconds, "limit": limit + 1,
                ])
            var next: String?
            if rows.count > limit {
                rows.removeLast()
                next = rows.last.map { String($0[0] as Int64) }
            }
            return Page(
                items: rows.map { row in
                    var entry = AuditEntry(
                        id: row[0], at: Timestamp(microseconds: row[1]), by: row[2], action: row[3], subject: row[4],
                        detail: (row[5] as String?).map { JSONText(trusted: Array($0.utf8)) })
                    entry.project = (row[6] as Int64?).map { ProjectID($0) }
                    return entry
                }, next: next)
        }
    }
}

/// The audit log's rows.
enum Audit {
    static func note(_ entry: AuditEntry, in project: ProjectID?, db: Database) throws {
        try db.cachedStatement(sql: "INSERT INTO audit (project, at, by, action, subject, detail) VALUES (?,?,?,?,?,?)")
            .execute(arguments: [
                project?.number, entry.at.microseconds, entry.by, entry.action, entry.subject, entry.detail?.string,
            ])
    }
}

/// Finds the thread that an ID belongs to, whatever it is the ID of.
struct Targets {
    let db: Database
    let project: ProjectID

    func thread(named id: String) throws -> Int64? {
        try Int64.fetchOne(
            db.cachedStatement(sql: "SELECT number FROM thread WHERE project = ? AND id = ?"),
            arguments: [project.number, Aliases(db: db, project: project).id(of: id)])
    }

    func name(of thread: Int64) throws -> String? {
        try String.fetchOne(db.cachedStatement(sql: "SELECT id FROM thread WHERE number = ?"), arguments: [thread])
    }

    /// - Parameter target: a thread, message, run or remark; also a remark's remark.
    func threadName(of target: String) throws -> String? {
        var target = try Aliases(db: db, project: project).id(of: target)
        // 8: a remark on a remark, and some more for those who nest them.
        for _ in 0..<8 {
            if try thread(named: target) != nil { return target }
            if let number = try thread(ofMessage: target) { return try name(of: number) }
            let run = TurnFold.run(ofAnswer: target)
            if let place = try RunPlaces(db: db, project: project).place(of: run) { return try place.thread.flatMap(name(of:)) }
            guard
                let next = try String.fetchOne(
                    db.cachedStatement(sql: "SELECT target FROM comment WHERE project = ? AND id = ?"), arguments: [project.number, target])
            else { return nil }
            target = next
        }
        return nil
    }

    func thread(ofMessage id: String) throws -> Int64? {
        try Int64.fetchOne(
            db.cachedStatement(sql: "SELECT thread FROM event WHERE project = ? AND id = ? AND space = 0 AND part = x''"),
            arguments: [project.number, id])
    }

    /// The thread of what a conversation shows as itself or one of its messages: for scores.
    func thread(ofJudged id: String) throws -> Int64? {
        if let number = try Int64.fetchOne(
            db.cachedStatement(sql: "SELECT number FROM thread WHERE project = ? AND id = ?"), arguments: [project.number, id])
        {
            return number
        }
        if let number = try thread(ofMessage: id) { return number }
        let run = TurnFold.run(ofAnswer: id)
        return try Int64.fetchOne(
            db.cachedStatement(sql: Self.threadOfTurn), arguments: [project.number, run])
    }

    /// A turn has its question's ID, and its answer's is made of it.
    static let threadOfTurn = """
        SELECT r.thread FROM run r JOIN event e ON e.project = r.project AND e.id = r.id AND e.space = 1
        WHERE r.project = ? AND r.id = ? AND (instr(e.payload, '"question":') > 0 OR instr(e.payload, '"answer":') > 0) LIMIT 1
        """
}

/// Where a run hangs: its root message, its thread, whether it hangs loose.
struct RunPlaces {
    struct Place {
        var message: String?
        var thread: Int64?
        /// Whether a run is above it.
        var hasParentRun: Bool
        /// Whether its own parent is there, by whichever way.
        var isBound: Bool
        var isPending: Bool
        /// Whether it is in a thread by its own word.
        var hasOwnThread: Bool
        /// The message of its trace, under which it hung until its parent came.
        var fallback: String?
    }

    let db: Database
    let project: ProjectID

    /// nil: no such run.
    func place(of id: String) throws -> Place? {
        guard let own = try row(id) else { return nil }
        var place = Place(thread: own.thread, hasParentRun: false, isBound: false, isPending: false, hasOwnThread: own.thread != nil)
        place.fallback = own.fallback
        place.isPending = own.link == .pending && own.fallback == nil
        var current = own
        var currentID = id
        for depth in 0..<ParentLinks.maximumDepth {
            let parent = current.effectiveParent
            if depth == 0 { place.isBound = parent != nil }
            if parent == currentID || (parent == nil && current.parent == nil) {
                // P-BIND-5: it carries its message's ID.
                if let thread = try messageThread(currentID) {
                    place.message = currentID
                    place.thread = place.thread ?? thread.number
                    if depth == 0 { place.isBound = true }
                }
                return place
            }
            guard let parent else { return place }
            if let above = try row(parent) {
                if depth == 0 { place.hasParentRun = true }
                place.thread = place.thread ?? above.thread
                (current, currentID) = (above, parent)
                continue
            }
            if let thread = try messageThread(parent) {
                place.message = parent
                place.thread = place.thread ?? thread.number
            }
            return place
        }
        return place
    }

    private struct Link {
        var parent: String?
        var link: ParentLink
        var fallback: String?
        var thread: Int64?

        var effectiveParent: String? {
            switch link {
            case .bound: parent
            case .refused: nil
            case .none, .pending: fallback
            }
        }
    }

    private func row(_ id: String) throws -> Link? {
        try Row.fetchOne(
            db.cachedStatement(sql: "SELECT parent, link, fallback, thread FROM run WHERE project = ? AND id = ?"),
            arguments: [project.number, id]
        ).map { Link(parent: $0[0], link: ParentLink(rawValue: $0[1]) ?? .none, fallback: $0[2], thread: $0[3]) }
    }

    /// nil: no such message.
    private func messageThread(_ id: String) throws -> (number: Int64?, Void)? {
        try Row.fetchOne(
            db.cachedStatement(sql: "SELECT thread FROM event WHERE project = ? AND id = ? AND space = 0 AND part = x''"),
            arguments: [project.number, id]
        ).map { ($0[0] as Int64?, ()) }
    }
}
