import NIOCore
import NIOWebSocket

/// Unmasks each frame, as whoever reads a message must, counts its bytes, and acks it without a look inside.
final class FrameCounter: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundOut = WebSocketFrame

    // More credits than a run can spend: they are no part of what is measured here.
    private static let welcome =
        #"{"type":"welcome","session":"stock","limits":{"eventBytes":65536,"batchBytes":1048576,"batchEvents":1000},"credits":2000000000,"heartbeatMs":25000}"#

    private var frames = 0
    private var bytes = 0
    private var hasHello = false
    private var hasWritten = false

    func handlerAdded(context: ChannelHandlerContext) { say(Self.welcome, context: context) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        switch frame.opcode {
        case .text:
            bytes += frame.unmaskedData.readableBytes
            // The first is the hello, which has no ack.
            guard hasHello else { return hasHello = true }
            frames += 1
            write(#"{"type":"ack","batch":\#(frames),"credits":0}"#, context: context)
        case .ping: context.writeAndFlush(wrapOutboundOut(WebSocketFrame(fin: true, opcode: .pong, data: frame.unmaskedData)), promise: nil)
        case .connectionClose: context.close(promise: nil)
        default: break
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if hasWritten { context.flush() }
        hasWritten = false
        context.fireChannelReadComplete()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func say(_ text: String, context: ChannelHandlerContext) {
        write(text, context: context)
        context.flush()
    }

    private func write(_ text: String, context: ChannelHandlerContext) {
        let data = context.channel.allocator.buffer(string: text)
        context.write(wrapOutboundOut(WebSocketFrame(fin: true, opcode: .text, data: data)), promise: nil)
        hasWritten = true
    }
}
