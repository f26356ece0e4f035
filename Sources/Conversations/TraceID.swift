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
        guard id.utf8.count == 49 else { return nil }
        var id = id
        let trace: String? = id.withUTF8 { bytes in
            for place in 0..<49 {
                let byte = bytes[place]
                guard place == 32 ? byte == UInt8(ascii: "-") : (48...57).contains(byte) || (97...102).contains(byte) else { return nil }
            }
            return String(decoding: bytes[..<32], as: UTF8.self)
        }
        guard let trace else { return nil }
        text = trace
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

extension Event {
    /// The traces that a run's part says, the nearest first: its ID's, the one it names, those it links to (P-BIND-6).
    public var runTraces: [String] {
        guard case .run(let part) = body else { return [] }
        let own = TraceID(ofRun: id)
        return (own.map { [$0.text] } ?? []) + traces(named: part.trace, linked: part.linkedTraces, besides: own)
    }
}

extension Run {
    /// Its traces beside the one that its ID says (`TraceID.init(ofRun:)`), which comes first: the one it names, those it links to.
    public func namedTraces(besides own: TraceID?) -> [String] { traces(named: trace, linked: linkedTraces, besides: own) }
}

private func traces(named: String?, linked: [String], besides own: TraceID?) -> [String] {
    var traces = linked
    if let named { traces.insert(named, at: 0) }
    if let own { traces.removeAll { $0 == own.text } }
    return traces
}
