public import Conversations
import Events

extension PostgresStore {
    static let changesAfter = """
        SELECT e.sequence, e.project, e.id, e.type, t.id, e.target, e.space
        FROM event e LEFT JOIN thread t ON t.project = e.project AND t.number = e.thread
        WHERE e.sequence > $1 AND e.sequence <= $2 ORDER BY e.sequence LIMIT $3
        """

    /// Ends before what is still under way, which comes the next time: who goes on from the last number misses nothing.
    public func changes(after sequence: Int64, limit: Int) async throws -> [Change] {
        try await readLog { db, end in
            guard end > sequence else { return [] }
            let rows = try db.fetchAll(Self.changesAfter, [sequence, end, limit])
            // Runs that name no thread are in that of the message above them.
            var loose: [ProjectID: [String]] = [:]
            for row in rows where row.isNull(4) && row.isNull(5) && row[6] as Int == Event.IDSpace.run.rawValue {
                loose[ProjectID(row[1]), default: []].append(row[2])
            }
            var threads: [OwnedID: Int64] = [:]
            for (project, ids) in loose {
                for (run, place) in try RunPlaces(db: db, project: project).places(of: ids) { threads[run] = place.thread }
            }
            return try rows.map { row in
                let project = ProjectID(row[1])
                let targets = Targets(db: db, project: project)
                var thread: String? = row[4]
                if thread == nil {
                    if let target: String = row[5] {
                        thread = try targets.threadName(of: target)
                    } else {
                        thread = try threads[OwnedID(project: project, id: row[2])].flatMap(targets.name(of:))
                    }
                }
                return Change(sequence: row[0], project: project, thread: thread, type: row[3], id: row[2])
            }
        }
    }
}
