import Conversations
import Events
import GRDB
import Synchronization

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
            var added = FigureFold()
            for item in conversation.items {
                if item.derivedFrom != nil { added.add(.messages, 1, at: item.at) }
                switch item.confirmation {
                case .confirmed?: try keep(.confirmed, item.event.id)
                case .differs?: try keep(.differs, item.event.id)
                case nil: break
                }
            }
            var changes = FigureFold()
            let figures = FigureRows(db: db, project: project)
            try figures.replace("t:\(number)", with: added.values, in: &changes)
            try figures.write(changes)
            return true
        }
    }
}
