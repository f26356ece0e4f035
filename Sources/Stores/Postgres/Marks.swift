import Conversations
import Events

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
        try db.fetchOne("SELECT parent, link, fallback, thread FROM run WHERE project = $1 AND id = $2", [project.number, id])
            .map { Link(parent: $0[0], link: ParentLink(rawValue: $0[1]) ?? .none, fallback: $0[2], thread: $0[3]) }
    }

    /// nil: no such message.
    private func messageThread(_ id: String) throws -> (number: Int64?, Void)? {
        try db.fetchOne(Targets.threadOfMessage, [project.number, id]).map { ($0[0] as Int64?, ()) }
    }
}
