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
        return String(unsafeUninitializedCapacity: 2 * count) { buffer in
            var place = 0
            for byte in bytes {
                buffer[place] = digit(byte >> 4)
                buffer[place + 1] = digit(byte & 15)
                place += 2
            }
            return place
        }
    }

    /// The same from hex digits of any case.
    static func hex(digits: some Collection<UInt8>, count: Int) -> String? {
        guard digits.count == 2 * count else { return nil }
        var isHex = true
        var isZero = true
        let text = String(unsafeUninitializedCapacity: 2 * count) { buffer in
            var place = 0
            for byte in digits {
                let lower = (65...70).contains(byte) ? byte | 0x20 : byte
                if !(48...57).contains(lower), !(97...102).contains(lower) { isHex = false }
                if lower != UInt8(ascii: "0") { isZero = false }
                buffer[place] = isHex ? lower : UInt8(ascii: "0")
                place += 1
            }
            return place
        }
        return isHex && !isZero ? text : nil
    }

    private static func digit(_ nibble: UInt8) -> UInt8 { nibble < 10 ? 48 + nibble : 87 + nibble }
}
