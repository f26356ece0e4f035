import NIOCore
import NIOHTTP1

/// Takes the plain HTTP answer to an upgrade that was not granted: a flood, a drain, or another server altogether.
final class SocketRefusal: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private let sender: Sender

    init(sender: Sender) { self.sender = sender }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(let head) = unwrapInboundIn(data) else { return }
        sender.refused(status: Int(head.status.code), retryAfter: head.headers.first(name: "Retry-After").flatMap { Int64($0) })
        context.close(promise: nil)
    }
}
