import Conversations
import Events
import HTTPTypes
import Hummingbird
import Logging
import NIOCore

extension Review {
    /// `GET /v1/export`: whole conversations, streamed.
    @Sendable func export(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let query = Query(request)
        let project = try await project(of: request, query)
        let format = try query.choice("format", of: Export.Format.allCases) ?? .jsonl
        return try await Export(
            store: store, project: project, filter: ThreadFilter(query), format: format, now: clock.now(), logger: logger
        ).response()
    }
}

/// A walk over all conversations that match a filter, written out as it goes.
///
/// Holds one page of threads and one of items at a time; a slow reader slows the walk. A fault on the way cuts the
/// answer short without its end, so that a client can't take a part for the whole. Threads come by their latest
/// activity: one that is written to while the walk goes on moves to the front and may be missing; `from` fetches it later.
struct Export: Sendable {
    enum Format: String, CaseIterable, Sendable { case jsonl, csv }

    let store: any ConversationStore
    let project: Project
    let filter: ThreadFilter
    let format: Format
    let now: Timestamp
    let logger: Logger

    private static let threadsAtOnce = 100
    /// Few, as a backend's message may be megabytes long.
    private static let itemsAtOnce = 50
    /// What is gathered before it is sent: larger gains nothing over a socket's own buffer.
    private static let chunkBytes = 64 << 10

    /// The answer; its head is not sent before the first page was read, so that a fault there can still be told.
    func response() async throws -> Response {
        let first = try await threads(after: nil)
        var headers = HTTPFields.api(contentType: format == .csv ? "text/csv; charset=utf-8; header=present" : "application/x-ndjson")
        headers[.contentDisposition] = "attachment; filename=\"\(fileName)\""
        return Response(
            status: .ok, headers: headers,
            body: ResponseBody { writer in
                do {
                    try await write(from: first, to: &writer)
                } catch is CancellationError {
                    throw CancellationError()
                } catch {
                    logger.warning("an export was cut short", metadata: ["project": "\(project.id)", "error": "\(error)"])
                    throw error
                }
                try await writer.finish(nil)
            })
    }

    private func write(from first: Conversations.Page<ThreadSummary>, to writer: inout any ResponseBodyWriter) async throws {
        var chunk = ByteBuffer()
        if format == .csv { chunk.writeBytes(CSV.head) }
        var page = first
        while true {
            for thread in page.items {
                var cursor: String?
                repeat {
                    try Task.checkCancellation()
                    // Gone between the list and here: somebody erased it.
                    guard let part = try await conversation(thread.id, after: cursor) else { break }
                    for item in part.items { try await write(item, of: thread.id, to: &chunk, &writer) }
                    // A page carries all loose runs of its thread; they belong behind the last item.
                    if part.next == nil { for run in part.looseRuns { try await write(run, of: thread.id, to: &chunk, &writer) } }
                    cursor = part.next
                } while cursor != nil
            }
            guard let next = page.next else { break }
            page = try await threads(after: next)
        }
        if chunk.readableBytes > 0 { try await writer.write(chunk) }
    }

    private func write(
        _ item: ConversationItem, of thread: String, to chunk: inout ByteBuffer, _ writer: inout any ResponseBodyWriter
    ) async throws {
        switch format {
        case .jsonl: chunk.writeBytes(Self.line(thread) { $0.members(of: item) })
        case .csv: chunk.writeBytes(CSV.row(of: item, in: thread))
        }
        try await send(&chunk, to: &writer)
    }

    /// A run that hangs under no message is a line of its own; a table of messages has no place for it.
    private func write(
        _ run: RunNode, of thread: String, to chunk: inout ByteBuffer, _ writer: inout any ResponseBodyWriter
    ) async throws {
        guard format == .jsonl else { return }
        chunk.writeBytes(Self.line(thread) { $0.field("type", "run"); $0.members(of: run) })
        try await send(&chunk, to: &writer)
    }

    private func send(_ chunk: inout ByteBuffer, to writer: inout any ResponseBodyWriter) async throws {
        guard chunk.readableBytes >= Self.chunkBytes else { return }
        try await writer.write(chunk)
        chunk = ByteBuffer()
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

    /// A project's name may have any characters; a file's only the plain ones.
    private var fileName: String {
        let plain = project.name.unicodeScalars.map { scalar in
            scalar.isASCII && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) || "-_".unicodeScalars.contains(scalar))
                ? Character(scalar) : "-"
        }
        return "parley-\(String(plain)).\(format.rawValue)"
    }
}
