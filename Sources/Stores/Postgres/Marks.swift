public import Conversations
public import Events

/// What reviewers leave beside the log: marks and views.
extension PostgresStore {
    public func markSeen(_ thread: String, by member: String, at time: Timestamp, in project: ProjectID) async throws {
        try await pool.write { db in
            guard let number = try Targets(db: db, project: project).thread(named: thread) else { return }
            try db.execute(
                """
                INSERT INTO seen (project, thread, member, at) VALUES ($1, $2, $3, $4)
                ON CONFLICT (project, member, thread) DO UPDATE SET at = greatest(seen.at, excluded.at)
                """, [project.number, number, member, time.microseconds])
        }
    }

    public func markReviewed(_ thread: String, by name: String, at time: Timestamp?, in project: ProjectID) async throws -> Bool {
        try await pool.write { db in
            guard let number = try Targets(db: db, project: project).thread(named: thread) else { return false }
            if let time {
                try db.execute(
                    """
                    INSERT INTO reviewed (project, thread, by, at) VALUES ($1, $2, $3, $4)
                    ON CONFLICT (project, thread) DO UPDATE SET by = excluded.by, at = excluded.at
                    """, [project.number, number, name, time.microseconds])
            } else {
                try db.execute("DELETE FROM reviewed WHERE project = $1 AND thread = $2", [project.number, number])
            }
            return true
        }
    }

    // MARK: views

    public func views(of member: String, in project: ProjectID) async throws -> [SavedView] {
        try await pool.read { db in
            try db.fetchAll(
                "SELECT id, name, query, owner, shared FROM saved_view WHERE project = $1 AND (owner = $2 OR shared) ORDER BY name, id",
                [project.number, member]
            ).map { SavedView(id: $0[0], name: $0[1], query: $0[2], owner: $0[3], isShared: $0[4]) }
        }
    }

    public func insert(_ view: SavedView, in project: ProjectID) async throws {
        try await pool.write { db in
            _ = try db.execute(
                """
                INSERT INTO saved_view (project, id, name, query, owner, shared) VALUES ($1, $2, $3, $4, $5, $6)
                ON CONFLICT (project, id) DO UPDATE SET name = excluded.name, query = excluded.query, owner = excluded.owner,
                    shared = excluded.shared
                """, [project.number, view.id, view.name, view.query, view.owner, view.isShared])
        }
    }

    public func removeView(_ id: String, of owner: String?, in project: ProjectID) async throws -> Bool {
        try await pool.write { db in
            try db.execute(
                "DELETE FROM saved_view WHERE project = $1 AND id = $2 AND ($3::text IS NULL OR owner = $3)", [project.number, id, owner])
                > 0
        }
    }
}

/// The audit log's rows.
enum Audit {
    static func note(_ entry: AuditEntry, in project: ProjectID?, db: Database) throws {
        try db.execute(
            "INSERT INTO audit (project, at, by, action, subject, detail) VALUES ($1, $2, $3, $4, $5, $6)",
            [project?.number, entry.at.microseconds, entry.by, entry.action, entry.subject, entry.detail?.string])
    }
}

/// Finds the thread that an ID belongs to, whatever it is the ID of.
struct Targets {
    let db: Database
    let project: ProjectID

    func thread(named id: String) throws -> Int64? {
        try Int64.fetchOne(
            db, sql: "SELECT number FROM thread WHERE project = $1 AND id = $2",
            arguments: [project.number, Aliases.id(of: id, in: project, db: db)])
    }

    func name(of thread: Int64) throws -> String? {
        try String.fetchOne(db, sql: "SELECT id FROM thread WHERE project = $1 AND number = $2", arguments: [project.number, thread])
    }

    /// - Parameter target: a thread, message, run or remark; also a remark's remark.
    func threadName(of target: String) throws -> String? {
        var target = try Aliases.id(of: target, in: project, db: db)
        // 8: a remark on a remark, and some more for those who nest them.
        for _ in 0..<8 {
            if try thread(named: target) != nil { return target }
            if let number = try thread(ofMessage: target) { return try name(of: number) }
            let run = TurnFold.run(ofAnswer: target)
            if let place = try RunPlaces(db: db, project: project).place(of: run) { return try place.thread.flatMap(name(of:)) }
            let next = try String.fetchOne(
                db, sql: "SELECT target FROM comment WHERE project = $1 AND id = $2", arguments: [project.number, target])
            guard let next else { return nil }
            target = next
        }
        return nil
    }

    func thread(ofMessage id: String) throws -> Int64? {
        try Int64.fetchOne(db, sql: Self.threadOfMessage, arguments: [project.number, id])
    }

    static let threadOfMessage = "SELECT thread FROM event WHERE project = $1 AND id = $2 AND space = 0 AND part = ''"

    /// The thread of what a conversation shows as itself or one of its messages: for scores.
    func thread(ofJudged id: String) throws -> Int64? {
        let number = try Int64.fetchOne(
            db, sql: "SELECT number FROM thread WHERE project = $1 AND id = $2", arguments: [project.number, id])
        if let number { return number }
        if let number = try thread(ofMessage: id) { return number }
        return try Int64.fetchOne(db, sql: Self.threadOfTurn, arguments: [project.number, TurnFold.run(ofAnswer: id)])
    }

    /// A turn has its question's ID, and its answer's is made of it.
    static let threadOfTurn = """
        SELECT r.thread FROM run r JOIN event e ON e.project = r.project AND e.id = r.id AND e.space = 1
        WHERE r.project = $1 AND r.id = $2 AND (strpos(e.payload, '"question":') > 0 OR strpos(e.payload, '"answer":') > 0) LIMIT 1
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
    func place(of id: String) throws -> Place? { try places(of: [id]).values.first }

    /// OFFSET 0, so that what is above is found by its key, one at a time, however many the planner expects.
    static let ancestry = """
        WITH RECURSIVE above AS (
            SELECT id, parent, link, fallback, thread FROM run WHERE project = $1 AND id = ANY($2)
            UNION SELECT r.id, r.parent, r.link, r.fallback, r.thread FROM above CROSS JOIN LATERAL (
                SELECT * FROM run WHERE run.project = $1
                    AND run.id = CASE above.link WHEN 2 THEN above.parent WHEN 3 THEN NULL ELSE above.fallback END OFFSET 0) r)
        SELECT id, parent, link, fallback, thread FROM above
        """
    static let messages = "SELECT id, thread FROM event WHERE project = $1 AND id = ANY($2) AND space = 0 AND part = ''"

    /// Those of many runs, in two round trips; nothing of a run that is not there.
    func places(of ids: [String]) throws -> [OwnedID: Place] {
        guard !ids.isEmpty else { return [:] }
        var links: [OwnedID: Link] = [:]
        var named: Set<OwnedID> = []
        for row in try db.fetchAll(Self.ancestry, [project.number, ids]) {
            let link = Link(parent: row[1], link: ParentLink(rawValue: row[2]) ?? .none, fallback: row[3], thread: row[4])
            links[key(row[0])] = link
            named.insert(key(row[0]))
            if let parent = link.effectiveParent { named.insert(key(parent)) }
        }
        guard !links.isEmpty else { return [:] }
        var messages: [OwnedID: Int64?] = [:]
        for row in try db.fetchAll(Self.messages, [project.number, named.map(\.id)]) { messages[key(row[0])] = .some(row[1]) }
        return Dictionary(
            ids.compactMap { id in Self.place(of: key(id), links, messages).map { (key(id), $0) } }, uniquingKeysWith: { first, _ in first }
        )
    }

    private func key(_ id: String) -> OwnedID { OwnedID(project: project, id: id) }

    private static func place(of id: OwnedID, _ links: [OwnedID: Link], _ messages: [OwnedID: Int64?]) -> Place? {
        guard let own = links[id] else { return nil }
        var place = Place(thread: own.thread, hasParentRun: false, isBound: false, isPending: false, hasOwnThread: own.thread != nil)
        place.fallback = own.fallback
        place.isPending = own.link == .pending && own.fallback == nil
        var current = own
        var currentID = id
        for depth in 0..<ParentLinks.maximumDepth {
            let parent = current.effectiveParent.map { OwnedID(project: id.project, id: $0) }
            if depth == 0 { place.isBound = parent != nil }
            if parent == currentID || (parent == nil && current.parent == nil) {
                // P-BIND-5: it carries its message's ID.
                if let thread = messages[currentID] {
                    place.message = currentID.id
                    place.thread = place.thread ?? thread
                    if depth == 0 { place.isBound = true }
                }
                return place
            }
            guard let parent else { return place }
            if let above = links[parent] {
                if depth == 0 { place.hasParentRun = true }
                place.thread = place.thread ?? above.thread
                (current, currentID) = (above, parent)
                continue
            }
            if let thread = messages[parent] {
                place.message = parent.id
                place.thread = place.thread ?? thread
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
}
