public import Events
import JWTKit

/// A user whose name a token proves.
public struct ProvenUser: Sendable, Equatable {
    public var id: String
    /// The only conversation it speaks for; nil: all of the user's.
    public var thread: String?
    public var expiresAt: Timestamp

    public init(id: String, thread: String?, expiresAt: Timestamp) { (self.id, self.thread, self.expiresAt) = (id, thread, expiresAt) }
}

/// What was found of the token a sender brought.
public enum Proof: Sendable, Equatable {
    /// None was brought, or nobody looks.
    case none
    case user(ProvenUser)
    /// The token does not hold, and why.
    case failed(Refusal)

    public var user: ProvenUser? { if case .user(let user) = self { user } else { nil } }
}

/// Tells whether a token proves a user of a project: a JWS in compact form (RFC 7515) of a JWT (RFC 7519).
///
/// The algorithm is the key's own and no other (RFC 8725, section 3.1); `sub` is the user, `aud` the project's ID or name, `exp` at most
/// an hour away; `nbf` holds where it is there; `thread` may bind it to one conversation.
struct UserProof: Sendable {
    /// How far the clocks of two servers may differ, in seconds.
    static let leeway = 10.0
    static let longest = 3600.0
    /// A longer one is no token of this kind: all that is looked at in it are a few names.
    static let mostBytes = 4096

    /// A key, ready to be used.
    struct Key: Sendable {
        var id: String
        var algorithm: Project.IdentityKey.Algorithm
        var signers: JWTKeyCollection
    }

    private struct Claims: JWTPayload {
        var sub: String
        var aud: AudienceClaim
        var exp: Double
        var nbf: Double?
        var thread: String?
        // Times are looked at against the gateway's clock, where the refusal can say which of them it was.
        func verify(using algorithm: some JWTAlgorithm) async throws {}
    }

    let project: Project
    let keys: [Key]

    func user(of token: String, at now: Timestamp) async -> Proof {
        do throws(Refusal) { return .user(try await read(token, at: now)) } catch { return .failed(error) }
    }

    private func read(_ token: String, at now: Timestamp) async throws(Refusal) -> ProvenUser {
        guard token.utf8.count <= Self.mostBytes else { throw invalid("It has more than \(Self.mostBytes) bytes.") }
        guard !keys.isEmpty else { throw invalid("The project has no identity key: `parley identity create`.") }
        let (algorithm, kid) = try header(of: token)
        let fitting = keys.filter { $0.algorithm == algorithm && (kid == nil || $0.id == kid) }
        guard !fitting.isEmpty else {
            throw invalid(
                keys.contains { $0.algorithm == algorithm } ? "No identity key is named by its kid." : "No identity key is for its alg.")
        }
        for key in fitting {
            // What JWTKit throws says no more than that it does not hold.
            guard let claims = try? await key.signers.verify(token, as: Claims.self) else { continue }
            return try user(of: claims, at: now)
        }
        throw invalid("Its signature or its claims (sub, aud, exp) do not hold.")
    }

    private func user(of claims: Claims, at now: Timestamp) throws(Refusal) -> ProvenUser {
        guard claims.aud.value.contains(where: { $0 == project.id || $0 == project.name }) else {
            throw invalid("Its aud is not \(project.id).")
        }
        let id = claims.sub
        guard !id.isEmpty, id.unicodeScalars.count <= Event.Bounds.id, !id.hasNUL, id.first != Event.User.mark else {
            throw invalid("Its sub is not 1 to \(Event.Bounds.id) characters.")
        }
        if let thread = claims.thread, thread.isEmpty || thread.unicodeScalars.count > Event.Bounds.id {
            throw invalid("Its thread is not 1 to \(Event.Bounds.id) characters.")
        }
        // The bounds of what can be reckoned with; NaN is in no range.
        guard (0..<1e11).contains(claims.exp), claims.nbf.map({ (-1e11..<1e11).contains($0) }) ?? true else {
            throw invalid("Its exp or nbf is no time.")
        }
        if let nbf = claims.nbf, nbf > now.seconds + Self.leeway { throw invalid("Its nbf is still to come.") }
        guard claims.exp <= now.seconds + Self.longest + Self.leeway else { throw invalid("Its exp is more than an hour away.") }
        guard claims.exp + Self.leeway > now.seconds else { throw Refusal(.expiredToken, field: "token") }
        return ProvenUser(
            id: id, thread: claims.thread, expiresAt: Timestamp(microseconds: Int64((claims.exp + Self.leeway) * 1_000_000)))
    }

    /// What a token says of itself before anything of it is believed.
    private func header(of token: String) throws(Refusal) -> (Project.IdentityKey.Algorithm, kid: String?) {
        let parts = token.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, parts.allSatisfy({ !$0.isEmpty && $0.allSatisfy(Base64URL.isLetter) }),
            let bytes = Base64URL.bytes(of: parts[0])
        else {
            throw invalid("It is not a signed JWT: three parts in base64url with points between them.")
        }
        let said = try? JSONDocument.read(bytes) { json -> (alg: String?, kid: String?, isCritical: Bool) in
            (json["alg"]?.string, json["kid"]?.string, json["crit"] != nil)
        }
        guard let said, let algorithm = said.alg.flatMap({ Project.IdentityKey.Algorithm(rawValue: $0) }) else {
            throw invalid("Its alg is none of \(Project.IdentityKey.Algorithm.allCases.map(\.rawValue).joined(separator: ", ")).")
        }
        // RFC 7515, section 4.1.11: what must be understood and isn't.
        guard !said.isCritical else { throw invalid("Its header has crit.") }
        return (algorithm, said.kid)
    }

    private func invalid(_ why: String) -> Refusal { Refusal(.invalidToken, field: "token", why) }
}

extension UserProof.Key {
    /// - Parameter secret: the shared secret of HS256.
    /// - Throws: a refusal that says what is wrong with the key.
    init(_ key: Project.IdentityKey, secret: String?) async throws(Refusal) {
        id = key.id
        algorithm = key.algorithm
        signers = JWTKeyCollection()
        do {
            switch key.algorithm {
            case .hs256:
                guard let secret else { throw Refusal(.invalidField, field: "secret", "The secret of \(key.id) can't be read.") }
                await signers.add(hmac: HMACKey(from: Array(secret.utf8)), digestAlgorithm: .sha256)
            case .es256: try await signers.add(ecdsa: ES256PublicKey(pem: key.pem ?? ""))
            case .edDSA: try await signers.add(eddsa: EdDSA.PublicKey(pem: key.pem ?? ""))
            }
        } catch let refusal as Refusal {
            throw refusal
        } catch {
            throw Refusal(.invalidField, field: "publicKey", "This is no public key of \(key.algorithm.rawValue) in PEM.")
        }
    }
}

extension Project.IdentityKey {
    /// Looks at what is to become a key: throws where it would prove nobody.
    public static func check(_ key: Self, secret: String?) async throws(Refusal) { _ = try await UserProof.Key(key, secret: secret) }
}

/// The letters of RFC 4648, section 5, without padding.
enum Base64URL {
    static func isLetter(_ byte: UInt8) -> Bool { value(byte) != nil }

    private static func value(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte - 65
        case UInt8(ascii: "a")...UInt8(ascii: "z"): byte - 71
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte + 4
        case UInt8(ascii: "-"): 62
        case UInt8(ascii: "_"): 63
        default: nil
        }
    }

    /// nil for a letter that is none, or a length that can't be.
    static func bytes(of text: some Collection<UInt8>) -> [UInt8]? {
        guard text.count % 4 != 1 else { return nil }
        var bytes: [UInt8] = []
        var (bits, count) = (UInt32(0), 0)
        for byte in text {
            guard let six = value(byte) else { return nil }
            bits = bits << 6 | UInt32(six)
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return bytes
    }

    static func text(of bytes: some Collection<UInt8>) -> String {
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
        var text: [UInt8] = []
        var (bits, count) = (UInt32(0), 0)
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            count += 8
            while count >= 6 {
                count -= 6
                text.append(letters[Int(bits >> UInt32(count) & 63)])
            }
        }
        if count > 0 { text.append(letters[Int(bits << UInt32(6 - count) & 63)]) }
        return String(decoding: text, as: UTF8.self)
    }
}
