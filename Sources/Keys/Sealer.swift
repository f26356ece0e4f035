import Crypto
public import Events

/// Encrypts key texts and identity secrets at rest (AES-256-GCM, NIST SP 800-38D), with a key that is kept outside of the store.
public struct Sealer: Sendable {
    public static let keyLength = 32
    private static let nonceLength = 12
    private static let tagLength = 16
    private let key: SymmetricKey

    /// - Parameter key: 32 bytes; nil where there are more or fewer.
    public init?(key: [UInt8]) {
        guard key.count == Self.keyLength else { return nil }
        self.key = SymmetricKey(data: key)
    }

    /// A project's key for hashes in scrubbed texts, derived from the sealing key (HKDF, RFC 5869): the same as long as that is.
    public func scrubbingKey(of project: Project) -> [UInt8] {
        HKDF<SHA256>.deriveKey(inputKeyMaterial: key, info: Array("parley scrubbing \(project.id)".utf8), outputByteCount: Self.keyLength)
            .withUnsafeBytes { Array($0) }
    }

    /// A key of its own for another purpose (HKDF, RFC 5869): knowing it tells nothing of this one or of others.
    func key(for purpose: String) -> SymmetricKey {
        HKDF<SHA256>.deriveKey(inputKeyMaterial: key, info: Array("parley \(purpose)".utf8), outputByteCount: 32)
    }

    /// nil only where the platform has no randomness.
    /// - Parameter id: what it belongs to; it opens for nothing else.
    public func seal(_ text: String, for id: String) -> [UInt8]? {
        guard let box = try? AES.GCM.seal(Array(text.utf8), using: key, authenticating: Array(id.utf8)) else { return nil }
        return Array(box.nonce) + Array(box.ciphertext) + Array(box.tag)
    }

    /// nil where it was sealed with another key, for another ID, or is damaged.
    func open(_ sealed: [UInt8], for id: String) -> String? {
        guard sealed.count >= Self.nonceLength + Self.tagLength,
            let nonce = try? AES.GCM.Nonce(data: sealed.prefix(Self.nonceLength)),
            let box = try? AES.GCM.SealedBox(
                nonce: nonce, ciphertext: sealed.dropFirst(Self.nonceLength).dropLast(Self.tagLength), tag: sealed.suffix(Self.tagLength)),
            let text = try? AES.GCM.open(box, using: key, authenticating: Array(id.utf8))
        else { return nil }
        return String(decoding: Array(text), as: UTF8.self)
    }
}
