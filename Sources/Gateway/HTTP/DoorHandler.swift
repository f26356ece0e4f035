import Events
import HTTPTypes
import NIOCore
import NIOHTTP1

/// Answers the doors' requests on the connection's event loop and lets all others pass to the router.
///
/// It stands before the router because of what hops cost: by way of the router's tasks a request took 130 µs of processor time, on the
/// loop it takes 55 (`scripts/bench`, row `http-discard`). Answers leave in the order of their requests: a request that comes while
/// another is being answered is held back, and so is reading on.
///
/// Bound to the loop of its channel; only what a route has done comes from elsewhere, and hops back first.
final class DoorHandler: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// What the handlers of all connections share.
    struct Hall: Sendable {
        var entrances: EntranceTable
        var counters: Counters
        var date: DateHeader
    }

    /// Where the parts of the request go that is coming in.
    private enum Inbound {
        case none
        case visit(DoorRoute.Visit, DoorRoute)
        /// Answered or being answered; the rest of its body is dropped.
        case dropped
        case routed
    }

    /// What the answer that is owed has to say besides its own words.
    private struct Owed {
        var endpoint: String
        var method: HTTPMethod
        var keepsAlive: Bool
    }

    private let hall: Hall
    private var inbound = Inbound.none
    private var owed: Owed?
    private var routedUnanswered = 0
    private var held: CircularBuffer<HTTPServerRequestPart> = []
    private var isReadHeld = false
    private var isResuming = false
    /// What ended the inbound side, until its request has been dealt with.
    private var failure: (any Error)?
    private var peer = "unknown"
    /// Whether the client has ended its half; told on once nothing of ours is owed.
    private var isInputClosed = false
    /// Whether the last answer was written.
    private var isEnding = false
    private var context: ChannelHandlerContext?

    init(hall: Hall) { self.hall = hall }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        peer = context.channel.remoteAddress?.ipAddress ?? "unknown"
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    // MARK: parts in

    private var isBusy: Bool { owed != nil || routedUnanswered > 0 }

    /// Answers that the client leaves unread are bounded by hearing no further request; `RequestGuard` ends it if that goes on.
    private var isClogged: Bool { context.map { !$0.channel.isWritable } ?? false }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { resume(context) }
        context.fireChannelWritabilityChanged()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        if !held.isEmpty || mustWait(part) { held.append(part) } else { take(part, context) }
    }

    private func mustWait(_ part: HTTPServerRequestPart) -> Bool {
        guard isBusy || isClogged, case .head = part else { return false }
        return true
    }

    private func take(_ part: HTTPServerRequestPart, _ context: ChannelHandlerContext) {
        switch (part, inbound) {
        case (.head, _) where isEnding:
            // Behind the last answer nothing is heard.
            inbound = .dropped
        case (.head(let head), _):
            enter(head, context)
        case (.body(let piece), .visit(let visit, let route)):
            guard let answer = route.append(piece, to: visit) else { return }
            inbound = .dropped
            write(answer, context)
        case (.end, .visit(let visit, let route)):
            inbound = .none
            answer(visit, at: route, context)
        case (.body, .routed):
            context.fireChannelRead(wrapInboundOut(part))
        case (.end, .routed):
            inbound = .none
            context.fireChannelRead(wrapInboundOut(part))
        case (.end, .dropped):
            inbound = .none
            if isEnding { context.close(promise: nil) }
        case (.body, .dropped), (.body, .none), (.end, .none):
            break
        }
    }

    private func enter(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        if let fault = head.fault {
            owed = Owed(endpoint: "NotFound", method: head.method, keepsAlive: false)
            inbound = .dropped
            return write(DoorRoute.Answer(fault), context)
        }
        let matches = hall.entrances.matches(RequestTarget.path(of: head.uri))
        guard !matches.isEmpty else { return pass(head, context) }
        func owe(_ route: DoorRoute) {
            owed = Owed(endpoint: route.entrance.path, method: head.method, keepsAlive: head.isKeepAlive)
        }
        if head.method == .OPTIONS {
            owe(matches[0].route)
            inbound = .dropped
            return write(matches[0].route.preflight(head, methods: matches.map(\.route.entrance.method)), context)
        }
        guard let match = matches.first(where: { $0.route.entrance.method.rawValue == head.method.rawValue }) else {
            return pass(head, context)
        }
        owe(match.route)
        switch match.route.enter(head, parameters: match.parameters, peer: peer) {
        case .answer(let answer):
            inbound = .dropped
            write(answer, context)
        case .visit(let visit) where visit.body == nil:
            inbound = .dropped
            answer(visit, at: match.route, context)
        case .visit(let visit):
            inbound = .visit(visit, match.route)
        }
    }

    private func pass(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        inbound = .routed
        routedUnanswered += 1
        context.fireChannelRead(wrapInboundOut(.head(head)))
    }

    private func answer(_ visit: DoorRoute.Visit, at route: DoorRoute, _ context: ChannelHandlerContext) {
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        route.answer(visit, on: context.eventLoop) { answer in
            let handler = bound.value
            if let context = handler.context { handler.write(answer, context) }
        }
    }

    /// Parts that wait are bounded by reading no further.
    func read(context: ChannelHandlerContext) {
        if held.isEmpty { context.read() } else { isReadHeld = true }
    }

    /// Takes what was held back, up to the next request that has to wait.
    private func resume(_ context: ChannelHandlerContext) {
        // What is answered at once comes back here; a loop takes the next of them, or thousands in a row would fill the stack.
        guard !isResuming, !held.isEmpty || failure != nil else { return }
        isResuming = true
        while let part = held.first, !mustWait(part) {
            held.removeFirst()
            take(part, context)
        }
        isResuming = false
        // The router takes what it was handed when a read is complete.
        context.fireChannelReadComplete()
        guard held.isEmpty else { return }
        if isReadHeld {
            isReadHeld = false
            context.read()
        }
        settleFailure(context)
        settleInput(context)
    }

    // MARK: the ends

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case ChannelEvent.inputClosed = event else { return context.fireUserInboundEventTriggered(event) }
        isInputClosed = true
        settleInput(context)
    }

    /// A client that ends its half when it has asked still gets its answers: what is behind us ends the line when it hears of it.
    private func settleInput(_ context: ChannelHandlerContext) {
        guard isInputClosed, held.isEmpty, owed == nil else { return }
        isInputClosed = false
        context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        failure = error
        settleFailure(context)
    }

    /// A failure counts for the request that is coming in, once all before it is answered.
    private func settleFailure(_ context: ChannelHandlerContext) {
        guard held.isEmpty, let error = failure else { return }
        switch inbound {
        case .visit(let visit, let route):
            failure = nil
            inbound = .dropped
            if !(error is BodyTimeout) { owed?.keepsAlive = false }
            write(route.abandon(visit, Refusal(error is BodyTimeout ? .bodyTimeout : .bodyIncomplete)), context)
        case .none where owed != nil, .dropped where owed != nil:
            // It is told behind the answer.
            break
        case .dropped:
            failure = nil
            context.close(promise: nil)
        case .none, .routed:
            failure = nil
            context.fireErrorCaught(error)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if case .visit(let visit, let route) = inbound { _ = route.abandon(visit, Refusal(.bodyIncomplete)) }
        inbound = .dropped
        held.removeAll()
        context.fireChannelInactive()
    }

    // MARK: answers out

    /// What the router answers.
    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let part = unwrapOutboundIn(data)
        context.write(data, promise: promise)
        guard case .end = part else { return }
        routedUnanswered -= 1
        // Not from within the write of another handler.
        if !held.isEmpty || failure != nil {
            let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
            context.eventLoop.execute {
                let handler = bound.value
                if let context = handler.context { handler.resume(context) }
            }
        }
    }

    private func write(_ answer: DoorRoute.Answer, _ context: ChannelHandlerContext) {
        guard var owed else { return }
        self.owed = nil
        if isInputClosed, held.isEmpty { owed.keepsAlive = false }
        hall.counters.countRequest(owed.endpoint, method: owed.method.rawValue, status: Int(answer.status.code))
        var head = HTTPResponseHead(version: .http1_1, status: answer.status, headers: answer.headers)
        for (name, value) in DefaultHeaders.fields where !head.headers.contains(name: name.rawName) {
            head.headers.add(name: name.rawName, value: value)
        }
        head.headers.add(name: "Date", value: hall.date.text)
        if !owed.keepsAlive { head.headers.add(name: "Connection", value: "close") }
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if !answer.body.isEmpty {
            context.write(wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(bytes: answer.body)))), promise: nil)
        }
        guard owed.keepsAlive else { return end(context) }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        resume(context)
    }

    /// The last answer. While its request is still coming in, only our side ends, or a reset could overtake the answer; `RequestGuard`
    /// closes behind it.
    private func end(_ context: ChannelHandlerContext) {
        isEnding = true
        let mode: CloseMode = if case .none = inbound { .all } else { .output }
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(mode: mode, promise: nil) }
    }
}

/// The target of a request line (RFC 9112, section 3.2).
enum RequestTarget {
    /// The path, without the query, of a target in origin form or absolute form.
    static func path(of target: String) -> String {
        var rest = target.utf8[...]
        if rest.first != UInt8(ascii: "/") {
            guard let colon = rest.firstIndex(of: UInt8(ascii: ":")), rest[colon...].starts(with: "://".utf8) else { return target }
            rest = rest[colon...].dropFirst(3).drop { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") }
        }
        let path = rest.prefix { $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") }
        return path.count == target.utf8.count ? target : path.isEmpty ? "/" : String(Substring(path))
    }
}

extension HTTPRequestHead {
    /// What in it another reader on the way may have read otherwise.
    var fault: Refusal? {
        let hosts = headers["Host"]
        // RFC 9112, section 3.2: two may lead a proxy and us to different ones.
        guard hosts.count == 1 || version == .http1_0 && hosts.isEmpty, hosts.allSatisfy(\.isHost) else {
            return Refusal(.badRequest, field: "Host", "A request names its host, once (RFC 9112, section 3.2).")
        }
        // Section 6.1: an HTTP/1.0 client knows of none, and an empty one is no coding.
        let encodings = headers["Transfer-Encoding"]
        guard encodings.isEmpty || version == .http1_1 && encodings.allSatisfy({ !$0.isEmpty }) else {
            return Refusal(.badRequest, field: "Transfer-Encoding", "This Transfer-Encoding can't be (RFC 9112, section 6.1).")
        }
        return nil
    }
}

extension String {
    /// Whether it is a host, with one port at most (RFC 9112, section 3.2; RFC 3986, sections 3.2.2 and 3.2.3).
    fileprivate var isHost: Bool {
        var rest = utf8[...]
        if rest.first == UInt8(ascii: "[") {
            guard let end = rest.firstIndex(of: UInt8(ascii: "]")) else { return false }
            guard rest[..<end].dropFirst().allSatisfy({ $0.isOfName || $0 == UInt8(ascii: ":") }) else { return false }
            rest = rest[end...].dropFirst()
            guard rest.isEmpty || rest.first == UInt8(ascii: ":") else { return false }
        }
        let name = rest.prefix { $0 != UInt8(ascii: ":") }
        return name.allSatisfy(\.isOfName) && rest[name.endIndex...].dropFirst().allSatisfy(\.isDigit)
    }
}

extension UInt8 {
    fileprivate var isDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }

    /// A byte of a host's name, without what separates it from anything else.
    fileprivate var isOfName: Bool {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        default: "-._~%!$&'()*+;=".utf8.contains(self)
        }
    }
}
