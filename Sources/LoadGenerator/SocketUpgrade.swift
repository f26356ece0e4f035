import NIOCore
import NIOHTTP1
import NIOWebSocket

/// The way from a fresh connection to a `SocketLine`.
///
/// The handshake and the reading of frames are NIO's. Batches are framed by the line itself, in the buffer they were written to: NIO's encoder would go over
/// every byte once more.
final class SocketUpgrade: NIOTypedHTTPClientProtocolUpgrader {
    let supportedProtocol = "websocket"
    let requiredUpgradeHeaders: [String] = []

    // It lends its key and its check of `Sec-WebSocket-Accept`; its own `upgrade` is never called.
    private let handshake = NIOTypedWebSocketClientUpgrader<Void> { channel, _ in channel.eventLoop.makeSucceededVoidFuture() }
    private let sender: NIOLoopBound<Sender>

    private init(sender: NIOLoopBound<Sender>) { self.sender = sender }

    static func configure(_ channel: any Channel, to target: Target, for sender: NIOLoopBound<Sender>) -> EventLoopFuture<Void> {
        channel.eventLoop.makeCompletedFuture {
            var headers = HTTPHeaders([("Host", target.authority), ("Sec-WebSocket-Protocol", "parley.v1")])
            if let origin = target.origin { headers.add(name: "Origin", value: origin) }
            if Target.isSecret(target.key) { headers.add(name: "Authorization", value: "Bearer \(target.key)") }
            let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: target.path, headers: headers)
            var configuration = NIOUpgradableHTTPClientPipelineConfiguration(
                upgradeConfiguration: NIOTypedHTTPClientUpgradeConfiguration(
                    upgradeRequestHead: head, upgraders: [SocketUpgrade(sender: sender)],
                    notUpgradingCompletionHandler: { channel in
                        channel.eventLoop.makeCompletedFuture {
                            try channel.pipeline.syncOperations.addHandler(SocketRefusal(sender: sender.value))
                        }
                    }))
            // The server speaks first: its welcome may come in the same packet as the 101.
            configuration.leftOverBytesStrategy = .forwardBytes
            let upgraded = try channel.pipeline.syncOperations.configureUpgradableHTTPClientPipeline(configuration: configuration)
            upgraded.whenFailure { _ in channel.close(promise: nil) }
        }
    }

    func addCustom(upgradeRequestHeaders: inout HTTPHeaders) {
        handshake.addCustom(upgradeRequestHeaders: &upgradeRequestHeaders)
    }

    func shouldAllowUpgrade(upgradeResponse: HTTPResponseHead) -> Bool {
        handshake.shouldAllowUpgrade(upgradeResponse: upgradeResponse)
            && upgradeResponse.headers.first(name: "Sec-WebSocket-Protocol") == "parley.v1"
    }

    func upgrade(channel: any Channel, upgradeResponse: HTTPResponseHead) -> EventLoopFuture<Void> {
        channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            // 1 MiB: an ack names at most a batch's 500 events.
            try pipeline.addHandler(ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: 1 << 20)))
            try pipeline.addHandler(SocketLine(sender: self.sender.value))
        }
    }
}
