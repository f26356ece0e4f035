import CSimdJSON

/// One value of a parsed document: a position on simdjson's tape, valid only inside the closure that received it.
///
/// Reading a member costs a walk over the members before it; nothing is allocated until a string is asked for.
public struct JSONValue {
    let tape: UnsafePointer<UInt64>
    let strings: UnsafePointer<UInt8>
    let index: Int

    public enum Kind: Sendable { case object, array, string, number, bool, null }

    private var word: UInt64 { tape[index] }
    private var tag: UInt8 { UInt8(truncatingIfNeeded: word >> 56) }

    public var kind: Kind {
        switch tag {
        case UInt8(ascii: "{"): .object
        case UInt8(ascii: "["): .array
        case UInt8(ascii: "\""): .string
        case UInt8(ascii: "l"), UInt8(ascii: "u"), UInt8(ascii: "d"): .number
        case UInt8(ascii: "t"), UInt8(ascii: "f"): .bool
        default: .null
        }
    }

    public var isNull: Bool { tag == UInt8(ascii: "n") }

    /// The tape index behind this value, its children included.
    var end: Int {
        switch tag {
        case UInt8(ascii: "{"), UInt8(ascii: "["): Int(word & 0xFFFF_FFFF)
        case UInt8(ascii: "l"), UInt8(ascii: "u"), UInt8(ascii: "d"): index + 2
        default: index + 1
        }
    }

    /// The UTF-8 bytes of a string value.
    public var utf8: UnsafeBufferPointer<UInt8>? {
        guard tag == UInt8(ascii: "\"") else { return nil }
        let start = strings + Int(word & 0x00FF_FFFF_FFFF_FFFF)
        let length = UnsafeRawPointer(start).loadUnaligned(as: UInt32.self)
        return UnsafeBufferPointer(start: start + 4, count: Int(length))
    }

    public var string: String? { utf8.map { String(decoding: $0, as: UTF8.self) } }

    public var bool: Bool? {
        switch tag {
        case UInt8(ascii: "t"): true
        case UInt8(ascii: "f"): false
        default: nil
        }
    }

    /// An integer, also one written as a whole double (`1e3`).
    public var integer: Int64? {
        switch tag {
        case UInt8(ascii: "l"): Int64(bitPattern: tape[index + 1])
        case UInt8(ascii: "u"): Int64(exactly: tape[index + 1])
        case UInt8(ascii: "d"): Int64(exactly: Double(bitPattern: tape[index + 1]))
        default: nil
        }
    }

    public var double: Double? {
        switch tag {
        case UInt8(ascii: "l"): Double(Int64(bitPattern: tape[index + 1]))
        case UInt8(ascii: "u"): Double(tape[index + 1])
        case UInt8(ascii: "d"): Double(bitPattern: tape[index + 1])
        default: nil
        }
    }

    private func at(_ index: Int) -> JSONValue { JSONValue(tape: tape, strings: strings, index: index) }

    /// Calls `body` with each member of an object, in the order written.
    public func forEachMember<E: Error>(_ body: (_ key: UnsafeBufferPointer<UInt8>, _ value: JSONValue) throws(E) -> Void) throws(E) {
        guard kind == .object else { return }
        var next = index + 1
        let last = end - 1
        while next < last {
            let key = at(next)
            let value = at(next + 1)
            // A key is a string by the grammar, so `utf8` is there.
            try body(key.utf8!, value)
            next = value.end
        }
    }

    /// Calls `body` with each element of an array.
    public func forEachElement<E: Error>(_ body: (JSONValue) throws(E) -> Void) throws(E) {
        guard kind == .array else { return }
        var next = index + 1
        let last = end - 1
        while next < last {
            let value = at(next)
            try body(value)
            next = value.end
        }
    }

    /// The member of that name; of two members with one name, the last (as JavaScript and Python read it).
    public subscript(_ name: StaticString) -> JSONValue? {
        var found: JSONValue?
        forEachMember { key, value in
            if key.equals(name) { found = value }
        }
        return found
    }

    /// Elements of an array or members of an object.
    public var count: Int {
        var count = 0
        if kind == .object { forEachMember { _, _ in count += 1 } } else { forEachElement { _ in count += 1 } }
        return count
    }

    /// Words on the tape, a cheap bound: there are never more keys than half of it.
    public var tapeWords: Int { end - index }

    /// The number of object keys in this value, at all depths.
    public var keyCount: Int {
        var keys = 0
        forEachMember { _, value in keys += 1 + value.keyCount }
        forEachElement { value in keys += value.keyCount }
        return keys
    }

    /// The member of that name, for names that are not known at compile time.
    public func member(_ name: String) -> JSONValue? {
        var found: JSONValue?
        forEachMember { key, value in if found == nil, key.elementsEqual(name.utf8) { found = value } }
        return found
    }

    /// Whether containers are nested in each other more than `levels` times.
    func isDeeper(than levels: Int) -> Bool {
        guard kind == .object || kind == .array else { return false }
        guard levels > 0 else { return true }
        // Each level takes two words of tape at least.
        guard tapeWords > 2 * levels else { return false }
        var deeper = false
        forEachMember { _, value in deeper = deeper || value.isDeeper(than: levels - 1) }
        forEachElement { value in deeper = deeper || value.isDeeper(than: levels - 1) }
        return deeper
    }

    /// About the bytes this value takes as minified JSON (escapes counted as one byte).
    public var approximateSize: Int {
        switch kind {
        case .string: return utf8!.count + 2
        case .number: return 8
        case .bool, .null: return 4
        case .object:
            var size = 2
            var separator = 0
            forEachMember { key, value in
                size += separator + key.count + 3 + value.approximateSize
                separator = 1
            }
            return size
        case .array:
            var size = 2
            var separator = 0
            forEachElement { value in
                size += separator + value.approximateSize
                separator = 1
            }
            return size
        }
    }
}

extension UnsafeBufferPointer<UInt8> {
    /// Whether these bytes are the text of `name`, without making a String.
    public func equals(_ name: StaticString) -> Bool {
        count == name.utf8CodeUnitCount && name.withUTF8Buffer { elementsEqual($0) }
    }
}
