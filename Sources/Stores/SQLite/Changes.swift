public import Conversations
import Events
import GRDB

extension SQLiteStore {
    public func changes(after sequence: Int64, limit: Int) async throws -> [Change] {
        try await pool.read { db in
            let rows = try Row.fetchAll(
                db.cachedStatement(
                    sql: """
                        SELECT e.sequence, e.project, e.id, e.type, t.id, e.target, e.space
                        FROM event e LEFT JOIN thread t ON t.number = e.thread WHERE e.sequence > ? ORDER BY e.sequence LIMIT ?
                        """), arguments: [sequence, limit])
            return try rows.map { row in
                let project = ProjectID(row[1])
                var thread: String? = row[4]
                if thread == nil {
                    let targets = Targets(db: db, project: project)
                    if let target: String = row[5] {
                        thread = try targets.threadName(of: target)
                    } else if (row[6] as Int) == Event.IDSpace.run.rawValue {
                        thread = try RunPlaces(db: db, project: project).place(of: row[2])?.thread.flatMap(targets.name(of:))
                    }
                }
                return Change(sequence: row[0], project: project, thread: thread, type: row[3], id: row[2])
            }
        }
    }
}
