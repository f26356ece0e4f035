public import Events
import Crypto

/// A key as people copy it: a prefix that names its lane, random letters, and a checksum.
///
/// `pk_` and 22 letters, or `sk_` and 32 (base 62: 131 and 190 bits), then the CRC-32 of all before it in six letters,
/// so that a typo is told from an unknown key without a look-up.
public struct KeyText: Sendable, Equatable {
    public let text: String
    public let lane: Lane

    private static let alphabet = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)
    private static let checksumLength = 6  // 62^6 > 2^32
    private static let randomLength: [Lane: Int] = [.public: 22, .secret: 32]

    /// A new key out of the system's randomness.
    public static func make(_ lane: Lane) -> KeyText {
        var random = SystemRandomNumberGenerator()
        let letters = (0..<randomLength[lane]!).map { _ in alphabet.randomElement(using: &random)! }
        let body = prefix(of: lane) + String(decoding: letters, as: UTF8.self)
        return KeyText(text: body + String(decoding: checksum(of: body.utf8), as: UTF8.self), lane: lane)
    }

    /// Reads a key that somebody sent; refuses what can't be one with `malformed_key`.
    public init(reading text: String) throws(Refusal) {
        let bytes = Array(text.utf8)
        guard let lane = [Lane.public, .secret].first(where: { bytes.starts(with: Self.prefix(of: $0).utf8) }) else {
            throw Refusal(.malformedKey, field: "key", "A key begins with pk_ or sk_.")
        }
        guard bytes.count == 3 + Self.randomLength[lane]! + Self.checksumLength,
            bytes.dropFirst(3).allSatisfy({ (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) }),
            bytes.suffix(Self.checksumLength).elementsEqual(Self.checksum(of: bytes.dropLast(Self.checksumLength)))
        else {
            throw Refusal(.malformedKey, field: "key", "The key's checksum is wrong: a character was lost or changed. Copy it again.")
        }
        self.init(text: text, lane: lane)
    }

    private init(text: String, lane: Lane) { (self.text, self.lane) = (text, lane) }

    /// What the store keeps: a key has enough entropy that a plain SHA-256 can't be turned back.
    public var digest: [UInt8] { Array(SHA256.hash(data: Array(text.utf8))) }

    private static func prefix(of lane: Lane) -> String { lane == .public ? "pk_" : "sk_" }

    private static func checksum(of body: some Sequence<UInt8>) -> [UInt8] {
        var rest = crc32(body)
        var letters = [UInt8](repeating: 0, count: checksumLength)
        for index in letters.indices.reversed() {
            letters[index] = alphabet[Int(rest % 62)]
            rest /= 62
        }
        return letters
    }

    /// CRC-32 of ISO 3309 (as in gzip); keys are short, so bit by bit will do.
    private static func crc32(_ bytes: some Sequence<UInt8>) -> UInt32 {
        var crc: UInt32 = ~0
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
        }
        return ~crc
    }
}

extension KeyRecord {
    /// A record for a new key; the text is to be shown once.
    public static func issue(
        _ lane: Lane, scope: Scope = .project, project: ProjectID?, label: String? = nil, expiresAt: Timestamp? = nil, at now: Timestamp
    ) -> (text: KeyText, record: KeyRecord) {
        let text = KeyText.make(lane)
        let record = KeyRecord(
            id: "key_" + String(text.digest.prefix(6).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()),
            lane: lane, scope: scope, project: scope == .workspace ? nil : project, digest: text.digest,
            shown: lane == .public ? text.text : String(text.text.prefix(7)) + "…", label: label, createdAt: now, expiresAt: expiresAt)
        return (text, record)
    }
}
