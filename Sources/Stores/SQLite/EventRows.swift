import Conversations
import Events
import GRDB

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

    /// The columns every query here selects, in the order `item(_:)` reads them.
    static let columns = """
        e.sequence, e.project, e.id, e.type, t.id, e.at, e.received, p.id, e.role, e.digest, e.content, e.payload,
        s.key, s.lane, s.origin, s.transport, e.thread
        """
    static let joins = """
        FROM event e JOIN source s ON s.number = e.source LEFT JOIN thread t ON t.number = e.thread
        LEFT JOIN person p ON p.number = e.person
        """

    /// What stands beside the items of a conversation. The indexes `event_item` and `event_beside` say it in these very words, so
    /// that queries which do too may use them (SQLite, "Partial Indexes", section 3).
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
            sequence: row[0], project: project, event: try Event(columns, payload: (row[11] as String?).map { Array($0.utf8) }), at: at,
            receivedAt: Timestamp(microseconds: row[6]), source: source, digest: ContentDigest(stored: (row[9] as Blob).bytes),
            thread: row[16])
    }

    /// Which lane a source has. Another word is damage to the file, which SQLite tells with the same error.
    static func lane(_ word: String) throws -> Lane {
        guard let lane = Lane(rawValue: word) else { throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "a source has no lane") }
        return lane
    }

    /// All parts of the named runs.
    static func fetch(_ db: Database, project: ProjectID, runs: [String]) throws -> [Item] {
        let statement = try db.cachedStatement(
            sql: "SELECT \(columns) \(joins) WHERE e.project = ? AND e.space = 1 AND e.id IN (SELECT value FROM json_each(?))")
        return try Row.fetchAll(statement, arguments: [project.number, list(runs)]).map(item)
    }

    /// A list of numbers as the argument of `json_each`.
    static func list(_ numbers: some Sequence<Int64>) -> String { "[" + numbers.map(String.init).joined(separator: ",") + "]" }

    /// A list of texts as the argument of `json_each`.
    static func list(_ texts: some Sequence<String>) -> String {
        var writer = JSONWriter()
        writer.array { writer in for text in texts { writer.value(text) } }
        return writer.string
    }
}
