import Events

/// The words in what a trace took and gave, as far as they can be told: the same shapes that Opik's own page prettifies.
enum PlainText {
    /// What the user said; the compact JSON where no text is to be found, nil where nothing was said.
    static func question(_ value: JSONValue) -> String? { words(.question, value) }

    /// What was answered, likewise.
    static func answer(_ value: JSONValue) -> String? { words(.answer, value) }

    private static func words(_ side: Side, _ value: JSONValue) -> String? {
        if let text = side.text(value) { return text.isBlank ? nil : text }
        let isEmpty = value.isNull || (value.kind == .object || value.kind == .array) && value.count == 0
        return isEmpty ? nil : JSONText(value).string
    }
}

private enum Side {
    case question, answer

    /// Names under which the words stand, the surest first.
    var keys: [StaticString] {
        switch self {
        case .question:
            [
                "question", "query", "prompt", "user_input", "user_message", "user_query", "message", "input", "inputs", "text", "content",
                "request", "instruction", "q",
            ]
        case .answer:
            [
                "answer", "response", "reply", "output", "outputs", "output_text", "completion", "result", "generated_text", "message",
                "text", "content", "a",
            ]
        }
    }

    /// Whose words they are in a list of messages.
    var roles: [String] { self == .question ? ["user", "human"] : ["assistant", "ai", "model"] }

    func text(_ value: JSONValue) -> String? {
        switch value.kind {
        case .string: value.string
        case .number, .bool: value.scalarText
        case .null: nil
        case .array: ofList(value)
        case .object: ofObject(value)
        }
    }

    private func ofObject(_ value: JSONValue) -> String? {
        if let messages = value["messages"] ?? value["contents"], let text = ofMessages(messages) { return text }
        if let choice = value["choices"]?.element(0) {
            if let message = choice["message"], let text = ofMessage(message) { return text }
            if let text = choice["text"]?.string { return text }
        }
        if value["role"] != nil || value["type"]?.string != nil, let text = ofMessage(value) { return text }
        for key in keys {
            if let member = value[key], !member.isNull, let text = text(member) { return text }
        }
        // `@track` wraps: one argument under its name, a result under `output`.
        guard value.count == 1 else { return nil }
        var only: String?
        value.forEachMember { _, member in only = text(member) }
        return only
    }

    private func ofList(_ value: JSONValue) -> String? {
        if let text = ofMessages(value) { return text }
        return ofBlocks(value)
    }

    /// The last words of the side in a list of messages, else the last words there are; nil for a list of something else.
    private func ofMessages(_ value: JSONValue) -> String? {
        guard value.kind == .array else { return nil }
        var last: String?
        var lastOfSide: String?
        value.forEachElement { element in
            // LangChain writes batches: lists of messages in a list.
            let role = element["role"]?.string ?? element["type"]?.string
            guard let role, element["content"] != nil || element["parts"] != nil else {
                if element.kind == .array, let text = ofMessages(element) { lastOfSide = text }
                return
            }
            guard let text = ofMessage(element) else { return }
            last = text
            if roles.contains(role.lowercased()) { lastOfSide = text }
        }
        return lastOfSide ?? last
    }

    private func ofMessage(_ value: JSONValue) -> String? {
        guard value.kind == .object else { return value.string }
        guard let content = value["content"] ?? value["parts"] ?? value["text"] else { return nil }
        return content.string ?? ofBlocks(content)
    }

    /// Content blocks: their texts, a line each; nil where there is none.
    private func ofBlocks(_ value: JSONValue) -> String? {
        guard value.kind == .array else { return nil }
        var texts: [String] = []
        value.forEachElement { block in
            if let text = block.string ?? block["text"]?.string { texts.append(text) }
        }
        return texts.isEmpty ? nil : texts.joined(separator: "\n")
    }
}
