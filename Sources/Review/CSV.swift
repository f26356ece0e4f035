import Conversations
import Events

/// Conversations as a table (RFC 4180): one row a message or custom event, safe to open in a spreadsheet.
enum CSV {
    static let head = Array(
        "thread,type,id,role,content,at,user,provenance,confirmation,up,down,scores,comments,threadUser,threadStatus,threadTags,threadScores\r\n"
            .utf8)

    static func row(of item: ConversationItem, in thread: ThreadSummary) -> [UInt8] {
        let event = item.event
        var role = ""
        var content = ""
        switch event.body {
        case .message(let message):
            role = message.role.rawValue
            switch message.content {
            case .text(let text): content = text
            case .blocks(let blocks): content = blocks.string
            }
        case .event(let name): content = name
        default: break
        }
        let cells = [
            thread.id, event.type, event.id, role, content, item.at.description, event.user?.id ?? "", item.provenance.rawValue,
            item.confirmation.map { $0.isDifference ? "differs" : "confirmed" } ?? "", String(item.feedback.up), String(item.feedback.down),
            words(of: item.scores), item.comments.map { "\($0.author ?? "?"): \($0.text)" }.joined(separator: "; "), thread.user?.id ?? "",
            thread.status.rawValue, thread.tags.joined(separator: "; "), words(of: thread.scores),
        ]
        return Array((cells.map(cell).joined(separator: ",") + "\r\n").utf8)
    }

    /// `quality=0.5 (Ann); tone=good (Bob)`
    private static func words(of scores: [Score]) -> String {
        scores.map { score in
            var writer = JSONWriter()
            if let value = score.value { writer.value(value) }
            return "\(score.name)=\(score.value == nil ? score.category ?? "" : writer.string) (\(score.author))"
        }.joined(separator: "; ")
    }

    /// A cell that a spreadsheet takes for text. What begins like a formula would be run when the file is opened, and
    /// what a visitor typed must never run: an apostrophe in front keeps it text (OWASP, "CSV Injection").
    static func cell(_ text: String) -> String {
        let bytes = text.utf8
        let formula = bytes.first.map { "=+-@\t\r".utf8.contains($0) } ?? false
        let guarded = formula ? "'" + text : text
        guard bytes.contains(where: { $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "\"") || $0 == 0x0A || $0 == 0x0D }) else {
            return guarded
        }
        var quoted = "\""
        for scalar in guarded.unicodeScalars {
            if scalar == "\"" { quoted.unicodeScalars.append(scalar) }
            quoted.unicodeScalars.append(scalar)
        }
        return quoted + "\""
    }
}
