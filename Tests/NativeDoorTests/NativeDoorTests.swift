import Events
import NativeDoor
import TestKit
import Testing

@Suite("Native door")
struct NativeDoorTests {
    let door = NativeDoor()
    private var events: Entrance { door.entrances[0] }
    private var request: DoorRequest { DoorRequest(entrance: events, lane: .public, receivedAt: Timestamp(milliseconds: 1)) }

    private func decode(_ body: [UInt8], contentType: String? = nil, lane: Lane = .public) throws(Refusal) -> Parcel {
        try door.decode(
            DoorRequest(entrance: events, lane: lane, contentType: contentType, body: body, receivedAt: Timestamp(milliseconds: 1)))
    }

    private func decode(_ body: String, contentType: String? = nil, lane: Lane = .public) throws(Refusal) -> Parcel {
        try decode(Array(body.utf8), contentType: contentType, lane: lane)
    }

    private func refusal(_ body: String, contentType: String? = nil, lane: Lane = .public) -> Refusal? {
        do {
            _ = try decode(body, contentType: contentType, lane: lane)
            return nil
        } catch { return error }
    }

    /// An event's ID, or the reason it was refused for.
    private func summary(_ parcel: Parcel) -> [String] {
        parcel.items.map { item in
            switch item {
            case .event(let event): event.id
            case .refused(let refused): refused.refusal.reason.rawValue
            }
        }
    }

    private static func event(_ id: String, _ rest: String = "") -> String { #"{"type":"event","id":"\#(id)","name":"opened"\#(rest)}"# }

    @Test(
        "a body may be a batch, a list, one event or one event a line, whatever its content type",
        arguments: [nil, "application/json", "text/plain;charset=UTF-8", "x"])
    func forms(_ contentType: String?) throws {
        let (a, b) = (Self.event("a"), Self.event("b"))
        for body in [
            "{\"events\":[\(a),\(b)]}", "[\(a),\(b)]", "\(a)\n\(b)", "\(a)\r\n\r\n \(b)\n\n",
            " \n{\"sentAt\":1,\"events\":[\(a),\(b)],\"more\":{}}\n ",
        ] {
            #expect(summary(try decode(body, contentType: contentType)) == ["a", "b"], "\(body)")
        }
        for body in [a, "[\(a)]", "\n\t\(a)\n", "{\"events\":[\(a)]}"] {
            #expect(summary(try decode(body, contentType: contentType)) == ["a"], "\(body)")
        }
        for body in ["[]", "{\"events\":[]}"] { #expect(try decode(body, contentType: contentType).items.isEmpty) }
    }

    @Test(
        "lines are lines when they are announced, also a single one or none",
        arguments: ["application/x-ndjson", "application/x-ndjson; charset=utf-8", "APPLICATION/X-NDJSON", "application/jsonl"])
    func announcedLines(_ contentType: String) throws {
        #expect(summary(try decode(Self.event("a"), contentType: contentType)) == ["a"])
        #expect(summary(try decode("[\(Self.event("a"))]\n\(Self.event("b"))", contentType: contentType)) == ["a", "b"])
        #expect(try decode("\n \r\n", contentType: contentType).items.isEmpty)
    }

    @Test("a bad line costs only itself")
    func badLine() throws {
        let deep = Self.event("deep", #","metadata":{"x":\#(String(repeating: "[", count: 70) + String(repeating: "]", count: 70))}"#)
        let body = [Self.event("a"), #"{"type":"event","id":"#, #"{"type":"event","id":"c"}"#, deep, "", "nonsense", Self.event("z")]
            .joined(separator: "\n")
        for contentType in ["application/x-ndjson", nil] {
            #expect(
                summary(try decode(body, contentType: contentType)) == [
                    "a", "malformed_json", "missing_field", "too_deep", "malformed_json", "z",
                ])
        }
        let bytes = Array((Self.event("a") + "\n\"").utf8) + [0xFF] + Array(("\"\n" + Self.event("z")).utf8)
        #expect(
            summary(try decode(bytes, contentType: "application/x-ndjson")) == ["a", "invalid_utf8", "z"])
    }

    @Test("the sender's clock is read, from a batch or from the line that has it")
    func sentAt() throws {
        #expect(try decode("{\"events\":[],\"sentAt\":1795262400000}").sentAt == Sample.noon)
        #expect(try decode("{\"events\":[],\"sentAt\":\"2026-11-21T12:00:00Z\"}").sentAt == Sample.noon)
        #expect(try decode("{\"events\":[],\"sentAt\":\"soon\"}").sentAt == nil)
        #expect(try decode("[]").sentAt == nil)
    }

    @Test("an event may have a field called events")
    func eventWithEvents() throws {
        #expect(summary(try decode(#"{"type":"event","id":"a","name":"n","events":[1]}"#)) == ["a"])
    }

    @Test(
        "a body that can't be read is refused whole",
        arguments: [
            ("", Reason.malformedJSON), (" ", .malformedJSON), ("{\"events\":[", .malformedJSON), ("{\"events\":[],}", .malformedJSON),
            ("hello", .malformedJSON), ("hello\nworld", .malformedJSON),
            (String(repeating: "[", count: 65) + String(repeating: "]", count: 65), .tooDeep),
        ])
    func unreadable(_ body: String, _ reason: Reason) {
        let refusal = refusal(body)
        #expect(refusal?.reason == reason)
        #expect(refusal?.reason.httpStatus == 400)
    }

    @Test("bytes that are not UTF-8 are refused as that")
    func invalidUTF8() {
        #expect(throws: Refusal(.invalidUTF8)) { try decode([0x22, 0xFF, 0x22] as [UInt8]) }
    }

    @Test("what is no object among the events is refused, alone")
    func noObjects() throws {
        let parcel = try decode("{\"events\":[\(Self.event("a")),42,\"x\",null,[],\(Self.event("b"))]}")
        #expect(summary(parcel) == ["a", "invalid_field", "invalid_field", "invalid_field", "invalid_field", "b"])
        for case .refused(let item) in parcel.items { #expect(item.payload != nil) }
    }

    @Test("a bad event is kept whole with its ID and type, so that it can be replayed")
    func keepsBadEvents() throws {
        let parcel = try decode(#"[{"type":"event","id":"a","later":{"x":1}},{"id":7,"type":["x"]},{}]"#)
        let refused = parcel.items.compactMap { if case .refused(let item) = $0 { item } else { nil } }
        #expect(refused.map(\.id) == ["a", nil, nil])
        #expect(refused.map(\.type) == ["event", nil, nil])
        #expect(refused.map(\.payload?.string) == [#"{"type":"event","id":"a","later":{"x":1}}"#, #"{"id":7,"type":["x"]}"#, "{}"])
        #expect(refused.map(\.refusal.field) == ["name", "type", "type"])
    }

    // MARK: limits

    /// An event of exactly that many bytes.
    private func event(ofBytes count: Int) -> String {
        let frame = Self.event("a", #","metadata":{"text":""}"#)
        return Self.event("a", #","metadata":{"text":"\#(String(repeating: "x", count: count - frame.utf8.count))"}"#)
    }

    @Test("a public event has 64 KiB, to the byte, and one that has more costs only itself")
    func eventSize() throws {
        let (largest, tooLarge) = (event(ofBytes: 65536), event(ofBytes: 65537))
        #expect(summary(try decode(largest)) == ["a"])
        #expect(summary(try decode(tooLarge)) == ["event_too_large"])
        #expect(summary(try decode("[\(tooLarge),\(Self.event("b"))]")) == ["event_too_large", "b"])
        #expect(summary(try decode("[\(largest),\(Self.event("b"))]")) == ["a", "b"])
        #expect(summary(try decode(tooLarge, lane: .secret)) == ["a"])
        if case .refused(let item) = try decode(tooLarge).items[0] { #expect(item.payload == nil && item.id == "a") }
    }

    @Test("a batch has 1,000 events from a public key and 10,000 from a secret one", arguments: [(Lane.public, 1000), (.secret, 10_000)])
    func batchSize(_ lane: Lane, _ most: Int) throws {
        func batch(_ count: Int) -> String { "[" + (0..<count).map { Self.event("\($0)") }.joined(separator: ",") + "]" }
        #expect(try decode(batch(most), lane: lane).items.count == most)
        #expect(refusal(batch(most + 1), lane: lane)?.reason == .batchTooLarge)
        let lines = (0...most).map { Self.event("\($0)") }.joined(separator: "\n")
        #expect(refusal(lines, lane: lane)?.reason == .batchTooLarge)
    }

    @Test("an event has 10,000 keys at most, counted at all depths")
    func keys() throws {
        func event(_ keys: Int, _ id: String) -> String {
            let half = keys / 2
            func object(_ range: Range<Int>) -> String { "{" + range.map { "\"k\($0)\":0" }.joined(separator: ",") + "}" }
            return Self.event(id, ",\"metadata\":{\"a\":\(object(0..<half)),\"b\":[\(object(half..<keys))]}")
        }
        // type, id, name, metadata, a and b are six of them.
        #expect(summary(try decode(event(9994, "a"), lane: .secret)) == ["a"])
        #expect(summary(try decode("[\(event(9995, "a")),\(Self.event("b"))]", lane: .secret)) == ["too_many_keys", "b"])
    }

    @Test("bodies are announced by entrance and lane")
    func entrances() {
        #expect(door.entrances.map(\.path) == ["/v1/events", "/v1/beacon"])
        #expect(door.entrances.map { $0.bodyLimit(for: .public) } == [1 << 20, 61440])
        #expect(door.entrances[0].bodyLimit(for: .secret) == 20 << 20)
    }

    // MARK: replies

    @Test("a reply says each verdict in order, and explains what is not a success")
    func reply() {
        let refusal = Refusal(.missingField, field: "id", "id is required.")
        let verdicts: [Verdict] = [
            .stored, .duplicate, .quarantined(refusal), .conflict(Refusal(.idConflict, field: "id", "Taken \"before\".")),
            .dropped(Refusal(.eventTooLarge, "Too large.")), .retry(Refusal(.diskFull, "Full.", retryAfterMilliseconds: 5000)),
        ]
        let items: [Parcel.Item] =
            ["a", "b"].map { .event(Sample.message($0)) }
            + [.refused(RefusedItem(id: nil, type: nil, refusal: refusal, payload: nil))]
            + ["d", "e", "f\""].map { .event(Sample.message($0)) }
        let reply = door.reply(to: verdicts, of: Parcel(items: items), for: request)
        #expect(reply.status == 200 && reply.contentType == "application/json" && reply.retryAfterSeconds == nil)
        #expect(
            String(decoding: reply.body, as: UTF8.self) == """
                {"results":[{"id":"a","verdict":"stored"},{"id":"b","verdict":"duplicate"},\
                {"index":2,"verdict":"quarantined","reason":"missing_field","message":"id is required.","field":"id","doc":"/docs/reasons#missing_field"},\
                {"id":"d","index":3,"verdict":"conflict","reason":"id_conflict","message":"Taken \\"before\\".","field":"id","doc":"/docs/reasons#id_conflict"},\
                {"id":"e","index":4,"verdict":"dropped","reason":"event_too_large","message":"Too large.","doc":"/docs/reasons#event_too_large"},\
                {"id":"f\\"","index":5,"verdict":"retry","reason":"disk_full","message":"Full.","retryAfterMs":5000,"doc":"/docs/reasons#disk_full"}]}
                """)
        #expect(String(decoding: door.reply(to: [], of: Parcel(items: []), for: request).body, as: UTF8.self) == #"{"results":[]}"#)
    }

    @Test("a refusal of the whole says code, cause and cure")
    func refusalReply() {
        let unknown = door.reply(to: Refusal(.unknownKey, field: "key", "No such key."), at: events, contentType: nil)
        #expect(unknown.status == 401 && unknown.retryAfterSeconds == nil)
        #expect(
            String(decoding: unknown.body, as: UTF8.self)
                == #"{"error":{"code":"unknown_key","message":"No such key.","field":"key","doc":"/docs/reasons#unknown_key","temporary":false}}"#
        )
        let limited = door.reply(to: Refusal(.rateLimited, "Slow down.", retryAfterMilliseconds: 1001), at: events, contentType: nil)
        #expect(limited.status == 429 && limited.retryAfterSeconds == 2)
        #expect(
            String(decoding: limited.body, as: UTF8.self)
                == #"{"error":{"code":"rate_limited","message":"Slow down.","retryAfterMs":1001,"doc":"/docs/reasons#rate_limited","temporary":true}}"#
        )
    }

    @Test("every reason has a status and an answer that is JSON", arguments: Reason.allCases)
    func reasons(_ reason: Reason) throws {
        let reply = door.reply(to: Refusal(reason), at: events, contentType: nil)
        #expect((400...599).contains(reply.status))
        #expect([429, 503].contains(reply.status) == false || reply.retryAfterSeconds != nil)
        let code = try JSONDocument.read(reply.body) { $0["error"]?["code"]?.string }
        #expect(code == reason.rawValue)
    }
}
