import Events
import LunaryDoor
import Synchronization
import Testing

@Suite("Questions to the Lunary door")
struct QuestionTests {
    let door = LunaryDoor()

    private func ask(
        _ method: Entrance.Method, _ path: String, id: String = messageID, query: [String: String] = [:], body: String = "",
        lane: Lane = .secret, at desk: FakeDesk
    ) async -> Reply {
        let entrance = door.entrance(method, path)
        var request = door.request(body.utf8, lane: lane, at: entrance)
        request.query = query
        request.parameters = ["id": id, "slug": id]
        do {
            return try await door.answer(request, at: desk)
        } catch {
            return door.reply(to: error, at: entrance, contentType: nil)
        }
    }

    private func text(_ reply: Reply) -> String { String(decoding: reply.body, as: UTF8.self) }

    @Test(
        "the latest vote is the feedback, for any key",
        arguments: [
            (#"{"up":0,"down":0,"votes":[]}"#, "null"),
            (
                #"{"votes":[{"voter":"user:a","thumb":"up","comment":null,"at":"2026-11-21T12:00:00.000Z"}]}"#, #"{"thumb":"up"}"#
            ),
            (
                #"{"votes":[{"thumb":"down","comment":"meh","at":"2026-11-21T12:00:01.000Z"},{"thumb":"up","at":"2026-11-21T12:00:00.000Z"}]}"#,
                #"{"thumb":"down","comment":"meh"}"#
            ), (#"{"votes":[{"thumb":null,"at":"2026-11-21T12:00:01.000Z"}]}"#, #"{"thumb":null}"#),
        ])
    func feedback(_ summary: String, _ expected: String) async {
        for lane in Lane.allCases {
            let reply = await ask(.get, "/v1/runs/{id}/feedback", lane: lane, at: FakeDesk(feedback: [messageID: json(summary)]))
            #expect(reply.status == 200 && reply.isReadableByPages && text(reply) == expected)
        }
    }

    @Test("a public key learns nothing of reviewers, a secret one does")
    func reviewersFeedback() async {
        let summary = #"""
            {"votes":[{"by":"user","thumb":"up","at":"2026-11-21T12:00:00.000Z"},
            {"by":"reviewer","name":"Ann","thumb":"down","comment":"made up","at":"2026-11-21T12:00:01.000Z"}]}
            """#
        for (lane, expected) in [(Lane.public, #"{"thumb":"up"}"#), (.secret, #"{"thumb":"down","comment":"made up"}"#)] {
            let reply = await ask(.get, "/v1/runs/{id}/feedback", lane: lane, at: FakeDesk(feedback: [messageID: json(summary)]))
            #expect(reply.status == 200 && text(reply) == expected)
        }
    }

    @Test("feedback on what is not there is not found; a public key doesn't learn that it is not there")
    func noFeedback() async {
        let reply = await ask(.get, "/v1/runs/{id}/feedback", id: "nowhere", at: FakeDesk())
        #expect(reply.status == 404 && text(reply).hasPrefix(#"{"message":""#))
        let toPage = await ask(.get, "/v1/runs/{id}/feedback", id: "nowhere", lane: .public, at: FakeDesk())
        #expect(toPage.status == 200 && text(toPage) == "null")
    }

    @Test(
        "a score is written as what it is",
        arguments: [
            (#"{"label":"accuracy","value":0.9,"comment":"ok"}"#, 0.9, nil, "ok"), (#"{"label":"accuracy","value":true}"#, 1, nil, nil),
            (#"{"label":"accuracy","value":"good","comment":null}"#, nil, "good", nil),
        ] as [(String, Double?, String?, String?)])
    func score(_ body: String, _ value: Double?, _ category: String?, _ reason: String?) async {
        let desk = FakeDesk()
        #expect(await ask(.patch, "/v1/runs/{id}/score", body: body, at: desk).status == 200)
        let expected = Event.Score(target: messageID, name: "accuracy", value: value, category: category, reason: reason)
        #expect(desk.written.map(\.body) == [.score(expected)] && desk.written[0].at == noon)
    }

    @Test(
        "a score that makes no sense is refused",
        arguments: ["", "{}", "[]", #"{"label":"x"}"#, #"{"value":1}"#, #"{"label":"x","value":{}}"#, #"{"label":"x","value":""}"#, "{"])
    func badScore(_ body: String) async {
        let desk = FakeDesk()
        let reply = await ask(.patch, "/v1/runs/{id}/score", body: body, at: desk)
        #expect(reply.status == 400 && desk.written.isEmpty)
    }

    @Test("a public key may not score, and a score that was not kept is no success")
    func refusedScore() async {
        let body = #"{"label":"x","value":1}"#
        let reply = await ask(.patch, "/v1/runs/{id}/score", body: body, lane: .public, at: FakeDesk())
        #expect(reply.status == 401)
        for (verdict, status) in [
            (Verdict.duplicate, 200), (.retry(Refusal(.overloaded)), 503), (.quarantined(Refusal(.invalidField)), 400),
        ] {
            #expect(await ask(.patch, "/v1/runs/{id}/score", body: body, at: FakeDesk(verdict: verdict)).status == status)
        }
    }

    private static let conversation = json(
        """
        {"thread":{"id":"t-1","user":{"id":"u"},"tags":["a"],"messageCount":3,"firstAt":"2026-11-21T12:00:00.000Z","lastAt":null,\
        "firstMessage":{"id":"q","role":"user","text":"Q","at":"2026-11-21T12:00:00.000Z"}},"items":[\
        {"type":"message","id":"q","role":"user","content":"Q","at":"2026-11-21T12:00:00.000Z","metadata":{"isRetry":true},"runs":[\
        {"id":"r","kind":"llm","name":"gpt","parent":"q","success":true,"usage":{"inputTokens":1,"outputTokens":2},"extra":null,"runs":[\
        {"id":"s","kind":"embedding","parent":"r","success":false,"runs":[]}]}]},\
        {"type":"event","id":"e","name":"opened"},\
        {"type":"message","id":"a","role":"assistant","content":"A","at":"2026-11-21T12:00:01.000Z",\
        "feedback":{"votes":[{"thumb":"up","comment":null}]},"runs":[]},\
        {"type":"message","id":"q2","role":"user","content":"Q2","at":"2026-11-21T12:00:02.000Z","runs":[]}],"runs":[]}
        """)

    private func values(_ reply: Reply, _ path: String...) throws -> [String] {
        try JSONDocument.read(reply.body) { json in
            var values: [String] = []
            (json["data"] ?? json).forEachElement { element in
                values.append(
                    path.map { name in
                        var text = ""
                        element.forEachMember { key, value in
                            if String(decoding: key, as: UTF8.self) == name { text = value.string ?? JSONText(value).string }
                        }
                        return text
                    }.joined(separator: " "))
            }
            return values
        }
    }

    @Test("a thread's messages are read as Lunary's exchanges, and what hangs under them")
    func replay() async throws {
        let desk = FakeDesk(conversations: ["t-1": Self.conversation])
        let chats = await ask(.get, "/v1/runs", query: ["type": "chat", "parentRunId": "t-1"], at: desk)
        #expect(try values(chats, "id", "type", "parentRunId") == ["q chat t-1", "q2 chat t-1"])
        #expect(try values(chats, "output").first == #"[{"id":"a","role":"assistant","content":"A"}]"#)
        #expect(try values(chats, "input").first == #"[{"id":"q","role":"user","content":"Q","isRetry":true}]"#)
        #expect(try values(chats, "feedback").first == #"{"thumb":"up"}"#)
        let second = await ask(.get, "/v1/runs", query: ["type": "chat", "parentRunId": "t-1", "limit": "1", "page": "1"], at: desk)
        #expect(try values(second, "id") == ["q2"])
        let threads = await ask(.get, "/v1/runs", query: ["type": "thread"], at: desk)
        #expect(try values(threads, "id", "type", "messagesCount", "firstMessage") == [#"t-1 thread 3 {"role":"user","content":"Q"}"#])
        let related = await ask(.get, "/v1/runs/{id}/related", id: "t-1", at: desk)
        #expect(
            try values(related, "id", "type", "parentRunId", "status") == [
                "t-1 thread  ", "q chat t-1 ", "q2 chat t-1 ", "r llm q success", "s embed r error",
            ])
        #expect(try values(related, "tokens")[3] == #"{"prompt":1,"completion":2,"cachedPrompt":null,"total":3}"#)
    }

    @Test("reading needs a private key, a known thread and a type that is answered")
    func refusedReplay() async {
        let desk = FakeDesk(conversations: ["t-1": Self.conversation])
        #expect(await ask(.get, "/v1/runs", query: ["type": "thread"], lane: .public, at: desk).status == 401)
        #expect(await ask(.get, "/v1/runs/{id}/related", id: "t-1", lane: .public, at: desk).status == 401)
        #expect(await ask(.get, "/v1/runs", query: ["type": "chat", "parentRunId": "x"], at: desk).status == 404)
        #expect(await ask(.get, "/v1/runs/{id}/related", id: "x", at: desk).status == 404)
        #expect(await ask(.get, "/v1/runs", at: desk).status == 400)
        #expect(await ask(.get, "/v1/runs", query: ["type": "thread", "page": "-3", "limit": "many"], at: desk).status == 200)
        #expect(await ask(.get, "/v1/runs", query: ["type": "thread", "page": "9"], at: desk).status == 200)
    }

    @Test("templates, datasets and evaluations are not here, and are told so as Lunary would")
    func elsewhere() async {
        let asked: [(Entrance.Method, String)] = [
            (.get, "/v1/template_versions/latest"), (.get, "/v1/templates/latest"), (.get, "/v1/datasets/{slug}"),
            (.post, "/v1/evaluations/run"),
        ]
        for (method, path) in asked {
            let reply = await ask(method, path, at: FakeDesk())
            #expect(reply.status == 404 && text(reply).hasPrefix(#"{"message":""#))
        }
    }
}

/// A desk with what the test put on it.
final class FakeDesk: Desk {
    let now = noon
    private let votes: [String: JSONText]
    private let conversations: [String: JSONText]
    private let verdict: Verdict
    private let events = Mutex<[Event]>([])
    var written: [Event] { events.withLock { $0 } }

    init(feedback: [String: JSONText] = [:], conversations: [String: JSONText] = [:], verdict: Verdict = .stored) {
        (votes, self.conversations, self.verdict) = (feedback, conversations, verdict)
    }

    private let only = Project(number: ProjectID(1), id: "prj_1", name: "only")
    func projects() async throws(Refusal) -> [Project] { [only] }
    func project(_ name: String?, creating: Bool) async throws(Refusal) -> Project { only }
    func write(_ items: [Parcel.Item], to project: Project) async -> [Verdict] {
        events.withLock { $0 += items.compactMap(\.event) }
        return items.map { _ in verdict }
    }
    func conversation(_ thread: String, in project: Project) async throws(Refusal) -> JSONText? { conversations[thread] }
    func threads(in project: Project, limit: Int, after cursor: String?) async throws(Refusal) -> (threads: [JSONText], next: String?) {
        let threads = conversations.values.compactMap { text in
            try? JSONDocument.read(text.bytes) { JSONText($0["thread"] ?? $0) }
        }
        return (threads, nil)
    }
    func thread(number: Int64) async throws(Refusal) -> (project: Project, id: String)? { nil }
    func run(_ id: String, in project: Project) async throws(Refusal) -> JSONText? { nil }
    func runs(in project: Project, matching filter: RunFilter, limit: Int) async throws(Refusal) -> [JSONText] { [] }
    func projectOfRun(_ id: String) async throws(Refusal) -> Project? { nil }
    func feedback(on target: String, in project: Project) async throws(Refusal) -> JSONText? { votes[target] }
    func deleteProject(_ project: Project) async throws(Refusal) {}
    func events(ofType type: String, in project: Project) async throws(Refusal) -> [JSONText] { [] }
}
