public import Conversations
public import Events
import HTTPTypes
import Hummingbird
import Logging
import NIOCore

extension Review {
    /// `GET /v1/export`: whole conversations, streamed.
    @Sendable func export(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let query = Query(request)
        let (project, reader) = try await entry(of: request, query)
        let format: Export.Format = try query.choice("format", of: Export.Format.allCases) ?? .jsonl
        let filter = try ThreadFilter(query, viewer: reader.member)
        // What left the house is out of an erasure's reach.
        try await note(reader, "export", in: project) { $0.field("format", format.rawValue) }
        return try await Export(store: store, project: project, filter: filter, format: format, now: clock.now()).response(logger: logger)
    }
}

/// A walk over all conversations that match a filter, written out as it goes.
///
/// JSON lines hold a thread's summary and then an item each, with the thread's ID; CSV a row for each message or event (RFC 4180);
/// `chat` a conversation a line, in the shape that chat APIs and their data sets have (`{"messages":[{"role","content"}]}`). Holds one page of
/// threads and one of items at a time; a slow reader slows the walk. Threads come by their latest activity: one that is
/// written to while the walk goes on moves to the front and may be missing; `from` fetches it later.
public struct Export: Sendable {
    public enum Format: String, CaseIterable, Sendable { case jsonl, csv, chat }

    let store: any ConversationStore
    let project: Project
    let filter: ThreadFilter
    let format: Format
    let now: Timestamp

    public init(store: any ConversationStore, project: Project, filter: ThreadFilter, format: Format, now: Timestamp) {
        self.store = store
        self.project = project
        self.filter = filter
        self.format = format
        self.now = now
    }

    private static let threadsAtOnce = 100
    /// Few, as a backend's message may be megabytes long.
    private static let itemsAtOnce = 50
    /// What is gathered before it is handed on: larger gains nothing over a socket's own buffer.
    private static let chunkBytes = 64 << 10

    /// Writes everything; answers how many threads there were.
    /// - Parameter take: gets the bytes in pieces, with the number of threads begun so far.
    @discardableResult
    public func run(_ take: (_ bytes: [UInt8], _ threads: Int) async throws -> Void) async throws -> Int {
        try await run(from: try await threads(after: nil), take)
    }

    private func run(
        from first: Conversations.Page<ThreadSummary>, _ take: (_ bytes: [UInt8], _ threads: Int) async throws -> Void
    ) async throws -> Int {
        var chunk: [UInt8] = format == .csv ? Array(CSV.head) : []
        var count = 0
        var page = first
        while true {
            for thread in page.items {
                count += 1
                var cursor: String?
                if format == .jsonl {
                    chunk += Self.line(thread.id) {
                        $0.field("type", "thread"); $0.key("summary"); $0.summary(thread)
                    }
                }
                var chat = ChatLine(thread)
                // The first page carries them; they belong behind the last item.
                var looseRuns: [RunNode] = []
                repeat {
                    try Task.checkCancellation()
                    // Gone between the list and here: somebody erased it.
                    guard let part = try await conversation(thread.id, after: cursor) else { break }
                    if cursor == nil { looseRuns = part.looseRuns }
                    for item in part.items {
                        switch format {
                        case .jsonl: chunk += Self.line(thread.id) { $0.members(of: item) }
                        case .csv: chunk += CSV.row(of: item, in: thread)
                        case .chat: chunk += chat.piece(item)
                        }
                        if chunk.count >= Self.chunkBytes {
                            try await take(chunk, count)
                            chunk = []
                        }
                    }
                    cursor = part.next
                } while cursor != nil
                if format == .chat { chunk += chat.end() }
                // A run that hangs under no message is a line of its own; a table of messages has no place for it.
                for run in looseRuns where format == .jsonl {
                    chunk += Self.line(thread.id) {
                        $0.field("type", "run"); $0.members(of: run)
                    }
                }
            }
            guard let next = page.next else { break }
            page = try await threads(after: next)
        }
        if !chunk.isEmpty { try await take(chunk, count) }
        return count
    }

    private static func line(_ thread: String, _ write: (inout JSONWriter) -> Void) -> [UInt8] {
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("thread", thread)
            write(&writer)
        }
        writer.endLine()
        return writer.bytes
    }

    private func threads(after cursor: String?) async throws -> Conversations.Page<ThreadSummary> {
        try await store.threads(in: project, matching: filter, limit: Self.threadsAtOnce, after: cursor, now: now)
    }

    private func conversation(_ thread: String, after cursor: String?) async throws -> Conversation? {
        try await store.conversation(thread, in: project, limit: Self.itemsAtOnce, after: cursor, now: now)
    }
}

extension Export {
    /// The answer; its head is not sent before the first page was read, so that a fault there can still be told. A fault
    /// on the way cuts it short without its end, so that a client can't take a part for the whole.
    func response(logger: Logger) async throws -> Response {
        let first = try await threads(after: nil)
        var headers = HTTPFields.api(
            contentType: format == .csv ? "text/csv; charset=utf-8; header=present" : "application/x-ndjson")
        headers[.contentDisposition] = "attachment; filename=\"\(fileName)\""
        return Response(
            status: .ok, headers: headers,
            body: ResponseBody { writer in
                do {
                    _ = try await run(from: first) { bytes, _ in try await writer.write(ByteBuffer(bytes: bytes)) }
                } catch is CancellationError {
                    throw CancellationError()
                } catch {
                    logger.warning("an export was cut short", metadata: ["project": "\(project.id)", "error": "\(error)"])
                    throw error
                }
                try await writer.finish(nil)
            })
    }

    /// A project's name may have any characters; a file's only the plain ones.
    private var fileName: String {
        let plain = project.name.unicodeScalars.map { scalar in
            scalar.isASCII && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) || "-_".unicodeScalars.contains(scalar))
                ? Character(scalar) : "-"
        }
        return "parley-\(String(plain)).\(format == .chat ? "chat.jsonl" : format.rawValue)"
    }
}
