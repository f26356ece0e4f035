import Events

extension SentEvent {
    /// A start, end, error or update: a part of a run, the newest timestamp winning field by field.
    mutating func run() throws(Refusal) -> [Event] { [run(as: try need(runID, "runId"), turn: nil)] }

    /// - Parameter turn: the question or answer, where the run is a whole turn of its thread.
    mutating func run(as id: String, turn: String?) -> Event {
        let moment = at ?? receivedAt
        var part = Event.RunPart()
        part.kind = type.flatMap { Self.kinds[$0.lowercased()] }
        part.name = members.text("name")
        let metadata = members.object("metadata")
        if part.kind == .llm {
            // Lunary has no other place for it: an LLM run is named after its model. LangChain says it in its own words.
            part.model = part.name ?? metadata?["ls_model_name"]?.string
            part.provider = metadata?["ls_provider"]?.string
        }
        part.input = members.take("input").map { JSONText($0) }
        part.output = members.take("output").map { JSONText($0) }
        part.error = members.take("error").map { JSONText($0) }
        part.usage = Self.usage(members.object("tokensUsage"))
        part.tags = members.texts("tags")
        var extra = ObjectText()
        switch name {
        case "start":
            part.startedAt = moment
            // Ends carry none, or in lunary-py the message that the innermost `lunary.parent` named: a hint, no parent.
            part.parent = parent
        case "end":
            part.endedAt = moment
            part.success = part.error == nil
        case "error":
            part.endedAt = moment
            part.success = false
        default: break
        }
        if name != "start" { extra.set("endParent", parent) }
        var thread: String?
        if let turn {
            thread = parent
            part.parent = nil
            part.kind = .chain
            if name == "start" { part.question = turn } else { part.answer = turn }
        }
        if type != part.kind?.rawValue { extra.set("type", type) }
        extra.set(members.rest)
        extra.set("runtime", runtime)
        part.extra = extra.text
        return Event(id: id, thread: thread, at: moment, user: user, metadata: metadata.map { JSONText($0) }, body: .run(part))
    }

    private static let kinds: [String: Event.RunKind] = [
        "llm": .llm, "agent": .agent, "tool": .tool, "chain": .chain, "retriever": .retriever, "embed": .embedding, "embedding": .embedding,
    ]

    /// `{"prompt","completion","promptCached"}` in our words; other counts keep their names.
    private static func usage(_ tokens: JSONValue?) -> JSONText? {
        guard let tokens else { return nil }
        var usage = ObjectText()
        tokens.forEachMember { key, value in
            guard !value.isNull else { return }
            let name = String(decoding: key, as: UTF8.self)
            usage.set(usageNames[name] ?? name, JSONText(value))
        }
        return usage.text
    }

    private static let usageNames = [
        "prompt": "inputTokens", "completion": "outputTokens", "promptCached": "cachedTokens", "prompt_cached": "cachedTokens",
    ]
}
