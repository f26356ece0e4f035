import NIOCore
import NIOPosix

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Leaves newcomers in the backlog for a second where there is no descriptor or memory for another connection.
///
/// NIO's own handler puts the next read off, but leaves the socket registered for what is already waiting there: the loop would turn without
/// end, at a whole core, until somebody leaves.
///
/// Stands first in the listening channel's pipeline, and is bound to its loop.
final class AcceptPause: ChannelInboundHandler {
    typealias InboundIn = any Channel

    private static let pause = TimeAmount.seconds(1)
    private var isPaused = false

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if !isPaused, let error = error as? IOError, [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.errnoCode) {
            isPaused = true
            let channel = context.channel
            // Taking its reading away is what unregisters it.
            try? channel.syncOptions?.setOption(.autoRead, value: false)
            context.eventLoop.assumeIsolated().scheduleTask(in: Self.pause) {
                self.isPaused = false
                // In vain where the gateway is at its end: then it listens no more.
                try? channel.syncOptions?.setOption(.autoRead, value: true)
            }
        }
        context.fireErrorCaught(error)
    }
}
