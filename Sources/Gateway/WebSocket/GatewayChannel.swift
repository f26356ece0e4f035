import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1
import NIOSSL

/// One accepted connection: HTTP for the doors and the router, or a socket once it has upgraded.
struct GatewayChannel: ServerChildChannel, HTTPChannelHandler {
    enum Outcome: Sendable {
        case http(NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>)
        /// Its handler does the rest on the event loop; no task stays with it.
        case socket
        /// It got no place and is on its way out.
        case turnedAway
    }

    struct Value: ServerChildChannelValue {
        let channel: any Channel
        let outcome: EventLoopFuture<Outcome>
    }

    let responder: HTTPChannelHandler.Responder
    let tls: TLSIdentity?
    let hall: DoorHandler.Hall
    let pace: RequestGuard.Pace
    let places: Places
    let upgrades: SocketUpgrades
    let reception: SocketReception

    /// As the common servers have it: more is an attack or a mistake.
    private static let headLimits: NIOHTTPDecoderLimitConfiguration = {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = 16 * 1024
        limits.maxHeaderListSize = 64 * 1024
        limits.maxHeaderFieldCount = 100
        return limits
    }()

    /// Names the types of a connection's pipeline, on one thread, before there are connections.
    ///
    /// Where two event loops are the first to do so, both at once, Swift's runtime (6.3.1) has been seen to crash: one reads in
    /// `swift_checkMetadataState` what the other is still making. Once in a thousand starts under load, in debug builds.
    static func prepare() { precondition(!types.isEmpty) }

    private static let types: Set<ObjectIdentifier> = [
        ObjectIdentifier(ByteToMessageHandler<HTTPRequestDecoder>.self), ObjectIdentifier(NIOTypedHTTPServerUpgradeHandler<Outcome>.self),
        ObjectIdentifier(NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>.self), ObjectIdentifier(SocketUpgrader<Outcome>.self),
        ObjectIdentifier(EventLoopFuture<Value>.self),
    ]

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            guard places.admit(channel) else {
                hall.counters.count(TurningAway.refusal)
                try pipeline.addHandler(TurningAway(isPlain: tls == nil))
                return Value(channel: channel, outcome: channel.eventLoop.makeSucceededFuture(.turnedAway))
            }
            if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls.context)) }
            let encoder = HTTPResponseEncoder()
            let decoder = ByteToMessageHandler(
                HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: Self.headLimits))
            let requests = RequestGuard(pace: pace, upgrades: upgrades)
            // The guard leaves before the decoder does, which then hands on bytes that are no longer HTTP.
            let upgrade = NIOTypedHTTPServerUpgradeHandler<Outcome>(
                httpEncoder: encoder, extraHTTPHandlers: [requests, decoder],
                upgradeConfiguration: .init(upgraders: [upgrader], notUpgradingCompletionHandler: configureHTTP))
            try pipeline.addHandlers([encoder, decoder, requests, upgrade])
            return Value(channel: channel, outcome: upgrade.upgradeResultFuture)
        }
    }

    func handle(value: Value, logger: Logger) async {
        do {
            switch try await value.outcome.get() {
            case .http(let channel): await handleHTTP(asyncChannel: channel, logger: logger)
            case .socket, .turnedAway: break
            }
        } catch {
            // It ended before its first request did.
            value.channel.close(promise: nil)
        }
    }

    private var upgrader: SocketUpgrader<Outcome> {
        SocketUpgrader(
            headers: { head in upgrades.door(at: head.uri).map { SocketReception.responseHeaders(to: head, for: $0) } },
            upgraded: { channel, head in
                guard let door = upgrades.door(at: head.uri) else { throw ChannelError.inappropriateOperationForState }
                try reception.receive(channel, head: head, door: door)
                return .socket
            })
    }

    private func configureHTTP(_ channel: any Channel) -> EventLoopFuture<Outcome> {
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandlers([DoorHandler(hall: hall), HTTP1ToHTTPServerCodec(secure: tls != nil)])
            return .http(
                try NIOAsyncChannel(wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true)))
        }
    }
}
