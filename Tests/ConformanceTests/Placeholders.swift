import Events
import Foundation
import Keys

/// Fills in the placeholders of a case (protocol/conformance/README.md): one value for each within a run, another in the next.
struct Placeholders {
    private let now: Timestamp
    private var values: [String: String] = [:]

    init(now: Timestamp) { self.now = now }

    private static let lower = "abcdefghijklmnopqrstuvwxyz0123456789"
    private static let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + lower

    private mutating func value(of name: String) -> String? {
        let parts = name.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        let now = self.now
        let shifted = { now.advanced(bySeconds: parts.count > 1 ? Double(parts[1])! : 0) }
        switch parts[0] {
        case "now": return Timestamp(milliseconds: shifted().milliseconds).description
        case "nowMs": return String(shifted().milliseconds)
        case "repeat": return String(repeating: parts[2], count: Int(parts[1])!)
        default: break
        }
        if let known = values[name] { return known }
        func random(_ count: Int, of alphabet: String) -> String { String((0..<count).map { _ in alphabet.randomElement()! }) }
        let fresh: String
        switch parts[0] {
        case "uuid": fresh = UUID().uuidString.lowercased()
        case "thread": fresh = "t-" + random(8, of: Self.lower)
        case "short": fresh = random(8, of: Self.lower)
        // The first character is fixed, so that the alphabet is the one that was asked for.
        case "digits": fresh = "7" + random(Int(parts[1])! - 1, of: "0123456789")
        case "hex": fresh = "f" + random(Int(parts[1])! - 1, of: "0123456789abcdef")
        case "alnum": fresh = "z" + random(Int(parts[1])! - 1, of: Self.letters)
        case "publicKey":
            let key = KeyText.make(.public).text
            fresh = parts[1] == "unknown" ? key : String(key.dropLast()) + (key.hasSuffix("0") ? "1" : "0")
        default: return nil
        }
        values[name] = fresh
        return fresh
    }

    /// Innermost first, until none is left that can be filled in.
    mutating func fill(_ text: String) -> String {
        var text = text
        while let (range, value) = innermost(of: text) { text.replaceSubrange(range, with: value) }
        return text
    }

    private mutating func innermost(of text: String) -> (Range<String.Index>, String)? {
        var search = text.startIndex
        while let end = text[search...].firstIndex(of: "}") {
            if let start = text[..<end].range(of: "${", options: .backwards), let value = value(of: String(text[start.upperBound..<end])) {
                return (start.lowerBound..<text.index(after: end), value)
            }
            search = text.index(after: end)
        }
        return nil
    }

    mutating func fill(_ json: CaseJSON) -> CaseJSON {
        switch json {
        case .string(let text):
            // A string that is nothing but a time in milliseconds is a number.
            let filled = fill(text)
            return text.hasPrefix("${nowMs") && text.hasSuffix("}") ? .number(JSONText(trusted: Array(filled.utf8))) : .string(filled)
        case .array(let elements): return .array(elements.flatMap { fill(element: $0) })
        case .object(let members):
            if let count = json["$keys"]?.integer { return .object((0..<count).map { ("k\($0)", .number("0")) }) }
            return .object(members.map { (fill($0.key), fill($0.value)) })
        default: return json
        }
    }

    private mutating func fill(element: CaseJSON) -> [CaseJSON] {
        guard let count = element["$repeat"]?.integer, let pattern = element["of"] else { return [fill(element)] }
        let text = String(decoding: pattern.bytes, as: UTF8.self)
        return (0..<count).map { number in
            let copy = text.replacingOccurrences(of: "${i}", with: String(number))
            return fill(try! JSONDocument.read(Array(copy.utf8)) { CaseJSON($0) })
        }
    }
}
