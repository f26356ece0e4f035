import Conversations
import Events
import Foundation
@testable import PostgresStore

/// What stands in a store's tables of one project, in words that are the same for every store: numbers are told by the names they stand
/// for, and rows are sorted.
enum Tables {
    /// Table by table: a statement that selects its rows in both dialects, `:p` for the project.
    static let statements: [(table: String, sql: String)] = [
        (
            "event",
            """
            SELECT e.id, e.space, e.part, e.type, t.id, e.at, e.received, s.key, s.lane, p.id, e.role, e.digest, e.target, e.content, e.payload
            FROM event e JOIN source s ON s.number = e.source AND s.project = e.project
            LEFT JOIN thread t ON t.number = e.thread AND t.project = e.project
            LEFT JOIN person p ON p.number = e.person AND p.project = e.project WHERE e.project = :p
            """
        ),
        (
            "thread",
            """
            SELECT id, messages, roles, first_at, last_at, first_message_at, first_message, last_message_at, last_message, active_at, person,
                person_at, person_event, status, status_at, status_event, metadata, metadata_at, metadata_event, turns, provenances
            FROM thread WHERE project = :p
            """
        ),
        (
            "thread_tag",
            """
            SELECT t.id, g.tag, g.at, g.event, g.off FROM thread_tag g JOIN thread t ON t.number = g.thread AND t.project = g.project
            WHERE g.project = :p
            """
        ),
        (
            "run",
            """
            SELECT r.id, r.parent, r.link, t.id, r.fallback FROM run r LEFT JOIN thread t ON t.number = r.thread AND t.project = r.project
            WHERE r.project = :p
            """
        ),
        ("run_trace", "SELECT trace, run, rank FROM run_trace WHERE project = :p"),
        ("message_trace", "SELECT trace, message FROM message_trace WHERE project = :p"),
        (
            "vote",
            """
            SELECT v.target, v.voter, v.thumb, v.comment, v.at, v.event, v.comment_at, v.comment_event, t.id
            FROM vote v LEFT JOIN thread t ON t.number = v.thread AND t.project = v.project WHERE v.project = :p
            """
        ),
        (
            "score",
            """
            SELECT s.target, s.name, s.author, s.value, s.category, s.reason, s.at, s.event, s.judge, t.id
            FROM score s LEFT JOIN thread t ON t.number = s.thread AND t.project = s.project WHERE s.project = :p
            """
        ),
        ("comment", "SELECT id, target, text, author, at, changed_at, event FROM comment WHERE project = :p"),
        ("alias", "SELECT name, id FROM alias WHERE project = :p"),
        ("person", "SELECT id, props FROM person WHERE project = :p"),
        ("outcome", "SELECT minute, key, name, count FROM outcome WHERE project = :p"),
        (
            "quarantine",
            "SELECT digest, reason, field, message, event, type, received, payload FROM quarantine WHERE project = :p"
        ),
        ("quarantine_total", "SELECT items, bytes FROM quarantine_total WHERE project = :p"),
    ]

    /// What follows the commits.
    static let derived: [(table: String, sql: String)] = [
        (
            "fact",
            """
            SELECT f.kind, t.id, f.subject FROM fact f LEFT JOIN thread t ON t.number = f.thread AND t.project = f.project
            WHERE f.project = :p
            """
        ),
        ("reply", "SELECT question, message FROM reply WHERE project = :p"),
        ("figure", "SELECT slot, name, value FROM figure WHERE project = :p AND value <> 0"),
        ("counted", "SELECT tally FROM counted WHERE project = :p"),
        ("view", "SELECT id, view FROM thread WHERE project = :p"),
    ]

    static func of(_ store: PostgresStore, _ project: ProjectID, _ statements: [(table: String, sql: String)] = statements) async throws
        -> [String: [String]]
    {
        try await store.pool.read { db in
            var tables: [String: [String]] = [:]
            for (table, sql) in statements {
                let rows = try db.fetchAll(sql.replacing(":p", with: "$1"), [project.number])
                tables[table] = rows.map { row in
                    (0..<row.count).map { word(text(row, $0), table, $0) }.joined(separator: " | ")
                }.sorted()
            }
            return tables
        }
    }

    private static func text(_ row: Row, _ column: Int) -> String? {
        if row.isNull(column) { return nil }
        switch row.type(of: column) {
        case 25: return row[column] as String
        case 17: return (row[column] as Blob).bytes.map { String($0, radix: 16) }.joined(separator: ",")
        case 701: return "\(row[column] as Double)"
        default: return "\(row[column] as Int64)"
        }
    }

    static func word(_ text: String?, _ table: String, _ column: Int) -> String {
        guard let text else { return "-" }
        // Properties at rest are in no order.
        if table == "person", column == 1 { return PropsFold(stored: Array(text.utf8)).props?.string ?? "none" }
        return text.replacing("\0", with: "␀")
    }
}
