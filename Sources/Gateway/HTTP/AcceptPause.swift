import NIOCore
import NIOPosix

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Leaves newcomers in the backlog, a second at a time, where descriptors run out: the last of them are for those who are inside.
///
/// A store opens files for its readers, and libdispatch opens `/proc/PID/stat` from time to time: it traps where it can't.
///
/// Stands first in the listening channel's pipeline, and is bound to its loop.
final class AcceptPause: ChannelDuplexHandler {
    typealias InboundIn = any Channel
    typealias OutboundIn = Never

    private static let pause = TimeAmount.seconds(1)
    /// Four readers of the store have two files each; one read of the listening socket takes on a few connections before it is asked again.
    private static let reserve = 32
    private var isPaused = false

    func read(context: ChannelHandlerContext) {
        if hasRoom(beside: Self.reserve) { return context.read() }
        pause(context)
    }

    /// What else a system may lack for a connection. NIO's own handler puts the next read off, but leaves the socket registered for what is
    /// already waiting there: the loop would turn without end, at a whole core, until somebody leaves.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let error = error as? IOError, [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.errnoCode) { pause(context) }
        context.fireErrorCaught(error)
    }

    private func pause(_ context: ChannelHandlerContext) {
        guard !isPaused else { return }
        isPaused = true
        let channel = context.channel
        // Taking its reading away is what unregisters it.
        try? channel.syncOptions?.setOption(.autoRead, value: false)
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.pause) {
            self.isPaused = false
            // Reads, and so asks again whether there is room. In vain where the gateway is at its end: then it listens no more.
            try? channel.syncOptions?.setOption(.autoRead, value: true)
        }
    }
}

/// Descriptors are given from the lowest number up, so that the next one's tells how many are left. Two calls a read, half a microsecond.
private func hasRoom(beside reserve: Int) -> Bool {
    let next = dup(STDERR_FILENO)
    guard next >= 0 else { return errno != EMFILE && errno != ENFILE }
    close(next)
    let most = sysconf(Int32(_SC_OPEN_MAX))
    return most < 0 || Int(next) + reserve <= most
}
