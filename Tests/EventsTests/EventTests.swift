import Events
import Testing

@Suite("Event")
struct EventTests {
    static let noon = Timestamp(microseconds: 1_795_262_400_123_456)

    /// One event of every type with every field it can have.
    static let full: [Event] = {
        var run = Event.RunPart()
        run.kind = .tool
        run.name = "search"
        run.parent = "m-1"
        run.input = "{\"q\":\"refund\"}"
        run.output = "[1,2]"
        run.model = "model-1"
        run.provider = "provider-1"
        run.usage = "{\"completion\":5,\"prompt\":3}"
        run.cost = 0.0125
        run.success = false
        run.error = "{\"message\":\"timeout\"}"
        run.startedAt = noon
        run.endedAt = noon.advanced(bySeconds: 1)
        run.tags = ["slow"]
        run.question = "Refund?"
        run.answer = ""
        run.within = "run-0"
        run.trace = "0af7651916cd43dd8448eb211c80319c"
        run.linkedTraces = ["1af7651916cd43dd8448eb211c80319c"]
        run.extra = "{\"kind\":\"trace\"}"
        let bodies: [Event.Body] = [
            .thread(.init(tags: ["vip", "tag 2"], untag: ["old"], status: .inactive)),
            .message(
                .init(
                    role: .assistant, content: .text("Grüße \"😀\"\n\u{0}"), replyTo: "m-0", retryOf: "m-9", tags: ["a"],
                    trace: "00-ab-cd-01")),
            .message(.init(role: .user, content: .blocks("[{\"text\":\"Look\",\"type\":\"text\"}]"))),
            .event(name: "opened"),
            .feedback(.init(target: "m-1", thumb: .down, comment: "")), .feedback(.init(target: "m-1", thumb: nil)),
            .feedback(.init(target: "m-1", thumb: .up, leaves: .comment)),
            .identify, .clientReport(reasons: "{\"queue_full\":3}"), .run(run),
            .score(.init(target: "m-1", name: "helpful", value: -0.5, category: "good", reason: "", author: "ann", judge: .person)),
            .score(.init(target: "m-1", name: "helpful")),
            .comment(.init(target: "m-1", changes: "c-1", text: "Why?", author: "ann")), .comment(.init(target: "m-2", text: nil)),
            .trace(target: "m-1", trace: "0af7651916cd43dd8448eb211c80319c"),
            .other(type: "later.type"),
        ]
        return bodies.enumerated().map { number, body in
            Event(
                id: "id-\(number)", thread: "t-1", at: noon, user: .init(id: "u-1", props: "{\"plan\":\"pro\"}"),
                metadata: "{\"page\":{\"path\":\"/x\"}}",
                body: body, unknown: "{\"later\":[1,{\"a\":null}]}")
        }
    }()

    static func read(_ text: String) -> Result<Event, Refusal> {
        do { return .success(try JSONDocument.read(Array(text.utf8)) { try Event($0) }) } catch { return .failure(error as! Refusal) }
    }

    @Test("reads back what it wrote, every field of every type", arguments: full)
    func roundTrip(_ event: Event) throws {
        let text = event.json()
        #expect(try JSONDocument.read(text.bytes) { try Event($0) } == event)
        #expect(try JSONDocument.read(text.bytes) { try Event($0) }.json().bytes == text.bytes)
    }

    @Test(
        "the least of every type reads back as well",
        arguments: [
            #"{"type":"message","id":"a","thread":"t","role":"user","content":""}"#,
            #"{"type":"message","id":"a","thread":"t","role":"tool","content":[]}"#,
            #"{"type":"thread","id":"a","thread":"t"}"#, #"{"type":"event","id":"a","name":"n"}"#,
            #"{"type":"feedback","id":"a","target":"m","thumb":null}"#,
            #"{"type":"identify","id":"a","user":{"id":"u"}}"#, #"{"type":"client_report","id":"a","reasons":{}}"#,
            #"{"type":"run","id":"a","kind":"llm"}"#,
            #"{"type":"run","id":"a","success":false}"#, #"{"type":"run","id":"a","output":0}"#,
            #"{"type":"score","id":"a","target":"m","name":"n","value":1}"#,
            #"{"type":"score","id":"a","target":"m","name":"n","category":"c"}"#, #"{"type":"x","id":"a"}"#,
            #"{"type":"score","id":"a","target":"m","name":"n","removed":true}"#, #"{"type":"comment","id":"a","target":"m","text":null}"#,
            #"{"type":"run","id":"a","extra":{}}"#,
        ])
    func least(_ text: String) throws {
        let event = try Self.read(text).get()
        #expect(event.json().string == text)
        #expect(event.at == nil && event.metadata == nil && event.unknown == nil)
    }

    @Test("a store's columns and payload give the event back", arguments: full)
    func columns(_ event: Event) throws {
        var role: Event.Role?
        var text: String?
        if case .message(let message) = event.body {
            role = message.role
            if case .text(let content) = message.content { text = content }
        }
        let columns = Event.Columns(
            id: event.id, type: event.type, thread: event.thread, at: event.at!, user: event.user?.id, role: role, text: text)
        let payload = event.json(.besideColumns)
        #expect(try Event(columns, payload: payload.bytes) == event)
        #expect(!payload.string.contains(event.id) && !payload.string.contains("t-1"))
    }

    @Test(
        "what a message says beside its columns is given back, though it be the only thing",
        arguments: [
            #""content":"Hello","replyTo":"r""#, #""content":"Hello","retryOf":"r""#, #""content":"Hello","tags":["t"]"#,
            #""content":"Hello","trace":"0af7651916cd43dd8448eb211c80319c""#, #""content":"Hello","metadata":{"a":1}"#,
            #""content":"Hello","user":{"id":"u","props":{"a":1}}"#, #""content":"Hello","later":1"#, #""content":"a\u0000b""#,
            #""content":[{"type":"text","text":"Hello"}]"#, #""content":"""#, #""content":"Hello""#,
        ])
    func alone(_ field: String) throws {
        let event = try Self.read(#"{"type":"message","id":"a","thread":"t","at":1,"role":"user",\#(field)}"#).get()
        guard case .message(let message) = event.body else { return #expect(Bool(false), "it is no message") }
        // As stores keep it: a text with NUL is not in its column.
        var text: String?
        if case .text(let content) = message.content, !content.hasNUL { text = content }
        let columns = Event.Columns(
            id: event.id, type: event.type, thread: event.thread, at: event.at!, user: event.user?.id, role: message.role, text: text)
        #expect(try Event(columns, payload: event.json(.besideColumns).bytes) == event)
    }

    @Test("an event as deep as a body may be can be read back from a store")
    func deepest() throws {
        let deep = String(repeating: "[", count: 63) + String(repeating: "]", count: 63)
        for field in ["later", "metadata\":{\"x"] {
            let closing = field == "later" ? "" : "}"
            let inner = field == "later" ? deep : String(deep.dropFirst().dropLast())
            let event = try Self.read(#"{"type":"event","id":"a","at":1,"name":"n","\#(field)":\#(inner)\#(closing)}"#).get()
            let columns = Event.Columns(id: "a", type: "event", thread: nil, at: event.at!, user: nil, role: nil, text: nil)
            #expect(throws: Never.self, "\(field)") { try Event(columns, payload: event.json(.besideColumns).bytes) }
            #expect(throws: Never.self, "\(field)") { try JSONDocument.read(event.json().bytes) { try Event($0) } }
        }
    }

    @Test("fields this version does not know are kept, and null ones count as absent")
    func unknown() throws {
        let event = try Self.read(
            #"{"z":{"b":1,"a":2},"type":"event","id":"a","name":"n","metadata":null,"user":null,"thread":null,"at":null,"y":null}"#
        ).get()
        #expect(event.unknown?.string == #"{"z":{"b":1,"a":2},"y":null}"#)
        #expect(event.thread == nil && event.user == nil && event.at == nil && event.metadata == nil)
        let reordered = try Self.read(#"{"y":null,"name":"n","id":"a","z":{"a":2,"b":1},"type":"event"}"#).get()
        #expect(reordered == event)
    }

    @Test("of a type from a later version only type and id are looked at")
    func laterType() throws {
        let event = try Self.read(#"{"type":"later","id":"a","role":7,"tags":"x","name":"","success":"maybe"}"#).get()
        #expect(event.body == .other(type: "later"))
        #expect(event.unknown == #"{"name":"","role":7,"success":"maybe","tags":"x"}"#)
    }

    @Test("of a field written twice the last counts")
    func repeatedField() throws { #expect(try Self.read(#"{"type":"event","id":"a","id":"b","name":"n"}"#).get().id == "b") }

    @Test("messages, runs and all others each have an ID space of their own", arguments: full)
    func idSpaces(_ event: Event) {
        let expected: Event.IDSpace =
            switch event.body {
            case .run: .run
            case .message: .message
            default: .other
            }
        #expect(event.idSpace == expected)
    }

    private static let long = String(repeating: "x", count: 129)

    @Test(
        "what is missing is named",
        arguments: [
            (#"{}"#, "type"), (#"{"id":"a"}"#, "type"), (#"{"type":"event"}"#, "id"), (#"{"type":"event","id":null}"#, "id"),
            (#"{"type":"event","id":"a"}"#, "name"),
            (#"{"type":"message","id":"a","role":"user","content":""}"#, "thread"),
            (#"{"type":"message","id":"a","thread":"t","content":""}"#, "role"),
            (#"{"type":"message","id":"a","thread":"t","role":"user"}"#, "content"),
            (#"{"type":"message","id":"a","thread":"t","role":"user","content":null}"#, "content"),
            (#"{"type":"thread","id":"a"}"#, "thread"), (#"{"type":"feedback","id":"a","thumb":"up"}"#, "target"),
            (#"{"type":"feedback","id":"a","target":"m"}"#, "thumb"),
            (#"{"type":"identify","id":"a"}"#, "user.id"), (#"{"type":"identify","id":"a","user":{}}"#, "user.id"),
            (#"{"type":"event","id":"a","name":"n","user":{}}"#, "user.id"),
            (#"{"type":"client_report","id":"a"}"#, "reasons"), (#"{"type":"run","id":"a"}"#, "kind"),
            (#"{"type":"run","id":"a","startedAt":1}"#, "kind"),
            (#"{"type":"score","id":"a","name":"n","value":1}"#, "target"), (#"{"type":"score","id":"a","target":"m","value":1}"#, "name"),
            (#"{"type":"score","id":"a","target":"m","name":"n"}"#, "value"),
        ])
    func missing(_ text: String, _ field: String) {
        guard case .failure(let refusal) = Self.read(text) else { return #expect(Bool(false), "it was taken") }
        #expect(refusal.reason == .missingField)
        #expect(refusal.field == field)
        #expect(!refusal.message.isEmpty)
    }

    @Test(
        "what breaks its rule is named",
        arguments: [
            (#"{"type":7,"id":"a"}"#, "type"), (#"{"type":"","id":"a"}"#, "type"), (#"{"type":"event","id":"","name":"n"}"#, "id"),
            (#"{"type":"event","id":1,"name":"n"}"#, "id"),
            (#"{"type":"event","id":"\#(long)","name":"n"}"#, "id"), (#"{"type":"event","id":"a","name":5}"#, "name"),
            (#"{"type":"event","id":"a","name":"n","thread":""}"#, "thread"),
            (#"{"type":"event","id":"a","name":"n","thread":"\#(long)"}"#, "thread"),
            (#"{"type":"event","id":"a","name":"n","at":"yesterday"}"#, "at"), (#"{"type":"event","id":"a","name":"n","at":-1}"#, "at"),
            (#"{"type":"event","id":"a","name":"n","user":"u"}"#, "user"),
            (#"{"type":"event","id":"a","name":"n","user":{"id":5}}"#, "user.id"),
            (#"{"type":"event","id":"a","name":"n","user":{"id":"u","props":1}}"#, "user.props"),
            (#"{"type":"event","id":"a","name":"n","metadata":[]}"#, "metadata"),
            (#"{"type":"message","id":"a","thread":"t","role":"robot","content":""}"#, "role"),
            (#"{"type":"message","id":"a","thread":"t","role":"user","content":{}}"#, "content"),
            (#"{"type":"message","id":"a","thread":"t","role":"user","content":"","replyTo":""}"#, "replyTo"),
            (#"{"type":"message","id":"a","thread":"t","role":"user","content":"","retryOf":7}"#, "retryOf"),
            (#"{"type":"message","id":"a","thread":"t","role":"user","content":"","trace":[]}"#, "trace"),
            (#"{"type":"message","id":"a","thread":"t","role":"user","content":"","tags":"x"}"#, "tags"),
            (#"{"type":"thread","id":"a","thread":"t","status":"closed"}"#, "status"),
            (#"{"type":"feedback","id":"a","target":"m","thumb":"meh"}"#, "thumb"),
            (#"{"type":"feedback","id":"a","target":"m","thumb":true}"#, "thumb"),
            (#"{"type":"feedback","id":"a","target":"m","thumb":"up","comment":5}"#, "comment"),
            (#"{"type":"client_report","id":"a","reasons":[]}"#, "reasons"), (#"{"type":"run","id":"a","kind":"robot"}"#, "kind"),
            (#"{"type":"run","id":"a","kind":"llm","parent":""}"#, "parent"), (#"{"type":"run","id":"a","kind":"llm","usage":3}"#, "usage"),
            (#"{"type":"run","id":"a","kind":"llm","cost":"1"}"#, "cost"),
            (#"{"type":"run","id":"a","kind":"llm","success":1}"#, "success"),
            (#"{"type":"run","id":"a","kind":"llm","startedAt":"x"}"#, "startedAt"), (#"{"type":"run","id":"a","endedAt":"x"}"#, "endedAt"),
            (#"{"type":"run","id":"a","kind":"llm","model":1}"#, "model"),
            (#"{"type":"run","id":"a","kind":"llm","provider":1}"#, "provider"),
            (#"{"type":"score","id":"a","target":"m","name":"n","value":"high"}"#, "value"),
            (#"{"type":"score","id":"a","target":"m","name":"n","category":1}"#, "category"),
            (#"{"type":"score","id":"a","target":"m","name":"n","value":1,"author":""}"#, "author"),
            (#"{"type":"score","id":"a","target":"","name":"n","value":1}"#, "target"),
        ])
    func invalid(_ text: String, _ field: String) {
        guard case .failure(let refusal) = Self.read(text) else { return #expect(Bool(false), "it was taken") }
        #expect(refusal.reason == .invalidField)
        #expect(refusal.field == field)
        #expect(refusal.message.contains(field))
    }

    @Test(
        "bounds count characters: the last that fits is taken, one more is not",
        arguments: [
            (#"{"type":"§","id":"a"}"#, 200), (#"{"type":"event","id":"§","name":"n"}"#, 128),
            (#"{"type":"event","id":"a","name":"n","thread":"§"}"#, 128), (#"{"type":"event","id":"a","name":"§"}"#, 200),
            (#"{"type":"event","id":"a","name":"n","user":{"id":"§"}}"#, 128),
            (#"{"type":"thread","id":"a","thread":"t","tags":["§"]}"#, 64),
            (#"{"type":"feedback","id":"a","target":"§","thumb":"up"}"#, 128), (#"{"type":"run","id":"a","kind":"llm","parent":"§"}"#, 128),
        ])
    func bounds(_ template: String, _ most: Int) throws {
        for character in ["x", "ü", "語", "😀"] {
            func event(_ count: Int) -> Result<Event, Refusal> {
                Self.read(
                    template.split(separator: "§", omittingEmptySubsequences: false).joined(
                        separator: String(repeating: character, count: count)))
            }
            #expect(throws: Never.self) { try event(most).get() }
            #expect(throws: Refusal.self) { try event(most + 1).get() }
        }
    }

    @Test("a character is a code point, also one that combines with the one before it")
    func codePoints() {
        func thread(_ count: Int) -> Result<Event, Refusal> {
            Self.read(#"{"type":"thread","id":"a","thread":"\#(String(repeating: "e\u{301}", count: count))"}"#)
        }
        #expect(throws: Never.self) { try thread(64).get() }
        #expect(throws: Refusal.self) { try thread(65).get() }
    }

    @Test("32 tags are taken, 33 are not")
    func tags() {
        func event(_ count: Int) -> Result<Event, Refusal> {
            Self.read(#"{"type":"thread","id":"a","thread":"t","tags":[\#((0..<count).map { "\"t\($0)\"" }.joined(separator: ","))]}"#)
        }
        #expect(throws: Never.self) { try event(32).get() }
        #expect(throws: Refusal.self) { try event(33).get() }
    }

    @Test("what is no object is no event", arguments: ["1", "\"x\"", "null", "[]", "true"])
    func noObject(_ text: String) { #expect(throws: Refusal.self) { try Self.read(text).get() } }
}
