import Conversations
import Testing

@Suite("Parent links")
struct ParentLinkTests {
    /// Runs with the parents they name, and the messages that are there.
    struct Graph {
        var parents: [String: String?]
        var messages: Set<String>

        func link(of id: String) -> ParentLink {
            ParentLinks.link(of: id, naming: parents[id] ?? nil, messageExists: messages.contains, parentOfRun: { parents[$0] })
        }

        var links: [String: ParentLink] { Dictionary(uniqueKeysWithValues: parents.keys.map { ($0, link(of: $0)) }) }

        /// The circles of runs that name one another, each as the set of its members.
        var circles: Set<Set<String>> {
            var found: Set<Set<String>> = []
            for start in parents.keys {
                var path = [start]
                while let next = parents[path.last!] ?? nil, parents[next] != nil {
                    if let place = path.firstIndex(of: next) {
                        found.insert(Set(path[place...]))
                        break
                    }
                    path.append(next)
                }
            }
            return found
        }
    }

    private func random(_ seed: Int, _ generator: inout SeededGenerator) -> Graph {
        let names = (0..<Int.random(in: 1...14, using: &generator)).map { "r\($0)" }.shuffled(using: &generator)
        let others = ["m1", "m2", "gone"]
        var parents: [String: String?] = [:]
        for name in names { parents[name] = .some(generator.chance(1, in: 6) ? nil : generator.pick(names + others)) }
        // Some messages carry a run's ID.
        return Graph(parents: parents, messages: Set(["m1", "m2"]).union(names.filter { _ in generator.chance(1, in: 5) }))
    }

    @Test("every circle is cut once, at its smallest member, and nothing else is cut", arguments: 0..<300)
    func circles(_ seed: Int) {
        var generator = SeededGenerator(UInt64(seed))
        let graph = random(seed, &generator)
        let links = graph.links
        // A run that names its own ID means the message of that ID, if there is one.
        let cuts = graph.circles.compactMap { circle in
            circle.count == 1 && graph.messages.contains(circle.first!) ? nil : circle.min()!
        }
        #expect(Set(links.filter { $0.value == .refused }.keys) == Set(cuts), "\(graph)")
    }

    @Test("following bound links always comes to an end", arguments: 0..<300)
    func ends(_ seed: Int) {
        var generator = SeededGenerator(UInt64(seed))
        let graph = random(seed, &generator)
        let links = graph.links
        for start in graph.parents.keys {
            var current = start
            var steps = 0
            while links[current] == .bound, let parent = graph.parents[current] ?? nil, parent != current, graph.parents[parent] != nil {
                current = parent
                steps += 1
                if steps > graph.parents.count { return #expect(Bool(false), "\(start) goes round for ever in \(graph)") }
            }
        }
    }

    @Test("a link says whether the other end is there", arguments: 0..<300)
    func presence(_ seed: Int) {
        var generator = SeededGenerator(UInt64(seed))
        let graph = random(seed, &generator)
        for (id, link) in graph.links {
            switch link {
            case .none: #expect(graph.parents[id]! == nil)
            case .pending: #expect(!graph.messages.contains(graph.parents[id]!!) && graph.parents[graph.parents[id]!!] == nil)
            case .bound: #expect(graph.messages.contains(graph.parents[id]!!) || graph.parents[graph.parents[id]!!] != nil)
            case .refused: #expect(graph.parents[id]! != nil)
            }
        }
    }

    @Test("links that are kept up as runs arrive do not depend on the order", arguments: 0..<80)
    func order(_ seed: Int) {
        var generator = SeededGenerator(UInt64(seed))
        let whole = random(seed, &generator)
        for _ in 0..<5 {
            var arrived = Graph(parents: [:], messages: [])
            var kept: [String: ParentLink] = [:]
            let arrivals = (whole.parents.keys.map { (isRun: true, id: $0) } + whole.messages.map { (isRun: false, id: $0) }).shuffled(
                using: &generator)
            for arrival in arrivals {
                if arrival.isRun { arrived.parents[arrival.id] = whole.parents[arrival.id]! } else { arrived.messages.insert(arrival.id) }
                for id in arrived.parents.keys { kept[id] = arrived.link(of: id) }
            }
            #expect(kept == whole.links)
        }
    }

    @Test("a run may name the message that shares its ID, and never itself")
    func ownID() {
        #expect(Graph(parents: ["a": "a"], messages: ["a"]).link(of: "a") == .bound)
        #expect(Graph(parents: ["a": "a"], messages: []).link(of: "a") == .refused)
        #expect(Graph(parents: ["a": "a", "b": "a"], messages: []).links == ["a": .refused, "b": .bound])
    }

    @Test("a chain of 256 runs is bound, and so is each of its links")
    func longChain() {
        var parents: [String: String?] = ["r000": .some("m1")]
        func name(_ number: Int) -> String { "r" + String(repeating: "0", count: 3 - String(number).count) + String(number) }
        for number in 1..<ParentLinks.maximumDepth { parents[name(number)] = name(number - 1) }
        let graph = Graph(parents: parents, messages: ["m1"])
        #expect(graph.links.values.allSatisfy { $0 == .bound })
    }

    @Test("a chain that never ends is taken for a circle")
    func endlessChain() {
        let link = ParentLinks.link(of: "0", naming: "1", messageExists: { _ in false }, parentOfRun: { .some(String(Int($0)! + 1)) })
        #expect(link == .refused)
    }

    @Test("nothing is asked about a run that names no parent")
    func noParent() {
        let link = ParentLinks.link(
            of: "a", naming: nil, messageExists: { _ in fatalError("asked") }, parentOfRun: { _ in fatalError("asked") })
        #expect(link == .none)
    }
}
