import Conversations
import Events
import TestKit
import Testing

@Suite("Run forest")
struct RunForestTests {
    private func node(_ id: String, _ parent: String?, _ link: ParentLink, at seconds: Double = 1) -> RunNode {
        let event = Sample.runStart(id, parent: parent, at: seconds)
        return RunNode(run: Run(folding: [.init(event: event, at: event.at!, digest: ContentDigest(event))])!, link: link)
    }

    private func shape(_ nodes: [RunNode]) -> String {
        nodes.map { $0.run.id + ($0.children.isEmpty ? "" : "(" + shape($0.children) + ")") }.joined(separator: " ")
    }

    @Test("runs hang under their message in order of their start, whichever order they come in")
    func underMessage() {
        let nodes = [
            node("b", "m", .bound, at: 2), node("a", "m", .bound, at: 3), node("c", "b", .bound, at: 5), node("d", "b", .bound, at: 4),
            node("loose", nil, .none), node("waiting", "gone", .pending, at: 2), node("cut", "b", .refused, at: 3),
        ]
        var random = SeededGenerator(7)
        for _ in 0..<20 {
            let forest = RunForest(nodes.shuffled(using: &random))
            #expect(shape(forest.runs(under: "m")) == "b(d c) a")
            #expect(shape(forest.loose(besides: ["m"])) == "loose waiting cut")
            #expect(forest.runs(under: "other").isEmpty)
        }
    }

    @Test("a run that carries a message's ID hangs under it, with what names that ID below")
    func sharedID() {
        for (parent, link) in [("m" as String?, ParentLink.bound), (nil, .none)] {
            let forest = RunForest([node("child", "m", .bound), node("m", parent, link)])
            #expect(shape(forest.runs(under: "m")) == "m(child)")
            #expect(forest.loose(besides: ["m"]).isEmpty)
        }
    }
}
