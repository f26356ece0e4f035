/// A W3C trace id that may be a message's ID without its dashes (Trace Context, section 3.2.2.3).
public struct TraceID: Sendable {
    /// 32 lower-case hex digits.
    public let text: String

    public init?(_ text: String) {
        let text = text.lowercased()
        guard text.utf8.count == 32, text.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) }) else { return nil }
        self.text = text
    }

    public init?(ofMessage id: String) {
        guard id.utf8.count == 32 || id.utf8.count == 36 else { return nil }
        // Each message of a project with runs comes by here, so it is done byte by byte, and into the text itself.
        let text = String(unsafeUninitializedCapacity: 36) { digits in
            var count = 0
            for byte in id.utf8 where byte != UInt8(ascii: "-") {
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"): digits[count] = byte
                case UInt8(ascii: "A")...UInt8(ascii: "F"): digits[count] = byte | 0x20
                default: return 0
                }
                count += 1
            }
            return count
        }
        guard text.utf8.count == 32 else { return nil }
        self.text = text
    }

    /// The IDs of messages that have this trace: a UUID in either case, or the digits alone.
    public var messageIDs: [String] {
        func written(dashed: Bool, caseBit: UInt8) -> String {
            String(unsafeUninitializedCapacity: 36) { buffer in
                var count = 0
                for (place, digit) in text.utf8.enumerated() {
                    if dashed, [8, 12, 16, 20].contains(place) {
                        buffer[count] = UInt8(ascii: "-")
                        count += 1
                    }
                    buffer[count] = digit > UInt8(ascii: "9") ? digit & ~caseBit : digit
                    count += 1
                }
                return count
            }
        }
        return [
            written(dashed: true, caseBit: 0), text, written(dashed: true, caseBit: 0x20), written(dashed: false, caseBit: 0x20),
        ]
    }
}
