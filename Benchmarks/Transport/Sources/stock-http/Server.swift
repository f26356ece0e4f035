import NIOCore
import NIOHTTP1
import NIOPosix

/// An HTTP server of NIO's own parts: its pipeline and one `ChannelHandler`, as its examples wire them, that counts a body's bytes and
/// answers 204.
///
/// What a server on NIO can do at most, to tell it from what Parley does with a request. Its one argument is the port to listen on, on the
/// loopback interface.
@main
enum Server {
    static func main() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: System.coreCount)
        let server = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
                    try channel.pipeline.syncOperations.addHandler(BodyCounter())
                }
            }
            .bind(host: "127.0.0.1", port: CommandLine.arguments.count > 1 ? Int(CommandLine.arguments[1]) ?? 0 : 0).get()
        try await server.closeFuture.get()
    }
}

private final class BodyCounter: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private var bytes = 0

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head: break
        case .body(let piece): bytes += piece.readableBytes
        case .end:
            context.write(wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .noContent))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }
}
