import Events
import OTLPDoor
import Testing

@Suite("OTLP door: spans")
struct SpanTests {
    private let model = [("gen_ai.operation.name", "\"chat\"")]

    @Test("spans of a trace without a model are let go; those beside one are kept")
    func selection() throws {
        let other = String(repeating: "b", count: 32)
        let parcel = try Exports.decode(spans: [
            Exports.span(1, [("http.route", "\"/chat\"")]), Exports.span(2, parent: 1, model),
            Exports.span(3, trace: other, [("db.system", "\"redis\""), ("session.id", "\"s\""), ("chat.message.id", "\"m\"")]),
        ])
        #expect(parcel.items.map(\.id) == [1, 2].map { "\(Exports.trace)-\(Exports.spanID($0))" })
    }

    @Test("a message named on the span comes first, then the span around it")
    func parents() throws {
        let outer = "\(Exports.trace)-\(Exports.spanID(7))"
        func parent(_ attributes: [(String, String)]) throws -> String? {
            Exports.runs(try Exports.decode(spans: [Exports.span(1, parent: 7, model + attributes)]))[0].part.parent
        }
        #expect(try parent([]) == outer)
        for name in [
            "chat.message.id", "message.id", "gen_ai.message.id", "app.message_id", "lunary.parent_id",
            "traceloop.association.properties.message_id", "traceloop.association.properties.parent_message_id",
            "ai.telemetry.metadata.messageId", "ai.telemetry.metadata.parentMessageId", "langfuse.trace.metadata.message_id",
        ] {
            #expect(try parent([(name, "\"m-1\"")]) == "m-1", "\(name)")
        }
        #expect(try parent([("metadata", #""{\"message_id\":\"m-2\"}""#)]) == "m-2")
        #expect(try parent([("metadata", #""{\"parent_message_id\":\"m-3\"}""#), ("chat.message.id", "\"m-1\"")]) == "m-1")
        // What can't be an ID is no reason to lose the run.
        for odd in ["\"\"", "\"\(String(repeating: "x", count: 200))\"", "true", #"{"arrayValue":{"values":[]}}"#] {
            #expect(try parent([("message.id", odd)]) == outer)
        }
        #expect(Exports.runs(try Exports.decode(spans: [Exports.span(1, model)]))[0].part.parent == nil)
    }

    @Test("links give traces to look up, each once and not its own")
    func links() throws {
        let other = String(repeating: "B", count: 32)
        let rest =
            ",\"links\":[{\"traceId\":\"\(other)\",\"spanId\":\"\(Exports.spanID(3))\"},{\"traceId\":\"\(other)\"},"
            + "{\"traceId\":\"\(Exports.trace)\"},{\"traceId\":\"zz\"},7]"
        let part = try Exports.run([], rest).part
        #expect(part.linkedTraces == [other.lowercased()] && part.trace == Exports.trace)
    }

    @Test("a prefix of one's own replaces ours")
    func prefix() throws {
        let body = Exports.span(1, model + [("acme.message.id", "\"m\""), ("acme.thread.id", "\"t\""), ("acme.reply.id", "\"r\"")])
        let request = Exports.request(
            Array("{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[\(body)]}]}]}".utf8), "application/json")
        let run = Exports.runs(try OTLPDoor(prefix: "acme.").decode(request))[0]
        #expect(run.part.parent == "m" && run.event.thread == "t")
        #expect(run.part.extra?.string.contains(#""replyId":"r""#) == true)
    }

    @Test(
        "the thread is found under each of its names, also on the resource",
        arguments: [
            "chat.thread.id", "gen_ai.conversation.id", "session.id", "traceloop.association.properties.chat_id",
            "ai.telemetry.metadata.sessionId", "langfuse.session.id", "langsmith.metadata.session_id", "mastra.metadata.sessionId",
        ])
    func thread(_ name: String) throws {
        #expect(try Exports.run([(name, "\"t-1\"")]).event.thread == "t-1")
        let parcel = try Exports.decode(
            spans: [Exports.span(1, model)], resource: "{\"key\":\"\(name)\",\"value\":{\"stringValue\":\"t-2\"}}")
        #expect(Exports.runs(parcel)[0].event.thread == "t-2")
    }

    @Test(
        "a kind is what the attributes say, never the name",
        arguments: [
            ("gen_ai.operation.name", "chat", .llm), ("gen_ai.operation.name", "text_completion", .llm),
            ("gen_ai.operation.name", "embeddings", .embedding), ("gen_ai.operation.name", "execute_tool", .tool),
            ("gen_ai.operation.name", "invoke_agent", .agent), ("gen_ai.operation.name", "invoke_workflow", .chain),
            ("gen_ai.operation.name", "retrieval", .retriever), ("gen_ai.operation.name", "new_thing", .chain),
            ("traceloop.span.kind", "workflow", .chain), ("traceloop.span.kind", "tool", .tool), ("llm.request.type", "chat", .llm),
            ("openinference.span.kind", "LLM", .llm), ("openinference.span.kind", "RERANKER", .retriever),
            ("ai.operationId", "ai.generateText", .chain), ("ai.operationId", "ai.streamText.doStream", .llm),
            ("ai.operationId", "ai.toolCall", .tool), ("ai.operationId", "ai.embedMany.doEmbed", .embedding),
            ("gen_ai.request.model", "gpt", .llm), ("gen_ai.tool.name", "t", .tool), ("gen_ai.agent.name", "a", .agent),
        ] as [(String, String, Event.RunKind)])
    func kinds(_ name: String, _ word: String, _ kind: Event.RunKind) throws {
        #expect(try Exports.run([(name, "\"\(word)\"")]).part.kind == kind)
    }

    @Test("input and output come as structure, as JSON in a text, spread, in events, or as they are")
    func content() throws {
        let structured = #"{"arrayValue":{"values":[{"kvlistValue":{"values":[{"key":"role","value":{"stringValue":"user"}}]}}]}}"#
        #expect(try Exports.run([("gen_ai.input.messages", structured)]).part.input == #"[{"role":"user"}]"#)
        #expect(try Exports.run([("gen_ai.input.messages", #""[{\"role\":\"user\"}]""#)]).part.input == #"[{"role":"user"}]"#)
        #expect(
            try Exports.run([("gen_ai.input.messages", #""[{\"role\":\"user\"}]""#), ("gen_ai.system_instructions", #""be brief""#)]).part
                .input == #"[{"parts":"be brief","role":"system"},{"role":"user"}]"#)
        let spread = try Exports.run([
            ("gen_ai.prompt.0.role", "\"user\""), ("gen_ai.prompt.0.content", "\"hi\""), ("gen_ai.prompt.10.content", "\"last\""),
            ("gen_ai.prompt.2.content", "\"mid\""), ("gen_ai.completion.0.content", "\"yo\""),
        ]).part
        #expect(spread.input == #"[{"content":"hi","role":"user"},{"content":"mid"},{"content":"last"}]"#)
        #expect(spread.output == #"[{"content":"yo"}]"#)
        let calls = try Exports.run([
            ("llm.output_messages.0.message.tool_calls.0.tool_call.function.name", "\"f\""),
            ("llm.output_messages.0.message.tool_calls.0.tool_call.id", "\"c1\""), ("output.value", #""{\"raw\":1}""#),
        ]).part
        #expect(calls.output == #"[{"tool_calls":[{"function":{"name":"f"},"id":"c1"}]}]"#)
        #expect(calls.extra?.string.contains(#""alsoSaid":{"output.value":"{\"raw\":1}"}"#) == true)
        let once = try Exports.run([
            ("gen_ai.input.messages", structured), ("gen_ai.output.messages", #""[]""#), ("input.value", #""plain""#),
        ]).part
        #expect(once.extra?.string.contains(#""alsoSaid":{"input.value":"plain"}"#) == true)
        #expect(try Exports.run([("input.value", "\"plain\"")]).part.input == "\"plain\"")
        let old =
            #","events":[{"name":"gen_ai.user.message","attributes":[{"key":"content","value":{"stringValue":"q"}}]},"#
            + #"{"name":"gen_ai.choice","attributes":[{"key":"message","value":{"stringValue":"{\"content\":\"a\"}"}}]}]"#
        let events = try Exports.run([], old).part
        #expect(events.input == #"[{"content":"q","role":"user"}]"#)
        #expect(events.output == #"[{"message":{"content":"a"},"role":"assistant"}]"#)
        let details =
            #","events":[{"name":"gen_ai.client.inference.operation.details","attributes":["#
            + #"{"key":"gen_ai.output.messages","value":{"stringValue":"[1]"}}]}]"#
        #expect(try Exports.run([], details).part.output == "[1]")
    }

    @Test("tools, tokens, cost, parameters, tags and the application's own fields find their places")
    func fields() throws {
        let tool = try Exports.run([
            ("gen_ai.operation.name", "\"execute_tool\""), ("gen_ai.tool.name", "\"search\""), ("gen_ai.tool.call.id", "\"c\""),
            ("gen_ai.tool.call.arguments", #""{\"q\":1}""#), ("gen_ai.tool.call.result", "\"found\""),
        ]).part
        #expect(tool.kind == .tool && tool.input == #"{"q":1}"# && tool.output == "\"found\"")
        #expect(tool.extra?.string.contains(#""tool":{"id":"c","name":"search"}"#) == true)
        let run = try Exports.run([
            ("llm.token_count.prompt", "3"), ("llm.token_count.completion", "4"), ("llm.token_count.completion_details.reasoning", "1"),
            ("llm.cost.total", "0.25"), ("llm.invocation_parameters", #""{\"temperature\":0.5}""#), ("gen_ai.request.top_p", "0.9"),
            ("tag.tags", #"{"arrayValue":{"values":[{"stringValue":"a"},{"stringValue":"b"}]}}"#), ("metadata", #""{\"plan\":\"pro\"}""#),
            ("ai.telemetry.metadata.team", "\"x\""), ("server.port", "443"), ("user.id", "\"u\""),
            ("gen_ai.response.finish_reasons", #"{"arrayValue":{"values":[{"stringValue":"stop"}]}}"#),
        ])
        #expect(run.part.usage == #"{"inputTokens":3,"outputTokens":4,"reasoningTokens":1}"# && run.part.cost == 0.25)
        #expect(run.part.tags == ["a", "b"] && run.event.user?.id == "u")
        #expect(run.event.metadata == #"{"gen_ai.test":"x","plan":"pro","server.port":443,"team":"x"}"#)
        #expect(run.part.extra?.string.contains(#""params":{"temperature":0.5,"top_p":0.9}"#) == true)
        #expect(run.part.extra?.string.contains(#""finishReasons":["stop"]"#) == true)
    }

    @Test("an error is a status or a type; an exception that was caught is an event")
    func errors() throws {
        let exception =
            #""events":[{"name":"exception","attributes":[{"key":"exception.type","value":{"stringValue":"E"}},"#
            + #"{"key":"exception.message","value":{"stringValue":"bad"}}]}]"#
        let failed = try Exports.run([], ",\"status\":{\"code\":2},\(exception)").part
        #expect(failed.success == false && failed.error == #"{"message":"bad","type":"E"}"#)
        let typed = try Exports.run([("error.type", "\"timeout\"")]).part
        #expect(typed.success == false && typed.error == #"{"message":"timeout","type":"timeout"}"#)
        let caught = try Exports.run([], ",\(exception)").part
        #expect(caught.success == true && caught.error == nil && caught.extra?.string.contains("exception") == true)
    }

    @Test("the same span is the same run in any order, twice, and beside anything")
    func order() throws {
        let spans = (1...6).map { Exports.span($0, parent: $0 == 1 ? nil : $0 - 1, model + [("chat.thread.id", "\"t\"")]) }
        let inOrder = Exports.runs(try Exports.decode(spans: spans)).map(\.event)
        var generator = Seeded(state: 7)
        for _ in 0..<20 {
            let shuffled = (spans + spans).shuffled(using: &generator)
            let events = Exports.runs(try Exports.decode(spans: shuffled)).map(\.event)
            #expect(events.count == 12)
            for event in events { #expect(inOrder.contains(event)) }
        }
        for (span, event) in zip(spans, inOrder) { #expect(Exports.runs(try Exports.decode(spans: [span])).map(\.event) == [event]) }
        #expect(Set(inOrder.map { ContentDigest($0) }).count == 6)
    }

    @Test("attributes nobody asked for are kept within bounds, and what is left out is counted")
    func bounds() throws {
        let many = (0..<300).map { ("z\($0)", "\"v\"") }
        let run = try Exports.run(many + [("big", "\"\(String(repeating: "x", count: 70_000))\"")])
        #expect(run.event.metadata!.bytes.count < 10_000)
        #expect(run.part.extra?.string.contains("\"omittedAttributes\":46") == true)
    }

    @Test("of two attributes with one name the last counts, among few and among many", arguments: [0, 62, 63, 64, 500])
    func repeated(_ others: Int) throws {
        let more = (0..<others).map { ("app.x\($0)", "\($0)") }
        let run = try Exports.run(
            [("session.id", "\"t-1\""), ("gen_ai.request.model", "\"a\"")] + more + [("session.id", "\"t-2\""), ("app.x0", "\"y\"")])
        #expect(run.event.thread == "t-2" && run.part.model == "a")
        #expect(run.event.metadata?.string.contains(#""app.x0":"y""#) == true)
        #expect(try others < 200 || run.event.metadata.map { try JSONDocument.read($0.bytes) { $0.count } } == 256)
    }

    @Test("names that Unicode holds for the same come together, among few and among many", arguments: [0, 61, 62, 63, 64, 65])
    func sameToUnicode(_ others: Int) throws {
        let more = (0..<others).map { ("app.x\($0)", "1") }
        let event =
            ",\"events\":[{\"name\":\"gen_ai.client.inference.operation.details\",\"attributes\":["
            + "{\"key\":\"caf\u{e9}\",\"value\":{\"intValue\":\"1\"}},{\"key\":\"user.id\",\"value\":{\"stringValue\":\"u\"}}]}]"
        let run = try Exports.run([("cafe\u{301}", "2"), ("session.id", "\"t\"")] + more, event)
        #expect(run.event.thread == "t" && run.event.user?.id == "u")
        #expect(try JSONDocument.read(run.event.metadata?.bytes ?? []) { $0.count } == others + 2)
    }

    /// A body of spans that say nothing, beside a resource with one attribute.
    private func runs(of count: Int, name: String, _ text: String, lane: Lane) throws -> [Parcel.Item] {
        let spans = (1...count).map { Exports.span($0, [("gen_ai.test", "\"x\"")]) }.joined(separator: ",")
        let body =
            "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"\(name)\",\"value\":{\"stringValue\":\"\(text)\"}}]},"
            + "\"scopeSpans\":[{\"scope\":{\"name\":\"\(text)\",\"version\":\"1\"},\"spans\":[\(spans)]}]}]}"
        return try Exports.door.decode(Exports.request(Array(body.utf8), "application/json", lane: lane)).items
    }

    @Test("what spans share is kept with each of them as long as there is room, and what is not is counted")
    func sharedRoom() throws {
        func kept(_ count: Int, _ length: Int, _ lane: Lane) throws -> Int {
            let parts = try runs(of: count, name: "host", String(repeating: "x", count: length), lane: lane).map { item in
                guard case .event(let event) = item, case .run(let part) = event.body, let extra = part.extra else {
                    throw Refusal(.internal)
                }
                return extra.string
            }
            #expect(parts.allSatisfy { $0.contains("\"host\"") != $0.contains("\"omittedAttributes\":1") })
            #expect(parts.allSatisfy { $0.utf8.count < length + 400 }, "the name of the library is not cut")
            return parts.filter { $0.contains("\"host\"") }.count
        }
        #expect(try kept(500, 1000, .public) == 500 && kept(500, 8000, .secret) == 500)
        #expect(try (20..<100).contains(kept(200, 50_000, .public)) && (150..<200).contains(kept(200, 50_000, .secret)))
    }

    @Test("a thread that a resource names too long is refused with each run, by its rule and in few words")
    func longThread() throws {
        let items = try runs(of: 3, name: "session.id", String(repeating: "t", count: 50_000), lane: .secret)
        for item in items {
            guard case .refused(let refused) = item else { throw Refusal(.internal) }
            #expect(refused.refusal.field == "thread" && refused.refusal.message.contains("128 characters"))
            #expect((refused.payload?.bytes.count ?? .max) < 52_000)
        }
    }
}

/// SplitMix64, so that a shuffle is the same each time.
private struct Seeded: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
