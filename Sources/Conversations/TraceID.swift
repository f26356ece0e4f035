public import Events

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

    /// The trace that a run's ID says, where that is `TRACE-SPAN` as the OTLP door writes it (P-BIND-6): 32 lower-case hex digits, a dash,
    /// and 16 more.
    public init?(ofRun id: String) {
        let isOne =
            id.utf8.count == 49
            && id.utf8.enumerated().allSatisfy { place, byte in
                place == 32 ? byte == UInt8(ascii: "-") : (48...57).contains(byte) || (97...102).contains(byte)
            }
        guard isOne else { return nil }
        text = String(decoding: id.utf8.prefix(32), as: UTF8.self)
    }

    /// Between which two IDs those of this trace's runs stand.
    public var runIDs: (after: String, before: String) { (text + "-", text + ".") }

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

extension TraceID {
    /// The traces of a run, the nearest first: its ID's, the one it names, those it links to (P-BIND-6).
    fileprivate static func all(ofRun id: String, naming trace: String?, linking linked: [String]) -> [String] {
        let own = TraceID(ofRun: id)?.text
        let named = (trace.map { [$0] } ?? []) + linked
        return own.map { own in [own] + named.filter { $0 != own } } ?? named
    }
}

extension Event {
    /// The traces that a run's part says, the nearest first.
    public var runTraces: [String] {
        guard case .run(let part) = body else { return [] }
        return TraceID.all(ofRun: id, naming: part.trace, linking: part.linkedTraces)
    }
}

extension Run {
    /// Its traces, the nearest first.
    public var traces: [String] { TraceID.all(ofRun: id, naming: trace, linking: linkedTraces) }
}
