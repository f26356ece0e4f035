import AgnostDoor
import Events
import Testing

@Suite("Agnost door: turns")
struct TurnTests {
    @Test("a turn has its texts, times, name and everything else that was sent")
    func whole() throws {
        let (event, part) = try Calls.run(
            #"""
            {"event_id":"e-1","session_id":"c-1","primitive_type":"","primitive_name":"weather-agent","latency":250,"success":true,
             "args":"\"What is the weather?\"","result":"\"Sunny.\"","metadata":{"model":"gpt-4o","message_id":"m-1","parent_message_id":"m-0"},
             "checkpoints":[{"name":"tool","timestamp":12}],"org_id":"pk_x","colour":"red"}
            """#)
        #expect(event.id == "e-1" && event.thread == "c-1" && event.at == Calls.noon)
        #expect(part.kind == .agent && part.name == "weather-agent" && part.success == true)
        #expect(part.question == "What is the weather?" && part.answer == "Sunny.")
        #expect(part.input == "\"What is the weather?\"" && part.output == "\"Sunny.\"")
        #expect(part.endedAt == Calls.noon && part.startedAt == Calls.noon.advanced(bySeconds: -0.25))
        #expect(part.parent == "m-1")
        #expect(event.metadata == #"{"message_id":"m-1","model":"gpt-4o","parent_message_id":"m-0"}"#)
        #expect(
            part.extra
                == #"{"args":"\"What is the weather?\"","checkpoints":[{"name":"tool","timestamp":12}],"colour":"red","result":"\"Sunny.\""}"#
        )
    }

    @Test("a turn that failed has an error and no answer")
    func failed() throws {
        let part = try Calls.run(#"{"event_id":"e","session_id":"c","success":false,"args":"\"q\"","result":"\"ValueError: no\""}"#).part
        #expect(part.success == false && part.error == "\"ValueError: no\"" && part.answer == nil && part.output == nil)
        #expect(part.question == "q")
        #expect(try Calls.run(#"{"success":false}"#).part.error == "\"failed\"")
    }

    @Test("a tool call says nothing in the conversation")
    func tool() throws {
        let part = try Calls.run(
            #"{"session_id":"c","primitive_type":"tool","primitive_name":"get","success":true,"args":"{\"tool\":\"get\"}","result":"18 degrees"}"#
        ).part
        #expect(part.kind == .tool && part.question == nil && part.answer == nil)
        #expect(part.input == #"{"tool":"get"}"# && part.output == "\"18 degrees\"")
    }

    @Test(
        "the message a turn belongs to is looked for in four properties, then in the body",
        arguments: [
            (#""metadata":{"parent_message_id":"a","message_id":"b"}"#, "b"),
            (#""metadata":{"parent_id":"c","parent_message_id":"a"}"#, "a"),
            (#""metadata":{"reply_to":"d"}"#, "d"), (#""parent_id":"p""#, "p"), (#""metadata":{"message_id":""},"parent_id":"p""#, "p"),
            (#""metadata":{"message_id":"None"}"#, nil), (#""parent_id":"e""#, nil), (#""metadata":{"message_id":["x"]}"#, nil),
            (#""metadata":{"message_id":7}"#, "7"), (#""metadata":[1],"parent_id":null"#, nil),
        ] as [(String, String?)])
    func parent(_ members: String, _ parent: String?) throws {
        #expect(try Calls.run("{\"event_id\":\"e\",\"session_id\":\"c\",\(members)}").part.parent == parent)
    }

    @Test(
        "a latency is clamped, and a time of the sender's is heeded",
        arguments: [
            ("0", 0.0), ("12.75", 0.01275), ("-5", 0), ("1e300", 604_800), ("\"250\"", 0.25), ("NaN", nil), ("null", nil), ("[]", nil),
        ] as [(String, Double?)])
    func latency(_ latency: String, _ seconds: Double?) throws {
        let part = try Calls.run("{\"event_id\":\"e\",\"latency\":\(latency)}").part
        #expect(part.startedAt == seconds.map { Calls.noon.advanced(bySeconds: -$0) })
        let timed = try Calls.run("{\"event_id\":\"e\",\"timestamp\":1795000000000,\"latency\":\(latency)}").event
        #expect(timed.at == Timestamp(milliseconds: 1_795_000_000_000))
    }

    @Test(
        "what is said is a text, a conversation's last words, or the JSON itself",
        arguments: [
            (#""\"hi\"""#, "hi"), (#""hi there""#, "hi there"), (#""""#, nil), ("null", nil), (#""null""#, nil), (#""\"\"""#, ""),
            (#""{\"query\":\"why\"}""#, "why"), (#""{\"a\": 1}""#, #"{"a":1}"#), (#""[1, 2]""#, "[1,2]"), (#""12""#, "12"),
            (#""[{\"role\":\"user\",\"content\":\"one\"},{\"role\":\"assistant\",\"content\":\"two\"}]""#, "one"),
            (#""{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"deep\"}]}]}""#, "deep"),
            (#"{"content":"an object, not its text"}"#, "an object, not its text"), (#""{\"x\": NaN}""#, "{\"x\": NaN}"),
            ("true", "true"),
        ] as [(String, String?)])
    func words(_ args: String, _ question: String?) throws {
        #expect(try Calls.run("{\"event_id\":\"e\",\"session_id\":\"c\",\"args\":\(args)}").part.question == question)
    }

    @Test("without an ID it gets one of its body and its arrival")
    func minted() throws {
        let body = #"{"session_id":"c","args":"\"q\""}"#
        let (a, again) = (try Calls.run(body).event.id, try Calls.run(body).event.id)
        let later = try Calls.run(body, receivedAt: Calls.noon.advanced(bySeconds: 1)).event.id
        #expect(a == again && a != later && a.utf8.count == 36)
        let request = Calls.request("/api/v1/capture-event", body)
        let reply = Calls.door.reply(to: [.stored], of: try Calls.door.decode(request), for: request)
        try JSONDocument.read(reply.body) { #expect($0["event_id"]?.string == a) }
    }

    @Test("a public key's texts are messages, before the run it may not write")
    func publicLane() throws {
        let id = "21b668d1-765b-4a42-8e85-34b561c855bf"
        let body = "{\"event_id\":\"\(id)\",\"session_id\":\"c\",\"args\":\"\\\"q\\\"\",\"result\":\"\\\"a\\\"\"}"
        func events(_ body: String, _ at: Timestamp) throws -> [Event] {
            try Calls.event(body, lane: .public, receivedAt: at).items.map { item in
                guard case .event(let event) = item else { throw Refusal(.internal) }
                return event
            }
        }
        let first = try events(body, Calls.noon)
        #expect(first.map(\.type) == ["message", "message", "run"])
        #expect(first.map(\.id) == [id + ":question", id + ":answer", id])
        guard case .message(let answer) = first[1].body else { return }
        #expect(answer.role == .assistant && answer.content == .text("a") && answer.replyTo == id + ":question")
        // Sent again a second later, the messages are the same.
        #expect(Array(try events(body, Calls.noon.advanced(bySeconds: 1)).prefix(2)) == Array(first.prefix(2)))
        // A turn that names the page's message does not repeat it.
        let named = try events(body.dropLast() + ",\"metadata\":{\"message_id\":\"m-1\"}}", Calls.noon)
        #expect(named.map(\.type) == ["message", "run"])
        guard case .message(let only) = named[0].body else { return }
        #expect(only.role == .assistant && only.replyTo == "m-1")
    }
}
