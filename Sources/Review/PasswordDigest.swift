import CryptoExtras

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// A password as it is kept: derived with scrypt (RFC 7914) under a salt of its own.
///
/// One at a time: a derivation takes 16 MiB and some tens of milliseconds, and whoever guesses must not take every core with it.
actor PasswordDigest {
    /// OWASP's Password Storage Cheat Sheet: N=2^14 with r=8 and p=5, or N=2^17 with p=1; the former needs an eighth of the memory.
    private static let rounds = 1 << 14
    private static let blockSize = 8
    #if DEBUG
    // A debug build's scrypt is not optimized and takes ten times as long; what is kept says how it was derived.
    private static let parallelism = 1
    #else
    private static let parallelism = 5
    #endif

    /// Longer than what is guessed, shorter than what nobody types (NIST SP 800-63B asks for 8 at least).
    static let minimumCharacters = 10
    static let maximumCharacters = 500

    /// `scrypt$16384$8$5$SALT$KEY`, in base64url.
    func derive(_ password: String) throws -> String {
        let salt = Ticket().text
        return "scrypt$\(Self.rounds)$\(Self.blockSize)$\(Self.parallelism)$\(salt)$"
            + (try key(of: password, salt: salt, parallelism: Self.parallelism))
    }

    /// Whether a password is the one that was kept. Takes as long where none was kept, so that the time tells nothing.
    func matches(_ password: String, _ kept: String?) throws -> Bool {
        let parts = (kept ?? "").split(separator: "$").map(String.init)
        let isKnown = parts.count == 6 && parts[0] == "scrypt" && parts[1] == String(Self.rounds) && parts[2] == String(Self.blockSize)
        let parallelism = isKnown ? Int(parts[3]) : nil
        let derived = try key(of: password, salt: isKnown ? parts[4] : "nobody", parallelism: parallelism ?? Self.parallelism)
        guard isKnown, parallelism != nil else { return false }
        // Compared without regard to where they begin to differ.
        let (a, b) = (Array(derived.utf8), Array(parts[5].utf8))
        return a.count == b.count && zip(a, b).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }

    private func key(of password: String, salt: String, parallelism: Int) throws -> String {
        try KDF.Scrypt.deriveKey(
            from: Array(password.utf8), salt: Array(salt.utf8), outputByteCount: 32, rounds: Self.rounds, blockSize: Self.blockSize,
            parallelism: parallelism
        ).withUnsafeBytes { Ticket.base64URL(Array($0)) }
    }
}
