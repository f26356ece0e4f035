import Foundation

/// A point in JSON text that walks forward over what the caller asks for and skips the rest; nothing is copied.
///
/// It trusts its text more than a gateway may: this end only has to read answers, and to notice when one cannot be read.
struct JSONCursor {
    struct Malformed: Error { let position: Int }

    let bytes: UnsafeRawBufferPointer
    private(set) var position: Int

    init(_ bytes: UnsafeRawBufferPointer, at position: Int = 0) {
        self.bytes = bytes
        self.position = position
    }

    /// Visits each member; the visitor reads the value or leaves it, then it is skipped.
    mutating func object(_ member: (_ key: UnsafeRawBufferPointer, _ value: inout JSONCursor) throws -> Void) throws {
        try expect(UInt8(ascii: "{"))
        if try peek() == UInt8(ascii: "}") { return position += 1 }
        while true {
            let key = try string()
            try expect(UInt8(ascii: ":"))
            try visit { try member(key, &$0) }
            if try separator(closing: UInt8(ascii: "}")) { return }
        }
    }

    mutating func array(_ element: (_ value: inout JSONCursor) throws -> Void) throws {
        try expect(UInt8(ascii: "["))
        if try peek() == UInt8(ascii: "]") { return position += 1 }
        while true {
            try visit(element)
            if try separator(closing: UInt8(ascii: "]")) { return }
        }
    }

    /// The bytes between the quotes, escapes as they stand.
    mutating func string() throws -> UnsafeRawBufferPointer {
        try expect(UInt8(ascii: "\""))
        let start = position
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "\""):
                defer { position += 1 }
                return UnsafeRawBufferPointer(rebasing: bytes[start..<position])
            case UInt8(ascii: "\\"): position += 2
            default: position += 1
            }
        }
        throw Malformed(position: position)
    }

    /// A string, or nil where something else stands.
    mutating func text() throws -> String? {
        guard try peek() == UInt8(ascii: "\"") else { return nil }
        let raw = try string()
        guard raw.contains(UInt8(ascii: "\\")) else { return String(decoding: raw, as: UTF8.self) }
        let quoted = Data([UInt8(ascii: "\"")] + Array(raw) + [UInt8(ascii: "\"")])
        return try JSONDecoder().decode(String.self, from: quoted)
    }

    /// A whole number; a fraction is cut off.
    mutating func integer() throws -> Int {
        var negative = false
        if try peek() == UInt8(ascii: "-") {
            negative = true
            position += 1
        }
        let start = position
        var number = 0
        while position < bytes.count, case let byte = bytes[position], byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") {
            number = number &* 10 &+ Int(byte - UInt8(ascii: "0"))
            position += 1
        }
        guard position > start else { throw Malformed(position: position) }
        try skip()  // what is left of it: a fraction
        return negative ? -number : number
    }

    /// What stands here, without taking it.
    mutating func peek() throws -> UInt8 {
        while position < bytes.count {
            let byte = bytes[position]
            if byte != 0x20, byte != 0x0A, byte != 0x0D, byte != 0x09 { return byte }
            position += 1
        }
        throw Malformed(position: position)
    }

    /// Over one value, or over the rest of a number or word.
    mutating func skip() throws {
        var depth = 0
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "\""):
                _ = try string()
                if depth == 0 { return }
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                position += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { return }
                depth -= 1
                position += 1
                if depth == 0 { return }
            case UInt8(ascii: ",") where depth == 0: return
            default: position += 1
            }
        }
    }

    private mutating func visit(_ body: (inout JSONCursor) throws -> Void) throws {
        _ = try peek()
        let start = position
        try body(&self)
        if position == start { try skip() }
    }

    private mutating func expect(_ byte: UInt8) throws {
        guard try peek() == byte else { throw Malformed(position: position) }
        position += 1
    }

    private mutating func separator(closing: UInt8) throws -> Bool {
        let byte = try peek()
        guard byte == closing || byte == UInt8(ascii: ",") else { throw Malformed(position: position) }
        position += 1
        return byte == closing
    }
}

extension UnsafeRawBufferPointer {
    /// Whether these bytes are that word.
    func spells(_ word: StaticString) -> Bool {
        count == word.utf8CodeUnitCount && elementsEqual(UnsafeBufferPointer(start: word.utf8Start, count: count))
    }
}
