import ArgumentParser
import Foundation

/// Where the events go: the gateway's address, the key, and which of its doors to knock at.
struct Target: Sendable {
    enum Transport: String, ExpressibleByArgument, CaseIterable, Codable, Sendable {
        case ws, http, beacon
    }

    let host: String
    let port: Int
    let transport: Transport
    let key: String
    /// What a browser would say in `Origin`. A secret key sends none: the gateway refuses secret keys that come out of a page.
    let origin: String?

    init(url: String, transport: Transport, key: String, origin: String?) throws {
        guard let parts = URLComponents(string: url), let host = parts.host, !host.isEmpty else {
            throw ValidationError("--url \(url) is not an address such as http://127.0.0.1:8787.")
        }
        guard parts.scheme == "http" || parts.scheme == "ws" else {
            throw ValidationError("--url speaks plain http only: measure the gateway itself, not the TLS proxy in front of it.")
        }
        self.host = host
        self.port = parts.port ?? 80
        self.transport = transport
        self.key = key
        self.origin = Target.isSecret(key) ? nil : origin ?? (self.port == 80 ? "http://\(host)" : "http://\(host):\(self.port)")
    }

    static func isSecret(_ key: String) -> Bool { key.hasPrefix("sk_") }

    var isLoopback: Bool { host.hasPrefix("127.") }
    var authority: String { "\(host):\(port)" }

    /// The path that events are sent to. A public key travels in it, as it does from a page; a secret key goes into a header.
    var path: String {
        let query = Target.isSecret(key) ? "" : "?key=\(key)"
        return switch transport {
        case .ws: "/v1/socket" + query
        case .http: "/v1/events" + query
        case .beacon: "/v1/beacon" + query
        }
    }
}
