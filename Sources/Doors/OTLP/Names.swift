/// What the instrumentations call things; of several names for one thing the first that is there counts.
///
/// From left to right: OpenTelemetry's GenAI conventions (open-telemetry/semantic-conventions-genai, still in development, with
/// the names it had before), OpenLLMetry, OpenInference, the Vercel AI SDK, Langfuse, LangSmith, Mastra.
enum Names {
    /// A span with an attribute that begins so is one of a model, an agent or a tool.
    static let marks: [NamePrefix] = [
        "gen_ai.", "llm.", "traceloop.", "openinference.", "ai.operationId", "ai.model.", "ai.prompt", "ai.response.", "ai.telemetry.",
        "ai.toolCall.", "ai.usage.", "ai.settings.", "langfuse.", "langsmith.", "mastra.", "input.value", "output.value",
    ]

    /// The message a run answers, after the prefix's own name.
    static let message: NameList = [
        "message.id", "gen_ai.message.id", "app.message_id", "lunary.parent_id",
        "traceloop.association.properties.message_id", "traceloop.association.properties.parent_message_id",
        "ai.telemetry.metadata.messageId", "ai.telemetry.metadata.parentMessageId",
        "ai.telemetry.metadata.message_id", "ai.telemetry.metadata.parent_message_id",
        "langfuse.trace.metadata.message_id", "langfuse.trace.metadata.parent_message_id",
        "langsmith.metadata.message_id", "langsmith.metadata.parent_message_id",
    ]
    /// The same inside the JSON of OpenInference's `metadata`.
    static let messageInMetadata = ["message_id", "parent_message_id", "messageId", "parentMessageId"]

    static let thread: NameList = [
        "gen_ai.conversation.id", "traceloop.association.properties.session_id", "traceloop.association.properties.thread_id",
        "traceloop.association.properties.conversation_id", "traceloop.association.properties.chat_id", "session.id",
        "ai.telemetry.metadata.sessionId", "ai.telemetry.metadata.threadId", "langfuse.session.id", "langsmith.metadata.session_id",
        "langsmith.metadata.thread_id", "langsmith.trace.session_id", "mastra.metadata.sessionId", "mastra.metadata.threadId",
        "gen_ai.session.id",
    ]
    static let user: NameList = [
        "enduser.id", "user.id", "traceloop.association.properties.user_id", "gen_ai.user", "llm.user",
        "ai.telemetry.metadata.userId", "langfuse.user.id", "langsmith.metadata.user_id", "mastra.metadata.userId",
    ]
    static let provider: NameList = ["gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider"]
    static let model: NameList = [
        "gen_ai.response.model", "gen_ai.request.model", "llm.model_name", "llm.response.model_name", "llm.request.model_name",
        "embedding.model_name", "reranker.model_name", "ai.response.model", "ai.model.id", "llm.request.model",
    ]

    /// What went in, and what came out: first under these names, then the spread lists, then what span events say, then the rest.
    static let firstInput: NameList = [
        "gen_ai.input.messages", "gen_ai.tool.call.arguments", "gen_ai.retrieval.query.text", "gen_ai.prompt",
    ]
    static let otherInput: NameList = [
        "traceloop.entity.input", "input.value", "tool.parameters", "ai.prompt.messages", "ai.prompt", "ai.toolCall.args", "ai.value",
        "ai.values",
        "langfuse.observation.input", "langfuse.trace.input",
    ]
    static let firstOutput: NameList = [
        "gen_ai.output.messages", "gen_ai.tool.call.result", "gen_ai.retrieval.documents", "gen_ai.completion",
    ]
    static let otherOutput: NameList = [
        "traceloop.entity.output", "output.value", "ai.response.text", "ai.response.object", "ai.response.toolCalls", "ai.toolCall.result",
        "langfuse.observation.output", "langfuse.trace.output",
    ]
    static let said = firstInput + otherInput + firstOutput + otherOutput
    /// Lists spread over attributes, `PREFIX.N.FIELD`.
    static let indexedInput: [NamePrefix] = ["llm.input_messages.", "gen_ai.prompt.", "llm.prompts.", "reranker.input_documents."]
    static let indexedOutput: [NamePrefix] = [
        "llm.output_messages.", "gen_ai.completion.", "llm.completions.", "retrieval.documents.", "reranker.output_documents.",
    ]
    static let instructions: NameList = ["gen_ai.system_instructions"]

    /// Our names of the counts, and theirs. Cached and reasoning tokens are part of the totals. In the order of our names,
    /// as they are written.
    static let usage: [(name: String, sources: NameList)] = [
        (
            "cacheWriteTokens",
            [
                "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
                "gen_ai.usage.cache_creation_input_tokens", "llm.token_count.prompt_details.cache_write",
            ]
        ),
        (
            "cachedTokens",
            [
                "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
                "llm.token_count.prompt_details.cache_read", "ai.usage.cachedInputTokens",
            ]
        ),
        (
            "inputTokens",
            [
                "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "llm.usage.prompt_tokens",
                "ai.usage.promptTokens", "ai.usage.inputTokens",
            ]
        ),
        (
            "outputTokens",
            [
                "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion",
                "llm.usage.completion_tokens", "ai.usage.completionTokens", "ai.usage.outputTokens",
            ]
        ),
        (
            "reasoningTokens",
            [
                "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens",
                "llm.token_count.completion_details.reasoning", "ai.usage.reasoningTokens",
            ]
        ),
        (
            "totalTokens",
            ["gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total", "ai.usage.totalTokens", "ai.usage.tokens"]
        ),
    ]
    static let cost: NameList = ["gen_ai.usage.cost", "gen_ai.usage.total_cost", "llm.cost.total", "langfuse.observation.cost"]

    /// Members of the run's `extra`: one value each.
    static let details: [(name: Extra.Member, sources: NameList)] = [
        (
            .finishReasons,
            ["gen_ai.response.finish_reasons", "llm.finish_reason", "ai.response.finishReason", "llm.response.finish_reason"]
        ),
        (.responseId, ["gen_ai.response.id", "ai.response.id", "llm.response.id"]),
        (.timeToFirstChunk, ["gen_ai.response.time_to_first_chunk"]),
        (.timeToFirstChunkMs, ["ai.response.msToFirstChunk"]),
        (.operation, ["gen_ai.operation.name", "ai.operationId"]),
        (.spanType, ["openinference.span.kind", "traceloop.span.kind", "llm.request.type", "langfuse.observation.type"]),
    ]
    /// Members of `extra` that are objects: the rest of the name is the member's.
    static let groups: [(name: Extra.Member, prefixes: [NamePrefix])] = [
        (.params, ["gen_ai.request.", "ai.settings."]),
        (.agent, ["gen_ai.agent.", "agent."]),
        (.workflow, ["gen_ai.workflow.", "traceloop.workflow."]),
        (.tool, ["gen_ai.tool.call.", "gen_ai.tool.", "tool.", "tool_call.", "ai.toolCall."]),
    ]
    /// An object of parameters as JSON in a text.
    static let parameters: NameList = ["llm.invocation_parameters"]

    /// Attributes that are the application's own: what follows is the name it gave.
    static let metadata: [NamePrefix] = [
        "traceloop.association.properties.", "ai.telemetry.metadata.", "langfuse.trace.metadata.", "langsmith.metadata.",
    ]
    /// An object of them as JSON in a text.
    static let metadataObjects: [NameList] = [["metadata"], ["langfuse.observation.metadata"], ["langfuse.trace.metadata"]]
    static let tags: [NameList] = [["tag.tags"], ["langfuse.trace.tags"], ["langsmith.span.tags"]]
    static let errorType: NameList = ["error.type"]

    static let operationID: NameList = ["ai.operationId"]
    static let toolName: NameList = ["gen_ai.tool.name", "tool.name"]
    static let agentName: NameList = ["gen_ai.agent.name"]

    /// Span events that carry what was said, in the conventions up to 1.36: `gen_ai.user.message` and its like, and the answer.
    static let detailsEvent = "gen_ai.client.inference.operation.details"
    static let choiceEvents = ["gen_ai.choice", "gen_ai.content.completion"]
    static let promptEvent = "gen_ai.content.prompt"
}

/// The names that say where in a chat a span belongs: those under a prefix of one's own first.
struct ChatNames: Sendable {
    let message: NameList
    let thread: NameList
    let user: NameList
    let reply: NameList

    init(prefix: String) {
        message = NameList([prefix + "message.id"]) + Names.message
        thread = NameList([prefix + "thread.id"]) + Names.thread
        user = NameList([prefix + "user.id"]) + Names.user
        reply = NameList([prefix + "reply.id"])
    }
}
