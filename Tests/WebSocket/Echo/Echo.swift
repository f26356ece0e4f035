import Gateway
import NIOCore
import NIOHTTP1
import NIOPosix

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// `parley-echo [PORT]`: a WebSocket server that sends back each message, made of the gateway's own handshake, frames and messages.
///
/// It is what Autobahn|Testsuite is run against, which wants an echo: the gateway itself answers in its own protocol. It says
/// `{"port":N}` and serves until it is ended.
@main
struct App {
    static func main() async throws {
        let port = CommandLine.arguments.count > 1 ? Int(CommandLine.arguments[1]) ?? 0 : 0
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let upgrader = SocketUpgrader<Void>(headers: { _ in [:] }) { channel, _ in
                        try channel.pipeline.syncOperations.addHandler(Echo())
                    }
                    _ = try channel.pipeline.syncOperations.configureUpgradableHTTPServerPipeline(
                        configuration: .init(
                            upgradeConfiguration: .init(upgraders: [upgrader]) { $0.close() }))
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
        print(#"{"port":\#(server.localAddress?.port ?? 0)}"#)
        fflush(nil)
        try await server.closeFuture.get()
    }
}

/// Sends messages back, answers pings and closes, and ends what breaks a rule.
private final class Echo: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// The suite's largest message.
    private static let mostBytes = 16 << 20

    private var frames = FrameDecoder(maximumBytes: mostBytes)
    private var messages = MessageAssembler(maximumBytes: mostBytes, takesBinary: true)
    private var begun = ByteBuffer()
    private var isClosing = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var arrived = unwrapInboundIn(data)
        begun.writeBuffer(&arrived)
        while let step = frames.next(from: &begun) {
            switch step {
            case .violation(let code, _): close(code.rawValue, context)
            case .frame(let frame): take(messages.take(frame), context)
            }
        }
        if frames.hasEnded { context.close(promise: nil) }
        begun.discardReadBytes()
    }

    private func take(_ outcome: MessageAssembler.Outcome, _ context: ChannelHandlerContext) {
        switch outcome {
        case .nothing: break
        case .text(let bytes): String(validating: bytes, as: UTF8.self) == nil ? close(1007, context) : write(.text, bytes, context)
        case .binary(let bytes): write(.binary, bytes, context)
        case .ping(let bytes): write(.pong, bytes, context)
        case .close(let code): close(code, context)
        case .violation(let code, _): close(code.rawValue, context)
        }
    }

    private func close(_ code: UInt16?, _ context: ChannelHandlerContext) {
        guard !isClosing else { return }
        write(.close, code.map { [UInt8($0 >> 8), UInt8($0 & 255)] } ?? [], context)
        isClosing = true
    }

    private func write(_ opcode: Frame.Opcode, _ bytes: [UInt8], _ context: ChannelHandlerContext) {
        guard !isClosing else { return }
        var buffer = context.channel.allocator.buffer(capacity: bytes.count + 10)
        buffer.write(frame: opcode, bytes)
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
    }
}
