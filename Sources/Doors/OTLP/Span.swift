/// One span of an export, read from either encoding, before anything is made of it.
///
/// A class: a copy of a dozen fields that are counted each costs more than what is made of many of them.
final class Span {
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
    var attributes: [Attribute] = []
    var events: [Happening] = []
    var links: [Link] = []
    /// 0 unset, 1 ok, 2 error.
    var statusCode: Int64 = 0
    var statusMessage = ""

    struct Happening {
        var nanos: UInt64 = 0
        var name = ""
        var attributes: [String: AttributeValue] = [:]
    }

    struct Link {
        var trace: String?
        var id: String?
        var attributes: [String: AttributeValue] = [:]
    }

    let origin: Origin

    init(from origin: Origin) { self.origin = origin }
}

extension Span {
    /// The ID of a span's run.
    static func runID(_ trace: String, _ span: String) -> String {
        String(unsafeUninitializedCapacity: 49) { buffer in
            // 32 and 16 digits, as `hex` makes them.
            let (_, afterTrace) = UnsafeMutableBufferPointer(rebasing: buffer[..<32]).initialize(from: trace.utf8)
            buffer.initializeElement(at: afterTrace, to: UInt8(ascii: "-"))
            let (_, afterSpan) = UnsafeMutableBufferPointer(rebasing: buffer[(afterTrace + 1)...]).initialize(from: span.utf8)
            return afterTrace + 1 + afterSpan
        }
    }

    /// An ID of `count` bytes as hex; nil for another length and for the invalid one of all zeros.
    static func hex(_ bytes: some Collection<UInt8>, count: Int) -> String? {
        if let found = bytes.withContiguousStorageIfAvailable({ hex(bytes: $0, count: count) }) { return found }
        return Array(bytes).withUnsafeBufferPointer { hex(bytes: $0, count: count) }
    }

    private static func hex(bytes: UnsafeBufferPointer<UInt8>, count: Int) -> String? {
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
