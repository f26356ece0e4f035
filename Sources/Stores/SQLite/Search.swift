import Events
import Foundation
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

/// Text as the search index takes it.
///
/// The index knows which rows have a word and not where (FTS5, section 4.4.5, `detail=none`): a fifth of the bytes and half of the work.
/// What is sought as a phrase is looked for again in the rows that have all of its words (`SoughtWords.phrases`).
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
        try db.cachedStatement(sql: "INSERT INTO search (search, rowid, words) VALUES ('delete', ?, ?)")
            .execute(arguments: [sequence, entry(text, in: ProjectID(row[1]))])
    }

    /// A letter for private use, which begins the word that stands for a row's project and is taken out of all others.
    private static let scopeMark: Unicode.Scalar = "\u{E000}"

    static func scope(_ project: ProjectID) -> String { "\(scopeMark)p\(project.number)" }

    static func entry(_ text: String, in project: ProjectID) -> String { "\(scope(project)) \(spaced(text))" }

    /// A text as a row of words in lower case, without diacritics, with a space in front of, between and behind them: what the tokenizer
    /// `unicode61` makes of it, so that one row of words stands in another where the index would find a phrase.
    static func folded(_ text: String) -> String {
        var bytes: [UInt8] = [UInt8(ascii: " ")]
        bytes.reserveCapacity(text.utf8.count + 2)
        func end() { if bytes.last != UInt8(ascii: " ") { bytes.append(UInt8(ascii: " ")) } }
        if text.utf8.allSatisfy({ $0 < 0x80 }) {
            for byte in text.utf8 {
                switch byte {
                case 0x30...0x39, 0x61...0x7A: bytes.append(byte)
                case 0x41...0x5A: bytes.append(byte | 0x20)
                default: end()
                }
            }
        } else {
            for scalar in spaced(text).folding(options: [.caseInsensitive, .diacriticInsensitive], locale: nil).unicodeScalars {
                if isOfWord(scalar) { bytes.append(contentsOf: String(scalar).utf8) } else { end() }
            }
        }
        end()
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The words of a text as they stand, for the index's tokenizer to fold: it keeps letters (`ß`, `ﬁ`) that `folded` takes apart.
    static func words(in text: String) -> [String] {
        spaced(text).unicodeScalars.split { !isOfWord($0) && !(0x0300...0x036F).contains($0.value) }.map { String($0) }
    }

    /// What `unicode61` makes words of, besides the diacritics it takes off (FTS5, section 4.3.1).
    private static func isOfWord(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .decimalNumber, .letterNumber,
            .otherNumber, .privateUse:
            true
        default: false
        }
    }

    /// Ideographs, kana and syllables are set apart, since their scripts put no spaces between words: a run of them is
    /// then found as a phrase, wherever it begins. What would stand for a project is taken out.
    static func spaced(_ text: String) -> String {
        // All of them take three bytes or more in UTF-8, and most texts have none of these.
        guard text.utf8.contains(where: { $0 >= 0xE0 }) else { return text }
        var spaced: [UInt8] = []
        spaced.reserveCapacity(text.utf8.count * 3 / 2)
        var plainFrom = text.startIndex
        for index in text.unicodeScalars.indices where text.utf8[index] >= 0xE0 {
            let scalar = text.unicodeScalars[index]
            guard isUnspaced(scalar) || scalar == scopeMark else { continue }
            spaced.append(contentsOf: text.utf8[plainFrom..<index])
            plainFrom = text.unicodeScalars.index(after: index)
            spaced.append(UInt8(ascii: " "))
            if scalar != scopeMark { spaced.append(contentsOf: text.utf8[index..<plainFrom]) }
            spaced.append(UInt8(ascii: " "))
        }
        spaced.append(contentsOf: text.utf8[plainFrom...])
        return String(decoding: spaced, as: UTF8.self)
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

/// What a person seeks: words that all must occur, the last as a beginning. Nothing that is typed is syntax.
struct SoughtWords {
    /// Words by themselves, which the index finds.
    private var words: [String] = []
    /// Several words in a row (`e-mail`, a run of ideographs), which the index can't tell from the same words apart.
    private(set) var phrases: [String] = []
    /// Whether the last word may be the beginning of one.
    private(set) var isBeginning = false

    init(_ text: String) {
        let terms = text.split(whereSeparator: \.isWhitespace).map { (sent: String($0), words: SearchText.words(in: String($0))) }
            .filter { !$0.words.isEmpty }.prefix(16)
        for (place, term) in terms.enumerated() {
            words += term.words
            // One or two letters begin too many words to gather them while somebody waits: they count as a word of their own.
            let isLast = place == terms.count - 1
            let begins = isLast && (term.sent.unicodeScalars.count >= 3 || term.sent.utf8.contains { $0 >= 0x80 })
            if begins { isBeginning = term.words.count == 1 || term.words[term.words.count - 1].utf8.count >= 3 }
            guard term.words.count > 1 else { continue }
            let folded = SearchText.folded(term.sent)
            phrases.append(begins ? String(folded.dropLast()) : folded)
        }
    }

    /// For `MATCH`, within one project.
    /// - Parameter asBeginning: with the words that begin like the last one. All of these are gathered before the first row is found,
    ///   so that a common beginning takes as long as the index is large.
    func query(in project: ProjectID, asBeginning: Bool) -> String {
        // Nothing to seek is not everything.
        guard !words.isEmpty else { return "\"\"" }
        return ([SearchText.scope(project)] + words).map { "\"\($0)\"" }.joined(separator: " AND ") + (asBeginning ? "*" : "")
    }

    /// Whether a text that has all of the words has the phrases too.
    func phrasesOccur(in text: @autoclosure () -> String) -> Bool {
        guard !phrases.isEmpty else { return true }
        let folded = SearchText.folded(text())
        return phrases.allSatisfy { folded.contains($0) }
    }
}
