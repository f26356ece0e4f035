import Crypto

/// A secret that opens the review page: in a one-time link, or in a session's cookie.
///
/// 32 random bytes as base64url (RFC 4648, section 5). The store keeps `digest` only; a secret this long needs no salt.
public struct Ticket: Sendable, Equatable, CustomStringConvertible {
    public let text: String

    public init(text: String) { self.text = text }

    public init(using generator: inout some RandomNumberGenerator) {
        var bytes: [UInt8] = []
        for _ in 0..<4 { withUnsafeBytes(of: UInt64.random(in: .min ... .max, using: &generator)) { bytes.append(contentsOf: $0) } }
        text = Self.base64URL(bytes)
    }

    /// From the system's generator, which is fit for secrets on every platform we run on.
    public init() {
        var generator = SystemRandomNumberGenerator()
        self.init(using: &generator)
    }

    /// SHA-256 of the text.
    public var digest: [UInt8] { Array(SHA256.hash(data: Array(text.utf8))) }

    public var description: String { "***" }

    /// The address that signs a reviewer in, once. The secret is in the fragment, which no browser sends and no log keeps.
    /// - Parameter base: where the gateway is, like `http://127.0.0.1:8787`.
    public func link(at base: String) -> String { base + "/ui/#signin=" + text }

    static func base64URL(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
        var text: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            count += 8
            while count >= 6 {
                count -= 6
                text.append(alphabet[Int(bits >> UInt32(count) & 63)])
            }
        }
        if count > 0 { text.append(alphabet[Int(bits << UInt32(6 - count) & 63)]) }
        return String(decoding: text, as: UTF8.self)
    }
}
