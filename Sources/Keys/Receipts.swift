import Crypto
public import Events

/// Signed words that an event is stored: handed out with the verdict, and proof of it for whoever is handed them on (protocol, P-RCPT).
///
/// `r1.` and 40 bytes in base64url: the time in milliseconds (8, big-endian), the content's digest (16), and the first 16 of an HMAC-SHA256
/// (RFC 2104) over project, ID, time and digest, with a key of the project's derived from the installation's sealing key (RFC 5869). So
/// every gateway of an installation knows the others', none is kept, and none holds in another project.
public struct Receipts: Sendable {
    /// What a receipt says.
    public struct Word: Sendable, Equatable {
        public var at: Timestamp
        public var digest: ContentDigest
    }

    private static let prefix = "r1."
    private static let (timeLength, digestLength, codeLength) = (8, 16, 16)

    private let sealer: Sealer

    public init(sealer: Sealer) { self.sealer = sealer }

    public func receipt(for id: String, _ digest: ContentDigest, in project: Project, at time: Timestamp) -> String {
        let said = Self.bytes(of: time.microseconds / 1000) + digest.bytes
        return Self.prefix + Base64URL.text(of: said + code(over: said, id, project).prefix(Self.codeLength))
    }

    /// What a receipt says of that ID; nil where nobody here signed it.
    public func read(_ text: String, for id: String, in project: Project) -> Word? {
        guard text.hasPrefix(Self.prefix), let bytes = Base64URL.bytes(of: text.utf8.dropFirst(Self.prefix.utf8.count)),
            bytes.count == Self.timeLength + Self.digestLength + Self.codeLength
        else { return nil }
        let said = Array(bytes.dropLast(Self.codeLength))
        // In a time that does not tell where they differ.
        let differences = zip(code(over: said, id, project), bytes.suffix(Self.codeLength)).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) }
        guard differences == 0 else { return nil }
        let milliseconds = said.prefix(Self.timeLength).reduce(Int64(0)) { $0 << 8 | Int64($1) }
        return Word(
            at: Timestamp(microseconds: milliseconds &* 1000), digest: ContentDigest(stored: Array(said.dropFirst(Self.timeLength))))
    }

    /// The length stands in front of the ID, which may have any letter in it.
    private func code(over said: [UInt8], _ id: String, _ project: Project) -> [UInt8] {
        let input = Self.bytes(of: Int64(id.utf8.count)) + Array(id.utf8) + said
        return Array(HMAC<SHA256>.authenticationCode(for: input, using: sealer.key(for: "receipt \(project.id)")))
    }

    private static func bytes(of number: Int64) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }
}
