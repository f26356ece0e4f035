import NIOCore
import NIOHTTP1
import NIOWebSocket

/// Turns a connection into a socket: NIO's answer to the handshake (RFC 6455, section 4.2.2), our frames behind it.
package struct SocketUpgrader<Result: Sendable>: NIOTypedHTTPServerProtocolUpgrader {
    /// What the answer has besides; nil where there is no socket.
    let headers: @Sendable (HTTPRequestHead) -> HTTPHeaders?
    /// Puts the handler of its bytes into the pipeline.
    let upgraded: @Sendable (any Channel, HTTPRequestHead) throws -> Result

    package init(
        headers: @escaping @Sendable (HTTPRequestHead) -> HTTPHeaders?,
        upgraded: @escaping @Sendable (any Channel, HTTPRequestHead) throws -> Result
    ) {
        (self.headers, self.upgraded) = (headers, upgraded)
    }

    package var supportedProtocol: String { "websocket" }
    package var requiredUpgradeHeaders: [String] { handshake.requiredUpgradeHeaders }

    /// Of NIO's upgrader only the handshake is used.
    private var handshake: NIOTypedWebSocketServerUpgrader<Result?> {
        NIOTypedWebSocketServerUpgrader(
            shouldUpgrade: { channel, head in channel.eventLoop.makeSucceededFuture(headers(head)) },
            upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededFuture(nil) })
    }

    package func buildUpgradeResponse(
        channel: any Channel, upgradeRequest: HTTPRequestHead, initialResponseHeaders: HTTPHeaders
    ) -> EventLoopFuture<HTTPHeaders> {
        handshake.buildUpgradeResponse(
            channel: channel, upgradeRequest: upgradeRequest, initialResponseHeaders: initialResponseHeaders)
    }

    package func upgrade(channel: any Channel, upgradeRequest: HTTPRequestHead) -> EventLoopFuture<Result> {
        channel.eventLoop.makeCompletedFuture { try upgraded(channel, upgradeRequest) }
    }
}
