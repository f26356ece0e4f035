import Events
import Ingest
import Keys
import NIOCore
import NIOHTTP1

/// Receives an upgraded connection: opens its key and puts its handler into the pipeline.
struct SocketReception: Sendable {
    let ingest: Ingest
    let keys: KeyRing
    let addresses: ClientAddress
    let clock: WallClock
    let counters: Counters
    let sockets: Sockets
    let holdings: Holdings
    let configuration: Session.Configuration

    /// Our subprotocol when it is offered. A page that offers only others gets its first one echoed, or its browser
    /// would fail the handshake and it could never read that the version is not spoken here.
    static func responseHeaders(to head: HTTPRequestHead, for door: any SocketDoor) -> HTTPHeaders {
        let offered = offeredSubprotocols(head)
        guard let chosen = offered.contains(door.subprotocol) ? door.subprotocol : offered.first else { return [:] }
        return ["Sec-WebSocket-Protocol": chosen]
    }

    func receive(_ channel: any Channel, head: HTTPRequestHead, door: any SocketDoor) throws {
        // A slow reader is one that leaves this much unread; what the kernel holds comes on top.
        try channel.syncOptions?.setOption(.writeBufferWaterMark, value: .init(low: 512 * 1024, high: 1024 * 1024))
        // Grows with what comes and shrinks again: a fixed large buffer costs as much memory as it has bytes, for each idle socket.
        try channel.syncOptions?.setOption(
            .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 512, initial: 2048, maximum: 256 * 1024))
        // One read a tick: the other connections of the loop come in between.
        try channel.syncOptions?.setOption(.maxMessagesPerRead, value: 1)
        try channel.pipeline.syncOperations.addHandler(
            SocketHandler(reception: self, door: door, entry: entry(head, door: door, channel: channel)))
    }

    private func entry(_ head: HTTPRequestHead, door: any SocketDoor, channel: any Channel) -> SocketHandler.Entry {
        let offered = Self.offeredSubprotocols(head)
        guard offered.isEmpty || offered.contains(door.subprotocol) else { return .unsupportedVersion }
        let knock = Knock(KnockHeaders(head), peer: channel.remoteAddress?.ipAddress ?? "unknown", addresses: addresses)
        switch keys.open(knock) {
        case .success(let access): return .access(access)
        case .failure(let refusal): return .refused(refusal)
        }
    }

    private static func offeredSubprotocols(_ head: HTTPRequestHead) -> [String] {
        head.headers[canonicalForm: "sec-websocket-protocol"].map(String.init).filter(\.isToken)
    }
}

extension String {
    /// Whether it is a token (RFC 9110, section 5.6.2): nothing else may be said back as a subprotocol.
    fileprivate var isToken: Bool {
        !isEmpty
            && utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"):
                    true
                default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
                }
            }
    }
}
