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
            let insert = try db.cachedStatement(sql: "INSERT INTO search (rowid, scope, words) VALUES (?,?,?)")
            for row in rows {
                let text = SearchText.words(of: row)
                guard !text.isEmpty else { continue }
                try insert.execute(arguments: [row[0] as Int64, SearchText.scope(ProjectID(row[1])), SearchText.spaced(text)])
            }
            // Merging in proportion keeps every step short; FTS5 left to itself merges rarely and much (FTS5, section 6.8).
            try db.cachedStatement(sql: "INSERT INTO search (search, rank) VALUES ('merge', ?)").execute(arguments: [limit / 2])
            return rows.count
        }
    }
}

/// Text as the search index takes it.
enum SearchText {
    /// The columns `words(of:)` reads, in its order.
    static let columns = """
        sequence, project, space, content, CASE WHEN space = 0 OR space = 1
            AND (instr(payload, '"question":') > 0 OR instr(payload, '"answer":') > 0) THEN payload END
        """

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
        try db.cachedStatement(sql: "INSERT INTO search (search, rowid, scope, words) VALUES ('delete', ?, ?, ?)")
            .execute(arguments: [sequence, scope(ProjectID(row[1])), spaced(text)])
    }

    static func scope(_ project: ProjectID) -> String { "p\(project.number)" }

    /// Words that all must occur, the last as a beginning; within one project. Nothing a person types is syntax.
    static func query(_ words: String, in project: ProjectID) -> String {
        let terms =
            words
            .split(whereSeparator: \.isWhitespace).filter { $0.contains { $0.isLetter || $0.isNumber } }.prefix(16).map { term in
                "\"" + spaced(String(term)).replacing("\"", with: " ") + "\""
            }
        // One or two letters begin too many words to gather them while somebody waits: they count as a word of their own.
        let isBeginning = (terms.last?.unicodeScalars.count ?? 0) >= 5 || terms.last?.utf8.contains { $0 >= 0x80 } == true
        let matching = terms.isEmpty ? "\"\"" : terms.joined(separator: " AND ") + (isBeginning ? "*" : "")
        return "scope:\(scope(project)) AND words:(\(matching))"
    }

    /// Ideographs, kana and syllables are set apart, since their scripts put no spaces between words: a run of them is
    /// then found as a phrase, wherever it begins.
    static func spaced(_ text: String) -> String {
        // All of them take three bytes or more in UTF-8, and most texts have none of these.
        guard text.utf8.contains(where: { $0 >= 0xE0 }), text.unicodeScalars.contains(where: isUnspaced) else { return text }
        var spaced = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            guard isUnspaced(scalar) else { spaced.append(scalar); continue }
            spaced.append(contentsOf: [" ", scalar, " "])
        }
        return String(spaced)
    }

    private static func isUnspaced(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x0E00...0x0EFF, 0x1000...0x109F, 0x1780...0x17FF, 0x3040...0x30FF, 0x3400...0x9FFF, 0xF900...0xFAFF, 0x20000...0x3FFFF: true
        default: false
        }
    }

    /// What was asked and answered, where a run's payload says so.
    static func words(ofTurn payload: String) -> String {
        let words = try? JSONDocument.read(Array(payload.utf8), isOurs: true) { json in
            [json["question"]?.string, json["answer"]?.string].compactMap(\.self).joined(separator: " ")
        }
        return words ?? ""
    }

    /// The texts of content blocks, one after the other.
    static func words(ofPayload payload: String) -> String {
        var words = ""
        func collect(_ value: JSONValue, isText: Bool) {
            if isText, let text = value.string { words += words.isEmpty ? text : " " + text }
            value.forEachElement { collect($0, isText: isText || $0.kind == .string) }
            value.forEachMember { key, member in collect(member, isText: key.equals("text") || key.equals("content")) }
        }
        try? JSONDocument.read(Array(payload.utf8), isOurs: true) { json in
            if let content = json["content"] { collect(content, isText: content.kind == .string) }
        }
        return words
    }
}
