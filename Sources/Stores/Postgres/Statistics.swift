import Events
import Synchronization

/// Sees to it that the planner knows a young table's rows.
///
/// Without statistics it takes the project for as good a key as any, since every index begins with it, and would read all of a project for
/// each look-up. Autovacuum finds statistics missing within a minute, in which a project may have grown to a million events; so whoever
/// writes a project's first events looks at its tables. Every connection plans anew then, on whichever node.
final class Statistics: Sendable {
    private let counts = Mutex<[ProjectID: Int]>([:])

    /// After how many events of a project, on this node, its tables are looked at.
    private static let marks = [20, 200, 2000]
    /// What has as many rows has had autovacuum's attention.
    private static let young = 2000.0

    /// Counts events that are to be committed; answers the projects whose tables are worth a look.
    func add(_ deliveries: [Delivery]) -> [ProjectID] {
        counts.withLock { counts in
            deliveries.compactMap { delivery in
                let project = delivery.source.project
                let before = counts[project, default: 0]
                guard before < Self.marks.last! else { return nil }
                let after = before + delivery.events.count
                counts[project] = after
                return Self.marks.contains { before < $0 && $0 <= after } ? project : nil
            }
        }
    }

    /// Analyzes the tables that hold a project, if they are young.
    static func make(for project: ProjectID, _ db: Database) throws {
        // All tables are cut alike, so the part's number is the same in each.
        let row = try db.fetchOne(
            """
            SELECT c.relname, c.reltuples FROM (SELECT tableoid FROM event WHERE project = $1 LIMIT 1) e JOIN pg_class c ON c.oid = e.tableoid
            """, [project.number])
        guard let row, (row[1] as Double) < young else { return }
        let part = (row[0] as String).dropFirst("event".count)
        try db.execute("ANALYZE (SKIP_LOCKED) " + Migrations.partitioned.map { $0 + part }.joined(separator: ", "))
    }
}
