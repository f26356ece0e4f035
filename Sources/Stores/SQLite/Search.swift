import Conversations
import Events
import GRDB

extension SQLiteStore {
    /// Indexes the next events; answers how many there were.
    func indexNext(_ limit: Int = 256) async throws -> Int {
        let (from, isWaiting) = try await pool.read { db in
            let from = try Int64.fetchOne(db, sql: "SELECT indexed FROM search_state") ?? 0
            return (from, try Int64.fetchOne(db, sql: "SELECT max(sequence) FROM event") ?? 0 > from)
        }
        guard isWaiting else { return 0 }
        return try await writeDerived { db in
            let rows = try Row.fetchAll(
                db.cachedStatement(
                    sql: "SELECT \(SearchText.columns) FROM event WHERE sequence > ? ORDER BY sequence LIMIT ?"),
                arguments: [from, limit])
            guard let last = rows.last else { return 0 }
            // Another process may have been here in the meantime.
            try db.execute(sql: "UPDATE search_state SET indexed = ? WHERE indexed = ?", arguments: [last[0] as Int64, from])
            guard db.changesCount > 0 else { return rows.count }
            let insert = try db.cachedStatement(sql: "INSERT INTO search (rowid, words) VALUES (?,?)")
            for row in rows {
                let text = SearchText.words(of: row)
                guard !text.isEmpty else { continue }
                try insert.execute(arguments: [row[0] as Int64, SearchText.entry(text, in: ProjectID(row[1]))])
            }
            // Merging in proportion keeps every step short; FTS5 left to itself merges rarely and much (FTS5, section 6.8).
            try db.cachedStatement(sql: "INSERT INTO search (search, rank) VALUES ('merge', ?)").execute(arguments: [limit / 2])
            return rows.count
        }
    }
}

/// Rows of the log as the search index takes them.
///
/// The index knows which rows have a word and not where (FTS5, section 4.4.5, `detail=none`): a fifth of the bytes and half of the work.
/// What is sought as a phrase is looked for again in the rows that have all of its words (`SoughtWords.phrases`).
extension SearchText {
    /// The columns `words(of:)` reads, in its order.
    static let columns = """
        sequence, project, space, content, CASE WHEN space = 0 OR space = 1
            AND (instr(payload, '"question":') > 0 OR instr(payload, '"answer":') > 0) THEN payload END
        """

    static func entry(_ text: String, in project: ProjectID) -> String {
        let entry = "\(scope(project)) \(spaced(text))"
        // A NUL parts words like a space does; SQLite would take it for the end of the text.
        return entry.utf8.contains(0) ? entry.replacing("\0", with: " ") : entry
    }

    /// What is found of an event; empty where nothing is.
    static func words(of row: Row) -> String {
        switch Event.IDSpace(rawValue: row[2]) {
        case .message: (row[3] as String?) ?? (row[4] as String?).map { words(ofPayload: $0) } ?? ""
        case .run: (row[4] as String?).map { words(ofTurn: $0) } ?? ""
        default: ""
        }
    }

    /// Takes an event out of the index, before its row goes: an index without content has to be told the words (FTS5, section 4.4.3).
    static func remove(_ sequence: Int64, indexed: Int64, db: Database) throws {
        guard sequence <= indexed,
            let row = try Row.fetchOne(db.cachedStatement(sql: "SELECT \(columns) FROM event WHERE sequence = ?"), arguments: [sequence])
        else { return }
        let text = words(of: row)
        guard !text.isEmpty else { return }
        try db.cachedStatement(sql: "INSERT INTO search (search, rowid, words) VALUES ('delete', ?, ?)")
            .execute(arguments: [sequence, entry(text, in: ProjectID(row[1]))])
    }
}

extension SoughtWords {
    /// For `MATCH`, within one project.
    /// - Parameter asBeginning: with the words that begin like the last one. All of these are gathered before the first row is found,
    ///   so that a common beginning takes as long as the index is large.
    func query(in project: ProjectID, asBeginning: Bool) -> String {
        // Nothing to seek is not everything.
        guard !words.isEmpty else { return "\"\"" }
        return ([SearchText.scope(project)] + words).map { "\"\($0)\"" }.joined(separator: " AND ") + (asBeginning ? "*" : "")
    }
}
