import Conversations
import Events

/// Reads rows of the log back into events.
enum EventRows {
    struct Item {
        var sequence: Int64
        var project: ProjectID
        var event: Event
        var at: Timestamp
        var receivedAt: Timestamp
        var source: Source
        var digest: ContentDigest
        /// Its thread's number; the thread's name is not there while its row is still to be written.
        var thread: Int64?

        var provenance: Provenance { source.provenance(of: event.user) }
    }

    /// The columns every query here selects, in the order `item(_:)` reads them; `$1` is the project.
    static let columns = columns(of: "$1")

    /// - Parameter project: what gives the project's number.
    ///
    /// Names are looked up row by row, which needs no table but by its key, whatever the planner expects of a join.
    static func columns(of project: String) -> String {
        """
        e.sequence, e.project, e.id, e.type, (SELECT t.id FROM thread t WHERE t.project = \(project) AND t.number = e.thread), e.at,
        e.received, (SELECT p.id FROM person p WHERE p.project = \(project) AND p.number = e.person), e.role, e.digest, e.content, e.payload,
        s.key, s.lane, s.origin, s.transport, e.thread
        """
    }

    static let joins = joins(from: "event e")

    /// - Parameter events: a table or a SELECT of all of its columns, by the name of `e`.
    static func joins(from events: String) -> String { "FROM \(events) JOIN source s ON s.project = e.project AND s.number = e.source" }

    /// What stands beside the items of a conversation. The indexes `event_item` and `event_beside` say it in these very words, so
    /// that queries which do too may use them (PostgreSQL, "Partial Indexes").
    private static let besideTypes = ["run", "feedback", "score", "thread", "identify", "client_report"]

    /// - Parameter table: `e.` where the table has that name.
    static func isItem(_ table: String = "") -> String { besideTypes.map { "\(table)type <> '\($0)'" }.joined(separator: " AND ") }

    static func isBeside(_ table: String = "") -> String {
        "(" + besideTypes.map { "\(table)type = '\($0)'" }.joined(separator: " OR ") + ")"
    }

    static func item(_ row: Row) throws -> Item {
        let role = (row[8] as Int?).flatMap { Event.Role.allCases.indices.contains($0) ? Event.Role.allCases[$0] : nil }
        let project = ProjectID(row[1])
        let at = Timestamp(microseconds: row[5])
        let columns = Event.Columns(id: row[2], type: row[3], thread: row[4], at: at, user: row[7], role: role, text: row[10])
        let origin: String = row[14]
        let source = Source(
            project: project, key: row[12], lane: try lane(row[13]), origin: origin.isEmpty ? nil : origin,
            transport: Transport(rawValue: row[15]))
        return Item(
            sequence: row[0], project: project, event: try Event(columns, payload: (row[11] as TextBytes?)?.bytes), at: at,
            receivedAt: Timestamp(microseconds: row[6]), source: source, digest: ContentDigest(stored: (row[9] as Blob).bytes),
            thread: row[16])
    }

    /// Which lane a source has. Another word is damage, which PostgreSQL tells with the same SQLSTATE (`data_corrupted`).
    static func lane(_ word: String) throws -> Lane {
        guard let lane = Lane(rawValue: word) else { throw DatabaseError(.server("XX001"), "a source has no lane") }
        return lane
    }

    static let ofRuns = "SELECT \(columns) \(joins) WHERE e.project = $1 AND e.space = 1 AND e.id = ANY($2)"

    /// All parts of the named runs.
    static func fetch(_ db: Database, project: ProjectID, runs: [String]) throws -> [Item] {
        try db.fetchAll(ofRuns, [project.number, runs]).map(item)
    }
}
