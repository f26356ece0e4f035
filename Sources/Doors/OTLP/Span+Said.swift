import Events

extension Span {
    /// What went in: messages, arguments, a query.
    func input(_ attributes: inout Attributes) -> JSONText? {
        let said =
            attributes.take(Names.firstInput, Self.saying) ?? Self.list(Names.indexedInput, in: &attributes) ?? saidBefore()
            ?? attributes.take(Names.otherInput, Self.saying)
        // Instructions are the first message, where messages are what went in.
        guard let instructions = attributes.take(Names.instructions, Self.saying)?.parsed else { return said?.parsedJSON }
        let system = AttributeValue.map(["role": .text("system"), "parts": instructions])
        switch said?.parsed {
        case .list(let messages): return AttributeValue.list([system] + messages).json
        case let said?: return AttributeValue.list([system, said]).json
        case nil: return AttributeValue.list([system]).json
        }
    }

    /// What came out.
    func output(_ attributes: inout Attributes) -> JSONText? {
        let said =
            attributes.take(Names.firstOutput, Self.saying) ?? Self.list(Names.indexedOutput, in: &attributes) ?? saidAfter()
            ?? attributes.take(Names.otherOutput, Self.saying)
        return said?.parsedJSON
    }

    private static func saying(_ value: AttributeValue) -> AttributeValue? {
        switch value {
        case .null, .text(""), .list([]): nil
        default: value
        }
    }

    private static func list(_ prefixes: [NamePrefix], in attributes: inout Attributes) -> AttributeValue? {
        for prefix in prefixes { if let list = attributes.takeList(prefix) { return list } }
        return nil
    }

    /// What span events say went in: `gen_ai.user.message` and its like.
    private func saidBefore() -> AttributeValue? {
        var messages: [AttributeValue] = []
        for event in events {
            if event.name == Names.promptEvent {
                messages.append((event.attributes["gen_ai.prompt"] ?? .map(event.attributes)).parsed)
            } else if let role = event.role {
                messages.append(event.message(role: role))
            }
        }
        return messages.isEmpty ? nil : .list(messages)
    }

    private func saidAfter() -> AttributeValue? {
        let answers = events.filter(\.isAnswer).map { event in
            event.attributes["gen_ai.completion"]?.parsed ?? event.message(role: "assistant")
        }
        return answers.isEmpty ? nil : .list(answers)
    }
}

extension Span.Happening {
    /// The role in `gen_ai.ROLE.message`.
    var role: String? {
        guard name.hasPrefix("gen_ai."), name.hasSuffix(".message"), name.utf8.count > 15 else { return nil }
        return String(name.dropFirst(7).dropLast(8))
    }

    var isAnswer: Bool { Names.choiceEvents.contains(name) }

    /// Its attributes as a message; `gen_ai.event.content` is one as JSON.
    fileprivate func message(role: String) -> AttributeValue {
        var members: [String: AttributeValue] = [:]
        for (key, value) in attributes {
            if key == "gen_ai.event.content", case .map(let more) = value.parsed {
                members.merge(more) { first, _ in first }
            } else if key != "gen_ai.system" {
                members[key] = value.parsed
            }
        }
        if members["role"] == nil { members["role"] = .text(role) }
        return .map(members)
    }
}
