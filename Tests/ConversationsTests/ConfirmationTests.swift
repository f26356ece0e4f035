import Conversations
import Events
import Testing

@Suite("Confirmation of what a page displayed")
struct ConfirmationTests {
    private func run(_ id: String, _ output: JSONText?, kind: Event.RunKind = .llm, children: [RunNode] = []) -> RunNode {
        var part = Event.RunPart()
        part.kind = kind
        part.output = output
        let event = Event(id: id, body: .run(part))
        let time = Timestamp(microseconds: 0)
        let folded = Run(folding: [.init(event: event, at: time, digest: ContentDigest(event))])!
        return RunNode(run: folded, link: .bound, children: children)
    }

    private func answer(_ text: String) -> Event.Message { .init(role: .assistant, content: .text(text)) }

    @Test(
        "reads what was produced in any of the shapes chat APIs answer with",
        arguments: [
            "\"An answer\"", "{\"content\":\"An answer\"}", "[{\"type\":\"text\",\"text\":\"An\"},{\"type\":\"text\",\"text\":\"answer\"}]",
            "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\" An  answer \"}}]}", "{\"output\":{\"text\":\"An answer\"}}",
        ])
    func shapes(_ output: String) {
        let node = run("r", JSONText(trusted: Array(output.utf8)))
        #expect(Confirmation.compare(answer("An answer\n"), with: [node]) == .confirmed)
        #expect(Confirmation.compare(answer("Another"), with: [node])?.isDifference == true)
    }

    @Test("says nothing where no run says anything, nor of what a user wrote")
    func nothing() {
        #expect(Confirmation.compare(answer("x"), with: []) == nil)
        #expect(Confirmation.compare(answer("x"), with: [run("r", nil), run("s", "\" \""), run("n", "7")]) == nil)
        #expect(Confirmation.compare(.init(role: .user, content: .text("x")), with: [run("r", "\"x\"")]) == nil)
        #expect(Confirmation.compare(answer(" "), with: [run("r", "\"x\"")]) == nil)
    }

    @Test("a step below may have produced it, a tool may not, and of several runs one is enough")
    func trees() {
        let agent = run(
            "agent", "{\"steps\":2}", kind: .agent, children: [run("tool", "\"42\"", kind: .tool), run("llm", "\"The answer\"")])
        #expect(Confirmation.compare(answer("The answer"), with: [agent]) == .confirmed)
        #expect(Confirmation.compare(answer("42"), with: [agent]) == .differs(run: "llm", produced: "The answer"))
        #expect(Confirmation.compare(answer("retried"), with: [run("a", "\"first\""), run("b", "\"retried\"")]) == .confirmed)
        #expect(Confirmation.compare(answer("x"), with: [run("search", "\"x\"", kind: .retriever)]) == nil)
    }

    @Test("an answer is compared with the question it replies to, else with the one before it that has no answer yet")
    func questions() {
        func item(_ id: String, _ role: Event.Role, _ text: String, replyTo: String? = nil, runs: [RunNode] = []) -> ConversationItem {
            let event = Event(id: id, body: .message(.init(role: role, content: .text(text), replyTo: replyTo)))
            let time = Timestamp(microseconds: 0)
            return ConversationItem(event: event, at: time, receivedAt: time, provenance: .claimed, runs: runs)
        }
        var items = [
            item("q1", .user, "?", runs: [run("r1", "\"one\"")]), item("s", .system, "be kind"), item("a1", .assistant, "one"),
            item("a2", .assistant, "two"), item("q2", .user, "?"), item("a3", .assistant, "one", replyTo: "q1"),
            item("a4", .assistant, "four", runs: [run("r4", "\"4\"")]),
        ]
        Confirmation.settle(&items) { _, _, _ in false }
        #expect(items.map(\.confirmation) == [nil, nil, .confirmed, nil, nil, .confirmed, .differs(run: "r4", produced: "4")])
        var page = [item("a0", .assistant, "zero")]
        Confirmation.settle(&page, after: [run("r0", "\"zero\"")]) { _, _, _ in false }
        #expect(page[0].confirmation == .confirmed)
    }
}
