import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// A TCP client that says exactly the bytes it is given and reads until it has seen what it waits for.
struct RawClient: Sendable {
    struct Ended: Error { var received: String }

    let channel: NIOAsyncChannel<ByteBuffer, ByteBuffer>

    /// Runs `body` with a connection; every wait in it is bounded by the reads' ends and a minute.
    static func connect(to port: Int, _ body: @escaping @Sendable (inout Conversation) async throws -> Void) async throws {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connect(host: "127.0.0.1", port: port) {
            channel in
            channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel) }
        }
        let limit = channel.channel.eventLoop.scheduleTask(in: .seconds(60)) { channel.channel.close(promise: nil) }
        defer { limit.cancel() }
        let isDone = NIOLockedValueBox(false)
        do {
            try await channel.executeThenClose { inbound, outbound in
                var conversation = Conversation(outbound: outbound, inbound: inbound.makeAsyncIterator())
                try await body(&conversation)
                isDone.withLockedValue { $0 = true }
            }
        } catch ChannelError.ioOnClosedChannel where isDone.withLockedValue({ $0 }) {
            // The server closed first, as it was asked to.
        }
    }

    struct Conversation {
        let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
        var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
        private(set) var received: [UInt8] = []

        init(outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>, inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator) {
            (self.outbound, self.inbound) = (outbound, inbound)
        }

        func say(_ text: String) async throws { try await outbound.write(ByteBuffer(string: text)) }

        /// A client's frame, masked with zeros.
        func frame(_ opcode: UInt8, _ payload: [UInt8], masked: Bool = true) async throws {
            var bytes = [0x80 | opcode]
            let flag: UInt8 = masked ? 0x80 : 0
            if payload.count < 126 {
                bytes.append(flag | UInt8(payload.count))
            } else {
                bytes += [flag | 127] + (0..<8).reversed().map { UInt8(truncatingIfNeeded: payload.count >> ($0 * 8)) }
            }
            if masked { bytes += [0, 0, 0, 0] }
            try await outbound.write(ByteBuffer(bytes: bytes + payload))
        }

        func text(_ text: String) async throws { try await frame(1, Array(text.utf8)) }

        /// What was received up to and with `sought`, which is then forgotten.
        @discardableResult
        mutating func hear(_ sought: String) async throws -> String { String(decoding: try await hear(Array(sought.utf8)), as: UTF8.self) }

        mutating func hearClose(_ code: UInt16) async throws { try await hear([UInt8(code >> 8), UInt8(code & 255)]) }

        @discardableResult
        mutating func hear(_ sought: [UInt8]) async throws -> [UInt8] {
            while true {
                if let range = received.firstRange(of: sought) {
                    let heard = Array(received[..<range.upperBound])
                    received.removeFirst(range.upperBound)
                    return heard
                }
                guard let more = try await inbound.next() else { throw Ended(received: String(decoding: received, as: UTF8.self)) }
                received += more.readableBytesView
            }
        }

        /// Everything until the server ends the connection.
        mutating func hearTheEnd() async throws -> String {
            while let more = try await inbound.next() { received += more.readableBytesView }
            return String(decoding: received, as: UTF8.self)
        }
    }
}
