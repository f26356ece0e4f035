public import Events

/// Whether an answer that a page displayed is what a run behind it produced.
///
/// Compared are words without regard to spaces around and between them: pages trim and wrap what models say. A difference is a
/// finding for a reviewer, never an error: a page may have shown less than all, a filter may have cut, or somebody forged it.
public enum Confirmation: Sendable, Equatable {
    case confirmed
    /// The run that should have produced it, and what it did produce.
    case differs(run: String, produced: String)

    public var isDifference: Bool { if case .differs = self { true } else { false } }

    /// Compares an assistant's message with the runs that answer for it.
    /// - Parameter nodes: the runs under the message itself and under the question it answers, with all below them.
    /// - Returns: nil where no run says what it produced.
    public static func compare(_ message: Event.Message, with nodes: [RunNode]) -> Confirmation? {
        guard message.role == .assistant else { return nil }
        let displayed = message.plainText.collapsed
        guard !displayed.isEmpty else { return nil }
        var produced: (run: String, text: String)?
        var isConfirmed = false
        func walk(_ node: RunNode, depth: Int) {
            if isConfirmed { return }
            // A tool's result is no answer, though an answer may repeat it.
            guard node.run.mayAnswer else { return }
            if let text = node.run.producedText, !text.allSatisfy(\.isWhitespace) {
                if text.collapsed == displayed { isConfirmed = true; return }
                // The outermost run that says something speaks for those below it.
                if produced == nil, depth == 0 || node.run.kind == .llm { produced = (node.run.id, text) }
            }
            for child in node.children { walk(child, depth: depth + 1) }
        }
        for node in nodes { walk(node, depth: 0) }
        if isConfirmed { return .confirmed }
        return produced.map { .differs(run: $0.run, produced: $0.text) }
    }
}

extension Confirmation {
    /// Compares an answer with the runs under it, then with those under its question, which speak for all tries at it.
    /// - Parameter isOthers: whether another answer to the same question has these words: then its run says nothing of this one.
    public static func compare(
        _ message: Event.Message, own: [RunNode], ofQuestion: [RunNode], isOthers: (_ words: String) throws -> Bool
    ) rethrows -> Confirmation? {
        let (own, asked) = (compare(message, with: own), compare(message, with: ofQuestion))
        if own == .confirmed || asked == .confirmed { return .confirmed }
        if let own { return own }
        if case .differs(_, let words)? = asked, try isOthers(words) { return nil }
        return asked
    }

    /// Whether two texts are the same words.
    public static func areSame(_ a: String, _ b: String) -> Bool { a.collapsed == b.collapsed }

    /// Compares each answer among a thread's items with the runs under it and under the question it answers: the one it replies to, else
    /// the user's message before it, where no other answer stands between.
    /// - Parameters:
    ///   - before: the runs under the user's message before the first item, where the first answer may answer that one.
    ///   - isOthers: whether an answer to that question beside the one of that ID has these words.
    public static func settle(
        _ items: inout [ConversationItem], after before: [RunNode] = [], of questions: [String: [RunNode]] = [:],
        isOthers: (_ words: String, _ question: String, _ id: String) throws -> Bool
    ) rethrows {
        var byID: [String: [RunNode]] = questions
        for item in items where item.event.idSpace == .message { byID[item.event.id] = item.runs }
        var asked = before
        for index in items.indices {
            guard case .message(let message) = items[index].event.body else { continue }
            switch message.role {
            case .user: asked = items[index].runs
            case .assistant:
                let question = message.replyTo.map { byID[$0] ?? [] } ?? asked
                asked = []
                // What a run says of itself needs no confirmation.
                if items[index].derivedFrom == nil {
                    let id = items[index].event.id
                    items[index].confirmation = try compare(message, own: items[index].runs, ofQuestion: question) { words in
                        try message.replyTo.map { try isOthers(words, $0, id) } ?? false
                    }
                }
            case .system, .tool: break
            }
        }
    }
}

extension Run {
    /// Whether what it puts out may be an answer; a tool's result is none.
    fileprivate var mayAnswer: Bool { kind != .tool && kind != .retriever && kind != .embedding }

    /// The words that it put out, where its output is text or in one of the shapes chat APIs answer with.
    public var producedText: String? {
        if let answer { return answer }
        guard let output else { return nil }
        return (try? JSONDocument.read(output.bytes, isOurs: true) { Self.words(of: $0, depth: 0) }) ?? nil
    }

    /// `"text"`, `{"content"}`, `{"text"}`, `{"message"}`, `{"output"}`, `{"answer"}`, `{"choices":[{"message"}]}`, and lists of text blocks.
    private static func words(of value: JSONValue, depth: Int) -> String? {
        // 6: deeper than any of these shapes.
        guard depth < 6 else { return nil }
        if let text = value.string { return text }
        switch value.kind {
        case .array:
            var texts: [String] = []
            value.forEachElement { if let text = words(of: $0, depth: depth + 1) { texts.append(text) } }
            return texts.isEmpty ? nil : texts.joined(separator: " ")
        case .object:
            if let choices = value["choices"] {
                var first: String?
                choices.forEachElement { if first == nil { first = words(of: $0, depth: depth + 1) } }
                return first
            }
            for name in ["content", "text", "message", "output", "answer", "response", "output_text"] {
                if let member = value.member(name), let text = words(of: member, depth: depth + 1) { return text }
            }
            return nil
        default: return nil
        }
    }
}
