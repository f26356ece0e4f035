import Conversations
import Events

extension Timestamp {
    static func second(_ second: Int64) -> Timestamp { Timestamp(microseconds: 1_795_000_000_000_000 + second * 1_000_000) }
}

extension StubStore {
    /// 2026-11-18T11:06:40Z and an hour.
    static let now = Timestamp.second(3600)

    static func filled() -> StubStore {
        var state = State()
        state.conversations[shop.number] = [shopThread]
        state.conversations[bank.number] = [bankThread]
        state.quarantine[shop.number] = [quarantined]
        var tally = Tally()
        tally.received = 3
        tally.verdicts = [.stored: 2, .conflict: 1]
        tally.reasons = [.idConflict: 1]
        state.outcomes = [
            OutcomeRow(key: "key_a", minute: .second(20), tally: tally), OutcomeRow(key: "key_b", minute: .second(20), tally: tally),
        ]
        return StubStore(state)
    }

    static let shopThread = Conversation(
        thread: ThreadSummary(
            id: "t-1", status: .inactive, user: Event.User(id: "u1", props: #"{"plan":"pro"}"#), tags: ["vip"], metadata: nil,
            messageCount: 2,
            firstAt: .second(0), lastAt: .second(5),
            first: ThreadSummary.Excerpt(id: "m1", role: .user, text: String(repeating: "é", count: 301), at: .second(0)),
            last: ThreadSummary.Excerpt(id: "m2", role: .assistant, text: "Hi", at: .second(2)), up: 1, down: 0,
            scores: [Score(target: "t-1", name: "tone", value: 0.5, category: nil, reason: nil, author: "sdk", at: .second(9), event: "s1")]
        ),
        items: [
            ConversationItem(
                event: Event(
                    id: "m1", thread: "t-1", at: .second(0), user: Event.User(id: "u1"), metadata: #"{"page":"/"}"#,
                    body: .message(Event.Message(role: .user, content: .text("=HYPERLINK(\"http://evil\")"), tags: ["a"]))),
                at: .second(0), receivedAt: .second(1), provenance: .claimed),
            ConversationItem(
                event: Event(
                    id: "m2", thread: "t-1",
                    body: .message(Event.Message(role: .assistant, content: .blocks(#"[{"text":"Hi","type":"text"}]"#), replyTo: "m1"))),
                at: .second(2), receivedAt: .second(2), provenance: .verified,
                feedback: FeedbackSummary(votes: [
                    Vote(target: "m2", voter: "user:u1", thumb: .up, comment: "thanks", at: .second(4), event: "f1")
                ]),
                runs: [answer]),
            ConversationItem(
                event: Event(id: "e1", thread: "t-1", body: .event(name: "opened")), at: .second(5), receivedAt: .second(5),
                provenance: .anonymous),
        ],
        looseRuns: [RunNode(run: bareRun("r9"), link: .none)], next: nil)

    static let answer = RunNode(
        run: {
            var run = bareRun("r1")
            run.kind = .llm
            run.name = "answer"
            run.parent = "m2"
            run.thread = "t-1"
            run.input = #""Hello""#
            run.usage = #"{"total":3}"#
            run.cost = 0.25
            run.success = true
            run.startedAt = .second(1)
            run.endedAt = Timestamp.second(1).advanced(bySeconds: 0.5)
            return run
        }(), link: .bound, children: [RunNode(run: bareRun("r2"), link: .bound)])

    private static func bareRun(_ id: String) -> Run {
        let event = Event(id: id, body: .run(Event.RunPart()))
        return Run(folding: [Run.Part(event: event, at: .second(0), digest: ContentDigest(event))])!
    }

    private static let bankThread = Conversation(
        thread: ThreadSummary(
            id: "t-2", status: .active, user: nil, tags: [], metadata: nil, messageCount: 1, firstAt: .second(3590), lastAt: .second(3590),
            first: nil,
            last: nil, up: 0, down: 0, scores: []),
        items: [
            ConversationItem(
                event: Event(id: "b1", thread: "t-2", body: .message(Event.Message(role: .user, content: .text("my PIN is 1234")))),
                at: .second(3590), receivedAt: .second(3590), provenance: .anonymous)
        ], looseRuns: [], next: nil)

    private static let quarantined = QuarantineItem(
        id: "q1", reason: .idConflict, field: "id", message: "Taken.", eventID: "m1", type: "message", receivedAt: .second(7),
        source: Source(project: shop.number, key: "key_a", lane: .public, origin: "https://shop.example", transport: .http),
        payload: #"{"id":"m1"}"#, differs: [.init(field: "content", stored: #""a""#, received: nil)])
}
