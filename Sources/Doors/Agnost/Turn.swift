import Events

/// What `capture-event` says: one turn of a conversation, question and answer, or one call of a tool.
struct Turn {
    private let id: String
    private let run: Event
    private let part: Event.RunPart
    private let isTimed: Bool

    /// `{"event_id","session_id","primitive_type","primitive_name","latency","success","args","result","metadata","timestamp",
    /// "parent_id","checkpoints"}`, none of them needed. `latency` and `timestamp` are in milliseconds; `args` and `result` are
    /// JSON in a text, or plain text. Without an `event_id` one is made of the body and its arrival.
    init(_ json: JSONValue, body: [UInt8], receivedAt: Timestamp) {
        let known: [StaticString] = [
            "event_id", "session_id", "primitive_name", "latency", "success", "metadata", "timestamp", "org_id",
        ]
        var part = Event.RunPart()
        let isTool = json["primitive_type"]?.string == "tool"
        part.kind = isTool ? .tool : .agent
        part.name = json["primitive_name"]?.string
        part.success = json["success"]?.truth ?? true

        let (asked, told) = (Said(json["args"]), Said(json["result"]))
        part.input = asked?.json
        // What stands for the answer of a turn that failed is the error.
        if part.success == false { part.error = told?.json ?? "\"failed\"" } else { part.output = told?.json }
        if !isTool {
            part.question = asked?.question
            if part.success == true { part.answer = told?.answer }
        }

        let said = json["timestamp"].flatMap { Timestamp($0) }
        let at = said ?? receivedAt
        part.endedAt = at
        if let latency = json["latency"]?.number {
            part.startedAt = Timestamp(microseconds: max(0, at.microseconds - Int64(min(max(0, latency), Self.longestLatency) * 1000)))
        }

        var event = Event(id: json["event_id"]?.name ?? "", thread: json["session_id"]?.name, at: at, body: .identify)
        let metadata = json["metadata"]
        if let metadata, metadata.kind == .object { event.metadata = JSONText(metadata) }
        var rest = Members(of: json, without: known)
        if let metadata, metadata.kind != .object { rest.add("metadata", JSONText(metadata)) }
        rest.dropEmpty()
        part.extra = rest.json

        if event.id.isEmpty {
            var writer = JSONWriter()
            writer.object { writer in
                writer.field("body", String(decoding: body, as: UTF8.self))
                writer.field("receivedAt", receivedAt)
            }
            event.id = DerivedID.of(Event(id: "", body: .clientReport(reasons: JSONText(trusted: writer.bytes))))
        }
        part.parent = Self.parent(metadata, json, of: event.id)
        event.body = .run(part)
        (id, run, self.part, isTimed) = (event.id, event, part, said != nil)
    }

    /// A week, in milliseconds: the SDK subtracts two readings of a wall clock that may have been set between them.
    private static let longestLatency = 7 * 86_400_000.0

    /// Properties reach us as texts made by Python's `str()`, so that nothing is "None". The page's message comes before the
    /// one it answers, and both before the event around this one.
    private static func parent(_ metadata: JSONValue?, _ json: JSONValue, of id: String) -> String? {
        [
            metadata?["message_id"], metadata?["parent_message_id"], metadata?["parent_id"], metadata?["reply_to"], json["parent_id"],
        ].lazy.compactMap { $0?.name }.first {
            $0 != id && $0 != "None" && $0.utf8.count <= Event.Bounds.id && !$0.utf8.contains(0)
        }
    }

    /// The run, last; before it, for a public key, the texts as messages of their own, which such a key may write.
    func events(lane: Lane) -> [Event] {
        guard lane == .public, let thread = run.thread else { return [run] }
        // Without a time of the sender's the messages have none: sent again they are the same then.
        let (start, end) = isTimed ? (part.startedAt ?? part.endedAt, part.endedAt) : (nil, nil)
        var messages: [Event] = []
        var questionID = part.parent
        // A turn that names a message answers that one; its text is there already.
        if part.parent == nil, let question = part.question {
            questionID = id + ":question"
            messages.append(
                Event(id: id + ":question", thread: thread, at: start, body: .message(.init(role: .user, content: .text(question)))))
        }
        if let answer = part.answer {
            messages.append(
                Event(
                    id: id + ":answer", thread: thread, at: end,
                    body: .message(.init(role: .assistant, content: .text(answer), replyTo: questionID))))
        }
        return messages + [run]
    }
}

/// What was said in `args` or `result`.
struct Said {
    let json: JSONText
    let question: String
    let answer: String

    /// Mostly JSON in a text; a text that isn't JSON is what it says; `""` and `null` are nothing.
    init?(_ value: JSONValue?) {
        guard let value, !value.isNull else { return nil }
        guard let text = value.string else {
            (json, question, answer) = (JSONText(value), value.words(of: "user"), value.words(of: "assistant"))
            return
        }
        guard !text.isEmpty else { return nil }
        let read: (JSONText, String, String)?
        do {
            read = try JSONDocument.read(Array(text.utf8)) { inner in
                inner.isNull ? nil : (JSONText(inner), inner.words(of: "user"), inner.words(of: "assistant"))
            }
        } catch {
            // Text of a tool, or JSON with NaN in it: as it stands.
            read = (JSONText(value), text, text)
        }
        guard let read else { return nil }
        (json, question, answer) = read
    }
}

extension JSONValue {
    /// A number, also one in a text; infinities and NaN are none.
    fileprivate var number: Double? {
        (double ?? string.flatMap { Double($0) }).flatMap { $0.isFinite ? $0 : nil }
    }

    /// true or false, also as another language writes them.
    fileprivate var truth: Bool? {
        if let bool { return bool }
        if let integer { return integer != 0 }
        switch string?.lowercased() {
        case "true": return true
        case "false": return false
        default: return nil
        }
    }

    /// What this value says to a reader: a text itself; of messages the last of `role`, or the last; of an object the member that
    /// holds its text. Failing that, its JSON.
    fileprivate func words(of role: String) -> String { text(of: role, depth: 8) ?? JSONText(self).string }

    private func text(of role: String, depth: Int) -> String? {
        if let string { return string }
        guard depth > 0 else { return nil }
        switch kind {
        case .object:
            return text(of: role, depth: depth, in: "content") ?? text(of: role, depth: depth, in: "text")
                ?? text(of: role, depth: depth, in: "message") ?? text(of: role, depth: depth, in: "messages")
                ?? text(of: role, depth: depth, in: role == "user" ? "query" : "answer")
                ?? text(of: role, depth: depth, in: role == "user" ? "question" : "response")
                ?? text(of: role, depth: depth, in: role == "user" ? "prompt" : "result")
                ?? text(of: role, depth: depth, in: role == "user" ? "input" : "output")
        case .array:
            var texts: [String] = []
            var ofRole: String?
            var areMessages = false
            forEachElement { element in
                guard element.kind == .object, let text = element.text(of: role, depth: depth - 1) else { return }
                texts.append(text)
                guard let sender = element["role"]?.string else { return }
                areMessages = true
                if sender == role { ofRole = text }
            }
            // Blocks of one text, or the messages of a conversation.
            return areMessages ? ofRole ?? texts.last : texts.isEmpty ? nil : texts.joined(separator: "\n\n")
        default: return nil
        }
    }

    private func text(of role: String, depth: Int, in name: StaticString) -> String? {
        self[name]?.text(of: role, depth: depth - 1)
    }
}
