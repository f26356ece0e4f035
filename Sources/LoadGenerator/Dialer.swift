import NIOCore
import NIOHTTP1
import NIOPosix

/// Opens the connections: TCP, then the line that the transport asks for.
struct Dialer: Sendable {
    private let target: Target
    private let address: SocketAddress
    private let sources: [SocketAddress]
    private let loop: any EventLoop

    // A source address has some 28,000 free ports towards one destination; 20,000 leaves room for those still in TIME_WAIT.
    private static let connectionsPerSource = 20_000

    init(target: Target, connections: Int, loop: any EventLoop) throws {
        self.target = target
        self.loop = loop
        self.address = try SocketAddress.makeAddressResolvingHost(target.host, port: target.port)
        self.sources =
            target.isLoopback && connections > Dialer.connectionsPerSource
            ? try (0...connections / Dialer.connectionsPerSource).map { try SocketAddress(ipAddress: "127.0.0.\($0 + 1)", port: 0) }
            : []
    }

    /// The channel once it is connected; the line reports to the sender by itself. Call it on the loop.
    func dial(for sender: Sender) -> EventLoopFuture<any Channel> {
        let bound = NIOLoopBound(sender, eventLoop: loop)
        let target = self.target
        var bootstrap = ClientBootstrap(group: loop)
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                switch target.transport {
                case .ws: SocketUpgrade.configure(channel, to: target, for: bound)
                case .http, .beacon:
                    channel.eventLoop.makeCompletedFuture {
                        let pipeline = channel.pipeline.syncOperations
                        try pipeline.addHTTPClientHandlers()
                        try pipeline.addHandler(PostLine(target: target, sender: bound.value))
                    }
                }
            }
        if !sources.isEmpty { bootstrap = bootstrap.bind(to: sources[sender.index / Dialer.connectionsPerSource]) }
        return bootstrap.connect(to: address)
    }
}
