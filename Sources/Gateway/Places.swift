import Events
import HTTPTypes
import Keys
import Logging
import NIOCore
import Synchronization

/// The places for connections, of which one address gets so many at once: whoever opens connections without end takes its own.
///
/// Whose a connection is shows when it is accepted. A trusted proxy's are everybody's and are not counted; the sockets that come by way of
/// it are, since each has a place for itself, by the address that the proxy says.
final class Places: Sendable {
    private struct State {
        var taken: [AddressBlock: Int] = [:]
        var open = 0
        var turnedAway = 0
        var saidAt: NIODeadline?
    }

    struct Counts {
        var open = 0
        var turnedAway = 0
        /// What the address with the most of them has.
        var most = 0
    }

    private let perAddress: Int
    private let addresses: ClientAddress
    private let logger: Logger
    private let state = Mutex(State())

    init(perAddress: Int, addresses: ClientAddress, logger: Logger) {
        (self.perAddress, self.addresses, self.logger) = (perAddress, addresses, logger)
    }

    var counts: Counts {
        state.withLock { Counts(open: $0.open, turnedAway: $0.turnedAway, most: $0.taken.values.max() ?? 0) }
    }

    /// Takes a place for a connection that was accepted, until it closes; false when its address has no more.
    func admit(_ channel: any Channel) -> Bool {
        let peer = channel.remoteAddress?.ipAddress
        let isAdmitted = peer.map { addresses.isTrusted($0) || take(AddressBlock($0), until: channel) } ?? true
        guard isAdmitted else { return false }
        state.withLock { $0.open += 1 }
        channel.closeFuture.whenComplete { [self] _ in state.withLock { $0.open -= 1 } }
        return true
    }

    /// Takes a place for a socket. One that did not come by way of a trusted proxy has it already.
    func admitSocket(on channel: any Channel, of client: AddressBlock) -> Bool {
        guard let peer = channel.remoteAddress?.ipAddress, addresses.isTrusted(peer) else { return true }
        return take(client, until: channel)
    }

    private func take(_ address: AddressBlock, until channel: any Channel) -> Bool {
        let now = NIODeadline.now()
        let (isTaken, isToBeSaid) = state.withLock { state in
            guard state.taken[address, default: 0] >= perAddress else {
                state.taken[address, default: 0] += 1
                return (true, false)
            }
            state.turnedAway += 1
            let isToBeSaid = state.saidAt.map { now - $0 > Self.sayingInterval } ?? true
            if isToBeSaid { state.saidAt = now }
            return (false, isToBeSaid)
        }
        if isToBeSaid {
            logger.warning(
                "an address has as many connections as it gets; if it is a proxy of yours, trust it", metadata: ["most": "\(perAddress)"])
        }
        guard isTaken else { return false }
        channel.closeFuture.whenComplete { [self] _ in
            state.withLock { state in
                let left = (state.taken[address] ?? 1) - 1
                state.taken[address] = left == 0 ? nil : left
            }
        }
        return true
    }

    private static let sayingInterval = TimeAmount.minutes(1)
}

/// Turns a connection away that has no place: says so at once, unread, and ends it.
final class TurningAway: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// How long what the client was sending may go on, so that no reset overtakes the answer.
    private static let linger = TimeAmount.milliseconds(500)

    /// Whether bytes may be written as they are: the line is not to be encrypted.
    private let isPlain: Bool

    init(isPlain: Bool) { self.isPlain = isPlain }

    static let refusal = Refusal(.rateLimited, "Too many connections from this address.", retryAfterMilliseconds: 2000)

    private static let answer: [UInt8] = {
        let answer = DoorRoute.Answer(refusal)
        var head = "HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nRetry-After: \(refusal.retryAfterSeconds ?? 1)\r\n"
        for (name, value) in DefaultHeaders.fields { head += "\(name.rawName): \(value)\r\n" }
        for (name, value) in answer.headers { head += "\(name): \(value)\r\n" }
        return Array("\(head)\r\n".utf8) + answer.body
    }()

    func channelActive(context: ChannelHandlerContext) {
        guard isPlain else { return context.close(promise: nil) }
        context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(bytes: Self.answer)), promise: nil)
        context.close(mode: .output, promise: nil)
        let channel = context.channel
        context.eventLoop.scheduleTask(in: Self.linger) { channel.close(promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent || event as? ChannelEvent == .inputClosed { context.close(promise: nil) }
    }
}
