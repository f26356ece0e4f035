/// A JSON value kept as its minified text, members in the order the sender wrote them.
public struct JSONText: Sendable {
    public let bytes: [UInt8]

    /// The text with every object's members sorted by key, where that differs from `bytes`.
    private let sorted: [UInt8]?

    /// What equality and digests look at: two texts that differ only in the order of members are the same content.
    public var canonical: [UInt8] { sorted ?? bytes }

    /// `bytes` must be minified JSON whose members are sorted, or that was read back from a store.
    public init(trusted bytes: [UInt8]) {
        self.bytes = bytes
        sorted = nil
    }

    public init(_ value: JSONValue) {
        var writer = JSONWriter()
        let inOrder = writer.append(value)
        bytes = writer.bytes
        if inOrder {
            sorted = nil
        } else {
            var canonical = JSONWriter()
            canonical.appendSorted(value)
            sorted = canonical.bytes
        }
    }

    public var string: String { String(decoding: bytes, as: UTF8.self) }
}

extension JSONText: Equatable, Hashable {
    public static func == (a: JSONText, b: JSONText) -> Bool { a.canonical == b.canonical }
    public func hash(into hasher: inout Hasher) { hasher.combine(canonical) }
}

extension JSONText: ExpressibleByStringLiteral {
    /// For tests and constants; the literal must be minified JSON with sorted members.
    public init(stringLiteral value: String) { self.init(trusted: Array(value.utf8)) }
}
