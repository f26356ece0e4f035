import Crypto

/// IDs for events whose sender gave them none: UUIDs of version 8 (RFC 9562, section 5.8), made of what was said, so that the same
/// thing sent again has the same ID.
enum DerivedID {
    /// For the event itself.
    static func own(_ kind: String, _ content: [UInt8]) -> String { uuid(kind, content, variant: UInt8(ascii: "a")) }

    /// For what an event said besides itself.
    static func companion(_ kind: String, _ content: [UInt8]) -> String { uuid(kind, content, variant: UInt8(ascii: "b")) }

    /// Told by the variant's digit.
    static func isCompanion(_ id: String) -> Bool { id.utf8.dropFirst(19).first == UInt8(ascii: "b") }

    private static func uuid(_ kind: String, _ content: [UInt8], variant: UInt8) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for (index, byte) in SHA256.hash(data: Array(kind.utf8) + [0] + content).prefix(16).enumerated() {
            if [4, 6, 8, 10].contains(index) { text.append(UInt8(ascii: "-")) }
            text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
        text[14] = UInt8(ascii: "8")
        text[19] = variant
        return String(decoding: text, as: UTF8.self)
    }
}
