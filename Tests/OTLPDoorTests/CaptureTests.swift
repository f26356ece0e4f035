import Events
import OTLPDoor
import Testing

@Suite("OTLP door: what three instrumentations sent")
struct CaptureTests {
    static let instrumentations = ["genai_openai_chat", "traceloop_openai_chat", "openinference_openai_chat"]
    static let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    static let message = "0190c5a2-7b1e-7c3d-9f00-0123456789ab"

    @Test("a model call and the request around it are runs under the page's message", arguments: instrumentations)
    func replay(_ name: String) throws {
        let recorded = try Exports.recorded(name)
        let runs = Exports.runs(try Exports.decode(recorded.body, recorded.contentType))
        try #require(runs.count == 2)
        for (event, part) in runs {
            #expect(event.id.hasPrefix(Self.trace + "-") && event.id.utf8.count == 49)
            #expect(part.parent == Self.message && part.trace == Self.trace)
            #expect(event.thread == "thread-42" && event.user?.id == "u ü")
            #expect(part.success == true && part.error == nil)
            #expect(event.at == part.endedAt && part.startedAt! < part.endedAt!)
        }
        let (call, around) = (runs[0], runs[1])
        #expect(around.part.kind == .chain && around.part.name == "POST /chat" && around.part.usage == nil)
        #expect(call.part.kind == .llm && call.part.provider == "openai" && call.part.model == "gpt-4o-2024-08-06")
        try JSONDocument.read(call.part.usage!.bytes) {
            #expect($0["inputTokens"]?.integer == 12 && $0["outputTokens"]?.integer == 6 && $0["cachedTokens"]?.integer == 4)
        }
        #expect(call.part.within == around.event.id)
        try JSONDocument.read(call.part.extra!.bytes) {
            #expect($0["params"]?["temperature"]?.double == 0.2)
            #expect($0["resource"]?["service.name"]?.string == "chat-backend")
        }
        #expect(call.part.input!.string.contains("Weather in Paris?") && call.part.output!.string.contains("Sunny, 18 degrees."))
        #expect(call.event.metadata?.string.contains("gen_ai.usage") != true)
    }

    @Test("messages keep the form they were sent in, spread or not")
    func messages() throws {
        let spread = Exports.runs(try Exports.decode(try Exports.recorded("openinference_openai_chat").body))[0]
        #expect(spread.part.input == #"[{"content":"be brief","role":"system"},{"content":"Weather in Paris?","role":"user"}]"#)
        #expect(spread.part.output == #"[{"content":"Sunny, 18 degrees.","role":"assistant"}]"#)
        #expect(spread.part.tags == ["t"])
        #expect(spread.event.metadata?.string.contains(#""message_id":"m-1""#) == true)
        let whole = Exports.runs(try Exports.decode(try Exports.recorded("genai_openai_chat").body))[0]
        #expect(
            whole.part.output
                == #"[{"finish_reason":"stop","name":null,"parts":[{"content":"Sunny, 18 degrees.","type":"text"}],"role":"assistant"}]"#)
    }

    @Test("both encodings of an export are the same runs", arguments: instrumentations)
    func encodings(_ name: String) throws {
        let recorded = try Exports.recorded(name)
        let binary = Exports.runs(try Exports.decode(recorded.body, "application/protobuf"))
        let text = Exports.runs(try Exports.decode(json: recorded.json))
        #expect(binary.map(\.event) == text.map(\.event))
    }

    @Test("the JSON exporter's numbers in texts and its failed span")
    func json() throws {
        let recorded = try Exports.recorded("python_otlp_json")
        let runs = Exports.runs(try Exports.decode(recorded.body, "application/json; charset=utf-8"))
        try #require(runs.count == 1)
        let (event, part) = runs[0]
        #expect(event.id == "52951203cec4d67cb43541ec4f8f4dad-f5d6ae81fbcae10c" && part.parent == nil)
        #expect(part.usage == #"{"inputTokens":12}"# && part.success == false && part.error == #"{"message":"boom"}"#)
        #expect(part.startedAt == Timestamp(microseconds: 1_795_229_637_389_279))
        try JSONDocument.read(part.extra!.bytes) {
            #expect($0["params"]?["stream"]?.bool == true)
            var names: [String?] = []
            $0["events"]?.forEachElement { names.append($0["name"]?.string) }
            #expect(names == ["e"])
        }
    }

    @Test("a body cut or bent anywhere is refused or read, never worse", arguments: instrumentations)
    func fuzz(_ name: String) throws {
        let body = try Exports.recorded(name).body
        for end in body.indices {
            do {
                _ = try Exports.decode(Array(body[..<end]))
            } catch let refusal as Refusal {
                #expect(refusal.reason.httpStatus == 400)
            }
        }
        for index in body.indices {
            for bit in Set([index % 8, 7]) {
                var bent = body
                bent[index] ^= 1 << bit
                do {
                    _ = try Exports.decode(bent)
                } catch let refusal as Refusal {
                    #expect(refusal.reason.httpStatus == 400)
                }
            }
        }
    }
}
