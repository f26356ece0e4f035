import Conversations
import Events

/// A conversation as one line of a data set, written in pieces so that a long one need not be held whole.
struct ChatLine {
    private let thread: ThreadSummary
    private var hasBegun = false
    private var hasMessages = false

    init(_ thread: ThreadSummary) { self.thread = thread }

    /// What an item adds to the line: a message, or nothing.
    mutating func piece(_ item: ConversationItem) -> [UInt8] {
        guard case .message(let message) = item.event.body else { return [] }
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("role", message.role.rawValue)
            switch message.content {
            case .text(let text): writer.field("content", text)
            case .blocks(let blocks): writer.field("content", blocks)
            }
            writer.field("id", item.event.id)
            writer.field("at", item.at)
            writer.field(ifPresent: "retryOf", message.retryOf)
            if item.feedback.up + item.feedback.down > 0 {
                writer.key("feedback")
                writer.object {
                    $0.field("up", item.feedback.up); $0.field("down", item.feedback.down)
                }
            }
            if !item.scores.isEmpty { writer.scores(item.scores) }
            if !item.comments.isEmpty { writer.comments(item.comments) }
        }
        defer { hasMessages = true }
        return begin() + (hasMessages ? [UInt8(ascii: ",")] : []) + writer.bytes
    }

    mutating func end() -> [UInt8] { begin() + Array("]}\n".utf8) }

    private mutating func begin() -> [UInt8] {
        guard !hasBegun else { return [] }
        hasBegun = true
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("thread", thread.id)
            writer.field(orNull: "user", thread.user?.id)
            writer.field("status", thread.status.rawValue)
            writer.field("tags", thread.tags)
            writer.scores(thread.scores)
            writer.comments(thread.comments)
        }
        return writer.bytes.dropLast() + Array(#","messages":["#.utf8)
    }
}
