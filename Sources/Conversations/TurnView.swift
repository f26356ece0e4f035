import Events

/// What a list shows of a thread with turns: found out by reading it whole, and kept until something changes in it.
public struct TurnView: Sendable {
    public var messages: Int
    public var first: ThreadSummary.Excerpt?
    public var last: ThreadSummary.Excerpt?

    public init(_ summary: ThreadSummary) { (messages, first, last) = (summary.messageCount, summary.first, summary.last) }

    /// nil where the text is none of ours.
    public init?(stored text: String) {
        func excerpt(_ value: JSONValue?) -> ThreadSummary.Excerpt? {
            guard let value, let id = value["id"]?.string, let role = value["role"]?.string.flatMap(Event.Role.init(rawValue:)),
                let text = value["text"]?.string, let at = value["at"]?.integer
            else { return nil }
            return .init(id: id, role: role, text: text, at: Timestamp(microseconds: at))
        }
        let read = try? JSONDocument.read(Array(text.utf8), isOurs: true) { json in
            (json["messages"]?.integer, excerpt(json["first"]), excerpt(json["last"]))
        }
        guard let read, let count = read.0 else { return nil }
        (messages, first, last) = (Int(count), read.1, read.2)
    }

    public var stored: String {
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("messages", messages)
            for (name, excerpt) in [("first", first), ("last", last)] {
                guard let excerpt else { continue }
                writer.key(name)
                writer.object {
                    $0.field("id", excerpt.id)
                    $0.field("role", excerpt.role.rawValue)
                    $0.field("text", excerpt.text)
                    $0.field("at", excerpt.at.microseconds)
                }
            }
        }
        return writer.string
    }
}
