import Events
import HTTPTypes
import Hummingbird
import Keys
import NIOCore
import NIOHTTP1

/// Which requests may become sockets. What may not goes on as plain HTTP and is answered by the router.
///
/// Keys and origins are not looked at here: a page learns nothing from a refused upgrade, so those are told on the
/// socket. Only floods, wrong versions and a shutdown are refused before it.
struct SocketUpgrades: Sendable {
    let doors: [any SocketDoor]
    let addresses: ClientAddress
    let gate: ConnectionGate
    let places: Places
    let draining: Draining

    /// Carries the ground of a refusal to the router. Whatever a client sends under this name is dropped.
    static let refusalHeader = "Parley-Upgrade-Refused"

    enum Ground: String {
        case version, late, flood, draining
    }

    func door(at uri: String) -> (any SocketDoor)? {
        let path = RequestTarget.path(of: uri)
        return doors.first { $0.socketPath == path }
    }

    /// Takes the wish to upgrade out of a head that can't have it, and leaves the ground in its place.
    func inspect(_ head: inout HTTPRequestHead, isFirst: Bool, channel: any Channel) {
        head.headers.remove(name: Self.refusalHeader)
        guard head.headers.contains(name: "Upgrade") else { return }
        let isSocket = head.headers[canonicalForm: "upgrade"].contains { $0.lowercased() == "websocket" }
        guard isSocket, door(at: head.uri) != nil else { return demote(&head, nil) }
        guard isFirst else { return demote(&head, .late) }
        guard isWellFormed(head) else { return demote(&head, .version) }
        guard !draining.hasBegun else { return demote(&head, .draining) }
        let client = addresses.resolve(peer: channel.remoteAddress?.ipAddress ?? "unknown", forwarded: head.headers["X-Forwarded-For"])
        let address = AddressBlock(client)
        guard gate.wait(for: address, at: .now()) == nil, places.admitSocket(on: channel, of: address) else { return demote(&head, .flood) }
    }

    /// RFC 6455, section 4.2.1.
    private func isWellFormed(_ head: HTTPRequestHead) -> Bool {
        let keys = head.headers[canonicalForm: "sec-websocket-key"]
        return head.method == .GET && head.version == .http1_1
            && head.headers[canonicalForm: "sec-websocket-version"].map(String.init) == ["13"]
            && keys.count == 1 && keys[0].utf8.count == 24
            && head.headers[canonicalForm: "connection"].contains { $0.lowercased() == "upgrade" }
            && head.headers["Content-Length"].allSatisfy { $0 == "0" } && !head.headers.contains(name: "Transfer-Encoding")
            && head.fault == nil
    }

    /// The parser stops behind a request that asks to upgrade, so the connection ends with the answer.
    private func demote(_ head: inout HTTPRequestHead, _ ground: Ground?) {
        head.headers.remove(name: "Upgrade")
        head.headers.replaceOrAdd(name: "Connection", value: "close")
        if let ground { head.headers.add(name: Self.refusalHeader, value: ground.rawValue) }
    }

    // MARK: the plain answers

    func add(to router: Router<GatewayContext>) {
        for door in doors {
            router.get(RouterPath(door.socketPath)) { request, _ in
                // The router forgives slashes that a client would be led astray by.
                guard request.uri.path == door.socketPath else { return Refusal(.notFound).response() }
                return Self.answer(to: request, subprotocol: door.subprotocol)
            }
        }
    }

    static func answer(to request: Request, subprotocol: String) -> Response {
        switch request.headers[HTTPField.Name(refusalHeader)!].flatMap(Ground.init) {
        case .flood:
            return Refusal(.rateLimited, "Too many sockets from this address.", retryAfterMilliseconds: 5000).response()
        case .draining:
            return Refusal(.draining).response()
        case .late:
            return required("An upgrade has to be the first request of its connection; open a new one.")
        case .version:
            return required("This is not a WebSocket handshake of version 13 (RFC 6455, section 4.2.1).")
        case nil:
            return required("This address speaks WebSocket, subprotocol \(subprotocol).")
        }
    }

    /// RFC 9110, section 15.5.22.
    private static func required(_ message: String) -> Response {
        var response = Refusal(.badRequest, message).response(status: 426)
        response.headers[.upgrade] = "websocket"
        response.headers[.connection] = "upgrade"
        response.headers[.webSocketVersion] = "13"
        return response
    }
}
