import Events
import Ingest
import Keys
import NIOCore

/// One open socket on its event loop: frames in, session, frames out.
///
/// Bound to the loop of its channel; only completions of ingest come from elsewhere, and hop back first.
final class SocketHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// How the socket was let in. A refusal is told on the socket, where a page can read it.
    enum Entry: Sendable {
        case access(Access)
        case refused(Refusal)
        case unsupportedVersion
    }

    private let reception: SocketReception
    private let door: any SocketDoor
    private var entry: Entry
    /// Batches that came while a token is being looked at: whose they are is not known yet. Bounded by the credits.
    private var unattributed: [(batch: Int64, parcel: Parcel)] = []
    private var proofsAwaited = 0
    private var session: Session
    private var frames: FrameDecoder
    /// The beginning of a frame whose rest is still to come.
    private var begun: ByteBuffer?
    private var messages: MessageAssembler
    /// What `begun` and `messages` hold, where it is more than a socket has for nothing.
    private var holding: Holding?
    private var context: ChannelHandlerContext?
    private var isReadHeld = false
    /// Whether more came than one turn takes: nothing is read until it has been heard.
    private var hasMore = false
    /// Whether the peer has ended its half while there was more.
    private var isInputClosed = false
    /// Whether answers are gathered and leave with the end of the turn.
    private var isInTurn = false
    private var hasSentClose = false

    init(reception: SocketReception, door: any SocketDoor, entry: Entry) {
        self.reception = reception
        self.door = door
        self.entry = entry
        session = Session(
            id: "s_" + String(UInt64.random(in: .min ... .max), radix: 36), configuration: reception.configuration, at: Self.now(reception))
        frames = FrameDecoder(maximumBytes: reception.configuration.maximumFrameBytes)
        messages = MessageAssembler(maximumBytes: reception.configuration.maximumFrameBytes)
    }

    // MARK: the channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        reception.counters.socketOpened()
        reception.sockets.add(self, on: context.eventLoop)
        switch entry {
        case .access(var access):
            access.session = session.id
            entry = .access(access)
            perform(session.opened(pressure: reception.ingest.pressure, at: now))
        case .refused(let refusal):
            perform(session.accessLost(refusal, at: now))
        case .unsupportedVersion:
            perform(
                session.end(with: .unsupportedVersion, Refusal(.badRequest, "The subprotocol spoken here is \(door.subprotocol)."), at: now)
            )
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        guard self.context != nil else { return }
        self.context = nil
        reception.sockets.remove(self, on: context.eventLoop)
        reception.counters.socketClosed(code: session.closeCode?.rawValue)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var arrived = unwrapInboundIn(data)
        if var begun = begun.take() {
            begun.writeBuffer(&arrived)
            arrived = begun
        }
        if hasMore { begun = arrived } else { take(arrived, context) }
    }

    /// The next turn of a socket that has more to say.
    func takeTurn() {
        guard let context, hasMore else { return }
        hasMore = false
        if let arrived = begun.take() { take(arrived, context) }
        guard !hasMore else { return }
        if isInputClosed { context.close(promise: nil) } else { goOnReading(context) }
    }

    /// How many frames a socket may say before others have their turn: a flood of small ones, each answered, would hold up the loop.
    private static let framesATurn = 64

    private func take(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        var arrived = bytes
        var count = 0
        isInTurn = true
        while count < Self.framesATurn, let step = frames.next(from: &arrived) {
            take(step)
            count += 1
        }
        isInTurn = false
        context.flush()
        // Nothing comes behind a close, however broken (RFC 6455, section 7.1.1).
        if frames.hasEnded { return perform([.disconnect]) }
        if count == Self.framesATurn, arrived.readableBytes > 0, self.context != nil {
            hasMore = true
            reception.sockets.giveTurn(to: self, on: context.eventLoop)
        }
        if arrived.readableBytes > 0 {
            // What is left of a large read must not hold all of it: an idle socket costs what it has to keep.
            begun = arrived.readableBytes * 2 < arrived.storageCapacity ? context.channel.allocator.buffer(buffer: arrived) : arrived
        }
        hold()
    }

    /// Unfinished frames and messages have a bound in sum (`Holdings`), beside the one that each has. At the bound the socket ends: what it
    /// was sending has no ack and comes again.
    private func hold() {
        let bytes = (begun?.storageCapacity ?? 0) + messages.heldBytes
        guard bytes > Self.freeBytes, case .access(let access) = entry else { return holding = nil }
        let holding = holding ?? Holding(reception.holdings, for: Holdings.Holder(access))
        self.holding = holding
        // In steps, so that not every read of a large frame asks.
        guard !holding.resize(to: (bytes / Self.holdingStep + 1) * Self.holdingStep) else { return }
        frames.lose()
        messages.forget()
        (begun, self.holding) = (nil, nil)
        perform(session.end(with: .overloaded, BodyReader.noRoom, at: now))
    }

    /// A frame that came in two reads has this much for nothing.
    private static let freeBytes = 4 * 1024
    private static let holdingStep = 16 * 1024

    private func take(_ step: FrameDecoder.Step) {
        switch step {
        case .frame(let frame) where session.isListening || frame.opcode == .close:
            session.heard(at: now)
            switch messages.take(frame) {
            case .nothing: break
            // The assembler takes no binary messages.
            case .binary: break
            case .text(let bytes): text(bytes)
            case .ping(let bytes): pong(bytes)
            case .close(let code): peerClosed(code)
            case .violation(let code, let message): violated(code, message)
            }
        case .violation(let code, let message): violated(code, message)
        case .frame: break
        }
    }

    /// Bytes that wait for the store are bounded by reading no further (Configuration.maximumUncommittedBytes).
    func read(context: ChannelHandlerContext) {
        if hasMore || session.isSaturated && !session.isClosing { isReadHeld = true } else { context.read() }
    }

    private func goOnReading(_ context: ChannelHandlerContext) {
        guard isReadHeld, !hasMore, !session.isSaturated || session.isClosing else { return }
        isReadHeld = false
        context.read()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        // P-SLOW-1: a client that does not read what it is told is let go; it comes back and sends again.
        if !context.channel.isWritable {
            perform(session.end(with: .slowConsumer, Refusal(.overloaded, "Too much that was sent to this socket is unread."), at: now))
        }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case is ChannelShouldQuiesceEvent: reception.sockets.drain(self, on: context.eventLoop)
        case ChannelEvent.inputClosed: if hasMore { isInputClosed = true } else { context.close(promise: nil) }
        default: context.fireUserInboundEventTriggered(event)
        }
    }

    // MARK: frames in

    private func text(_ bytes: [UInt8]) {
        guard case .access(let access) = entry else { return }
        reception.counters.count(bytes: bytes.count, over: .socket)
        let frame = door.decode(frame: bytes, lane: access.lane)
        if case .malformed = frame, String(validating: bytes, as: UTF8.self) == nil {
            return violated(.notUTF8, "A text frame is UTF-8.")
        }
        if case .batch = frame, let lost = reception.keys.recheck(access) { return perform(session.accessLost(lost, at: now)) }
        perform(session.received(frame, bytes: bytes.count, pressure: reception.ingest.pressure, at: now))
    }

    private func violated(_ code: CloseCode, _ message: String) {
        let refusal = Refusal(code == .frameTooLarge ? .bodyTooLarge : code == .notUTF8 ? .invalidUTF8 : .badRequest, message)
        if session.isListening { perform([.book(refusal, events: 1)] + session.end(with: code, refusal, at: now)) }
    }

    private func peerClosed(_ code: UInt16?) {
        let actions = session.peerClosed(at: now)
        // The echo has the peer's own code (RFC 6455, section 5.5.1).
        if !hasSentClose { sendClose(code, reason: "") }
        perform(actions)
    }

    // MARK: what the session wants

    private func perform(_ actions: [SessionAction]) {
        guard let context, !actions.isEmpty else { return }
        for action in actions {
            switch action {
            case .send(let frame): send(frame)
            case .ingest(let batch, let parcel):
                if proofsAwaited > 0 { unattributed.append((batch, parcel)) } else { ingest(batch, parcel, on: context.eventLoop) }
            case .prove(let token): prove(token, on: context.eventLoop)
            case .book(let refusal, let events): book(refusal, events: events)
            case .close(let code): sendClose(code.rawValue, reason: code.name)
            case .disconnect:
                context.flush()
                context.close(promise: nil)
            }
        }
        if !isInTurn { context.flush() }
    }

    private func prove(_ token: String, on loop: any EventLoop) {
        guard case .access(let access) = entry else { return }
        proofsAwaited += 1
        let bound = NIOLoopBound(self, eventLoop: loop)
        Task { [keys = reception.keys] in
            let proof = await keys.prove(token, to: access.project)
            loop.execute { bound.value.proved(proof) }
        }
    }

    private func proved(_ proof: Proof) {
        proofsAwaited -= 1
        guard case .access(var access) = entry else { return }
        access.proof = proof
        entry = .access(access)
        perform(session.proved(proof, at: now))
        guard proofsAwaited == 0, let context else { return }
        let waiting = unattributed
        unattributed = []
        for (batch, parcel) in waiting { ingest(batch, parcel, on: context.eventLoop) }
    }

    private func ingest(_ batch: Int64, _ parcel: Parcel, on loop: any EventLoop) {
        guard case .access(let access) = entry else { return }
        let bound = NIOLoopBound(self, eventLoop: loop)
        reception.ingest.accept(parcel, from: access, over: .socket, receivedAt: reception.clock.now()) { answer in
            loop.execute { bound.value.committed(batch, answer) }
        }
    }

    private func committed(_ batch: Int64, _ answer: Ingest.Answer) {
        reception.counters.count(answer.verdicts)
        // P-ACK-2: the ack leaves after commit.
        perform(session.committed(batch, answer.verdicts, receipts: answer.receipts, pressure: reception.ingest.pressure, at: now))
        if let context { goOnReading(context) }
    }

    private func book(_ refusal: Refusal, events: Int) {
        if refusal.reason == .overCredits { reception.counters.count(Array(repeating: .retry(refusal), count: events)) }
        guard case .access(let access) = entry else { return }
        reception.ingest.book(refusal, events: events, from: access, over: .socket, receivedAt: reception.clock.now())
    }

    // MARK: frames out

    private func send(_ frame: ServerFrame) {
        if case .error(_, _, let refusal) = frame { reception.counters.count(refusal) }
        write(.text, door.encode(frame))
    }

    private func pong(_ bytes: [UInt8]) {
        write(.pong, bytes)
    }

    private func sendClose(_ code: UInt16?, reason: String) {
        guard !hasSentClose else { return }
        var body: [UInt8] = []
        if let code { body = [UInt8(code >> 8), UInt8(code & 0xFF)] + Array(reason.utf8.prefix(123)) }
        write(.close, body)
        hasSentClose = true
    }

    private func write(_ opcode: Frame.Opcode, _ bytes: [UInt8]) {
        guard let context, !hasSentClose else { return }
        var buffer = context.channel.allocator.buffer(capacity: bytes.count + 10)
        buffer.write(frame: opcode, bytes)
        context.write(wrapOutboundOut(buffer), promise: nil)
    }

    // MARK: time

    /// Called by the loop's sweep, about once a second.
    func tick() {
        var lost: Refusal?
        if case .access(let access) = entry { lost = reception.keys.recheck(access) }
        perform(session.tick(pressure: reception.ingest.pressure, lost: lost, at: now))
    }

    func drain(goodbyeAt: Int64, afterMilliseconds: Int64, deadline: Int64) {
        session.drain(goodbyeAt: goodbyeAt, afterMilliseconds: afterMilliseconds, deadline: deadline)
    }

    private var now: Moment { Self.now(reception) }

    private static func now(_ reception: SocketReception) -> Moment {
        Moment(uptime: Sockets.uptime, time: reception.clock.now())
    }
}
