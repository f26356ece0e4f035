import Crypto
import Dispatch
import Events
import Foundation
@testable import Keys

/// What decides who is let in: origins of pages, and tokens that prove a user.
enum Trust {
    private static let policy: OriginPolicy = {
        var settings = Project.Settings()
        settings.origins = ["https://shop.example", "https://*.shop.example", "http://localhost:*", "https://[::1]:8443"]
        return OriginPolicy(settings)
    }()

    /// An origin on the list is one of the few texts that it can be. Written anew here, by other means than the matcher's.
    static func origin(_ bytes: UnsafeBufferPointer<UInt8>) {
        let text = String(decoding: bytes, as: UTF8.self)
        if policy.allows(text) {
            let lower = Array(text.lowercased().utf8)
            hold(
                lower.allSatisfy { $0 > 32 && $0 < 127 && !"/@?#\\,%".utf8.contains($0) || $0 == UInt8(ascii: "/") }, "odd letters: \(text)"
            )
            let https = Array("https://".utf8), http = Array("http://localhost".utf8)
            if lower.starts(with: http) {
                let port = lower.dropFirst(http.count)
                hold(
                    port.isEmpty
                        || port.first == UInt8(ascii: ":") && (2...6).contains(port.count)
                            && port.dropFirst().allSatisfy { (48...57).contains($0) },
                    "a port that is none: \(text)")
            } else if lower == Array("https://[::1]:8443".utf8) {
                return
            } else {
                hold(lower.starts(with: https), "another scheme: \(text)")
                var host = lower.dropFirst(https.count)
                if host.suffix(4).elementsEqual(":443".utf8) { host = host.dropLast(4) }
                hold(!host.contains(UInt8(ascii: ":")) && !host.contains(UInt8(ascii: "/")), "another port, or a path: \(text)")
                hold(
                    host.elementsEqual("shop.example".utf8) || host.suffix(13).elementsEqual(".shop.example".utf8) && host.count > 13,
                    "another host: \(text)")
            }
        }
        // A list may be as odd as an operator writes it; it allows itself where it is a pattern without stars.
        if let pattern = try? OriginPattern(text), !text.contains("*") {
            hold(pattern.matches(text), "a pattern does not match itself: \(text)")
        }
    }

    private static let secret = String(repeating: "s", count: 32)
    private static let now = Timestamp(microseconds: 1_795_262_400_000_000)
    private static let proof: UserProof = {
        let key = Project.IdentityKey(id: "idk_1", algorithm: .hs256, createdAt: now)
        let made = waiting { try? await UserProof.Key(key, secret: secret) }
        guard let made else { fatalError("the key can't be used") }
        return UserProof(project: Project(number: ProjectID(1), id: "prj_1", name: "shop"), keys: [made])
    }()

    /// The first byte says what the rest is: a token as it stands; or a header, a point and claims that are then signed with the
    /// project's own secret, so that what stands behind the signature is looked at too.
    static func token(_ bytes: UnsafeBufferPointer<UInt8>) {
        guard let first = bytes.first else { return }
        let rest = bytes.dropFirst()
        let isSigned = first & 1 == 1
        var token = String(decoding: rest, as: UTF8.self)
        if isSigned {
            let halves = rest.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
            let said = halves.map { base64URL(Array($0)) }.joined(separator: ".")
            let code = HMAC<SHA256>.authenticationCode(for: Array(said.utf8), using: SymmetricKey(data: Array(secret.utf8)))
            token = said + "." + base64URL(Array(code))
        }
        let sent = token
        guard case .user(let user) = waiting({ await proof.user(of: sent, at: now) }) else { return }
        hold(isSigned || sent.utf8.count > 80, "somebody was proven without a signature")
        hold(!user.id.isEmpty && user.id.unicodeScalars.count <= Event.Bounds.id, "a proven user has no name, or too long a one")
        hold(user.expiresAt > now, "a token that has run out proves somebody")
        hold(user.expiresAt.microseconds - now.microseconds <= Int64((3600 + 20) * 1_000_000), "a token holds for more than an hour")
    }

    private static func base64URL(_ bytes: [UInt8]) -> String {
        Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    /// libFuzzer's function can't wait, so its thread does.
    private static func waiting<Value: Sendable>(_ work: @escaping @Sendable () async -> Value) -> Value {
        let box = Box<Value>()
        let done = DispatchSemaphore(value: 0)
        Task.detached {
            box.value = await work()
            done.signal()
        }
        done.wait()
        guard let value = box.value else { fatalError("the work left nothing") }
        return value
    }

    /// Unchecked: written before the semaphore is signalled, read behind it.
    private final class Box<Value>: @unchecked Sendable { var value: Value? }
}
