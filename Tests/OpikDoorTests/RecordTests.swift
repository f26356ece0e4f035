import Events
import Testing

@testable import OpikDoor

@Suite("Traces and spans as runs")
struct RecordTests {
    private func decode(_ body: String, _ method: Entrance.Method = .post, _ path: String = "/v1/private/traces/batch", id: String? = nil)
        throws -> Parcel
    {
        let entrance = try #require(OpikDoor().entrances.first { $0.method == method && $0.path == path })
        return try OpikDoor().decode(
            DoorRequest(
                entrance: entrance, lane: .secret, parameters: id.map { ["id": $0] } ?? [:], body: Array(body.utf8),
                receivedAt: FakeDesk.moment))
    }

    private func event(_ body: String, _ method: Entrance.Method = .post, _ path: String = "/v1/private/traces", id: String? = nil) throws
        -> Event
    {
        guard case .event(let event) = try decode(body, method, path, id: id).items[0] else { throw Refusal(.internal, "refused") }
        return event
    }

    private func part(_ event: Event) throws -> Event.RunPart {
        guard case .run(let part) = event.body else { throw Refusal(.internal, "not a run") }
        return part
    }

    @Test("a trace is a run of its own ID, with its version, thread and words")
    func trace() throws {
        let event = try event(
            #"""
            {"id":"01a1","project_name":"p","name":"turn","start_time":"2026-11-21T02:47:48.946693Z","end_time":"2026-11-21T02:47:49Z",
             "input":{"content":"Where is it?"},"output":{"output":"There."},"metadata":{"k":1},"tags":["a"],"ttft":12.5,
             "last_updated_at":"2026-11-21T02:47:50.1Z","thread_id":"t-1","source":"sdk","environment":"prod","new_field":{"x":[1]}}
            """#)
        let part = try part(event)
        #expect(event.id == "01a1")
        #expect(event.thread == "t-1")
        #expect(event.at == Timestamp(iso8601: "2026-11-21T02:47:50.1Z"))
        #expect(part.kind == .chain)
        #expect(part.startedAt?.description == "2026-11-21T02:47:48.946693Z")
        #expect(part.question == "Where is it?")
        #expect(part.answer == "There.")
        #expect(part.parent == nil)
        #expect(part.tags == ["a"])
        #expect(part.extra?["kind"] == "trace")
        #expect(part.extra?["environment"] == "prod")
        #expect(part.extra?["ttft"] == "12.5")
        #expect(part.extra?["new_field.x[0]"] == "1")
    }

    @Test("metadata names the browser's message")
    func parent() throws {
        #expect(try part(event(#"{"id":"r","metadata":{"message_id":"m-1"}}"#)).parent == "m-1")
        #expect(try part(event(#"{"id":"r","metadata":{"parent_message_id":"m-2"}}"#)).parent == "m-2")
        #expect(try part(event(#"{"id":"r","metadata":{"message_id":"r"}}"#)).parent == nil)
        #expect(try part(event(#"{"id":"r","metadata":{"message_id":""}}"#)).parent == nil)
        #expect(try part(event(#"{"id":"r","metadata":{"message_id":7}}"#)).parent == nil)
    }

    @Test("a patch is as new as its arrival and leaves alone what it does not say")
    func patch() throws {
        let event = try event(#"{"output":"x","last_updated_at":null,"input":null}"#, .patch, "/v1/private/traces/{id}", id: "r-1")
        let part = try part(event)
        #expect(event.id == "r-1")
        #expect(event.at == FakeDesk.moment)
        #expect(part.kind == nil)
        #expect(part.input == nil)
        #expect(part.question == nil)
        #expect(part.answer == "x")
    }

    @Test(
        "a span hangs under its parent span, else under its trace",
        arguments: [("llm", Event.RunKind.llm), ("tool", .tool), ("general", .chain), ("guardrail", .chain), ("other", .chain)])
    func span(type: String, kind: Event.RunKind) throws {
        let path = "/v1/private/spans"
        let root = try part(event(#"{"id":"s","trace_id":"t","type":"\#(type)","total_estimated_cost":0.25}"#, .post, path))
        #expect(root.parent == "t")
        #expect(root.kind == kind)
        #expect(root.cost == 0.25)
        #expect(root.extra?["type"] == type)
        #expect(root.extra?["trace"] == "t")
        let child = try part(event(#"{"id":"s","trace_id":"t","parent_span_id":"p"}"#, .post, path))
        #expect(child.parent == "p")
        #expect(child.question == nil)
        // A patch that names the trace alone must not move the span there.
        #expect(try part(event(#"{"trace_id":"t"}"#, .patch, "/v1/private/spans/{id}", id: "s")).parent == nil)
    }

    @Test("each item names its project; none means Opik's default")
    func destinations() throws {
        let parcel = try decode(#"{"traces":[{"id":"a","project_name":"x"},{"id":"b"},{"id":"c","project_name":""},5]}"#)
        #expect(parcel.destinations == [.named("x"), .named("Default Project"), .named("Default Project"), .named("Default Project")])
        #expect(parcel.items.count == 4)
    }

    @Test(
        "what a batch can't be is refused whole, with 422 or 400",
        arguments: [
            (#"{"traces":[]}"#, 422), (#"{}"#, 422), (#"{"traces":{}}"#, 422), (#"{"traces":null}"#, 422), ("[]", 400), ("", 400),
            ("{", 400), (#""x""#, 400), ("null", 400), (#"{"traces":[{"id":"a"}"#, 400),
        ])
    func unreadable(body: String, status: Int) async {
        let reply = await Caller().call(.post, "/api/v1/private/traces/batch", body)
        #expect(reply.status == status)
        #expect(reply.json["errors[0]"] != nil)
        #expect(reply.json["code"] == String(status))
    }

    @Test("a batch has at most 1000 records")
    func tooMany() async {
        func body(_ count: Int) -> String { #"{"traces":["# + (0..<count).map { #"{"id":"t\#($0)"}"# }.joined(separator: ",") + "]}" }
        let caller = Caller()
        #expect(await caller.call(.post, "/v1/private/traces/batch", body(1001)).status == 422)
        #expect(await caller.call(.post, "/v1/private/traces/batch", body(1000)).status == 204)
    }

    @Test(
        "an item that can't be one costs itself alone",
        arguments: [
            "5", "null", "[]", #""x""#, "{}", #"{"id":null}"#, #"{"id":""}"#, #"{"id":"  "}"#, #"{"id":{}}"#, #"{"id":[1]}"#,
            #"{"id":"x","start_time":"yesterday"}"#, #"{"id":"x","start_time":5}"#, #"{"id":"x","end_time":[]}"#,
            #"{"id":"x","last_updated_at":"no"}"#, #"{"id":"x","start_time":"1969-12-31T23:59:59Z"}"#, #"{"id":"x\u0000y"}"#,
            #"{"id":"\#(String(repeating: "x", count: 129))"}"#,
            #"{"id":"x","thread_id":"\#(String(repeating: "t", count: 129))"}"#,
        ])
    func hostileItems(item: String) async {
        for (path, name) in [("traces", "traces"), ("spans", "spans")] {
            let caller = Caller()
            let reply = await caller.call(.post, "/v1/private/\(path)/batch", #"{"\#(name)":[{"id":"before"},\#(item),{"id":"after"}]}"#)
            #expect(reply.status == 204)
            let isThreadOfSpan = path == "spans" && item.contains("thread_id")
            #expect(await caller.search(path).count == (isThreadOfSpan ? 3 : 2))
            #expect(caller.desk.refused.count == (isThreadOfSpan ? 0 : 1))
            if !isThreadOfSpan { #expect(reply.headers["X-Opik-Deprecation"]?.hasPrefix("1 of 3 items were set aside") == true) }
        }
    }

    @Test(
        "fields of any type are taken, and given back as they came",
        arguments: ["1", "-0.5", "1e300", "true", #""text""#, "[1,\"a\",null]", #"{"a":{"b":[{}]}}"#, "18446744073709551615", #""\ud83d""#])
    func anyType(value: String) async throws {
        let names = [
            "name", "input", "output", "metadata", "tags", "error_info", "thread_id", "source", "environment", "ttft", "trace_id",
            "parent_span_id", "type", "model", "provider", "usage", "total_estimated_cost", "project_name", "unknown", "kind", "trace",
        ]
        for name in names {
            for path in ["traces", "spans"] {
                let caller = Caller()
                let reply = await caller.call(
                    .post, "/v1/private/\(path)/batch", #"{"\#(path)":[{"id":"a","\#(name)":\#(value)},{"id":"b"}]}"#)
                #expect(reply.status == 204)
                #expect(caller.desk.refused.isEmpty, "\(name)")
                let found = await caller.search(path)
                #expect(found.map { $0["id"] } == ["b", "a"], "\(path) \(name)")
                // What was written reads as JSON again.
                for line in found { #expect((try? JSONDocument.read(line.bytes) { $0.kind == .object }) == true, "\(line.string)") }
            }
        }
        let caller = Caller()
        await caller.call(.post, "/v1/private/traces", #"{"id":"a","input":\#(value),"output":\#(value)}"#)
        let trace = try #require(await caller.search("traces").first)
        let sent = try JSONDocument.read(Array(value.utf8)) { JSONText($0) }
        #expect(trace.reading { $0.json("input") } == sent)
        #expect(trace.reading { $0.json("output") } == sent)
    }

    @Test("names longer than ours are cut for us and given back whole")
    func longNames() async throws {
        let name = String(repeating: "long ", count: 100)
        let caller = Caller()
        let tags = (0..<40).map { #""tag \#($0)""# }.joined(separator: ",")
        await caller.call(.post, "/v1/private/traces", #"{"id":"a","name":"\#(name)","tags":[\#(tags)]}"#)
        let trace = try #require(await caller.search("traces").first)
        #expect(trace["name"] == name)
        #expect(trace["tags[39]"] == "tag 39")
        await caller.call(.patch, "/v1/private/traces/a", #"{"name":"short"}"#)
        #expect(await caller.search("traces").first?["name"] == "short")
    }

    @Test("tags are replaced, added and taken off, whatever comes first")
    func tags() async {
        let calls = [
            (0.0, #"{"tags":["a","b"]}"#), (1.0, #"{"tags_to_add":["c"],"tags_to_remove":["a"]}"#), (2.0, #"{"tags_to_add":["d"]}"#),
        ]
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1]] {
            let caller = Caller()
            for index in order {
                caller.desk.set(now: FakeDesk.moment.advanced(bySeconds: calls[index].0))
                await caller.call(.patch, "/v1/private/traces/x", calls[index].1)
            }
            #expect(await caller.search("traces").first?["tags"] == #"["b","c","d"]"#)
        }
        let caller = Caller()
        await caller.call(.post, "/v1/private/traces", #"{"id":"x","tags":["a"],"last_updated_at":"2026-11-21T02:00:00Z"}"#)
        await caller.call(.patch, "/v1/private/traces/batch", #"{"ids":["x"],"update":{"tags":["z"]},"merge_tags":true}"#)
        #expect(await caller.search("traces").first?["tags"] == #"["a","z"]"#)
        await caller.call(.patch, "/v1/private/traces/batch", #"{"ids":["x"],"update":{"tags":["y"]}}"#)
        #expect(await caller.search("traces").first?["tags"] == #"["y"]"#)
    }

    @Test("random bytes never crash the door")
    func noise() async {
        var generator = SystemRandomNumberGenerator()
        let seed = Array(
            #"{"traces":[{"id":"a","input":{"x":["\ud83d\ude00",1.5e3,null,true]},"start_time":"2026-11-21T02:47:48Z"}]}"#.utf8)
        for _ in 0..<3000 {
            var bytes = seed
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            if Bool.random(using: &generator) { bytes = Array(bytes.prefix(Int.random(in: 0..<bytes.count, using: &generator))) }
            let reply = await Caller().call(.post, "/v1/private/traces/batch", bytes: bytes)
            #expect([204, 400, 422].contains(reply.status))
        }
    }

    @Test("deep nesting is refused, megabytes are not")
    func extremes() async {
        let deep = String(repeating: "[", count: 10_000) + String(repeating: "]", count: 10_000)
        #expect(await Caller().call(.post, "/v1/private/traces", #"{"id":"a","input":\#(deep)}"#).status == 400)
        let long = String(repeating: "x", count: 5 << 20)
        let caller = Caller()
        #expect(await caller.call(.post, "/v1/private/traces", #"{"id":"a","input":"\#(long)"}"#).status == 201)
        #expect(await caller.search("traces").first?["input"]?.utf8.count == long.utf8.count)
        #expect(
            await Caller().call(.post, "/v1/private/traces", bytes: Array(#"{"id":"a","input":"x"#.utf8) + [0xC3, 0x28, 0x22, 0x7D]).status
                == 400)
    }
}

@Suite("Plain words in inputs and outputs")
struct PlainTextTests {
    private func read(_ json: String, _ side: (JSONValue) -> String?) throws -> String? {
        try JSONDocument.read(Array(json.utf8)) { side($0) }
    }

    @Test(
        "a question is found in the shapes SDKs send",
        arguments: [
            (#""hi""#, "hi"), ("5", "5"), (#"{"message":"hi"}"#, "hi"), (#"{"q":"hi"}"#, "hi"), (#"{"anything":"hi"}"#, "hi"),
            (#"{"input":{"question":"hi"}}"#, "hi"), (#"{"message":"hi","history":[{"role":"user","content":"old"}]}"#, "hi"),
            (#"{"messages":[{"role":"system","content":"be nice"},{"role":"user","content":"hi"}]}"#, "hi"),
            (#"{"messages":[{"role":"user","content":"1"},{"role":"assistant","content":"2"},{"role":"user","content":"hi"}]}"#, "hi"),
            (#"[{"role":"user","content":[{"type":"text","text":"hi"},{"type":"image_url","image_url":{}}]}]"#, "hi"),
            (#"{"messages":[[{"type":"human","content":"hi"}]]}"#, "hi"),
            (#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}"#, "hi"), (#"{"role":"user","content":"hi"}"#, "hi"),
            (#"["a","b"]"#, "a\nb"), (#"{"a":1,"b":[{}]}"#, #"{"a":1,"b":[{}]}"#), ("{}", nil), ("[]", nil),
            ("null", nil), (#""""#, nil), (#"{"message":" "}"#, nil),
            (#"{"x":null,"y":{"z":1}}"#, #"{"x":null,"y":{"z":1}}"#),
        ] as [(String, String?)])
    func questions(json: String, text: String?) throws {
        #expect(try read(json, PlainText.question) == text)
    }

    @Test(
        "an answer likewise",
        arguments: [
            (#""hi""#, "hi"), (#"{"output":"hi"}"#, "hi"), (#"{"answer":"hi","sources":[]}"#, "hi"), (#"{"output":{"text":"hi"}}"#, "hi"),
            (#"{"choices":[{"message":{"role":"assistant","content":"hi"}}]}"#, "hi"), (#"{"choices":[{"text":"hi"}]}"#, "hi"),
            (#"[{"role":"user","content":"q"},{"role":"assistant","content":"hi"}]"#, "hi"),
            (#"{"messages":[{"type":"human","content":"q"},{"type":"ai","content":"hi"}]}"#, "hi"),
            (#"{"content":[{"type":"text","text":"hi"}]}"#, "hi"), (#"{"output":["a","b"]}"#, "a\nb"),
            (#"{"choices":[]}"#, #"{"choices":[]}"#), (#"{"output":null}"#, #"{"output":null}"#),
        ])
    func answers(json: String, text: String) throws {
        #expect(try read(json, PlainText.answer) == text)
    }
}

@Suite("What Python's json.dumps writes")
struct PythonJSONTests {
    @Test("NaN and infinities cost only themselves")
    func notNumbers() async {
        let caller = Caller()
        let body = #"{"traces":[{"id":"a","input":{"x":NaN,"y":-Infinity,"q":"hi"},"ttft":Infinity},{"id":"b"}]}"#
        #expect(await caller.call(.post, "/v1/private/traces/batch", body).status == 204)
        #expect(await caller.search("traces").map { $0["id"] } == ["b", "a"])
        #expect(await caller.search("traces").last?["input.q"] == "hi")
        // A score that is no number is set aside.
        await caller.call(.put, "/v1/private/traces/feedback-scores", #"{"scores":[{"id":"a","name":"s","value":NaN}]}"#)
        #expect(caller.desk.refused.count == 1)
    }
}
