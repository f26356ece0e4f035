import Crypto
import Events
import Testing

@Suite("Content digest")
struct ContentDigestTests {
    private func digest(_ text: String) throws -> ContentDigest { ContentDigest(try EventTests.read(text).get()) }

    @Test(
        "the order of members, white space and escapes do not count",
        arguments: [
            (
                #"{"type":"message","id":"a","thread":"t","role":"user","content":"Hello","metadata":{"a":1,"b":{"c":1,"d":2}}}"#,
                #"{ "content":"\u0048ello", "metadata":{"b":{"d":2,"c":1},"a":1}, "role":"user", "thread":"t", "id":"a", "type":"message" }"#
            ),
            (
                #"{"type":"later","id":"a","x":1,"y":{"p":1,"q":[{"r":1,"s":2}]}}"#,
                #"{"y":{"q":[{"s":2,"r":1}],"p":1},"x":1,"id":"a","type":"later"}"#
            ),
            (
                #"{"type":"run","id":"a","kind":"llm","input":{"a":1,"b":2},"usage":{"i":1,"o":2}}"#,
                #"{"usage":{"o":2,"i":1},"input":{"b":2,"a":1},"kind":"llm","id":"a","type":"run"}"#
            ),
            (
                #"{"type":"message","id":"a","thread":"t","role":"user","content":[{"text":"x","type":"text"}]}"#,
                #"{"type":"message","id":"a","thread":"t","role":"user","content":[{"type":"text","text":"x"}]}"#
            ),
            (#"{"type":"event","id":"a","name":"n","thread":null}"#, #"{"type":"event","id":"a","name":"n"}"#),
        ])
    func sameContent(_ first: String, _ second: String) throws {
        #expect(try digest(first) == digest(second))
        #expect(try digest(first).bytes.count == 16)
    }

    @Test("a digest is the same after a trip through text", arguments: EventTests.full)
    func roundTrip(_ event: Event) throws {
        #expect(try JSONDocument.read(event.json().bytes) { ContentDigest(try Event($0)) } == ContentDigest(event))
    }

    /// What stores compare with outlives the program that wrote it, so its form is fixed: each field a kind, a length and its bytes.
    @Test(
        "digests stay what they were, however long the fields are",
        arguments: [0, 1, 15, 16, 700, 1017, 1018, 1019, 1020, 1021, 1022, 1023, 1024, 1025, 2048, 5000])
    func form(length: Int) throws {
        func field(_ kind: UInt8, _ bytes: some Collection<UInt8>) -> [UInt8] {
            [kind] + (0..<4).map { UInt8(truncatingIfNeeded: bytes.count >> (8 * $0)) } + bytes
        }
        func text(_ text: String) -> [UInt8] { field(1, text.utf8) }
        let long = String(repeating: "ü", count: length / 2) + String(repeating: "x", count: length % 2)
        let at: Int64 = 1_795_269_802_123_000

        var message: [UInt8] = text("message") + text("m") + text("t") + [3]
        message += (0..<8).map { UInt8(truncatingIfNeeded: at >> (8 * $0)) }
        message += text("u") + field(2, #"{"plan":"pro"}"#.utf8) + field(2, #"{"a":1,"b":2}"#.utf8) + [0]
        message += text("user") + text(long) + text("r") + [0] + field(4, "2".utf8) + text("one") + text("two") + [0]
        let sent = try EventTests.read(
            #"{"type":"message","id":"m","thread":"t","at":"2026-11-21T14:03:22.123Z","user":{"id":"u","props":{"plan":"pro"}},"#
                + #""metadata":{"b":2,"a":1},"role":"user","content":"\#(long)","replyTo":"r","tags":["one","two"]}"#
        ).get()
        #expect(ContentDigest(sent).bytes == Array(SHA256.hash(data: message).prefix(16)))

        var run: [UInt8] = text("run") + text("r") + [0, 0, 0, 0, 0, 0] + text("llm") + text("n") + [0]
        run += field(2, #"{"q":"\#(long)"}"#.utf8) + field(2, "\"\(long)\"".utf8) + text("gpt") + [0, 0] + text("0.25") + text("true")
        run += [0, 0, 0] + field(4, "0".utf8)
        let ran = try EventTests.read(
            #"{"type":"run","id":"r","kind":"llm","name":"n","input":{"q":"\#(long)"},"output":"\#(long)","model":"gpt","#
                + #""cost":0.25,"success":true}"#
        ).get()
        #expect(ContentDigest(ran).bytes == Array(SHA256.hash(data: run).prefix(16)))
        #expect(ContentDigest(stored: ContentDigest(ran).bytes) == ContentDigest(ran))
    }

    /// Changes to one field each, of everything an event of any type can say.
    private static let changes: [(String, @Sendable (inout Event) -> Void)] = [
        ("id", { $0.id = "other" }), ("thread", { $0.thread = "t-2" }), ("no thread", { $0.thread = nil }),
        ("at", { $0.at = $0.at!.advanced(bySeconds: 1e-6) }), ("no at", { $0.at = nil }), ("user", { $0.user!.id = "u-2" }),
        ("no user", { $0.user = nil }),
        ("props", { $0.user!.props = "{\"plan\":\"free\"}" }), ("no props", { $0.user!.props = nil }), ("metadata", { $0.metadata = "{}" }),
        ("no metadata", { $0.metadata = nil }), ("unknown", { $0.unknown = "{\"later\":[1,{\"a\":0}]}" }),
        ("no unknown", { $0.unknown = nil }),
    ]

    private static func bodies(besides body: Event.Body) -> [(String, Event.Body)] {
        func changed<Part>(_ part: Part, _ wrap: (Part) -> Event.Body, _ changes: [(String, (inout Part) -> Void)]) -> [(
            String, Event.Body
        )] {
            changes.map { name, change in
                var part = part
                change(&part)
                return (name, wrap(part))
            }
        }
        switch body {
        case .thread(let patch):
            return changed(
                patch, { .thread($0) },
                [
                    ("tags", { $0.tags = ["vip tag 2"] }), ("tags' order", { $0.tags.reverse() }), ("no tags", { $0.tags = [] }),
                    ("status", { $0.status = .active }), ("no status", { $0.status = nil }),
                    ("untag", { $0.untag = ["older"] }), ("no untag", { $0.untag = [] }),
                ])
        case .message(let message):
            return changed(
                message, { .message($0) },
                [
                    ("role", { $0.role = .system }), ("text", { $0.content = .text("Hello") }), ("empty", { $0.content = .text("") }),
                    ("blocks", { $0.content = .blocks("[]") }), ("text like blocks", { $0.content = .text("[]") }),
                    ("replyTo", { $0.replyTo = "m-2" }),
                    ("retryOf", { $0.retryOf = "m-2" }),
                    ("replyTo for retryOf", { ($0.replyTo, $0.retryOf) = ($0.retryOf, $0.replyTo ?? "m-3") }),
                    ("tags", { $0.tags = ["b"] }), ("trace", { $0.trace = "00-ef-cd-01" }),
                ])
        case .trace(let target, let trace):
            return [("target", .trace(target: "m-9", trace: trace)), ("trace", .trace(target: target, trace: "1"))]
        case .event: return [("name", .event(name: "closed"))]
        case .feedback(let feedback):
            return changed(
                feedback, { .feedback($0) },
                [
                    ("target", { $0.target = "m-2" }), ("thumb", { $0.thumb = .up }), ("comment", { $0.comment = "why" }),
                    ("leaves", { $0.leaves = .thumb }),
                ])
        case .identify: return []
        case .clientReport: return [("reasons", .clientReport(reasons: "{\"queue_full\":4}"))]
        case .run(let part):
            return changed(
                part, { .run($0) },
                [
                    ("kind", { $0.kind = .agent }), ("no kind", { $0.kind = nil }), ("name", { $0.name = "find" }),
                    ("parent", { $0.parent = "m-2" }),
                    ("no parent", { $0.parent = nil }), ("input", { $0.input = "{}" }), ("no input", { $0.input = nil }),
                    ("output", { $0.output = "[2,1]" }),
                    ("no output", { $0.output = nil }), ("model", { $0.model = "m" }), ("provider", { $0.provider = "p" }),
                    ("model for provider", { ($0.model, $0.provider) = ($0.provider, $0.model) }), ("usage", { $0.usage = "{}" }),
                    ("cost", { $0.cost = 0.01250001 }),
                    ("no cost", { $0.cost = nil }), ("success", { $0.success = true }), ("no success", { $0.success = nil }),
                    ("error", { $0.error = "\"timeout\"" }),
                    ("startedAt", { $0.startedAt = nil }), ("endedAt", { $0.endedAt = nil }), ("tags", { $0.tags = [] }),
                    ("question", { $0.question = "Return?" }), ("no question", { $0.question = nil }), ("answer", { $0.answer = "Yes" }),
                    ("no answer", { $0.answer = nil }), ("within", { $0.within = nil }), ("trace", { $0.trace = nil }),
                    ("links", { $0.linkedTraces = [] }),
                    ("extra", { $0.extra = "{\"kind\":\"span\"}" }), ("no extra", { $0.extra = nil }),
                ])
        case .comment(let comment):
            return changed(
                comment, { .comment($0) },
                [
                    ("target", { $0.target = "m-3" }), ("changes", { $0.changes = "c-2" }), ("text", { $0.text = "Because" }),
                    ("author", { $0.author = "bob" }),
                ])
        case .score(let score):
            return changed(
                score, { .score($0) },
                [
                    ("target", { $0.target = "m-2" }), ("name", { $0.name = "safe" }), ("value", { $0.value = 0.5 }),
                    ("no value", { $0.value = nil }),
                    ("category", { $0.category = "bad" }), ("no category", { $0.category = nil }), ("reason", { $0.reason = "why" }),
                    ("no reason", { $0.reason = nil }), ("author", { $0.author = "bob" }), ("no author", { $0.author = nil }),
                    ("judge", { $0.judge = $0.judge == .person ? .program : .person }),
                ])
        case .other: return [("type", .other(type: "later.still"))]
        }
    }

    @Test("every single changed field is other content", arguments: EventTests.full)
    func changedField(_ event: Event) {
        var seen: [ContentDigest: String] = [ContentDigest(event): "the original"]
        func expectNew(_ other: Event, _ name: String) {
            guard other != event else { return }
            let twin = seen.updateValue(name, forKey: ContentDigest(other))
            #expect(twin == nil, "\(name) has the digest of \(twin ?? "")")
        }
        for (name, change) in Self.changes {
            var other = event
            change(&other)
            expectNew(other, name)
        }
        for (name, body) in Self.bodies(besides: event.body) {
            var other = event
            other.body = body
            expectNew(other, name)
        }
    }

    @Test("events of different types never have one digest, whatever their fields")
    func types() {
        let digests = EventTests.full.map { event in
            var event = event
            event.id = "same"
            return ContentDigest(event)
        }
        #expect(Set(digests).count == digests.count)
    }

    @Test("text cannot slip from one field into the next")
    func framing() throws {
        let events = [
            #"{"type":"message","id":"a","thread":"t","role":"user","content":"x","tags":["a","b"]}"#,
            #"{"type":"message","id":"a","thread":"t","role":"user","content":"x","tags":["ab"]}"#,
            #"{"type":"message","id":"a","thread":"t","role":"user","content":"x","replyTo":"a","retryOf":"b"}"#,
            #"{"type":"message","id":"a","thread":"t","role":"user","content":"xa","retryOf":"b"}"#,
            #"{"type":"message","id":"at","thread":"x","role":"user","content":""}"#,
            #"{"type":"message","id":"a","thread":"tx","role":"user","content":""}"#,
        ]
        #expect(Set(try events.map(digest)).count == events.count)
    }
}
