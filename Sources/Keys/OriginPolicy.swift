public import Events
import Synchronization

/// Which pages may use a project's public keys. It stops other websites; a script can send any Origin it likes.
public struct OriginPolicy: Sendable {
    private let patterns: [OriginPattern]
    private let allowsMissing: Bool
    private let allowsNull: Bool
    private let known = KnownOrigins()

    public init(_ settings: Project.Settings) {
        patterns = settings.origins.compactMap { try? OriginPattern($0) }
        allowsMissing = settings.allowsMissingOrigin
        allowsNull = settings.allowsNullOrigin
    }

    public func refusal(of origin: Knock.Origin) -> Refusal? {
        switch origin {
        case .missing: allowsMissing ? nil : Refusal(.originMissing, field: "Origin")
        case .null: allowsNull ? nil : Refusal(.originNull, field: "Origin")
        case .named(let text):
            allows(text) ? nil : Refusal(.originForbidden, field: "Origin", "The origin \(text.prefix(200)) is not on the project's list.")
        }
    }

    public func allows(_ origin: String) -> Bool {
        if known.contains(origin) { return true }
        guard patterns.contains(where: { $0.matches(origin) }) else { return false }
        known.insert(origin)
        return true
    }
}

/// Origins that a list was found to allow: each request and each batch of a socket asks for the same few.
private final class KnownOrigins: Sendable {
    /// A wildcard allows any number of them.
    private static let maximum = 256
    private let origins = Mutex<Set<String>>([])

    func contains(_ origin: String) -> Bool { origins.withLock { $0.contains(origin) } }

    func insert(_ origin: String) {
        origins.withLock { origins in
            if origins.count >= Self.maximum { origins.removeAll() }
            origins.insert(origin)
        }
    }
}

/// One line of a project's list: an exact origin (RFC 6454), or one whose host begins with `*.`, and `:*` for any port.
public struct OriginPattern: Sendable, Equatable {
    private let scheme: String
    private let host: String
    private let port: String?
    private let isWildcard: Bool
    private let takesAnyPort: Bool

    public init(_ text: String) throws(Refusal) {
        guard let parts = Self.split(text.lowercased()) else {
            throw Refusal(
                .invalidField, field: "origin",
                "\(text) is not an origin: write scheme and host, like https://shop.example or https://*.shop.example.")
        }
        scheme = parts.scheme
        isWildcard = parts.host.hasPrefix("*.")
        host = isWildcard ? String(parts.host.dropFirst(1)) : parts.host
        takesAnyPort = parts.port == "*"
        port = takesAnyPort ? nil : parts.port ?? Self.defaultPort(of: parts.scheme)
        guard !host.contains("*"), !host.isEmpty, host != "." else {
            throw Refusal(.invalidField, field: "origin", "\(text): a wildcard may only stand left-most, as in https://*.shop.example.")
        }
    }

    public func matches(_ origin: String) -> Bool {
        guard let parts = Self.split(origin.lowercased()), parts.scheme == scheme, parts.port != "*", !parts.host.contains("*") else {
            return false
        }
        guard takesAnyPort || (parts.port ?? Self.defaultPort(of: scheme)) == port else { return false }
        // The dot stays in front, so that `evilshop.example` is no subdomain; the part before it must not be empty.
        return isWildcard ? parts.host.hasSuffix(host) && parts.host.utf8.count > host.utf8.count : parts.host == host
    }

    private static func defaultPort(of scheme: String) -> String? { ["http": "80", "https": "443"][scheme] }

    /// Scheme, host and port, if it is nothing but these.
    private static func split(_ origin: String) -> (scheme: String, host: String, port: String?)? {
        let halves = origin.split(separator: "://", maxSplits: 1, omittingEmptySubsequences: false)
        guard halves.count == 2, !halves[0].isEmpty, halves[0].utf8.allSatisfy({ $0.isOriginLetter || $0 == UInt8(ascii: "+") }) else {
            return nil
        }
        var host = halves[1]
        var port: String?
        let afterBracket = host.lastIndex(of: "]") ?? host.startIndex
        if let colon = host[afterBracket...].lastIndex(of: ":") {
            port = String(host[host.index(after: colon)...])
            host = host[..<colon]
            guard port == "*" || !port!.isEmpty && port!.utf8.count <= 5 && port!.utf8.allSatisfy({ $0 &- 48 < 10 }) else { return nil }
        }
        guard !host.isEmpty, host.utf8.allSatisfy({ $0.isOriginLetter || "*[]:_".utf8.contains($0) }) else { return nil }
        // Brackets stand around an IPv6 address, which has nothing beside it.
        guard
            !host.contains(where: { "[]".contains($0) })
                || host.first == "[" && host.last == "]" && host.filter({ "[]".contains($0) }).count == 2
        else { return nil }
        return (String(halves[0]), String(host), port)
    }
}

extension UInt8 {
    /// A letter, digit, dot or hyphen. International names reach us as punycode, so no others are needed.
    fileprivate var isOriginLetter: Bool {
        (97...122).contains(self) || (48...57).contains(self) || self == UInt8(ascii: ".") || self == UInt8(ascii: "-")
    }
}
