public import Events

/// Text as search takes it: what is said in an event, as words.
public enum SearchText {
    /// A letter for private use, which begins the word that stands for a row's project and is taken out of all others.
    public static let scopeMark: Unicode.Scalar = "\u{E000}"

    public static func scope(_ project: ProjectID) -> String { "\(scopeMark)p\(project.number)" }

    /// A text as a row of its folded words, with a space in front of, between and behind them, so that one row of words stands in another
    /// where an index would find a phrase.
    public static func folded(_ text: String) -> String {
        var bytes: [UInt8] = [UInt8(ascii: " ")]
        bytes.reserveCapacity(text.utf8.count + 2)
        forEachWord(of: text) { word in
            bytes.append(contentsOf: word)
            bytes.append(UInt8(ascii: " "))
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The words of a text one after the other, folded, as UTF-8: what SQLite's tokenizer `unicode61 remove_diacritics 2` makes of it,
    /// so that every index finds the same (FTS5, section 4.3.1). It goes by Unicode as the standard library has it, which has some later
    /// letters; they are words here.
    public static func forEachWord(of text: String, _ body: (_ word: [UInt8]) -> Void) {
        var text = text
        text.withUTF8 { forEachWord(in: $0, body) }
    }

    private static func forEachWord(in bytes: UnsafeBufferPointer<UInt8>, _ body: (_ word: [UInt8]) -> Void) {
        var word: [UInt8] = []
        func end(_ word: inout [UInt8]) {
            guard !word.isEmpty else { return }
            body(word)
            word.removeAll(keepingCapacity: true)
        }
        var place = 0
        while place < bytes.count {
            let byte = bytes[place]
            guard byte >= 0x80 else {
                place += 1
                switch byte {
                case 0x30...0x39, 0x61...0x7A: word.append(byte)
                case 0x41...0x5A: word.append(byte | 0x20)
                default: end(&word)
                }
                continue
            }
            let scalar = scalar(at: &place, in: bytes)
            // A mark on the letter before it, which is left out; by itself it is nothing.
            if (0x0300...0x036F).contains(scalar.value) { continue }
            guard scalar != scopeMark, isOfWord(scalar) else {
                end(&word)
                continue
            }
            let standsAlone = isUnspaced(scalar)
            if standsAlone { end(&word) }
            word.append(contentsOf: UTF8.encode(Folding.folded(scalar))!)
            if standsAlone { end(&word) }
        }
        end(&word)
    }

    /// The scalar of several bytes that begins at a place of a text; the place moves behind it (RFC 3629, section 3). The bytes are a
    /// `String`'s, which is always well-formed: as many follow as the first says, and what they say is a scalar.
    private static func scalar(at place: inout Int, in bytes: UnsafeBufferPointer<UInt8>) -> Unicode.Scalar {
        let first = UInt32(bytes[place])
        let (rest, bits): (Int, UInt32) = first < 0xE0 ? (1, first & 0x1F) : first < 0xF0 ? (2, first & 0x0F) : (3, first & 0x07)
        var value = bits
        for offset in 1...rest { value = value << 6 | UInt32(bytes[place + offset] & 0x3F) }
        place += 1 + rest
        return Unicode.Scalar(value)!
    }

    /// The words of a text as they stand, for a tokenizer to fold.
    public static func words(in text: String) -> [String] {
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
    public static func spaced(_ text: String) -> String {
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
    public static func words(ofTurn payload: String) -> String {
        let words = try? JSONDocument.read(Array(payload.utf8), isOurs: true) { json in
            [json["question"]?.string, json["answer"]?.string].compactMap(\.self).joined(separator: " ")
        }
        return words ?? ""
    }

    /// The texts of content blocks, one after the other.
    public static func words(ofPayload payload: String) -> String {
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
public struct SoughtWords {
    /// Words by themselves, which the index finds.
    public private(set) var words: [String] = []
    /// Several words in a row (`e-mail`, a run of ideographs), which the index can't tell from the same words apart.
    public private(set) var phrases: [String] = []
    /// Whether the last word may be the beginning of one.
    public private(set) var isBeginning = false

    public init(_ text: String) {
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

    /// Whether a text that has all of the words has the phrases too.
    public func phrasesOccur(in text: @autoclosure () -> String) -> Bool {
        guard !phrases.isEmpty else { return true }
        let folded = SearchText.folded(text())
        return phrases.allSatisfy { folded.contains($0) }
    }
}
