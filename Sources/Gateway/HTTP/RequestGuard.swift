import NIOCore
import NIOHTTP1

/// A body did not keep the pace it has to.
struct BodyTimeout: Error {}

/// Watches the requests of one connection: how long heads, bodies, unread answers and the pauses in between take, and upgrades that
/// can't be had.
///
/// A request that is whole within one read costs no timer. A body that stalls ends with `BodyTimeout`, which its reader
/// answers; the connection is closed behind the answer.
final class RequestGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    struct Pace: Sendable {
        var head: TimeAmount
        var idle: TimeAmount
        var total: TimeAmount
        /// Between two requests.
        var keepAlive: TimeAmount
    }

    private enum Phase {
        case firstHead(since: NIODeadline)
        case body(since: NIODeadline, last: NIODeadline)
        /// Answered before its body was whole: the rest may still arrive, so that the answer is not lost to a reset.
        case lingering(since: NIODeadline)
        /// A request is being answered, or the connection is at its end.
        case quiet
        /// Between requests.
        case resting(since: NIODeadline)
        case timedOut(since: NIODeadline)
    }

    /// How long the rest of a body that nobody wants may go on, and a late answer may take.
    private static let linger = TimeAmount.seconds(2)

    private let pace: Pace
    private let upgrades: SocketUpgrades
    private var phase: Phase
    private var timer: (task: Scheduled<Void>, deadline: NIODeadline)?
    private var unanswered = 0
    private var hasSeenHead = false
    /// Whether the server is going down: this connection ends with the answers it owes.
    private var isLast = false
    /// Since when the client has left so much of an answer unread that no more is written.
    private var cloggedSince: NIODeadline?

    init(pace: Pace, upgrades: SocketUpgrades) {
        self.pace = pace
        self.upgrades = upgrades
        phase = .firstHead(since: .now())
    }

    func handlerAdded(context: ChannelHandlerContext) { schedule(context) }

    /// An accepted connection becomes active only behind its initializer: until then nothing is scheduled.
    func channelActive(context: ChannelHandlerContext) {
        schedule(context)
        context.fireChannelActive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.task.cancel()
        timer = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        phase = .quiet
        cloggedSince = nil
        timer?.task.cancel()
        timer = nil
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(var head):
            unanswered += 1
            phase = .body(since: .now(), last: .now())
            upgrades.inspect(&head, isFirst: !hasSeenHead, channel: context.channel)
            hasSeenHead = true
            // RFC 9110, section 10.1.1. Said at once: what is refused before its body is read is answered either way.
            if unanswered == 1, head.headers[canonicalForm: "expect"].contains(where: { $0.lowercased() == "100-continue" }) {
                context.writeAndFlush(wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .continue))), promise: nil)
            }
            return context.fireChannelRead(wrapInboundOut(.head(head)))
        case .body:
            if case .body(let since, _) = phase { phase = .body(since: since, last: .now()) }
        case .end:
            phase = unanswered == 0 ? .resting(since: .now()) : .quiet
        }
        context.fireChannelRead(data)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        schedule(context)
        context.fireChannelReadComplete()
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(var head) where isLast && unanswered == 1 && head.status != .continue:
            head.headers.replaceOrAdd(name: "Connection", value: "close")
            return context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .head, .body: return context.write(data, promise: promise)
        case .end: break
        }
        unanswered -= 1
        switch phase {
        case .timedOut:
            let channel = context.channel
            context.writeAndFlush(data).whenComplete { _ in channel.close(promise: nil) }
            promise?.succeed()
        case .body where unanswered == 0:
            phase = .lingering(since: .now())
            context.write(data, promise: promise)
            schedule(context)
        case .quiet where unanswered == 0:
            phase = .resting(since: .now())
            let channel = context.channel
            if isLast {
                context.writeAndFlush(data).whenComplete { _ in channel.close(promise: nil) }
                promise?.succeed()
            } else {
                context.write(data, promise: promise)
                schedule(context)
            }
        default:
            context.write(data, promise: promise)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        cloggedSince = context.channel.isWritable ? nil : .now()
        schedule(context)
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Before there is a head there is nobody behind us who could answer.
        guard case .firstHead = phase, let error = error as? HTTPParserError else { return context.fireErrorCaught(error) }
        phase = .quiet
        let status: HTTPResponseStatus = error == .headerOverflow ? .requestHeaderFieldsTooLarge : .badRequest
        let head = HTTPResponseHead(version: .http1_1, status: status, headers: ["Connection": "close", "Content-Length": "0"])
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent {
            isLast = true
            switch phase {
            case .firstHead, .resting: return context.close(promise: nil)
            default: break
            }
        }
        context.fireUserInboundEventTriggered(event)
    }

    // MARK: time

    private var deadline: NIODeadline? {
        if let cloggedSince { return cloggedSince + pace.total }
        return switch phase {
        case .quiet: nil
        case .firstHead(let since): since + pace.head
        case .resting(let since): since + pace.keepAlive
        case .body(let since, let last): min(since + pace.total, last + pace.idle)
        case .lingering(let since), .timedOut(let since): since + Self.linger
        }
    }

    /// One timer at most; it looks again when it fires, so that a part which arrives moves nothing.
    private func schedule(_ context: ChannelHandlerContext) {
        guard let deadline, context.channel.isActive else { return }
        if let timer {
            guard deadline < timer.deadline else { return }
            timer.task.cancel()
        }
        timer = (context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { self.check(context) }, deadline)
    }

    private func check(_ context: ChannelHandlerContext) {
        timer = nil
        guard let deadline else { return }
        guard deadline <= .now() else { return schedule(context) }
        guard cloggedSince == nil else { return context.close(promise: nil) }
        switch phase {
        case .body:
            phase = .timedOut(since: .now())
            context.fireErrorCaught(BodyTimeout())
            schedule(context)
        case .firstHead, .resting, .lingering, .timedOut:
            phase = .quiet
            context.close(promise: nil)
        case .quiet:
            break
        }
    }
}
