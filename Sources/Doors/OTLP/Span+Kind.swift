import Events

extension Span {
    /// What sort of run it is, by its attributes; names of spans follow no rule.
    func kind(_ attributes: Attributes) -> Event.RunKind {
        for (name, kinds) in Self.kinds {
            if let word = attributes.look(name, \.text), let kind = kinds[word.lowercased()] { return kind }
        }
        if let operation = attributes.look(Names.operationID, \.text) {
            if operation.hasSuffix(".doGenerate") || operation.hasSuffix(".doStream") { return .llm }
            if operation == "ai.toolCall" { return .tool }
            if operation.hasPrefix("ai.embed") { return .embedding }
            // `ai.generateText` and its like stand around the calls and count their tokens again.
            return .chain
        }
        if attributes.has(Names.toolName) { return .tool }
        if attributes.look(Names.model, \.text) != nil { return .llm }
        if attributes.has(Names.agentName) { return .agent }
        return .chain
    }

    private static let kinds: [(name: NameList, kinds: [String: Event.RunKind])] = [
        (
            ["gen_ai.operation.name"],
            [
                "chat": .llm, "generate_content": .llm, "text_completion": .llm, "embeddings": .embedding, "retrieval": .retriever,
                "search_memory": .retriever, "execute_tool": .tool, "invoke_agent": .agent, "create_agent": .agent,
                "invoke_workflow": .chain, "plan": .chain,
            ]
        ),
        (
            ["openinference.span.kind"],
            [
                "llm": .llm, "chain": .chain, "agent": .agent, "tool": .tool, "retriever": .retriever, "reranker": .retriever,
                "embedding": .embedding, "guardrail": .chain, "evaluator": .chain,
            ]
        ),
        (["traceloop.span.kind"], ["workflow": .chain, "task": .chain, "agent": .agent, "tool": .tool]),
        (["llm.request.type"], ["chat": .llm, "completion": .llm, "embedding": .embedding, "rerank": .retriever]),
        (
            ["langfuse.observation.type"],
            [
                "generation": .llm, "agent": .agent, "tool": .tool, "chain": .chain, "retriever": .retriever, "embedding": .embedding,
            ]
        ),
        (["langsmith.span.kind"], ["llm": .llm, "chain": .chain, "tool": .tool, "retriever": .retriever, "embedding": .embedding]),
    ]
}
