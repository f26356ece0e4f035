import Conversations
import Events
import GRDB
import Synchronization

/// What a list shows of a thread with turns: found out by reading it whole, and kept until something changes in it.
struct TurnView {
    var messages: Int
    var first: ThreadSummary.Excerpt?
    var last: ThreadSummary.Excerpt?

    init(_ summary: ThreadSummary) { (messages, first, last) = (summary.messageCount, summary.first, summary.last) }

    /// nil where the text is none of ours.
    init?(stored text: String) {
        func excerpt(_ value: JSONValue?) -> ThreadSummary.Excerpt? {
            guard let value, let id = value["id"]?.string, let role = value["role"]?.string.flatMap(Event.Role.init(rawValue:)),
                let text = value["text"]?.string, let at = value["at"]?.integer
            else { return nil }
            return .init(id: id, role: role, text: text, at: Timestamp(microseconds: at))
        }
        let read = try? JSONDocument.read(Array(text.utf8), isOurs: true) { json in
            (json["messages"]?.integer, excerpt(json["first"]), excerpt(json["last"]))
        }
        guard let read, let count = read.0 else { return nil }
        (messages, first, last) = (Int(count), read.1, read.2)
    }

    var stored: String {
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("messages", messages)
            for (name, excerpt) in [("first", first), ("last", last)] {
                guard let excerpt else { continue }
                writer.key(name)
                writer.object {
                    $0.field("id", excerpt.id)
                    $0.field("role", excerpt.role.rawValue)
                    $0.field("text", excerpt.text)
                    $0.field("at", excerpt.at.microseconds)
                }
            }
        }
        return writer.string
    }
}

extension SQLiteStore {
    static let nextUnviewed = "SELECT number, project, id FROM thread INDEXED BY thread_unviewed WHERE turns <> 0 AND view IS NULL LIMIT 1"

    /// Reads the next thread with turns whole, beside the writer; answers whether there was one.
    func viewNext() async throws -> Bool {
        let found = try await pool.read { db -> (Int64, ProjectID, Int64, Conversation)? in
            guard let row = try Row.fetchOne(db.cachedStatement(sql: Self.nextUnviewed)) else { return nil }
            let project = Project(number: ProjectID(row[1]), id: "", name: "")
            let reader = ConversationReader(db: db, project: project, now: Timestamp(microseconds: 0))
            let sequence = try Int64.fetchOne(db, sql: "SELECT max(sequence) FROM event") ?? 0
            guard let (_, summary) = try reader.summary(of: row[2]) else { return nil }
            return (row[0], project.number, sequence, try reader.wholeConversation(summary))
        }
        guard let (number, project, sequence, conversation) = found else { return false }
        return try await writeDerived { db in
            // What came in the meantime is not in it.
            try db.execute(
                sql: """
                    UPDATE thread SET view = ? WHERE number = ? AND view IS NULL AND NOT EXISTS (
                        SELECT 1 FROM event e LEFT JOIN run r ON r.project = e.project AND r.id = e.id AND e.space = 1
                        WHERE e.sequence > ? AND (e.thread = ? OR r.thread = ?))
                    """,
                arguments: [TurnView(conversation.thread).stored, number, sequence, number, number])
            guard db.changesCount > 0 else { return false }
            for kind in FactKind.ofViews {
                try db.execute(
                    sql: "DELETE FROM fact WHERE project = ? AND kind = ? AND thread = ?",
                    arguments: [project.number, kind.rawValue, number])
            }
            func keep(_ kind: FactKind, _ subject: String) throws {
                try db.cachedStatement(sql: "INSERT INTO fact VALUES (?,?,?,?) ON CONFLICT DO NOTHING")
                    .execute(arguments: [project.number, kind.rawValue, number, subject])
            }
            for run in conversation.looseRuns { try keep(.orphan, run.run.id) }
            var added = FigureRows.Changes()
            for item in conversation.items {
                if item.derivedFrom != nil { added.add(.messages, 1, at: item.at) }
                switch item.confirmation {
                case .confirmed?: try keep(.confirmed, item.event.id)
                case .differs?: try keep(.differs, item.event.id)
                case nil: break
                }
            }
            var changes = FigureRows.Changes()
            let figures = FigureRows(db: db, project: project)
            try figures.replace("t:\(number)", with: added.values, in: &changes)
            try figures.write(changes)
            return true
        }
    }
}
