import Events
import LunaryDoor
import Testing

@Suite("Lunary bodies that nobody should send")
struct HostileTests {
    let door = LunaryDoor()

    private func refusal(_ body: [UInt8]) -> Refusal? {
        do {
            _ = try door.decode(door.request(body))
            return nil
        } catch { return error }
    }

    private static let good = #"{"event":"chat","runId":"good-message-0001","parentRunId":"t","message":{"role":"user","content":"hi"}}"#

    /// Strange values for any place.
    private static let values = [
        "null", "true", "false", "0", "-1", "1.5", "1e300", "1180591620717411303424", "NaN", "-Infinity", "\"\"", "\"x\"", "\"\\u0000\"",
        "\"\\ud800\"", "\"\(String(repeating: "é", count: 500))\"", "[]", "{}", "[null]", "[[[]]]", "[1,\"a\",{}]", "{\"\":null}",
        "{\"id\":{}}",
        "{\"role\":5,\"content\":[{\"type\":\"text\"}]}", "{\"role\":\"user\",\"content\":{\"a\":1}}", "{\"thumb\":[]}",
        "{\"thumb\":\"sideways\"}",
        String(repeating: "[", count: 60) + String(repeating: "]", count: 60),
    ]

    private static let fields = [
        "event", "type", "name", "userId", "userProps", "tags", "threadTags", "runId", "parentRunId", "timestamp", "message", "input",
        "output",
        "error", "feedback", "runtime", "tokensUsage", "metadata", "params", "templateId", "appId", "threadMetadata", "extra", "overwrite",
    ]

    @Test("any value in any field of any event costs at most that event", arguments: fields)
    func anyValueAnywhere(_ field: String) throws {
        var sent: [String] = []
        for kind in ["chat", "custom-event", "feedback", "start", "end", "error", "update", "info", "novel"] {
            for type in ["\"thread\"", "\"llm\"", "\"chat\""] {
                for value in Self.values {
                    let base = [
                        "event": "\"\(kind)\"", "type": type, "runId": "\"run-of-the-test-1\"", "parentRunId": "\"thread-1\"",
                        "timestamp": "1795229470887",
                        "message": #"{"role":"assistant","content":"x","feedback":{"thumb":"up"}}"#, "feedback": #"{"thumb":"down"}"#,
                        "threadTags": #"["a"]"#,
                    ]
                    sent.append("{\(base.merging([field: value]) { $1 }.map { "\"\($0)\":\($1)" }.joined(separator: ","))},\(Self.good)")
                }
            }
        }
        for lane in Lane.allCases {
            let body = "{\"events\":[\(sent.joined(separator: ","))]}"
            let parcel = try door.parcel(body, lane: lane)
            #expect(parcel.events.count { $0.id == "good-message-0001" } == sent.count)
            let reply = door.reply(to: parcel.items.map { _ in .stored }, of: parcel, for: door.request(body.utf8, lane: lane))
            #expect(try JSONDocument.read(reply.body) { $0["results"]?.count } == 2 * sent.count)
            for event in parcel.events where lane == .secret && event.id != "good-message-0001" {
                #expect((try? JSONDocument.read(event.json().bytes, isOurs: true) { try Event($0) }) == event)
            }
        }
    }

    @Test(
        "an element that is no event is refused in its place",
        arguments: ["null", "5", "\"x\"", "[]", "{}", #"{"event":null}"#, #"{"event":[]}"#, #"{"runId":"x"}"#])
    func noEvent(_ element: String) throws {
        let parcel = try door.parcel("{\"events\":[\(Self.good),\(element),\(Self.good)]}")
        #expect(parcel.items.count == 3 && parcel.refusals.count == 1 && parcel.items[1].event == nil)
        #expect(parcel.refusals[0].payload != nil)
    }

    @Test("what an event needs is named when it lacks it")
    func missing() throws {
        let cases = [
            (#"{"event":"chat","runId":"a","message":{"role":"user","content":"x"}}"#, "parentRunId"),
            (#"{"event":"chat","runId":"a","parentRunId":"t"}"#, "message"),
            (#"{"event":"chat","runId":"a","parentRunId":"t","message":"hi"}"#, "message"),
            (#"{"event":"chat","runId":"a","parentRunId":"t","message":{"content":"x"}}"#, "message.role"),
            (#"{"event":"feedback","feedback":{"thumb":"up"}}"#, "runId"), (#"{"event":"start","type":"llm"}"#, "runId"),
            (#"{"event":"start","type":"thread"}"#, "runId"), (#"{"type":"llm"}"#, "event"),
        ]
        for (event, field) in cases {
            let parcel = try door.parcel("{\"events\":\(event)}")
            #expect(parcel.refusals.map(\.refusal.field) == [field], "\(event)")
            #expect(parcel.refusals[0].refusal.reason == .missingField)
        }
    }

    @Test("an ID that is too long is refused, never cut", arguments: ["runId", "parentRunId", "userId"])
    func longIDs(_ field: String) throws {
        let id = String(repeating: "x", count: 129)
        let event =
            #"{"event":"chat","runId":"a","parentRunId":"t","message":{"role":"user","content":"x"},"threadTags":["a"],"\#(field)":"\#(id)"}"#
        let parcel = try door.parcel("{\"events\":[\(event)]}")
        #expect(parcel.items.count == 1 && parcel.refusals.map(\.refusal.reason) == [.invalidField])
    }

    @Test("keys in refused events are not kept")
    func keysAreNotKept() throws {
        let parcel = try door.parcel(#"{"events":[{"event":"chat","appId":"\#(privateKey)","name":"n","app_id":"\#(privateKey)"}]}"#)
        #expect(parcel.refusals[0].payload == json(#"{"event":"chat","name":"n"}"#) && parcel.destinations == [.ofKey(privateKey)])
    }

    @Test(
        "a broken element is dropped and the others read",
        arguments: [
            #"{"event":}"#, "{'event':1}", "nonsense", #"{"event":"chat" "runId":1}"#, "[1,2,}", #"{"event":"chat","runId":"\x"}"#,
            #"{"event":1e999}"#,
            #"{"event":"start","input":"# + String(repeating: "[", count: 70) + String(repeating: "]", count: 70) + "}",
            #"{"event":"start","input":"# + String(repeating: #"{"a":"#, count: 5000) + "1" + String(repeating: "}", count: 5001),
        ])
    func brokenElement(_ element: String) throws {
        let parcel = try door.parcel("{\"events\":[\(Self.good),\(element),\(Self.good)],\"more\":NaN}")
        #expect(parcel.events.count == 2 && parcel.refusals.count == 1)
        #expect(parcel.items[1].event == nil && parcel.refusals[0].payload == nil)
    }

    @Test("half a character costs its own event")
    func halfCharacter() throws {
        let bad = Array(#"{"event":"chat","runId":"x","message":{"content":""#.utf8) + [0xE2, 0x82] + Array("\"}}".utf8)
        let body = Array("{\"events\":[\(Self.good),".utf8) + bad + Array(",\(Self.good)]}".utf8)
        let parcel = try door.decode(door.request(body))
        #expect(parcel.events.count == 2 && parcel.refusals.map(\.refusal.reason) == [.invalidUTF8])
    }

    @Test("a body cut anywhere gives what was whole, or is refused")
    func truncated() throws {
        let whole = Array("{\"events\":[\(Self.good),\(Self.good)]}".utf8)
        for length in 0..<whole.count {
            let cut = Array(whole.prefix(length))
            guard let parcel = try? door.decode(door.request(cut)) else { continue }
            #expect(parcel.events.count <= 2 && parcel.events.allSatisfy { $0.id == "good-message-0001" })
            #expect(length < "{\"events\":[\(Self.good)".utf8.count || parcel.events.count >= 1)
        }
    }

    @Test(
        "a body without events is refused as a whole",
        arguments: [
            ("", Reason.malformedJSON), (" ", .malformedJSON), ("{", .malformedJSON), ("hello", .malformedJSON), ("{}", .missingField),
            (#"{"events":null}"#, .invalidField), (#"{"events":"[]"}"#, .invalidField), (#"{"events":5}"#, .invalidField),
            ("null", .invalidField),
            ("5", .invalidField), (#"{"event":}"#, .malformedJSON),
        ])
    func refusedWhole(_ body: String, _ reason: Reason) { #expect(refusal(Array(body.utf8))?.reason == reason) }

    @Test("a list of one bottomless thing costs that thing only")
    func bottomless() throws {
        let body = String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)
        #expect(try door.parcel(body).refusals.map(\.refusal.reason) == [.tooDeep])
        #expect(try door.parcel(String(repeating: "[", count: 100_000)).refusals.count == 1)
    }

    @Test("events may be one object, a list alone, or nothing at all")
    func shapes() throws {
        for body in ["{\"events\":\(Self.good)}", "[\(Self.good)]", Self.good] { #expect(try door.parcel(body).events.count == 1) }
        #expect(try door.parcel(#"{"events":[]}"#).items.isEmpty)
    }

    @Test("more events than any SDK queues are refused together, in whichever way they are read")
    func tooMany() {
        let many = String(repeating: "{},", count: 20_000)
        #expect(refusal(Array("{\"events\":[\(many){}]}".utf8))?.reason == .batchTooLarge)
        #expect(refusal(Array("{\"events\":[\(many)nonsense]}".utf8))?.reason == .batchTooLarge)
    }

    @Test("megabytes are measured by lane")
    func large() throws {
        let text = String(repeating: "x", count: 2 << 20)
        let body =
            #"{"events":[\#(Self.good),{"event":"chat","runId":"big","parentRunId":"t","message":{"role":"user","content":"\#(text)"}}]}"#
        #expect(try door.parcel(body).events.count == 2)
        let page = try door.parcel(body, lane: .public)
        #expect(page.events.count == 1 && page.refusals.map(\.refusal.reason) == [.eventTooLarge])
        #expect(page.refusals[0].id == "big" && page.refusals[0].payload == nil)
    }

    @Test("an event of countless keys is refused, one of very many read in good time")
    func keys() throws {
        func event(_ keys: Int) -> String {
            let metadata = (0..<keys).map { "\"k\($0)\":\($0)" }.joined(separator: ",")
            return #"{"event":"custom-event","runId":"keys","name":"n","metadata":{\#(metadata)}}"#
        }
        #expect(try door.parcel("{\"events\":[\(event(10_001))]}").refusals.map(\.refusal.reason) == [.tooManyKeys])
        #expect(try door.events(event(9_900)).first?.metadata?.bytes.count ?? 0 > 90_000)
    }
}
