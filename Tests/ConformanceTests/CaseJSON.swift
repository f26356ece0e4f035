import Events

/// JSON as a tree of values: what a case is made of before its placeholders are filled in.
indirect enum CaseJSON: Sendable, Equatable {
    case object([(key: String, value: CaseJSON)])
    case array([CaseJSON])
    case string(String)
    case number(JSONText)
    case bool(Bool)
    case null

    init(_ json: JSONValue) {
        switch json.kind {
        case .object:
            var members: [(key: String, value: CaseJSON)] = []
            json.forEachMember { members.append((String(decoding: $0, as: UTF8.self), CaseJSON($1))) }
            self = .object(members)
        case .array:
            var elements: [CaseJSON] = []
            json.forEachElement { elements.append(CaseJSON($0)) }
            self = .array(elements)
        case .string: self = .string(json.string!)
        case .number: self = .number(JSONText(json))
        case .bool: self = .bool(json.bool!)
        case .null: self = .null
        }
    }

    subscript(_ name: String) -> CaseJSON? {
        guard case .object(let members) = self else { return nil }
        return members.last { $0.key == name }?.value
    }

    var string: String? { if case .string(let text) = self { text } else { nil } }
    var elements: [CaseJSON]? { if case .array(let elements) = self { elements } else { nil } }
    var integer: Int? { if case .number(let text) = self { Int(text.string) } else { nil } }

    func write(into writer: inout JSONWriter) {
        switch self {
        case .object(let members):
            writer.object { writer in for member in members { writer.key(member.key); member.value.write(into: &writer) } }
        case .array(let elements): writer.array(elements) { $1.write(into: &$0) }
        case .string(let text): writer.value(text)
        case .number(let text): writer.value(text)
        case .bool(let flag): writer.value(flag)
        case .null: writer.null()
        }
    }

    var bytes: [UInt8] {
        var writer = JSONWriter()
        write(into: &writer)
        return writer.bytes
    }

    static func == (a: CaseJSON, b: CaseJSON) -> Bool { a.bytes == b.bytes }
}
