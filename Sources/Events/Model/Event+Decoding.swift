/// The JSON form of an event: what senders of the native protocol write, what quarantine keeps and stores read back.
extension Event {
    /// The bounds of an event's fields (protocol, P-LIMIT-4), in characters unless said otherwise.
    public enum Bounds {
        public static let id = 128
        public static let name = 200
        public static let tag = 64
        public static let tags = 32
        public static let shortText = 1000
        public static let keys = 10_000
    }

    /// Reads an event; what is wrong is told with the field and the rule.
    public init(_ json: JSONValue) throws(Refusal) {
        guard json.kind == .object else { throw Refusal(.invalidField, "An event is a JSON object.") }
        var fields = FieldReader(json)
        let type: String = try fields.required("type", .text(Bounds.name))
        id = try fields.required("id", .text(Bounds.id))
        thread = try fields.optional("thread", .text(Bounds.id))
        at = try fields.time("at")
        user = try fields.user()
        metadata = try fields.object("metadata")
        switch type {
        case "message":
            try fields.require("thread", thread)
            body = .message(try fields.message())
        case "thread":
            try fields.require("thread", thread)
            body = .thread(
                ThreadPatch(tags: try fields.tags(), untag: try fields.tags("untag"), status: try fields.choice("status")))
        case "event":
            let name = try fields.required("name", .text(Bounds.name))
            // P-TRACE-1: how a page says it, whose client knows custom events only.
            if name == "$trace", let metadata, let noted = Self.trace(in: metadata) {
                body = noted
                self.metadata = nil
            } else {
                body = .event(name: name)
            }
        case "trace":
            body = .trace(target: try fields.required("target", .text(Bounds.id)), trace: try fields.required("trace", .text(Bounds.id)))
        case "feedback":
            let target: String = try fields.required("target", .text(Bounds.id))
            guard fields.has("thumb") else {
                throw Refusal(.missingField, field: "thumb", "thumb is up, down, or null to take the vote back.")
            }
            body = .feedback(
                Feedback(
                    target: target, thumb: try fields.choice("thumb"), comment: try fields.optional("comment", .anyText),
                    leaves: try fields.choice("leaves"), author: try fields.optional("author", .text(Event.Bounds.id))))
        case "identify":
            guard user != nil else { throw Refusal(.missingField, field: "user.id", "identify needs user.id.") }
            body = .identify
        case "client_report":
            body = .clientReport(reasons: try fields.counts("reasons"))
        case "run":
            body = .run(try fields.run())
        case "score":
            body = .score(try fields.score())
        case "comment":
            body = .comment(
                Comment(
                    target: try fields.required("target", .text(Bounds.id)), changes: try fields.optional("changes", .text(Bounds.id)),
                    text: try fields.optional("text", .anyText), author: try fields.optional("author", .text(Bounds.id))))
        default:
            body = .other(type: type)
        }
        try fields.refuseReserved()
        unknown = fields.rest()
    }
}

extension Event {
    /// `{"target","trace"}`; nil where it says anything else.
    private static func trace(in metadata: JSONText) -> Body? {
        try? JSONDocument.read(metadata.bytes, isOurs: true) { json in
            guard let target = json["target"]?.string, let trace = json["trace"]?.string, json.count == 2, !target.isEmpty, !trace.isEmpty,
                target.unicodeScalars.count <= Bounds.id, trace.unicodeScalars.count <= Bounds.id, !(target + trace).utf8.contains(0)
            else { return nil }
            return .trace(target: target, trace: trace)
        }
    }
}

/// Reads the members of one event and remembers which it knew.
private struct FieldReader {
    enum Rule {
        /// 1 to that many characters.
        case text(Int)
        /// Any string, also an empty one.
        case anyText
    }

    /// The members in the order written; of two with one name the last counts.
    private var members: [(key: UnsafeBufferPointer<UInt8>, value: JSONValue, known: Bool)] = []

    init(_ json: JSONValue) {
        members.reserveCapacity(12)
        json.forEachMember { members.append(($0, $1, false)) }
    }

    private mutating func take(_ name: StaticString) -> JSONValue? {
        var found: JSONValue?
        for index in members.indices where members[index].key.equals(name) {
            members[index].known = true
            found = members[index].value
        }
        return found
    }

    mutating func has(_ name: StaticString) -> Bool { members.contains { $0.key.equals(name) } }

    /// P-EVT-6: what only the server may say can't be said in a payload.
    func refuseReserved() throws(Refusal) {
        let reserved: [StaticString] = ["lane", "key", "origin", "transport", "identity", "receivedAt", "provenance"]
        for member in members where !member.known && reserved.contains(where: { member.key.equals($0) }) {
            let name = String(decoding: member.key, as: UTF8.self)
            throw Refusal(.reservedField, field: name, "\(name) is set by the server only; leave it out.")
        }
    }

    /// The members nobody asked for, as an object.
    func rest() -> JSONText? {
        guard members.contains(where: { !$0.known }) else { return nil }
        var writer = JSONWriter()
        writer.object { writer in
            for member in members where !member.known {
                writer.key(String(decoding: member.key, as: UTF8.self))
                writer.value(JSONText(member.value))
            }
        }
        // Read again so that its order-free form is known too.
        return try? JSONDocument.read(writer.bytes, isOurs: true) { JSONText($0) }
    }

    func require(_ name: String, _ value: String?) throws(Refusal) {
        if value == nil { throw Refusal(.missingField, field: name, "\(name) is required.") }
    }

    mutating func optional(_ name: StaticString, _ rule: Rule, path: String? = nil) throws(Refusal) -> String? {
        guard let value = take(name), !value.isNull else { return nil }
        return try text(value, rule, path ?? name.description)
    }

    mutating func required(_ name: StaticString, _ rule: Rule) throws(Refusal) -> String {
        guard let text = try optional(name, rule) else { throw Refusal(.missingField, field: "\(name)", "\(name) is required.") }
        return text
    }

    /// - Parameter path: what is told of a fault; not made for what has none.
    private func text(_ value: JSONValue, _ rule: Rule, _ path: @autoclosure () -> String) throws(Refusal) -> String {
        func refusal(_ fault: String) -> Refusal {
            let path = path()
            return Refusal(.invalidField, field: path, "\(path) \(fault)")
        }
        guard let bytes = value.utf8 else { throw refusal("must be a string.") }
        let text = String(decoding: bytes, as: UTF8.self)
        if case .text(let most) = rule {
            // A string of fewer bytes has fewer characters (code points); only longer ones need counting.
            guard !bytes.isEmpty, bytes.count <= most || bytes.count <= most * 4 && text.unicodeScalars.count <= most else {
                throw refusal("must be 1 to \(most) characters.")
            }
            guard !bytes.hasNUL else { throw refusal("must not contain NUL.") }
        }
        return text
    }

    mutating func time(_ name: StaticString) throws(Refusal) -> Timestamp? {
        guard let value = take(name), !value.isNull else { return nil }
        guard let time = Timestamp(value) else {
            throw Refusal(.invalidField, field: "\(name)", "\(name) must be ISO 8601 or epoch milliseconds, between 1970 and 9999.")
        }
        return time
    }

    mutating func object(_ name: StaticString) throws(Refusal) -> JSONText? {
        guard let value = take(name), !value.isNull else { return nil }
        guard value.kind == .object else { throw Refusal(.invalidField, field: "\(name)", "\(name) must be an object.") }
        return JSONText(value)
    }

    /// An object of whole numbers from 0.
    mutating func counts(_ name: StaticString) throws(Refusal) -> JSONText {
        guard let value = take(name), !value.isNull else {
            throw Refusal(.missingField, field: "\(name)", "\(name) is required: an object of counts.")
        }
        guard value.kind == .object else { throw Refusal(.invalidField, field: "\(name)", "\(name) must be an object of counts.") }
        try value.forEachMember { (key: UnsafeBufferPointer<UInt8>, count: JSONValue) throws(Refusal) in
            guard let number = count.integer, number >= 0 else {
                throw Refusal(
                    .invalidField, field: "\(name)", "\(name).\(String(decoding: key, as: UTF8.self)) must be a whole number from 0.")
            }
        }
        return JSONText(value)
    }

    mutating func any(_ name: StaticString) -> JSONText? {
        guard let value = take(name), !value.isNull else { return nil }
        return JSONText(value)
    }

    mutating func number(_ name: StaticString) throws(Refusal) -> Double? {
        guard let value = take(name), !value.isNull else { return nil }
        guard let number = value.double else { throw Refusal(.invalidField, field: "\(name)", "\(name) must be a number.") }
        return number
    }

    mutating func flag(_ name: StaticString) throws(Refusal) -> Bool? {
        guard let value = take(name), !value.isNull else { return nil }
        guard let flag = value.bool else { throw Refusal(.invalidField, field: "\(name)", "\(name) must be true or false.") }
        return flag
    }

    mutating func choice<Choice: RawRepresentable<String>>(_ name: StaticString) throws(Refusal) -> Choice? {
        guard let value = take(name), !value.isNull else { return nil }
        guard let text = value.string, let choice = Choice(rawValue: text) else {
            let known =
                switch "\(name)" {
                case "role": "user, assistant, system or tool"
                case "kind": "llm, agent, tool, chain, retriever or embedding"
                case "thumb": "up, down or null"
                case "judge": "person or program"
                case "leaves": "thumb or comment"
                default: "active or inactive"
                }
            throw Refusal(.invalidField, field: "\(name)", "\(name) must be \(known).")
        }
        return choice
    }

    mutating func tags(_ name: StaticString = "tags") throws(Refusal) -> [String] {
        guard let value = take(name), !value.isNull else { return [] }
        guard value.kind == .array, value.count <= Event.Bounds.tags else {
            throw Refusal(.invalidField, field: "\(name)", "\(name) must be a list of at most \(Event.Bounds.tags) strings.")
        }
        var tags: [String] = []
        try value.forEachElement { (element: JSONValue) throws(Refusal) in
            tags.append(try text(element, .text(Event.Bounds.tag), "\(name)[\(tags.count)]"))
        }
        return tags
    }

    mutating func user() throws(Refusal) -> Event.User? {
        guard let value = take("user"), !value.isNull else { return nil }
        guard value.kind == .object else { throw Refusal(.invalidField, field: "user", "user must be an object with an id.") }
        guard let id = value["id"], !id.isNull else { throw Refusal(.missingField, field: "user.id", "user.id is required.") }
        let props = value["props"]
        if let props, !props.isNull, props.kind != .object {
            throw Refusal(.invalidField, field: "user.props", "user.props must be an object.")
        }
        return Event.User(
            id: try text(id, .text(Event.Bounds.id), "user.id"), props: props.flatMap { $0.isNull ? nil : JSONText($0) })
    }

    mutating func message() throws(Refusal) -> Event.Message {
        guard let role: Event.Role = try choice("role") else { throw Refusal(.missingField, field: "role", "role is required.") }
        guard let value = take("content"), !value.isNull else {
            throw Refusal(.missingField, field: "content", "content is required; it may be empty.")
        }
        let content: Event.Message.Content
        switch value.kind {
        case .string: content = .text(value.string!)
        case .array: content = .blocks(JSONText(value))
        default: throw Refusal(.invalidField, field: "content", "content must be a string or a list of blocks.")
        }
        return Event.Message(
            role: role, content: content,
            replyTo: try optional("replyTo", .text(Event.Bounds.id)), retryOf: try optional("retryOf", .text(Event.Bounds.id)),
            tags: try tags(), trace: try optional("trace", .text(Event.Bounds.id)))
    }

    mutating func run() throws(Refusal) -> Event.RunPart {
        var part = Event.RunPart()
        part.kind = try choice("kind")
        part.name = try optional("name", .text(Event.Bounds.name))
        part.parent = try optional("parent", .text(Event.Bounds.id))
        part.receipt = try optional("receipt", .text(Event.Bounds.name))
        part.input = any("input")
        part.output = any("output")
        part.model = try optional("model", .text(Event.Bounds.name))
        part.provider = try optional("provider", .text(Event.Bounds.name))
        part.usage = try object("usage")
        part.cost = try number("cost")
        part.success = try flag("success")
        part.error = any("error")
        part.startedAt = try time("startedAt")
        part.endedAt = try time("endedAt")
        part.tags = try tags()
        part.question = try optional("question", .anyText)
        part.answer = try optional("answer", .anyText)
        part.within = try optional("within", .text(Event.Bounds.id))
        part.trace = try optional("trace", .text(Event.Bounds.id))
        part.linkedTraces = try tags("linkedTraces")
        part.extra = try object("extra")
        let mayOmitKind =
            part.endedAt != nil || part.output != nil || part.error != nil || part.success != nil
            || part.extra != nil
        guard part.kind != nil || mayOmitKind else {
            throw Refusal(.missingField, field: "kind", "kind is required, but on a part that ends or patches a run.")
        }
        return part
    }

    mutating func score() throws(Refusal) -> Event.Score {
        var score = Event.Score(
            target: try required("target", .text(Event.Bounds.id)), name: try required("name", .text(Event.Bounds.name)),
            value: try number("value"), category: try optional("category", .text(Event.Bounds.name)),
            reason: try optional("reason", .anyText), author: try optional("author", .text(Event.Bounds.id)))
        score.judge = try choice("judge") ?? .program
        let isRemoved = try flag("removed") ?? false
        guard isRemoved || score.value != nil || score.category != nil else {
            throw Refusal(.missingField, field: "value", "A score needs a value or a category, or removed: true to take it back.")
        }
        if isRemoved { (score.value, score.category) = (nil, nil) }
        return score
    }
}
