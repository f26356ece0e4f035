import Events
import LunaryDoor
import Testing

@Suite("Lunary door")
struct LunaryDoorTests {
    let door = LunaryDoor()

    private func chat(_ message: String, _ rest: String = "") -> String {
        #"{"event":"chat","type":"thread","runId":"run-1","parentRunId":"thread-1","timestamp":1795229470887,"message":\#(message)\#(rest)}"#
    }

    // MARK: names of IDs

    @Test("an ID's other names are those that lunary-py and Lunary's server make")
    func names() throws {
        let names = try #require(door.idScheme).names
        #expect(names(messageID, privateKey) == ["d6d5f0f7-2eb8-ddc3-6ed6-b56fd64cd810"])
        #expect(names(messageID, publicKey) == ["289fe250-a899-2ba7-bfd9-36d65b0408e3"])
        #expect(names(threadID, privateKey) == ["d1a6fabf-36eb-e41e-41a8-331cedab2b80"])
        #expect(names("vercel-msg-abc", publicKey).last == "a8222b1b-b6d9-4cd9-ab97-9a693bb4683b")
        #expect(names("vercel-msg-abc", publicKey).count == 2)
        #expect(names("", "").count == 2 && names("é😀", "x").allSatisfy { $0.utf8.count == 36 })
    }

    @Test(
        "IDs are known to be hashed by who sent them",
        arguments: [
            ("lunary-py", true), ("langchain-py", true), ("lunary-py-2", true), ("lunary-js", false), ("langchain-js", false),
            ("litellm", false),
        ])
    func hashed(_ runtime: String, _ expected: Bool) throws {
        let parcel = try door.parcel(
            "{\"events\":[\(chat(#"{"id":"own-id","role":"user","content":"x"}"#, ",\"runtime\":\"\(runtime)\""))]}")
        #expect(parcel.usesSchemeNames == expected)
        #expect(parcel.events[0].id == (expected ? "own-id" : "run-1"))
        #expect((parcel.events[0].metadata == json(#"{"id":"own-id"}"#)) != expected)
    }

    // MARK: messages

    @Test(
        "roles are ours, and the sender's own word is kept where it differs",
        arguments: [
            ("user", Event.Role.user), ("assistant", .assistant), ("system", .system), ("tool", .tool), ("bot", .assistant),
            ("ai", .assistant),
            ("function", .tool), ("human", .user), ("User", .user), ("developer", .system), ("narrator", .system),
        ])
    func roles(_ name: String, _ role: Event.Role) throws {
        let event = try #require(try door.events(chat(#"{"role":"\#(name)","content":"x"}"#)).first)
        #expect(event.message?.role == role && event.id == "run-1" && event.thread == "thread-1")
        #expect(event.metadata == (role.rawValue == name ? nil : json(#"{"role":"\#(name)"}"#)))
    }

    @Test("content of any shape is kept")
    func content() throws {
        let cases: [(String, Event.Message.Content)] = [
            ("\"x\"", .text("x")), ("\"\"", .text("")), ("null", .text("")), ("5", .text("5")), ("true", .text("true")),
            (#"[{"type":"text","text":"x"}]"#, .blocks(json(#"[{"type":"text","text":"x"}]"#))),
            (#"{"a":1}"#, .blocks(json(#"[{"a":1}]"#))),
        ]
        for (sent, expected) in cases {
            #expect(try door.events(chat(#"{"role":"user","content":\#(sent)}"#)).first?.message?.content == expected)
        }
        #expect(try door.events(chat(#"{"role":"user"}"#)).first?.message?.content == .text(""))
    }

    @Test("all that a message says besides is in its metadata, or kept as it was sent")
    func metadata() throws {
        let event = try #require(
            try door.events(
                chat(
                    #"{"role":"assistant","content":null,"is_retry":true,"refusal":null,"tool_calls":[{"id":"c"}],"audio":{"id":"a"},"metadata":{"m":1}}"#,
                    #","metadata":{"page":"/"},"extra":{"lang":"fr"},"templateId":"tpl","runtime":"lunary-js","tags":["run"],"user_id":"u"}"#
                        .dropLast().description)
            ).first)
        #expect(
            event.metadata == json(#"{"page":"/","m":1,"extra":{"lang":"fr"},"tool_calls":[{"id":"c"}],"audio":{"id":"a"},"isRetry":true}"#)
        )
        #expect(event.unknown == json(#"{"sent":{"runtime":"lunary-js","templateId":"tpl"}}"#))
        #expect(event.message?.tags == ["run"] && event.user?.id == "u" && event.at == Timestamp(milliseconds: 1_795_229_470_887))
    }

    @Test("question and answer under one run ID stay two messages, and each its own when replayed")
    func sharedRunID() throws {
        let (question, answer) = (chat(#"{"role":"user","content":"q"}"#), chat(#"{"role":"assistant","content":"a"}"#))
        let together = try door.parcel("{\"events\":[\(question),\(answer)]}").events
        let apart = try door.events(answer) + door.events(question)
        #expect(together.map(\.id) == ["run-1", "run-1"] && together == apart.reversed())
        #expect(ContentDigest(together[0]) != ContentDigest(together[1]))
        #expect(try door.events(question).map { ContentDigest($0) } == together.prefix(1).map { ContentDigest($0) })
    }

    @Test("a message without a run ID gets one from what it says")
    func withoutRunID() throws {
        let event = #"{"event":"chat","parentRunId":"t","timestamp":1,"message":{"role":"user","content":"x"}}"#
        let (first, again) = try (door.events(event), door.events(event))
        #expect(first == again && first[0].id.utf8.count == 36)
        #expect(try door.events(event.replacing("\"x\"", with: "\"y\""))[0].id != first[0].id)
    }

    @Test("what is said of the thread has one ID however often and by whomever it is said")
    func threadPatch() throws {
        let message = #"{"role":"user","content":"x"}"#
        func patch(_ rest: String) throws -> Event? { try door.events(chat(message, rest)).first { $0.patch != nil } }
        let first = try patch(#","threadTags":["a","b"],"threadMetadata":{"p":1,"q":2},"userId":"u1""#)
        #expect(try first != nil && patch(#","threadTags":["b","a"],"threadMetadata":{"q":2,"p":1},"userId":"u2""#)?.id == first?.id)
        #expect(first?.at == nil && first?.user == nil && first?.thread == "thread-1")
        #expect(try patch(#","threadTags":["a"],"threadMetadata":{"p":1,"q":2}"#)?.id != first?.id)
        #expect(try patch(#","threadTags":[],"threadMetadata":null"#) == nil)
        #expect(try patch(#","threadTags":"solo""#)?.patch?.tags == ["solo"])
    }

    @Test(
        "times are read as text and as numbers",
        arguments: [
            ("1795262400000", noon), ("\"2026-11-21T12:00:00.000000+00:00\"", noon), ("\"2026-11-21T13:00:00+01:00\"", noon),
            ("\"2026-11-21 12:00:00\"", noon),
        ])
    func times(_ sent: String, _ expected: Timestamp) throws {
        let event = #"{"event":"custom-event","runId":"r","name":"n","timestamp":\#(sent)}"#
        #expect(try door.events(event).first?.at == expected)
    }

    @Test("a time that can't be read is kept, and costs nothing but the time")
    func badTime() throws {
        let message = try #require(
            try door.events(chat(#"{"role":"user","content":"x"}"#).replacing("1795229470887", with: "\"soon\"")).first)
        #expect(message.at == nil && message.unknown == json(#"{"sent":{"timestamp":"soon"}}"#))
        let run = try #require(try door.events(#"{"event":"start","type":"llm","runId":"r","timestamp":"soon"}"#).first)
        #expect(run.at == noon && run.run?.startedAt == noon && run.run?.extra == json(#"{"timestamp":"soon"}"#))
    }

    @Test("nulls in a sender's own metadata stay, and a vote that makes no sense is kept as it was")
    func oddMetadata() throws {
        let event = try #require(
            try door.events(chat(#"{"role":"user","content":"x","feedback":5,"metadata":{"a":null}}"#, #","feedback":{"thumb":"up"}"#))
                .first)
        #expect(event.metadata == json(#"{"a":null,"feedback":5}"#))
        #expect(try door.events(chat(#"{"role":"user","content":"x","feedback":5}"#)).map(\.type) == ["message"])
    }

    // MARK: votes

    @Test("feedback of any shape is a vote or nothing, and what it says besides is kept")
    func feedback() throws {
        let cases: [(String, Event.Feedback?, String?)] = [
            (#"{"thumb":"up"}"#, Event.Feedback(target: "r", thumb: .up, leaves: .comment), nil),
            (#"{"thumbs":"down"}"#, Event.Feedback(target: "r", thumb: .down, leaves: .comment), nil),
            (#"{"thumb":"up","comment":"good"}"#, Event.Feedback(target: "r", thumb: .up, comment: "good"), nil),
            (#"{"thumb":null}"#, Event.Feedback(target: "r", thumb: nil, leaves: .comment), #"{"feedback":{"thumb":null}}"#),
            (
                #"{"comment":"only"}"#, Event.Feedback(target: "r", thumb: nil, comment: "only", leaves: .thumb),
                #"{"feedback":{"comment":"only"}}"#
            ),
            (
                #"{"thumb":"up","emoji":"🎉"}"#, Event.Feedback(target: "r", thumb: .up, leaves: .comment),
                #"{"feedback":{"emoji":"🎉","thumb":"up"}}"#
            ),
            ("\"UP\"", Event.Feedback(target: "r", thumb: .up, leaves: .comment), nil), ("null", nil, nil), ("{}", nil, nil),
            ("[]", nil, nil),
        ]
        for (sent, expected, metadata) in cases {
            let event = try #require(try door.events(#"{"event":"feedback","runId":"r","feedback":\#(sent)}"#).first)
            #expect(event.feedback == expected && event.metadata == metadata.map { json($0) }, "\(sent)")
            if expected == nil { #expect(event.type == "x-feedback") }
        }
    }

    // MARK: runs

    @Test(
        "kinds are ours, and other types kept",
        arguments: [
            ("llm", Event.RunKind.llm), ("agent", .agent), ("tool", .tool), ("chain", .chain), ("retriever", .retriever),
            ("embed", .embedding),
            ("workflow", nil),
        ] as [(String, Event.RunKind?)])
    func kinds(_ type: String, _ kind: Event.RunKind?) throws {
        let part = try #require(try door.events(#"{"event":"start","type":"\#(type)","runId":"r","name":"n"}"#).first?.run)
        #expect(part.kind == kind && part.name == "n" && part.model == (kind == .llm ? "n" : nil))
        #expect(part.extra == (kind?.rawValue == type ? nil : json(#"{"type":"\#(type)"}"#)))
    }

    @Test("an update says only what it says")
    func update() throws {
        let event = try #require(
            try door.events(#"{"event":"update","runId":"r","parentRunId":"p","output":{"a":1},"cost":0.5,"timestamp":1}"#).first)
        let part = try #require(event.run)
        #expect(part.parent == nil && part.success == nil && part.startedAt == nil && part.endedAt == nil && part.kind == nil)
        #expect(part.output == json(#"{"a":1}"#) && part.extra == json(#"{"cost":0.5,"endParent":"p"}"#))
    }

    @Test("the old API's answer in a later body of a page is set aside with its text")
    func lateAnswer() throws {
        let end = #"{"event":"end","type":"chat","runId":"r","output":{"content":"late"},"timestamp":1}"#
        let event = try #require(try door.events(end, lane: .public).first)
        #expect(event.run?.answer == "late" && event.thread == nil)
    }

    @Test("types that nobody knows are kept whole under a name that is none of ours", arguments: ["message", "run", "novel", "identify"])
    func unknownEvents(_ name: String) throws {
        let event = try #require(try door.events(#"{"event":"\#(name)","runId":"r","payload":{"a":1}}"#).first)
        #expect(event.type == "x-\(name)")
        #expect(event.unknown == json(#"{"sent":{"event":"\#(name)","payload":{"a":1},"runId":"r"}}"#))
    }

    @Test("old SDKs name their project in the event", arguments: ["projectId", "app", "appId"])
    func report(_ field: String) throws {
        let body = #"{"events":[{"event":"start","type":"llm","runId":"r","\#(field)":"p-1"}]}"#
        let parcel = try door.decode(door.request(body.utf8, at: door.entrance(.post, "/api/report")))
        #expect(parcel.destinations == [.ofKey("p-1")] && parcel.events[0].run?.extra == nil)
    }
}
