import NIOCore
import NIOHTTP1
import NIOPosix

/// The gateway's read API over one keep-alive connection, a request at a time.
struct Reader {
    struct Failure: Error, CustomStringConvertible {
        let path: String
        let answer: String
        var description: String { "GET \(path) was answered with \(answer)" }
    }

    private let target: Target
    private let secret: String
    private let project: String?
    private var inbound: NIOAsyncChannelInboundStream<HTTPClientResponsePart>.AsyncIterator
    private let outbound: NIOAsyncChannelOutboundWriter<HTTPClientRequestPart>

    // A page of 200 messages of 64 KiB is 13 MiB; more than this is no answer of ours.
    private static let longestAnswer = 512 << 20

    static func open<Result: Sendable>(
        _ target: Target, secret: String, project: String?, on loop: any EventLoop,
        _ body: @Sendable (inout Reader) async throws -> Result
    ) async throws -> Result {
        let channel = try await ClientBootstrap(group: loop).connect(host: target.host, port: target.port) { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHTTPClientHandlers()
                return try NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>(wrappingChannelSynchronously: channel)
            }
        }
        return try await channel.executeThenClose { inbound, outbound in
            var reader = Reader(
                target: target, secret: secret, project: project, inbound: inbound.makeAsyncIterator(), outbound: outbound)
            return try await body(&reader)
        }
    }

    /// The body of a 200. A gateway that is busy is asked again, five times at most.
    mutating func get(_ path: String) async throws -> ByteBuffer {
        var attempt = 0
        while true {
            let (head, body) = try await exchange(path)
            if head.status == .ok { return body }
            attempt += 1
            if attempt < 5, head.status == .tooManyRequests || head.status == .serviceUnavailable {
                let seconds = head.headers.first(name: "Retry-After").flatMap { Int($0) } ?? 1
                try await Task.sleep(for: .seconds(min(seconds, 10)))
                continue
            }
            let problem = body.withUnsafeReadableBytes { Problem(status: Int(head.status.code), body: $0) }
            throw Failure(path: path, answer: "\(head.status.code) \(problem.code) \(problem.message)")
        }
    }

    private mutating func exchange(_ path: String) async throws -> (HTTPResponseHead, ByteBuffer) {
        var uri = path
        if let project { uri += (path.contains("?") ? "&" : "?") + "project=" + project }
        let headers = HTTPHeaders([("Host", target.authority), ("Authorization", "Bearer \(secret)"), ("Accept", "application/json")])
        try await outbound.write(.head(HTTPRequestHead(version: .http1_1, method: .GET, uri: uri, headers: headers)))
        try await outbound.write(.end(nil))
        var head: HTTPResponseHead?
        var body = ByteBuffer()
        while let part = try await inbound.next() {
            switch part {
            case .head(let it): head = it
            case .body(var piece):
                guard body.readableBytes + piece.readableBytes <= Reader.longestAnswer else {
                    throw Failure(path: path, answer: "more bytes than any page has")
                }
                body.writeBuffer(&piece)
            case .end:
                if let head { return (head, body) }
            }
        }
        throw Failure(path: path, answer: "the end of the connection")
    }
}
