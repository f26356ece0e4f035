import Events

/// The value of an attribute, whichever encoding it came in.
enum AttributeValue: Sendable, Equatable {
    case text(String)
    case flag(Bool)
    case integer(Int64)
    case number(Double)
    case list([AttributeValue])
    case map([String: AttributeValue])
    /// Base64, as OTLP's JSON form writes bytes.
    case data(String)
    case null
    /// JSON that was written before, of whatever it was.
    case written(JSONText)
}

extension AttributeValue {
    var text: String? {
        if case .text(let text) = self { return text.isEmpty ? nil : text }
        return nil
    }

    /// What can stand for an ID: a text, or a number by its digits.
    var name: String? {
        switch self {
        case .text(let text): text.isEmpty ? nil : text
        case .integer(let number): String(number)
        default: nil
        }
    }

    /// A count; also one that went through a text.
    var count: Int64? {
        switch self {
        case .integer(let number): number
        case .number(let number): Int64(exactly: number)
        case .text(let text): Int64(text)
        default: nil
        }
    }

    var number: Double? {
        switch self {
        case .integer(let number): Double(number)
        case .number(let number): number.isFinite ? number : nil
        case .text(let text): Double(text).flatMap { $0.isFinite ? $0 : nil }
        default: nil
        }
    }

    /// The texts of a list, of a JSON list in a text, or a text alone.
    var texts: [String] {
        switch self {
        case .list(let elements): elements.compactMap(\.name)
        case .text(let text):
            if case .list = parsed { parsed.texts } else { text.isEmpty ? [] : [text] }
        default: []
        }
    }

    /// A text that is a JSON object or list as that value; instrumentations of dynamic languages write structure so. All
    /// else as it is.
    var parsed: AttributeValue {
        guard case .text(let text) = self, Self.looksStructured(text) else { return self }
        return (try? JSONDocument.read(text.utf8, tolerant: true) { AttributeValue($0) }) ?? self
    }

    /// `parsed.json`, without the value between.
    var parsedJSON: JSONText? {
        guard case .text(let text) = self, Self.looksStructured(text) else { return json }
        return
            (try? JSONDocument.read(text.utf8, tolerant: true) { json in
                var writer = JSONWriter(capacity: text.utf8.count)
                writer.write(json)
                return JSONText(trusted: writer.bytes)
            }) ?? json
    }

    private static func looksStructured(_ text: String) -> Bool {
        guard let first = text.utf8.first(where: { $0 > 0x20 }) else { return false }
        return first == UInt8(ascii: "{") || first == UInt8(ascii: "[")
    }

    /// nil for what says nothing: null and the empty text.
    var json: JSONText? {
        switch self {
        case .null, .text(""): return nil
        case .written(let json): return json
        default:
            var writer = JSONWriter()
            writer.write(self)
            return JSONText(trusted: writer.bytes)
        }
    }

    init(_ json: JSONValue) {
        switch json.kind {
        case .string: self = .text(json.string ?? "")
        case .bool: self = .flag(json.bool ?? false)
        case .number: self = json.integer.map { .integer($0) } ?? .number(json.double ?? 0)
        case .null: self = .null
        case .array:
            var elements: [AttributeValue] = []
            json.forEachElement { elements.append(AttributeValue($0)) }
            self = .list(elements)
        case .object:
            var members: [String: AttributeValue] = [:]
            json.forEachMember { members[String(decoding: $0, as: UTF8.self)] = AttributeValue($1) }
            self = .map(members)
        }
    }
}

extension JSONWriter {
    /// Members sorted by key, so that the text is canonical as it stands.
    mutating func write(_ value: AttributeValue) {
        switch value {
        case .text(let text): self.value(text)
        case .flag(let flag): self.value(flag)
        case .integer(let number): self.value(number)
        case .number(let number): self.value(number)
        case .data(let text): self.value(text)
        case .null: null()
        case .written(let json): self.value(json)
        case .list(let elements): array(elements) { $0.write($1) }
        case .map(let members): write(members)
        }
    }

    /// A parsed value as `AttributeValue` holds it: members sorted by key, of two with one key the last.
    mutating func write(_ json: JSONValue) {
        switch json.kind {
        case .string: if let text = json.utf8 { value(utf8: text) }
        case .bool: value(json.bool ?? false)
        case .number: if let number = json.integer { value(number) } else { value(json.double ?? 0) }
        case .null: null()
        case .array: array { writer in json.forEachElement { writer.write($0) } }
        case .object:
            var members: [(key: UnsafeBufferPointer<UInt8>, value: JSONValue)] = []
            json.forEachMember { members.append(($0, $1)) }
            var isSorted = true
            for place in members.indices.dropFirst()
            where !members[place - 1].key.lexicographicallyPrecedes(members[place].key) { isSorted = false }
            // Sorting keeps the order of what is equal.
            if !isSorted { members.sort { $0.key.lexicographicallyPrecedes($1.key) } }
            object { writer in
                for (place, member) in members.enumerated() {
                    let isRepeated = !isSorted && place + 1 < members.count && members[place + 1].key.elementsEqual(member.key)
                    guard !isRepeated else { continue }
                    writer.key(utf8: member.key)
                    writer.write(member.value)
                }
            }
        }
    }

    mutating func write(_ members: [String: AttributeValue]) {
        object { writer in
            for (key, value) in members.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
                writer.key(key)
                writer.write(value)
            }
        }
    }
}
