#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

extension Event {
    /// Which members to write.
    public enum Extent: Sendable {
        /// All of them: the native form, for quarantine, export and tail.
        case whole
        /// Without what a store keeps in columns: id, type, thread, at, user's id, role and text content.
        case besideColumns
    }

    /// The event as a JSON object; reading it gives the same event back.
    public func json(_ extent: Extent = .whole) -> JSONText {
        if extent == .besideColumns, isWhollyInColumns { return Self.nothing }
        var writer = JSONWriter()
        writer.object { write(into: &$0, extent) }
        return JSONText(trusted: writer.bytes)
    }

    private static let nothing = JSONText(trusted: Array("{}".utf8))

    /// Whether columns hold all of it, as of most messages. It may be wrong in saying no, and then costs no more than being written.
    private var isWhollyInColumns: Bool {
        guard metadata == nil, unknown == nil, user?.props == nil, case .message(let message) = body, case .text(let text) = message.content
        else { return false }
        return message.replyTo == nil && message.retryOf == nil && message.tags.isEmpty && message.trace == nil && !text.hasNUL
    }

    private func write(into writer: inout JSONWriter, _ extent: Extent) {
        if extent == .whole {
            writer.field("type", type)
            writer.field("id", id)
            writer.field(ifPresent: "thread", thread)
            writer.field(ifPresent: "at", at)
            if let user {
                writer.key("user")
                writer.object {
                    $0.field("id", user.id); $0.field(ifPresent: "props", user.props)
                }
            }
        } else if let props = user?.props {
            writer.field("props", props)
        }
        writer.field(ifPresent: "metadata", metadata)
        switch body {
        case .thread(let patch):
            writer.field(ifPresent: "tags", patch.tags)
            writer.field(ifPresent: "untag", patch.untag)
            writer.field(ifPresent: "status", patch.status?.rawValue)
        case .message(let message):
            if extent == .whole { writer.field("role", message.role.rawValue) }
            switch message.content {
            // Databases end a text at NUL, so one that has it travels in the payload.
            case .text(let text): if extent == .whole || text.hasNUL { writer.field("content", text) }
            case .blocks(let blocks): writer.field("content", blocks)
            }
            writer.field(ifPresent: "replyTo", message.replyTo)
            writer.field(ifPresent: "retryOf", message.retryOf)
            writer.field(ifPresent: "tags", message.tags)
            writer.field(ifPresent: "trace", message.trace)
        case .event(let name): writer.field("name", name)
        case .feedback(let feedback):
            writer.field("target", feedback.target)
            writer.field(orNull: "thumb", feedback.thumb?.rawValue)
            writer.field(ifPresent: "comment", feedback.comment)
            writer.field(ifPresent: "leaves", feedback.leaves?.rawValue)
            writer.field(ifPresent: "author", feedback.author)
        case .identify, .other: break
        case .clientReport(let reasons): writer.field("reasons", reasons)
        case .run(let part):
            // What it carries takes most of its room, and is known.
            writer.reserve(more: 576 + part.carried)
            part.write(into: &writer)
        case .score(let score):
            writer.field("target", score.target)
            writer.field("name", score.name)
            writer.field(ifPresent: "value", score.value)
            writer.field(ifPresent: "category", score.category)
            writer.field(ifPresent: "reason", score.reason)
            writer.field(ifPresent: "author", score.author)
            if score.judge != .program { writer.field("judge", score.judge.rawValue) }
            if score.value == nil, score.category == nil { writer.field("removed", true) }
        case .comment(let comment):
            writer.field("target", comment.target)
            writer.field(ifPresent: "changes", comment.changes)
            writer.field(orNull: "text", comment.text)
            writer.field(ifPresent: "author", comment.author)
        case .trace(let target, let trace):
            writer.field("target", target)
            writer.field("trace", trace)
        }
        if let unknown {
            if extent == .whole { writer.members(of: unknown) } else { writer.field("unknown", unknown) }
        }
    }
}

extension Event.RunPart {
    /// Bytes of JSON that it carries.
    var carried: Int { [input, output, usage, error, extra].reduce(0) { $0 + ($1?.bytes.count ?? 0) } }

    fileprivate func write(into writer: inout JSONWriter) {
        writer.field(ifPresent: "kind", kind?.rawValue)
        writer.field(ifPresent: "name", name)
        writer.field(ifPresent: "parent", parent)
        writer.field(ifPresent: "receipt", receipt)
        writer.field(ifPresent: "input", input)
        writer.field(ifPresent: "output", output)
        writer.field(ifPresent: "model", model)
        writer.field(ifPresent: "provider", provider)
        writer.field(ifPresent: "usage", usage)
        writer.field(ifPresent: "cost", cost)
        writer.field(ifPresent: "success", success)
        writer.field(ifPresent: "error", error)
        writer.field(ifPresent: "startedAt", startedAt)
        writer.field(ifPresent: "endedAt", endedAt)
        writer.field(ifPresent: "tags", tags)
        writer.field(ifPresent: "question", question)
        writer.field(ifPresent: "answer", answer)
        writer.field(ifPresent: "within", within)
        writer.field(ifPresent: "trace", trace)
        writer.field(ifPresent: "linkedTraces", linkedTraces)
        writer.field(ifPresent: "extra", extra)
    }
}

extension Event {
    /// What a store keeps of an event in columns of its own.
    public struct Columns: Sendable {
        public var id: String
        public var type: String
        public var thread: String?
        public var at: Timestamp
        /// `User.key`.
        public var user: String?
        public var role: Role?
        /// A message's text; nil when its content is blocks (they are in the payload).
        public var text: String?

        public init(id: String, type: String, thread: String?, at: Timestamp, user: String?, role: Role?, text: String?) {
            self.id = id
            self.type = type
            self.thread = thread
            self.at = at
            self.user = user
            self.role = role
            self.text = text
        }
    }

    /// Puts an event together again from its columns and `json(.besideColumns)`. Throws for a payload no version wrote.
    public init(_ columns: Columns, payload: [UInt8]?) throws {
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("type", columns.type)
            writer.field("id", columns.id)
            writer.field(ifPresent: "thread", columns.thread)
            writer.field("at", columns.at)
            writer.field(ifPresent: "role", columns.role?.rawValue)
            writer.field(ifPresent: "content", columns.text)
            // Whoever it is; `identify` is nothing without.
            if let user = columns.user {
                writer.key("user")
                writer.object { $0.field("id", User(key: user).id) }
            }
        }
        guard let payload, !payload.isEmpty else {
            self = try JSONDocument.read(writer.bytes, isOurs: true) { try Event($0) }
            user = columns.user.map { User(key: $0) }
            return
        }
        var props: JSONText?
        var unknown: JSONText?
        let whole = try JSONDocument.read(payload, isOurs: true) { json in
            var merged = JSONWriter()
            merged.object { merged in
                merged.members(of: JSONText(trusted: writer.bytes))
                json.forEachMember { key, value in
                    if key.equals("props") {
                        props = JSONText(value)
                    } else if key.equals("unknown") {
                        unknown = JSONText(value)
                    } else {
                        merged.key(String(decoding: key, as: UTF8.self))
                        merged.value(JSONText(value))
                    }
                }
            }
            return merged.bytes
        }
        self = try JSONDocument.read(whole, isOurs: true) { try Event($0) }
        self.unknown = unknown
        user = columns.user.map { User(key: $0, props: props) }
    }
}

extension JSONWriter {
    /// Appends the members of an object's text into the object being written.
    fileprivate mutating func members(of object: JSONText) {
        try? JSONDocument.read(object.bytes, isOurs: true) { json in
            json.forEachMember { name, value in
                key(String(decoding: name, as: UTF8.self))
                self.value(JSONText(value))
            }
        }
    }
}

extension String {
    /// Whether there is a NUL in it, where databases end a text.
    public var hasNUL: Bool {
        // The characters' own bytes, where they are in one piece: a view of them costs ten times as much to walk.
        utf8.withContiguousStorageIfAvailable(\.hasNUL) ?? utf8.contains(0)
    }
}

extension UnsafeBufferPointer<UInt8> {
    var hasNUL: Bool { baseAddress.map { memchr($0, 0, count) != nil } ?? false }
}
