import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket

/// A WebSocket server of NIO's own parts: its upgrade, its frame codec and one `ChannelHandler`, as its examples wire them.
///
/// It speaks just enough of `parley.v1` to be sent the frames that Parley is sent, and keeps nothing of them: what Parley's own way from
/// socket to verdict is measured beside. Its one argument is the port to listen on, on the loopback interface.
@main
enum Server {
    static func main() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: System.coreCount)
        let upgrader = NIOWebSocketServerUpgrader(
            maxFrameSize: 1 << 20,
            shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture(["Sec-WebSocket-Protocol": "parley.v1"]) },
            upgradePipelineHandler: { channel, _ in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(FrameCounter()) }
            })
        let server = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(
                        withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in }))
                }
            }
            .bind(host: "127.0.0.1", port: CommandLine.arguments.count > 1 ? Int(CommandLine.arguments[1]) ?? 0 : 0).get()
        try await server.closeFuture.get()
    }
}
