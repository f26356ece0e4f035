import Foundation

/// A JSON value, written as Swift literals: `["plan": "pro", "seats": 3, "trial": nil]`.
///
/// It is what `metadata`, `props`, content blocks and the inputs and outputs of runs are made of.
public enum JSON: Sendable, Hashable {
    case null
    case bool(Bool)
    case integer(Int64)
    /// Finite; an event that holds a NaN or an infinity is dropped as `unserializable`.
    case number(Double)
    case string(String)
    case array([JSON])
    case object([String: JSON])

    /// The JSON of anything `Encodable`. Throws what its encoding throws.
    public init(encoding value: some Encodable) throws {
        self = try JSONDecoder().decode(JSON.self, from: JSONEncoder().encode(value))
    }
}

extension JSON: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByStringInterpolation, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(nilLiteral: ()) { self = .null }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int64) { self = .integer(value) }
    public init(floatLiteral value: Double) { self = .number(value) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(arrayLiteral elements: JSON...) { self = .array(elements) }
    /// Of a key that is there twice, the later value counts.
    public init(dictionaryLiteral elements: (String, JSON)...) {
        self = .object(Dictionary(elements) { $1 })
    }
}

extension JSON: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int64.self) {
            self = .integer(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSON].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSON].self))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }
}

extension JSON {
    /// What no JSON text exists for: a number that is not finite, or more than 62 levels of nesting.
    struct Unserializable: Error {}

    /// P-LIMIT-3: 64 levels, of which the body takes two, its object and its list. It also bounds the recursion below.
    private static let depth = 62

    /// Appends the value as text in UTF-8, keys in order of the alphabet.
    func write(to text: inout [UInt8], depth: Int = JSON.depth) throws(Unserializable) {
        switch self {
        case .null: text += "null".utf8
        case .bool(let value): text += (value ? "true" : "false").utf8
        case .integer(let value): text += String(value).utf8
        case .number(let value):
            guard value.isFinite else { throw Unserializable() }
            text += "\(value)".utf8
        case .string(let value): Self.write(value, to: &text)
        case .array(let values):
            guard depth > 0 else { throw Unserializable() }
            text.append(UInt8(ascii: "["))
            for (place, value) in values.enumerated() {
                if place > 0 { text.append(UInt8(ascii: ",")) }
                try value.write(to: &text, depth: depth - 1)
            }
            text.append(UInt8(ascii: "]"))
        case .object(let members):
            guard depth > 0 else { throw Unserializable() }
            text.append(UInt8(ascii: "{"))
            for (place, member) in members.sorted(by: { $0.key < $1.key }).enumerated() {
                if place > 0 { text.append(UInt8(ascii: ",")) }
                Self.write(member.key, to: &text)
                text.append(UInt8(ascii: ":"))
                try member.value.write(to: &text, depth: depth - 1)
            }
            text.append(UInt8(ascii: "}"))
        }
    }

    /// RFC 8259, 7: quotation mark, reverse solidus and the control characters must be escaped; nothing else is.
    private static func write(_ string: String, to text: inout [UInt8]) {
        text.append(UInt8(ascii: "\""))
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): text += [UInt8(ascii: "\\"), byte]
            case UInt8(ascii: "\n"): text += "\\n".utf8
            case 0..<0x20: text += "\\u00\(byte < 16 ? "0" : "")\(String(byte, radix: 16))".utf8
            default: text.append(byte)
            }
        }
        text.append(UInt8(ascii: "\""))
    }
}
