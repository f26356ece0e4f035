import Events
import OTLPDoor
import Testing

@Suite("OTLP door: answers and hostile bodies")
struct AnswerTests {
    private let protobuf = "application/x-protobuf"

    private func reply(_ verdicts: [Verdict], _ contentType: String, body: [UInt8]? = nil) throws -> Reply {
        let body =
            try body
            ?? (contentType == "application/json"
                ? Array(Exports.recorded("genai_openai_chat").json.utf8) : Exports.recorded("genai_openai_chat").body)
        let request = Exports.request(body, contentType)
        return Exports.door.reply(to: verdicts, of: try Exports.door.decode(request), for: request)
    }

    @Test(
        "success is 200 and empty, in the request's own encoding",
        arguments: ["application/x-protobuf", "application/protobuf", "application/json"])
    func success(_ contentType: String) throws {
        let answer = try reply([.stored, .duplicate], contentType)
        #expect(answer == Reply(status: 200, contentType: contentType, body: contentType == "application/json" ? Array("{}".utf8) : []))
    }

    @Test("what was not stored is counted with its reason")
    func partial() throws {
        let verdicts: [Verdict] = [.quarantined(Refusal(.laneForbidden)), .quarantined(Refusal(.laneForbidden)), .stored]
        let text = try reply(verdicts, "application/json")
        #expect(text.status == 200)
        #expect(
            String(decoding: text.body, as: UTF8.self)
                == #"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"2 x lane_forbidden: Use a secret key: a public key may not write runs."}}"#
        )
        let binary = try reply([.dropped(Refusal(.quarantineFull, "full"))], protobuf)
        // Field 1 (message), in it field 1 = 1 and field 2 = the text.
        let message = Array("1 x quarantine_full: full".utf8)
        #expect(binary.body == [0x0A, UInt8(message.count + 4), 0x08, 1, 0x12, UInt8(message.count)] + message)
    }

    @Test(
        "what may succeed later is 503 or 429 with a short wait",
        arguments: [
            (Reason.overloaded, 503), (.internal, 503), (.diskFull, 503), (.rateLimited, 429), (.overCredits, 429),
        ])
    func retry(_ reason: Reason, _ status: Int) throws {
        let answer = try reply([.stored, .retry(Refusal(reason, retryAfterMilliseconds: 60_000))], protobuf)
        #expect(answer.status == status && answer.retryAfterSeconds == 5 && answer.contentType == protobuf && answer.body.first == 0x12)
        let whole = Exports.door.reply(to: Refusal(reason), at: Exports.door.entrances[0], contentType: "application/json; charset=utf-8")
        #expect(whole.status == status && whole.retryAfterSeconds == 1 && whole.contentType == "application/json")
    }

    @Test(
        "a refusal of the whole is a Status in the request's encoding",
        arguments: [
            (Reason.unknownKey, 401), (.originForbidden, 403), (.bodyTooLarge, 413), (.malformedJSON, 400),
        ])
    func refusals(_ reason: Reason, _ status: Int) throws {
        let answer = Exports.door.reply(
            to: Refusal(reason, field: "f", "why"), at: Exports.door.entrances[0], contentType: "application/json")
        #expect(answer.status == status && answer.retryAfterSeconds == nil)
        try JSONDocument.read(answer.body) { #expect($0["message"]?.string?.hasPrefix("\(reason.rawValue): f: why ") == true) }
    }

    @Test("another content type is 415", arguments: [nil, "", "text/plain", "application/octet-stream"])
    func contentType(_ contentType: String?) throws {
        do {
            _ = try Exports.decode([], contentType)
            Issue.record("taken")
        } catch let refusal as Refusal {
            #expect(refusal.reason.httpStatus == 415)
        }
    }

    @Test("nothing sent is a success, and metrics and logs are let go unread")
    func empty() throws {
        #expect(try Exports.decode([]).items.isEmpty)
        #expect(try Exports.decode(json: "{}").items.isEmpty)
        #expect(try Exports.decode(json: #"{"resourceSpans":[],"x":1}"#).items.isEmpty)
        for path in ["/v1/metrics", "/v1/logs"] {
            let request = Exports.request([0xFF, 0xFF], protobuf, path: path)
            let answer = Exports.door.reply(to: [], of: try Exports.door.decode(request), for: request)
            #expect(answer == Reply(status: 200, contentType: protobuf, body: []))
        }
    }

    @Test("spans without a place or without words are stored, and the sender is told")
    func warnings() throws {
        func text(_ attributes: [(String, String)], parent: Int? = nil) throws -> String {
            let body = "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[\(Exports.span(1, parent: parent, attributes))]}]}]}"
            return String(decoding: try reply([.stored], "application/json", body: Array(body.utf8)).body, as: UTF8.self)
        }
        let chat = [("gen_ai.operation.name", "\"chat\"")]
        let said = chat + [("gen_ai.input.messages", "\"[1]\"")]
        #expect(try text(chat).contains("gen_ai.conversation.id") && text(chat).contains("CAPTURE_MESSAGE_CONTENT"))
        #expect(try !text(chat).contains("rejectedSpans"))
        #expect(try text(said, parent: 2) == "{}")
        #expect(try text(said + [("session.id", "\"s\"")]) == "{}")
    }

    @Test("a span that can't be one costs itself only")
    func neighbours() throws {
        let chat = [("gen_ai.operation.name", "\"chat\"")]
        let good = Exports.span(1, chat)
        for (bad, isCounted) in [
            ("7", true), ("null", true), ("[]", true), ("{}", false),
            (#"{"traceId":"zz","attributes":7,"events":{},"links":1,"status":[]}"#, false),
            (Exports.span(0, chat), true), (Exports.span(2, trace: "0", chat), true),
            (Exports.span(3, chat + [("session.id", "\"\(String(repeating: "x", count: 200))\"")]), true),
        ] {
            let parcel = try Exports.decode(spans: [bad, good, bad])
            #expect(Exports.runs(parcel).map(\.event.id) == ["\(Exports.trace)-\(Exports.spanID(1))"], "\(bad)")
            #expect(parcel.items.count == (isCounted ? 3 : 1), "\(bad)")
        }
    }

    @Test("hostile values in every field are read or refused, and nothing is worse")
    func hostile() throws {
        let values = [
            "null", "true", "-1", "1e300", "18446744073709551615", "\"18446744073709551615\"", "\"\"", "\"x\"", "\"\\ud800\"", "[]",
            "[[[]]]", "{}",
            #"{"stringValue":7}"#, "NaN", "\"\\u0000\"", "[{\"key\":7,\"value\":7},{\"key\":\"gen_ai.x\"}]", "[null,1]",
        ]
        let fields = [
            "traceId", "spanId", "parentSpanId", "traceState", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes",
            "events",
            "links", "status", "flags", "droppedAttributesCount",
        ]
        let good = Exports.span(1, [("gen_ai.x", "1")])
        for field in fields {
            for value in values {
                let parcel = try Exports.decode(spans: [
                    String(Exports.span(2, [("gen_ai.x", "1")]).dropLast()) + ",\"\(field)\":\(value)}", good,
                ])
                #expect(Exports.runs(parcel).contains { $0.event.id.hasSuffix(Exports.spanID(1)) }, "\(field) \(value)")
            }
        }
        for attribute in [
            "gen_ai.usage.input_tokens", "gen_ai.input.messages", "metadata", "tag.tags", "llm.invocation_parameters", "gen_ai.prompt.0",
            "gen_ai.prompt.", "gen_ai.prompt..x", "gen_ai.prompt.99999999999999999999.x",
        ] {
            for value in [
                "\"\"", "-5", "1.5", "true", "\"{\"", #""[{\"a\":NaN}]""#, #"{"kvlistValue":{}}"#, #"{"arrayValue":null}"#,
                #"{"bytesValue":"AAE="}"#,
            ] {
                _ = try Exports.run([(attribute, value)])
            }
        }
        for body in ["", "[]", "7", "null", #"{"resourceSpans":{}}"#, "{", String(repeating: "[", count: 10_000)] {
            #expect(throws: Refusal.self) { try Exports.decode(json: body) }
        }
        for body in [#"{"resourceSpans":[1,null,{}]}"#, #"{"resourceSpans":[{"scopeSpans":[7,{"spans":{}}],"resource":[]}]}"#] {
            #expect(try Exports.decode(json: body).items.isEmpty)
        }
        let whole = Array(try Exports.recorded("python_otlp_json").json.utf8)
        for end in 0..<whole.count { #expect(throws: Refusal.self) { try Exports.decode(Array(whole[..<end]), "application/json") } }
        // Bytes that are no UTF-8 cost the text they stand in.
        var bent = whole
        bent[whole.count / 2] |= 0x80
        _ = try? Exports.decode(bent, "application/json")
    }

    @Test("hostile protobuf: nesting, lengths, groups and unknown fields")
    func hostileProtobuf() throws {
        /// A length-delimited field.
        func field(_ number: UInt8, _ content: [UInt8]) -> [UInt8] {
            var (length, bytes) = (content.count, [number << 3 | 2])
            while length > 127 {
                bytes.append(UInt8(length & 127) | 128)
                length >>= 7
            }
            return bytes + [UInt8(length)] + content
        }
        func export(_ span: [UInt8]) -> [UInt8] { field(1, field(2, field(2, span))) }
        let trace = field(1, [UInt8](repeating: 0xAB, count: 16)), id = field(2, [1, 2, 3, 4, 5, 6, 7, 8])
        func attribute(_ key: String, _ value: [UInt8]) -> [UInt8] { field(9, field(1, Array(key.utf8)) + field(2, value)) }
        let mark = attribute("gen_ai.x", [0x18, 1])

        var list: [UInt8] = [0x10, 1]
        for _ in 0..<1000 { list = field(5, field(1, list)) }
        #expect(throws: Refusal.self) { try Exports.decode(export(trace + id + mark + attribute("deep", list))) }
        var fine: [UInt8] = [0x10, 1]
        for _ in 0..<40 { fine = field(5, field(1, fine)) }
        #expect(Exports.runs(try Exports.decode(export(trace + id + mark + attribute("deep", fine)))).count == 1)

        for huge: [UInt8] in [
            [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F], [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], [0x0A], [0x0B], [0xFF],
        ] {
            #expect(throws: Refusal.self) { try Exports.decode(huge) }
        }
        // An unknown varint, fixed64, bytes, fixed32 and group, in the export and in the span.
        let unknown: [UInt8] = [
            0xF8, 0x07, 5, 0xF1, 0x07, 1, 2, 3, 4, 5, 6, 7, 8, 0xFA, 0x07, 1, 9, 0xFD, 0x07, 1, 2, 3, 4, 0xF3, 0x07, 0x08, 1, 0xF4, 0x07,
        ]
        #expect(Exports.runs(try Exports.decode(unknown + export(unknown + trace + id + mark + unknown))).count == 1)
        // A text that is not UTF-8 is mended; IDs of other lengths are that span's refusal.
        let broken = try Exports.decode(
            export(trace + id + mark + field(5, [0x61, 0xFF, 0x62]) + attribute("cut", field(1, [0xE6, 0xBC]))))
        #expect(Exports.runs(broken).first?.part.name == "a\u{FFFD}b")
        for (bytes, base64) in [([UInt8](), ""), ([0], "AA=="), ([0, 255], "AP8="), ([1, 2, 3], "AQID"), ([1, 2, 3, 250], "AQID+g==")] {
            let data = Exports.runs(try Exports.decode(export(trace + id + mark + attribute("data", field(7, bytes)))))
            #expect(data.first?.event.metadata?.string == "{\"data\":\"\(base64)\",\"gen_ai.x\":1}")
        }
        #expect(try Exports.decode(export(field(1, [1]) + id + mark)).items.count == 1)
        #expect(Exports.runs(try Exports.decode(export(field(1, [1]) + id + mark))).isEmpty)
    }
}
