import Crypto

/// The names Lunary's SDKs and server give to an ID before they use it.
enum HashedNames {
    /// What lunary-py makes of `id` with `key` (`lunary/run_manager.py`, since 2024-03-14), and what Lunary's server makes of an ID
    /// that is not 36 characters long (`packages/backend/src/utils/ingest.ts`).
    static func of(_ id: String, key: String) -> [String] {
        let python = uuid(hex(id + key))
        guard id.utf16.count != 36 else { return [python] }
        let digits = hex(id)
        // Made to look like a version 4 UUID: its version and variant digits take the place of two of the digest's.
        let server = digits.prefix(12) + "4" + slice(digits, 13..<16) + "a" + slice(digits, 17..<20) + slice(digits, 20..<32)
        return [python, uuid(String(server))]
    }

    private static func slice(_ text: String, _ range: Range<Int>) -> Substring { text.dropFirst(range.lowerBound).prefix(range.count) }

    /// 64 lower-case hex digits.
    private static func hex(_ text: String) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var hex: [UInt8] = []
        for byte in SHA256.hash(data: Array(text.utf8)) { hex += [digits[Int(byte >> 4)], digits[Int(byte & 15)]] }
        return String(decoding: hex, as: UTF8.self)
    }

    /// The first 32 digits in groups of 8, 4, 4, 4 and 12.
    private static func uuid(_ digits: String) -> String {
        [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { slice(digits, $0) }.joined(separator: "-")
    }
}
