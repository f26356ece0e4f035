import NIOCore
import NIOWebSocket

/// A `parley.v1` session: welcome, hello, batches and acks, credits, heartbeats, goodbye.
final class SocketLine: ChannelInboundHandler, Line {
    typealias InboundIn = WebSocketFrame
    typealias OutboundOut = ByteBuffer

    private let sender: Sender
    private let run: Run
    private var context: ChannelHandlerContext?
    /// A message that came in pieces; bounded by the reader's own 1 MiB a piece and 16 pieces.
    private var pieces: ByteBuffer?
    private var heartbeat: TimeAmount = .seconds(25)
    private var lastHeard = NIODeadline.now()
    private var isClosing = false

    init(sender: Sender) {
        self.sender = sender
        self.run = sender.run
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelInactive(context: ChannelHandlerContext) {
        isClosing = true
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        run.tally.remark("socket: \(error)")
        context.close(promise: nil)
    }

    // MARK: Out

    func send(_ flight: Flight) {
        write(.text) { buffer in
            buffer.writeStaticString(#"{"type":"batch","batch":"#)
            buffer.writeString(String(flight.number))
            buffer.writeStaticString(#","sentAt":"#)
            buffer.writeString(String(Clock.epochMillis()))
            buffer.writeStaticString(#","events":["#)
            run.workload.write(flight, on: sender.index, into: &buffer)
            buffer.writeStaticString("]}")
        }
    }

    func flush() { context?.flush() }

    func close() {
        guard !isClosing else { return }
        isClosing = true
        say(.connectionClose) { $0.writeInteger(UInt16(1000)) }
        // The server closes the connection after its own close frame; 500 ms for one that doesn't.
        run.isolated.scheduleTask(in: .milliseconds(500)) { self.context?.close(promise: nil) }
    }

    private func say(_ opcode: WebSocketOpcode, _ payload: (inout ByteBuffer) -> Void) {
        write(opcode, payload)
        flush()
    }

    private func write(_ opcode: WebSocketOpcode, _ payload: (inout ByteBuffer) -> Void) {
        guard let context else { return }
        run.scratch.clear()
        run.scratch.writeRepeatingByte(0, count: SocketFrame.room)
        payload(&run.scratch)
        SocketFrame.seal(&run.scratch, as: opcode, key: UInt32(truncatingIfNeeded: run.numbers.next()))
        context.write(wrapOutboundOut(run.scratch), promise: nil)
    }

    // MARK: In

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var frame = unwrapInboundIn(data)
        lastHeard = .now()
        switch frame.opcode {
        case .text where frame.fin: take(frame.data)
        case .text: pieces = frame.data
        case .continuation:
            guard pieces != nil else { return run.tally.violation("a continuation of nothing") }
            pieces?.writeBuffer(&frame.data)
            guard pieces!.readableBytes <= 16 << 20 else { return context.close(promise: nil) }
            if frame.fin, let whole = pieces {
                pieces = nil
                take(whole)
            }
        case .ping: say(.pong) { $0.writeImmutableBuffer(frame.unmaskedData) }
        case .connectionClose: closeFrame(frame.data, context: context)
        case .pong: break
        default: run.tally.violation("a frame with opcode \(frame.opcode)")
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        // Here and not at each ack: several acks in one read make one write.
        sender.pump()
        context.fireChannelReadComplete()
    }

    private func closeFrame(_ data: ByteBuffer, context: ChannelHandlerContext) {
        let code = Int(data.getInteger(at: data.readerIndex, as: UInt16.self) ?? 1005)
        if isClosing {
            context.close(promise: nil)
        } else {
            isClosing = true
            run.tally.remark("the server closed with \(code)")
            sender.parts(Parting(closeCode: code, after: asked))
            say(.connectionClose) { $0.writeInteger(UInt16(clamping: code)) }
            context.close(promise: nil)
        }
    }

    /// The wait that an error or a goodbye asked for.
    private var asked: TimeAmount = .zero

    private func take(_ data: ByteBuffer) {
        data.withUnsafeReadableBytes { bytes in
            do {
                let message = try Message(bytes)
                perform(message, results: message.results.map { JSONCursor(bytes, at: $0) })
            } catch {
                run.tally.violation("a message that cannot be read: \(String(decoding: bytes.prefix(120), as: UTF8.self))")
            }
        }
    }

    private func perform(_ message: Message, results: JSONCursor?) {
        switch message.type {
        case .welcome: welcome(message)
        case .ack:
            guard message.batch != nil, message.batch == sender.oldestNumber else {
                return run.tally.violation("an ack for batch \(message.batch ?? 0), expected \(sender.oldestNumber ?? 0)")
            }
            sender.grant(message.credits)
            sender.answered(results, inOrder: false, rest: .stored)
        case .credits: sender.grant(message.credits)
        case .heartbeat, .auth: break
        case .error:
            run.tally.remark("\(message.code) \(message.name): \(message.text)")
            if message.afterMs > 0 { asked = .milliseconds(Int64(clamping: message.afterMs)) }
        case .goodbye:
            // 30 s at most: the run has an end of its own.
            asked = .milliseconds(Int64(min(message.afterMs, 30_000)))
            sender.parts(Parting(closeCode: message.code == 0 ? 4200 : message.code, after: asked))
        case nil: run.tally.violation("a message of an unknown type")
        }
    }

    private func welcome(_ message: Message) {
        if message.heartbeatMs > 0 { heartbeat = .milliseconds(Int64(message.heartbeatMs)) }
        say(.text) { $0.writeStaticString(#"{"type":"hello","client":"parley-load/0.1","token":null}"#) }
        // Jittered, as for pages: many connections made at once must not beat as one.
        let first = TimeAmount.nanoseconds(Int64(run.numbers.next() % UInt64(max(1, heartbeat.nanoseconds))))
        run.isolated.scheduleTask(in: first) { self.beat() }
        // 96: the frame's own fields and the commas.
        let byBytes = message.batchBytes.map { ($0 - 96) / (run.workload.size + 1) } ?? Int.max
        let limit = max(1, min(message.batchEvents ?? Int.max, byBytes))
        if limit < run.plan.batch { run.tally.remark("batches are cut to \(limit) events, the server's limit") }
        sender.opened(self, credits: message.credits, batchLimit: limit)
    }

    private func beat() {
        guard let context, !isClosing else { return }
        if .now() - lastHeard > heartbeat * 2 {
            run.tally.remark("the server fell silent")
            return context.close(promise: nil)
        }
        say(.text) { $0.writeStaticString(#"{"type":"heartbeat"}"#) }
        run.isolated.scheduleTask(in: heartbeat) { self.beat() }
    }
}
