import AgnostDoor
import Events
import Testing

@Suite("Agnost door: sessions and answers")
struct SessionTests {
    private func thread(_ body: String) throws -> Event {
        guard case .event(let event)? = try Calls.session(body).items.first else { throw Refusal(.internal) }
        return event
    }

    @Test("a session is its thread, its user and what else was said")
    func whole() throws {
        let event = try thread(
            #"""
            {"session_id":"conv ü/é #1","client_config":"mcp","connection_type":"","ip":"","tools":["a","b"],"timestamp":1795000000000,
             "user_data":{"userId":"u-1","email":"u@example.com"},"metadata":{"plan":"pro"},"new":1}
            """#)
        #expect(event.thread == "conv ü/é #1" && event.type == "thread")
        #expect(event.user == Event.User(id: "u-1", props: #"{"email":"u@example.com"}"#))
        #expect(event.at == Timestamp(milliseconds: 1_795_000_000_000))
        #expect(event.metadata == #"{"client_config":"mcp","new":1,"plan":"pro","tools":["a","b"]}"#)
    }

    @Test("the same session has the same ID, another one another")
    func derivedID() throws {
        let one = try thread(#"{"session_id":"c","user_data":{"user_id":"u","a":1,"b":2}}"#)
        #expect(one.id == (try thread(#"{"user_data":{"b":2,"a":1,"user_id":"u"},"session_id":"c"}"#)).id)
        #expect(one.id != (try thread(#"{"session_id":"c","user_data":{"user_id":"u","a":1,"b":3}}"#)).id)
        #expect(one.id.utf8.count == 36)
    }

    @Test("nobody is nobody", arguments: [#""""#, "null", "[]", "{}"])
    func anonymous(_ id: String) throws {
        #expect(try thread("{\"session_id\":\"c\",\"user_data\":{\"user_id\":\(id)}}").user == nil)
        #expect(try thread("{\"session_id\":\"c\",\"user_data\":\(id)}").user == nil)
        let traits = try thread("{\"session_id\":\"c\",\"user_data\":{\"user_id\":\(id),\"plan\":\"free\"}}")
        #expect(traits.metadata == #"{"user_data":{"plan":"free"}}"#)
    }

    @Test("a trait that is NaN costs itself only")
    func nan() throws {
        let event = try thread(#"{"session_id":"c","user_data":{"user_id":"u","score":NaN,"plan":"pro"}}"#)
        #expect(event.user == Event.User(id: "u", props: #"{"plan":"pro","score":null}"#))
    }

    @Test("a session without an ID is told what is missing")
    func missing() throws {
        for body in ["{}", #"{"session_id":""}"#, #"{"session_id":null}"#, #"{"session_id":{}}"#] {
            #expect(throws: Refusal.self) { try Calls.session(body) }
        }
        let reply = Calls.door.reply(
            to: Refusal(.missingField, field: "session_id", "session_id is required."), at: Calls.door.entrances[0], contentType: nil)
        #expect(reply.status == 400)
        try JSONDocument.read(reply.body) {
            #expect($0["error"]?.string == "session_id is required.")
            #expect($0["field"]?.string == "session_id" && $0["code"]?.string == "missing_field")
        }
    }

    @Test("an ID too long is that item's refusal, kept for quarantine")
    func tooLong() throws {
        let parcel = try Calls.session("{\"session_id\":\"\(String(repeating: "x", count: 129))\"}")
        guard case .refused(let item) = parcel.items[0] else { return #expect(Bool(false)) }
        #expect(item.refusal.reason == .invalidField && item.payload != nil)
    }

    @Test(
        "every verdict has an answer",
        arguments: [
            (Verdict.stored, 200), (.duplicate, 200), (.quarantined(Refusal(.laneForbidden)), 200), (.conflict(Refusal(.idConflict)), 200),
            (.dropped(Refusal(.quarantineFull)), 400), (.retry(Refusal(.overloaded)), 503), (.retry(Refusal(.rateLimited)), 429),
        ])
    func answers(_ verdict: Verdict, _ status: Int) throws {
        let request = Calls.request("/x/y/api/v1/capture-event", #"{"event_id":"e-1","session_id":"c"}"#)
        let reply = Calls.door.reply(to: [verdict], of: try Calls.door.decode(request), for: request)
        #expect(reply.status == status && reply.contentType == "application/json")
        #expect((reply.retryAfterSeconds != nil) == (status == 503 || status == 429))
        try JSONDocument.read(reply.body) {
            if status == 200 {
                #expect($0["success"]?.bool == true && $0["event_id"]?.string == "e-1")
            } else {
                #expect($0["error"]?.string?.isEmpty == false)
            }
        }
    }

    @Test("hostile bodies are refused or read, and nothing is worse")
    func hostile() throws {
        let values = [
            "null", "true", "-1", "1e999", "99999999999999999999999", "\"\"", "\"x\"", "\"\\ud800\"", "[]", "[[[[]]]]", "{}",
            #"{"a":{"b":null}}"#, "NaN",
            "\"\\u0000\"", "\"" + String(repeating: "x", count: 100_000) + "\"",
        ]
        let fields = [
            "event_id", "session_id", "primitive_type", "primitive_name", "latency", "success", "args", "result", "metadata", "timestamp",
            "parent_id", "checkpoints", "org_id", "user_data", "client_config", "tools", "ip",
        ]
        for field in fields {
            for value in values {
                for path in ["/api/v1/capture-session", "/api/v1/capture-event"] {
                    for lane in Lane.allCases {
                        let request = Calls.request(path, "{\"session_id\":\"c\",\"\(field)\":\(value)}", lane: lane)
                        guard let parcel = try? Calls.door.decode(request) else { continue }
                        let verdicts = parcel.items.map { _ in Verdict.stored }
                        #expect(Calls.door.reply(to: verdicts, of: parcel, for: request).status == 200)
                    }
                }
            }
        }
        let whole = Array(#"{"event_id":"é","session_id":"c","args":"\"漢\"","metadata":{"a":[1,{"b":2}]}}"#.utf8)
        for end in 0..<whole.count {
            #expect(throws: Refusal.self) { try Calls.door.decode(Calls.request("/api/v1/capture-event", Array(whole[..<end]))) }
        }
        for index in whole.indices {
            var bent = whole
            bent[index] ^= 0x80
            _ = try? Calls.door.decode(Calls.request("/api/v1/capture-event", bent))
        }
        let deep = String(repeating: "[", count: 100_000)
        for body in ["[]", "1", "null", "\"x\"", deep, "{\"args\":\(deep)}"] {
            #expect(throws: Refusal.self) { try Calls.event(body) }
        }
        let inText = #"{"event_id":"e","session_id":"c","args":""# + deep + #""}"#
        #expect(try Calls.run(inText).part.question == deep)
    }
}
