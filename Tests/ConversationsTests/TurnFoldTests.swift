import Events
import TestKit
import Testing
@testable import Conversations

@Suite("Turns among messages")
struct TurnFoldTests {
    private func item(_ event: Event) -> ConversationItem {
        ConversationItem(event: event, at: event.at!, receivedAt: event.at!, provenance: .claimed)
    }

    private func turn(_ id: String, _ question: String?, _ answer: String?, at seconds: Double, parent: String? = nil) -> RunNode {
        var part = Event.RunPart()
        part.question = question
        part.answer = answer
        part.startedAt = Sample.time(seconds)
        part.endedAt = Sample.time(seconds + 1)
        part.parent = parent
        return node(id, part, thread: "t-1")
    }

    private func node(_ id: String, _ part: Event.RunPart, thread: String? = nil, link: ParentLink = .none) -> RunNode {
        let event = Event(id: id, thread: thread, at: Sample.time(1), body: .run(part))
        return RunNode(run: Run(folding: [.init(event: event, at: Sample.time(1), digest: ContentDigest(event))])!, link: link)
    }

    private func ids(_ result: TurnFold.Result) -> [String] { result.items.map(\.event.id) }

    @Test("the same words twice are two turns, each with its own message")
    func sameWordsTwice() {
        let items = [
            item(Sample.message("m-1", "yes", at: 0)), item(Sample.message("m-2", role: .assistant, "ok", at: 1)),
            item(Sample.message("m-3", "yes", at: 10)), item(Sample.message("m-4", role: .assistant, "ok", at: 11)),
        ]
        let turns = [turn("r-2", "yes", "ok", at: 10), turn("r-1", "yes", "ok", at: 0)]
        for loose in [turns, turns.reversed()] {
            let result = TurnFold.fold(items, loose: loose)
            #expect(ids(result) == ["m-1", "m-2", "m-3", "m-4"] && result.loose.isEmpty)
            #expect(result.items.map { $0.runs.map(\.run.id) } == [["r-1"], [], ["r-2"], []])
        }
    }

    @Test("words further apart than the window, or of another role, are not the same thing")
    func notTheSame() {
        let far = item(Sample.message("m-1", "yes", at: -TurnFold.window - 1))
        let other = item(Sample.message("m-2", role: .system, "yes", at: 0))
        let result = TurnFold.fold([far, other], loose: [turn("r-1", "yes", nil, at: 0)])
        #expect(ids(result) == ["m-1", "m-2", "r-1"])
        #expect(result.items[2].derivedFrom == "r-1" && result.items[2].runs.map(\.run.id) == ["r-1"])
    }

    @Test("a turn without a question hangs loose, and its answer is shown")
    func answerAlone() {
        let result = TurnFold.fold([], loose: [turn("r-1", nil, "Welcome!", at: 0)])
        #expect(ids(result) == ["r-1:answer"] && result.loose.map(\.run.id) == ["r-1"])
    }

    @Test("an answer whose ID a message has takes the next, and each is told from the run's")
    func takenID() {
        let taken = [item(Sample.message("r-1:answer", "mine", at: 5)), item(Sample.message("r-1:answer:answer", "mine too", at: 6))]
        for count in 0...2 {
            let result = TurnFold.fold(Array(taken[..<count]), loose: [turn("r-1", nil, "Welcome!", at: 0)])
            let own = result.items.first { $0.derivedFrom != nil }?.event.id
            #expect(own == "r-1" + String(repeating: ":answer", count: count + 1) && Set(ids(result)).count == count + 1)
            #expect(own.map(TurnFold.run(ofAnswer:)) == "r-1")
        }
    }

    @Test("a question and an answer of one moment are in order")
    func oneMoment() {
        var part = Event.RunPart()
        (part.question, part.answer, part.startedAt) = ("z", "a", Sample.time(1))
        let result = TurnFold.fold([], loose: [node("r-1", part, thread: "t-1")])
        #expect(ids(result) == ["r-1", "r-1:answer"])
    }

    @Test("blocks say what their texts say")
    func blocks() {
        let blocks = Event.Message(role: .user, content: .blocks(#"[{"text":"Look","type":"text"},{"type":"image","url":"x"},"here"]"#))
        #expect(blocks.plainText == "Look here")
        let event = Event(id: "m-1", thread: "t-1", at: Sample.time(0), body: .message(blocks))
        let result = TurnFold.fold([item(event)], loose: [turn("r-1", " Look  here ", nil, at: 0)])
        #expect(ids(result) == ["m-1"] && result.items[0].runs.first?.via == .inferred)
    }

    @Test("a traced run hangs under the user's last message before it, and nothing else does")
    func traced() {
        let items = [item(Sample.message("m-1", at: 0)), item(Sample.message("m-2", at: 10)), item(Sample.message("m-3", at: 30))]
        var part = Event.RunPart()
        (part.startedAt, part.trace) = (Sample.time(12), "0af7651916cd43dd8448eb211c80319c")
        let early: RunNode = {
            var part = part
            part.startedAt = Sample.time(-60)
            return node("early", part, thread: "t-1")
        }()
        var plain = Event.RunPart()
        plain.startedAt = Sample.time(12)
        let result = TurnFold.fold(items, loose: [node("traced", part, thread: "t-1"), node("plain", plain, thread: "t-1"), early])
        #expect(result.items.map { $0.runs.map(\.run.id) } == [[], ["traced"], []])
        #expect(result.items[1].runs[0].via == .inferred && result.loose.map(\.run.id) == ["early", "plain"])
    }

    @Test("steps nest under their runs, and two that stand in each other are both still there")
    func steps() {
        func step(_ id: String, within outer: String?, parent: String = "m-1") -> RunNode {
            var part = Event.RunPart()
            (part.kind, part.parent, part.within) = (.llm, parent, outer)
            return node(id, part, link: .bound)
        }
        func tree(_ nodes: [RunNode]) -> String {
            func text(_ node: RunNode) -> String {
                node.run.id + (node.children.isEmpty ? "" : "(\(node.children.map(text).joined(separator: " ")))")
            }
            return RunForest(nodes).runs(under: "m-1").map(text).joined(separator: " ")
        }
        #expect(tree([step("c", within: "b"), step("b", within: "a"), step("a", within: nil)]) == "a(b(c))")
        #expect(tree([step("b", within: "a"), step("a", within: "b")]) == "b(a)")
        #expect(tree([step("a", within: "a"), step("b", within: "gone")]) == "a b")
        #expect(tree([step("a", within: nil, parent: "m-2"), step("b", within: "a")]) == "b")
        #expect(tree([step("a", within: nil), step("b", within: "a", parent: "a"), step("c", within: "b")]) == "a(b(c))")
    }
}
