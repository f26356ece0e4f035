import NIOCore
import NIOHTTP1

/// A keep-alive connection with one POST a batch; with more than one in flight the requests are pipelined.
final class PostLine: ChannelInboundHandler, Line {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private let target: Target
    private let sender: Sender
    private let run: Run
    private let headers: HTTPHeaders
    private var context: ChannelHandlerContext?
    private var head: HTTPResponseHead?
    private var body = ByteBuffer()

    // Answers name every event; 10,000 of them with messages stay under it.
    private static let longestAnswer = 16 << 20

    init(target: Target, sender: Sender) {
        self.target = target
        self.sender = sender
        self.run = sender.run
        var headers = HTTPHeaders([("Host", target.authority)])
        headers.add(name: "Content-Type", value: target.transport == .beacon ? "text/plain;charset=UTF-8" : "application/json")
        if let origin = target.origin { headers.add(name: "Origin", value: origin) }
        if Target.isSecret(target.key) { headers.add(name: "Authorization", value: "Bearer \(target.key)") }
        self.headers = headers
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) {
        sender.opened(self, credits: Int.max / 2, batchLimit: Int.max)
        context.fireChannelActive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        run.tally.remark("connection: \(error)")
        context.close(promise: nil)
    }

    // MARK: Out

    func send(_ flight: Flight) {
        guard let context else { return }
        run.scratch.clear()
        run.scratch.writeStaticString(#"{"events":["#)
        run.workload.write(flight, on: sender.index, into: &run.scratch)
        run.scratch.writeStaticString(#"],"sentAt":"#)
        run.scratch.writeString(String(Clock.epochMillis()))
        run.scratch.writeStaticString("}")
        var head = HTTPRequestHead(version: .http1_1, method: .POST, uri: target.path, headers: headers)
        head.headers.add(name: "Content-Length", value: String(run.scratch.readableBytes))
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(run.scratch))), promise: nil)
        context.write(wrapOutboundOut(.end(nil)), promise: nil)
    }

    func flush() { context?.flush() }

    func close() { context?.close(promise: nil) }

    // MARK: In

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body.clear()
        case .body(var part):
            guard body.readableBytes + part.readableBytes <= PostLine.longestAnswer else {
                run.tally.violation("an answer without an end")
                return context.close(promise: nil)
            }
            body.writeBuffer(&part)
        case .end:
            guard let head else { return }
            self.head = nil
            take(head)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        sender.pump()
        context.fireChannelReadComplete()
    }

    private func take(_ head: HTTPResponseHead) {
        let status = Int(head.status.code)
        // An early answer to a request we did not finish would come here too; the oldest batch is the one it means.
        body.withUnsafeReadableBytes { bytes in
            if status == 200 { return results(in: bytes) }
            let problem = Problem(status: status, body: bytes)
            switch status {
            case 429, 500...:
                let header = head.headers.first(name: "Retry-After").flatMap { Int64($0) }.map { TimeAmount.seconds($0) }
                // 100 ms where the answer names no wait: enough not to hammer a server that is in trouble.
                sender.pause(problem.retryAfterMs.map { .milliseconds(Int64($0)) } ?? header ?? .milliseconds(100))
                sender.answered(all: .retry, for: problem)
            case 400, 408, 413, 415: sender.answered(all: .dropped, for: problem)
            default:
                sender.parts(.never)
                sender.answered(all: .refused, for: problem)
                context?.close(promise: nil)
            }
        }
    }

    private func results(in bytes: UnsafeRawBufferPointer) {
        var start: Int?
        do {
            var cursor = JSONCursor(bytes)
            try cursor.object { key, value in
                guard key.spells("results"), try value.peek() == UInt8(ascii: "[") else { return }
                start = value.position
            }
        } catch {
            run.tally.violation("an answer that cannot be read: \(String(decoding: bytes.prefix(120), as: UTF8.self))")
        }
        sender.answered(start.map { JSONCursor(bytes, at: $0) }, inOrder: true, rest: nil)
    }
}
