/// One span of an export, read from either encoding, before anything is made of it.
struct Span: Sendable {
    /// 32 and 16 lower-case hex digits; nil where what was sent is not an ID (W3C Trace Context, section 3.2.2).
    var trace: String?
    var id: String?
    var parent: String?
    var state = ""
    var name = ""
    /// 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    var kind: Int64 = 0
    /// Nanoseconds since 1970; 0 where there is none.
    var startNanos: UInt64 = 0
    var endNanos: UInt64 = 0
    var attributes: [String: AttributeValue] = [:]
    var events: [Happening] = []
    var links: [Link] = []
    /// 0 unset, 1 ok, 2 error.
    var statusCode: Int64 = 0
    var statusMessage = ""
    var origin = Origin()

    struct Happening: Sendable {
        var nanos: UInt64 = 0
        var name = ""
        var attributes: [String: AttributeValue] = [:]
    }

    struct Link: Sendable {
        var trace: String?
        var id: String?
        var attributes: [String: AttributeValue] = [:]
    }

    /// The program and the library that made it.
    struct Origin: Sendable {
        var resource: [String: AttributeValue] = [:]
        var library = ""
        var version = ""
    }
}

extension Span {
    /// An ID of `count` bytes as hex; nil for another length and for the invalid one of all zeros.
    static func hex(_ bytes: some Collection<UInt8>, count: Int) -> String? {
        guard bytes.count == count, bytes.contains(where: { $0 != 0 }) else { return nil }
        var text = ""
        text.reserveCapacity(2 * count)
        for byte in bytes {
            text.unicodeScalars.append(digit(byte >> 4))
            text.unicodeScalars.append(digit(byte & 15))
        }
        return text
    }

    /// The same from hex digits of any case.
    static func hex(digits: some Collection<UInt8>, count: Int) -> String? {
        guard digits.count == 2 * count else { return nil }
        var text = ""
        text.reserveCapacity(2 * count)
        var isZero = true
        for byte in digits {
            guard byte < 128, Character(Unicode.Scalar(byte)).isHexDigit else { return nil }
            if byte != UInt8(ascii: "0") { isZero = false }
            text.unicodeScalars.append(Unicode.Scalar((65...70).contains(byte) ? byte | 0x20 : byte))
        }
        return isZero ? nil : text
    }

    private static func digit(_ nibble: UInt8) -> Unicode.Scalar { Unicode.Scalar(nibble < 10 ? 48 + nibble : 87 + nibble) }
}
