import Events
import Hummingbird

/// The parameters behind `?`, read one name at a time; a value that breaks its rule is refused with the rule.
///
/// An empty value is the same as none. Of two values with one name the first counts (URLSearchParams.get), and names
/// that nobody asks for are passed over.
struct Query: Sendable {
    private let pairs: [(name: String, value: String)]

    init(_ text: String) {
        pairs = text.split(separator: "&").map { pair in
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (PercentEncoding.decoded(parts[0]), parts.count > 1 ? PercentEncoding.decoded(parts[1]) : "")
        }
    }

    init(_ request: Request) { self.init(request.uri.query ?? "") }

    subscript(_ name: String) -> String? {
        pairs.first { $0.name == name && !$0.value.isEmpty }?.value
    }

    /// How many to answer with.
    func limit(default preset: Int, upTo most: Int = 200) throws(Refusal) -> Int {
        guard let text = self["limit"] else { return preset }
        guard let number = Int(text), (1...most).contains(number) else {
            throw .parameter("limit", "must be a whole number from 1 to \(most)")
        }
        return number
    }

    func number(_ name: String, _ range: ClosedRange<Int>) throws(Refusal) -> Int? {
        guard let text = self[name] else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw .parameter(name, "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func flag(_ name: String) throws(Refusal) -> Bool? {
        switch self[name] {
        case nil: nil
        case "true"?: true
        case "false"?: false
        default: throw .parameter(name, "must be true or false")
        }
    }

    func time(_ name: String) throws(Refusal) -> Timestamp? {
        guard let text = self[name] else { return nil }
        // A `+` that was not escaped arrives as a space, and only a zone has one behind the time.
        let mended = text.lastIndex(of: " ").map { text.replacingCharacter(at: $0, with: "+") }
        guard let time = Timestamp(iso8601: text) ?? mended.flatMap({ Timestamp(iso8601: $0) }) else {
            throw .parameter(name, "must be an ISO 8601 time, like 2026-11-21T14:03:22Z")
        }
        return time
    }

    /// One of a closed list of names.
    func choice<Choice: RawRepresentable<String>>(_ name: String, of choices: [Choice]) throws(Refusal) -> Choice? {
        guard let text = self[name] else { return nil }
        guard let choice = choices.first(where: { $0.rawValue == text }) else {
            throw .parameter(name, "must be one of " + choices.map(\.rawValue).joined(separator: ", "))
        }
        return choice
    }
}

extension Refusal {
    /// A parameter that breaks its rule.
    static func parameter(_ name: String, _ rule: String) -> Refusal {
        Refusal(.badRequest, field: name, "The parameter `\(name)` \(rule).")
    }
}

/// Escapes of the form `%2F` in addresses (RFC 3986, section 2.1) and form-encoded queries (URL standard, section 5.1).
enum PercentEncoding {
    /// What is no escape stays as it is; bytes that are no UTF-8 become U+FFFD.
    static func decoded(_ text: Substring, plusIsSpace: Bool = true) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            let digits = rest.prefix(2)
            if byte == UInt8(ascii: "%"), digits.count == 2, let high = hex(digits.first!), let low = hex(digits.last!) {
                bytes.append(high << 4 | low)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(plusIsSpace && byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func hex(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

extension String {
    fileprivate func replacingCharacter(at index: Index, with character: Character) -> String {
        self[..<index] + String(character) + self[self.index(after: index)...]
    }
}
