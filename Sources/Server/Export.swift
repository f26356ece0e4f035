import ArgumentParser
import Conversations
import Events

/// Writes conversations out, one page at a time: JSON lines hold a conversation each, CSV a row for each message or event.
struct Export {
    enum Format: String, CaseIterable, ExpressibleByArgument { case jsonl, csv }

    /// Threads and items read at once; a page of each is in memory, never the whole.
    private static let threadsPerPage = 100
    private static let itemsPerPage = 500

    let store: any ConversationStore
    let project: Project
    let filter: ThreadFilter
    let format: Format
    let now: Timestamp

    /// - Parameter write: takes the bytes; `threads` counts those begun so far.
    /// - Returns: the number of threads.
    func run(write: (_ bytes: [UInt8], _ threads: Int) throws -> Void) async throws -> Int {
        var count = 0
        if format == .csv { try write(Array((CSVRow.heading + "\r\n").utf8), 0) }
        var cursor: String?
        repeat {
            let page = try await store.threads(in: project, matching: filter, limit: Self.threadsPerPage, after: cursor, now: now)
            for thread in page.items {
                count += 1
                try await export(thread.id) { try write($0, count) }
            }
            cursor = page.next
        } while cursor != nil
        return count
    }

    private func export(_ thread: String, write: ([UInt8]) throws -> Void) async throws {
        var cursor: String?
        var looseRuns: [RunNode] = []
        var isFirst = true
        var separator = ""
        repeat {
            guard let part = try await store.conversation(thread, in: project, limit: Self.itemsPerPage, after: cursor, now: now) else { return }
            switch format {
            case .csv: for item in part.items { try write(Array((CSVRow(item, in: part.thread).text + "\r\n").utf8)) }
            case .jsonl:
                var bytes: [UInt8] = []
                if isFirst {
                    bytes += Array(#"{"thread":"#.utf8)
                    var heading = JSONWriter()
                    heading.heading(part.thread)
                    bytes += heading.bytes + Array(#","items":["#.utf8)
                    looseRuns = part.looseRuns
                }
                for item in part.items {
                    var json = JSONWriter()
                    json.item(item)
                    bytes += Array(separator.utf8) + json.bytes
                    separator = ","
                }
                try write(bytes)
            }
            isFirst = false
            cursor = part.next
        } while cursor != nil
        guard format == .jsonl else { return }
        var runs = JSONWriter()
        runs.array(looseRuns) { $0.run($1) }
        try write(Array(#"],"runs":"#.utf8) + runs.bytes + Array("}\n".utf8))
    }
}

/// A message or event as a row (RFC 4180).
private struct CSVRow {
    static let heading = "thread,type,id,role,name,content,at,receivedAt,provenance,user,tags,replyTo,retryOf,up,down,runs,model,latencyMs,failed,metadata"

    let text: String

    init(_ item: ConversationItem, in thread: ThreadSummary) {
        var role = ""
        var name = ""
        var content = ""
        var tags: [String] = []
        var replyTo: String?
        var retryOf: String?
        switch item.event.body {
        case .message(let message):
            role = message.role.rawValue
            switch message.content {
            case .text(let text): content = text
            case .blocks(let blocks): content = blocks.string
            }
            (tags, replyTo, retryOf) = (message.tags, message.replyTo, message.retryOf)
        case .event(let event): name = event
        default: break
        }
        let run = item.runs.first?.run
        text = [
            thread.id, item.event.type, item.event.id, role, name, content, item.at.description, item.receivedAt.description,
            item.provenance.rawValue, item.event.user?.id ?? "", tags.joined(separator: " "), replyTo ?? "", retryOf ?? "",
            String(item.feedback.up), String(item.feedback.down), String(item.runs.count), run?.model ?? "",
            run?.latencyMilliseconds.map { "\($0)" } ?? "", run.map { $0.failed ? "true" : "false" } ?? "", item.event.metadata?.string ?? "",
        ].map(Self.cell).joined(separator: ",")
    }

    /// A cell that a spreadsheet would take for a formula gets an apostrophe in front, since visitors write these texts
    /// (CWE-1236).
    private static func cell(_ text: String) -> String {
        let isFormula = text.first.map { "=+-@\t\r".contains($0) } ?? false
        let safe = isFormula ? "'" + text : text
        guard safe.utf8.contains(where: { $0 == 0x22 || $0 == 0x2C || $0 == 0x0A || $0 == 0x0D }) else { return safe }
        return "\"" + safe.replacing("\"", with: "\"\"") + "\""
    }
}
