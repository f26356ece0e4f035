import Conversations
import Events

/// How messages are written: as they were sent, or with the nodes of their markdown beside.
public struct Rendering: Sendable {
    var asMarkdown = false
    /// Whether also what is long is rendered.
    var whole = false

    public static let plain = Rendering()
    private init() {}

    /// `render=markdown`, and `whole=true`.
    init(_ query: Query) throws(Refusal) {
        switch query["render"] {
        case nil: break
        case "markdown"?: asMarkdown = true
        default: throw .parameter("render", "must be markdown")
        }
        whole = try query.flag("whole") ?? false
    }
}

extension JSONWriter {
    /// The nodes of an assistant's words: a list of nodes, or for blocks a list with one such list (or null) a block.
    mutating func nodes(of message: Event.Message, _ rendering: Rendering) {
        guard rendering.asMarkdown, message.role == .assistant else { return }
        var excess: Markdown.Excess?
        key("nodes")
        switch message.content {
        case .text(let text): nodes(of: text, rendering, &excess)
        case .blocks(let blocks):
            let texts = try? JSONDocument.read(blocks.bytes, isOurs: true) { json in
                var texts: [String?] = []
                json.forEachElement { texts.append($0.string ?? Self.text(ofBlock: $0)) }
                return texts
            }
            array(texts ?? []) { writer, text in
                if let text { writer.nodes(of: text, rendering, &excess) } else { writer.null() }
            }
        }
        field(orNull: "unrendered", excess?.rawValue)
    }

    private mutating func nodes(of text: String, _ rendering: Rendering, _ excess: inout Markdown.Excess?) {
        switch Markdown.render(text, whole: rendering.whole) {
        case .nodes(let nodes): value(nodes)
        case .excess(let kind):
            excess = kind
            null()
        }
    }

    /// The words of a text block, as the common chat APIs shape one.
    private static func text(ofBlock block: JSONValue) -> String? {
        guard block.kind == .object, let text = block["text"]?.string else { return nil }
        let type = block["type"]?.string ?? ""
        return type.isEmpty || type.contains("text") ? text : nil
    }
}
