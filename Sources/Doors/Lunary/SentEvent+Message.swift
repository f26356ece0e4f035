import Events

extension SentEvent {
    /// A chat event: a message in the thread that is its parent.
    mutating func message() throws(Refusal) -> [Event] {
        guard let said = members.object("message") else {
            throw Refusal(.missingField, field: "message", "message is required: an object with role and content.")
        }
        let thread = try need(parent, "parentRunId")
        var message = Members(said)
        let role = try need(message.text("role"), "message.role")
        let ownID = message.text("id")
        // Python's runId is a name made of the ID; the ID itself is in the message if the caller gave one.
        let id = (isHashed ? ownID ?? runID : runID ?? ownID) ?? derivedID
        let content = Self.content(message.take("content"))
        let tags = message.texts("tags") + members.texts("tags")
        let isRetry = message.take("isRetry")
        let votes = [message.take("feedback"), members.take("feedback")].compactMap { $0 }
        let vote = votes.first { Vote($0) != nil }

        // lunary-py says the thread's metadata twice, and the message's never.
        var metadata = ObjectText()
        let eventMetadata = members.take("metadata")
        if let eventMetadata, members.peek("threadMetadata").map({ JSONText($0) }) != JSONText(eventMetadata) {
            metadata.merge(eventMetadata, orUnder: "metadata")
        }
        metadata.merge(message.object("metadata"), orUnder: "metadata")
        metadata.set("extra", members.take("extra").map { JSONText($0) })
        metadata.set(message.rest)
        metadata.set("isRetry", isRetry.map { JSONText($0) })
        for other in votes where vote.map({ JSONText($0) }) != JSONText(other) { metadata.set("feedback", JSONText(other)) }
        if let ownID, ownID != id { metadata.set("id", ownID) }
        let ours = Self.role(role)
        if ours.rawValue != role { metadata.set("role", role) }

        let patch = threadPatch(of: thread)
        let companions = patch + embeddedVote(vote, on: id, in: thread)
        return [
            Event(
                id: id, thread: thread, at: at, user: user, metadata: metadata.text,
                body: .message(Event.Message(role: ours, content: content, tags: tags)), unknown: kept())
        ] + companions
    }

    /// Lunary's own words beside OpenAI's; a role nobody knows is no one's speech.
    private static func role(_ name: String) -> Event.Role {
        switch name.lowercased() {
        case "user", "human": .user
        case "assistant", "bot", "ai", "model": .assistant
        case "tool", "function": .tool
        default: .system
        }
    }

    private static func content(_ value: JSONValue?) -> Event.Message.Content {
        guard let value else { return .text("") }
        switch value.kind {
        case .string: return .text(value.string ?? "")
        case .array: return .blocks(JSONText(value))
        case .object:
            var writer = JSONWriter()
            writer.array { $0.value(JSONText(value)) }
            return .blocks((try? JSONDocument.read(writer.bytes, isOurs: true) { JSONText($0) }) ?? "[]")
        default: return .text(JSONText(value).string)
        }
    }

    // MARK: the old thread API

    /// `start` and `end` of type chat: a question and its answer under one run ID; only the start names the thread.
    ///
    /// From a backend they are parts of a run that is the whole turn. A page may not write runs: there the start is the question's
    /// message, and the end the answer's if its start came in the same body; else it is set aside as a run's part, text and all.
    mutating func turn() throws(Refusal) -> [Event] {
        let id = try need(runID, "runId")
        let isStart = name == "start"
        let text = Self.plainText(isStart ? members.peek("input") : members.peek("output"))
        let thread = parent ?? openTurns[id]
        if isStart, let parent { openTurns[id] = parent }
        guard lane == .public, let thread, let text else { return [run(as: id, turn: text)] }
        _ = (members.take("input"), members.take("output"))
        let tags = members.texts("tags")
        let patch = threadPatch(of: thread)
        var metadata = ObjectText()
        metadata.merge(members.take("metadata"), orUnder: "metadata")
        metadata.set("extra", members.take("extra").map { JSONText($0) })
        let message = Event.Message(role: isStart ? .user : .assistant, content: .text(text), tags: tags)
        let event = Event(id: id, thread: thread, at: at, user: user, metadata: metadata.text, body: .message(message), unknown: kept())
        return [event] + patch
    }

    private static func plainText(_ value: JSONValue?) -> String? {
        guard let value, !value.isNull else { return nil }
        if let text = value.string { return text }
        if value.kind == .object, let text = (value["content"] ?? value["text"])?.string { return text }
        return JSONText(value).string
    }
}
