import Conversations
import Events
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization

// What changes, as it happens: server-sent events (WHATWG HTML, section 9.2) that name what a page has to read again. They carry no
// words of anybody; those are read under the rules of the read API.
extension Review {
    /// Streams open at once; each looks for news four times a second. Beyond, pages poll.
    static let maximumStreams = 200
    private static let pause = Duration.milliseconds(250)
    /// Comments keep proxies from closing a silent line; 15 s is half of what the usual ones allow.
    private static let heartbeat = Duration.seconds(15)
    /// Changes read at a time. One that is further behind than `maximumLag` events reads everything anew.
    private static let chunk = 500
    private static let maximumLag: Int64 = 20_000

    /// `GET /v1/live`: resumes after `Last-Event-ID`, or `?after=`.
    @Sendable func live(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let query = Query(request)
        let (project, reader) = try await entry(of: request, query)
        let given = request.headers[.lastEventID] ?? query["after"]
        let last = try await store.lastSequence()
        var start = last
        var mustReset = false
        if let given {
            guard let number = Int64(given) else { throw Refusal.parameter("after", "must be the `id` of an event of this stream") }
            // A number that was never reached is of another store.
            mustReset = number > last || number < 0 || last - number > Self.maximumLag
            start = mustReset ? last : number
        }
        let (ticket, from, resets) = (reader.member == nil ? nil : request.sessionTicket, start, mustReset)
        guard let slot = streams.open() else { throw Refusal(.overloaded, "Too many live streams are open.", retryAfterMilliseconds: 5000) }
        var headers = HTTPFields.api(contentType: "text/event-stream")
        // nginx would gather it otherwise (ngx_http_proxy_module, proxy_buffering).
        headers[.accelBuffering] = "no"
        return Response(
            status: .ok, headers: headers,
            body: ResponseBody { writer in
                var writer = writer
                defer { withExtendedLifetime(slot) {} }
                try await stream(project, ticket, from: from, resets: resets) { try await writer.write(ByteBuffer(string: $0)) }
                try await writer.finish(nil)
            })
    }

    private func stream(
        _ project: Project, _ ticket: Ticket?, from start: Int64, resets: Bool, _ write: (String) async throws -> Void
    ) async throws {
        var position = start
        // A browser that lost the line waits this long before it comes back.
        try await write("retry: 2000\n\n")
        if resets { try await write("id: \(position)\nevent: reset\ndata: {}\n\n") }
        try await write("id: \(position)\nevent: ready\ndata: {\"sequence\":\(position)}\n\n")
        var spoke = ContinuousClock.now
        var isAllowedUntil = ContinuousClock.now.advanced(by: Self.heartbeat)
        while !Task.isCancelled, !Task.isShuttingDownGracefully {
            let changes = try await store.changes(after: position, limit: Self.chunk)
            if let last = changes.last {
                position = last.sequence
                let own = changes.filter { $0.project == project.number }
                if !own.isEmpty {
                    try await write("id: \(position)\nevent: change\ndata: \(Self.data(of: own))\n\n")
                    spoke = .now
                }
            }
            if ContinuousClock.now - spoke > Self.heartbeat {
                // With the place, so that one who was away for long need not go through others' events again.
                try await write(": still here\nid: \(position)\n\n")
                spoke = .now
            }
            // Who is signed out, or no longer sees the project, hears no more.
            if let ticket, ContinuousClock.now > isAllowedUntil {
                guard let member = try await store.member(ofSession: ticket.digest, at: clock.now()), Reader.member(member).sees(project)
                else { return }
                isAllowedUntil = ContinuousClock.now.advanced(by: Self.heartbeat)
            }
            try await Task.sleep(for: Self.pause)
        }
    }

    private static func data(of changes: [Change]) -> String {
        var writer = JSONWriter()
        writer.object { writer in
            writer.key("changes")
            writer.array(changes) { writer, change in
                writer.object { writer in
                    writer.field(orNull: "thread", change.thread)
                    writer.field("type", change.type)
                    writer.field("id", change.id)
                }
            }
        }
        return writer.string
    }
}

/// Counts the live streams, each by a slot that it holds.
final class StreamCount: Sendable {
    /// Given back when whoever holds it lets go, also where the answer was never sent.
    final class Slot: Sendable {
        private let count: StreamCount
        fileprivate init(_ count: StreamCount) { self.count = count }
        deinit { count.count.withLock { $0 -= 1 } }
    }

    private let maximum: Int
    fileprivate let count = Mutex(0)
    init(maximum: Int) { self.maximum = maximum }

    func open() -> Slot? {
        let isFree = count.withLock { count in
            guard count < maximum else { return false }
            count += 1
            return true
        }
        return isFree ? Slot(self) : nil
    }
}

extension HTTPField.Name {
    fileprivate static let lastEventID = HTTPField.Name("Last-Event-ID")!
    fileprivate static let accelBuffering = HTTPField.Name("X-Accel-Buffering")!
}
