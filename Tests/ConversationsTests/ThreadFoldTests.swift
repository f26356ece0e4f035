import Conversations
import Events
import TestKit
import Testing

@Suite("Thread fold")
struct ThreadFoldTests {
    private func fold(_ events: [Event]) -> ThreadFold {
        var fold = ThreadFold()
        for event in events { fold.apply(event, at: event.at!) }
        return fold
    }

    private func randomEvent(_ number: Int, _ random: inout SeededGenerator) -> Event {
        let bodies: [Event.Body] = [
            .message(
                .init(
                    role: random.pick(Event.Role.allCases), content: .text("x"),
                    tags: random.chance(1, in: 3) ? [random.pick(["a", "b", "c"])] : [])),
            .event(name: "n"), .feedback(.init(target: "m", thumb: .up)), .score(.init(target: "m", name: "s", value: 1)), .identify,
            .other(type: "later"),
            .thread(
                .init(tags: random.chance(1, in: 2) ? [random.pick(["d", "e"])] : [], status: random.pick([nil, .active, .inactive]))),
            Sample.runStart("r", parent: nil).body,
        ]
        // Few moments, so that the ID has to decide often.
        return Event(
            id: Sample.id(number), thread: "t-1", at: Sample.time(Double(Int.random(in: 0..<5, using: &random))),
            user: random.chance(1, in: 2) ? .init(id: random.pick(["u1", "u2"]), isProven: random.chance(1, in: 3)) : nil,
            metadata: random.chance(1, in: 2) ? random.pick(["{\"a\":1}", "{\"b\":2}"]) : nil, body: random.pick(bodies))
    }

    @Test("a thread is the same in whichever order its events come", arguments: 0..<150)
    func order(_ seed: Int) {
        var random = SeededGenerator(UInt64(seed))
        let events = (0..<Int.random(in: 1...12, using: &random)).map { randomEvent($0, &random) }
        let expected = fold(events)
        for _ in 0..<20 { #expect(fold(events.shuffled(using: &random)) == expected) }
    }

    @Test("a thread says how many spoke, who, when, and what it was called")
    func sums() {
        var first = Sample.message("m-1", role: .user, at: 3, user: "u1", tags: ["a"])
        first.metadata = "{\"of\":\"message\"}"
        var patch = Event(id: "p-1", at: Sample.time(4), body: .thread(.init(tags: ["b"])))
        patch.metadata = "{\"page\":1}"
        let close = Event(id: "p-2", at: Sample.time(9), body: .thread(.init(status: .inactive)))
        let fold = fold([
            close, Sample.message("m-2", role: .assistant, at: 5), patch, first, Sample.feedback("f", on: "m-1", .up, at: 1, user: "u0"),
            Sample.runEnd("r", at: 8),
        ])
        #expect(fold.messageCount == 2)
        #expect(fold.roles == ThreadFold.bit(of: .user) | ThreadFold.bit(of: .assistant))
        #expect(fold.firstMessage?.id == "m-1" && fold.lastMessage?.id == "m-2")
        #expect(fold.firstAt == Sample.time(1) && fold.lastAt == Sample.time(5))
        #expect(fold.user?.value == "u0")
        #expect(fold.status?.value == .inactive && fold.status?.place.at == Sample.time(9))
        #expect(fold.metadata?.value == "{\"page\":1}")
        #expect(Set(fold.tags.keys) == ["a", "b"])
        #expect(ThreadFold().isEmpty && !fold.isEmpty)
    }

    @Test("a message and a run of one ID and moment that name different users give the same thread in both orders")
    func sharedID() {
        let message = Sample.message("shared", at: 1, user: "u1")
        var run = Sample.runStart("shared", parent: nil, at: 1)
        run.user = .init(id: "u2")
        #expect(fold([message, run]) == fold([run, message]))
    }

    @Test(
        "status is what a person set last, until something new arrives or time passes",
        arguments: [
            (nil, 0.0, 899.0, .active), (nil, 0, 900, .inactive), ((.inactive, 5.0), 0, 6, .inactive), ((.inactive, 0.0), 0, 1, .inactive),
            ((.inactive, 5.0), 6, 7, .active), ((.inactive, 5.0), 6, 906, .inactive), ((.active, 800.0), 0, 1000, .active),
            ((.active, 800.0), 0, 1700, .inactive),
        ] as [((Event.ThreadPatch.Status, Double)?, Double, Double, Event.ThreadPatch.Status)])
    func status(_ set: (Event.ThreadPatch.Status, Double)?, _ last: Double, _ now: Double, _ expected: Event.ThreadPatch.Status) {
        let status = ThreadSummary.status(
            set: set.map { (status: $0.0, at: Sample.time($0.1)) }, lastAt: Sample.time(last), now: Sample.time(now),
            inactiveAfterSeconds: 900)
        #expect(status == expected)
    }
}

@Suite("Props fold")
struct PropsFoldTests {
    private func place(_ seconds: Double, _ id: String) -> ThreadFold.Place { .init(at: Sample.time(seconds), id: id) }

    @Test("field by field the latest counts, in every order and across every stop at rest", arguments: 0..<100)
    func order(_ seed: Int) {
        var random = SeededGenerator(UInt64(seed))
        let changes: [(JSONText, ThreadFold.Place)] = (0..<6).map { number in
            var writer = JSONWriter()
            writer.object { writer in
                for name in ["a", "b", "ü\"n"] where random.chance(1, in: 2) { writer.field(name, Int.random(in: 0..<9, using: &random)) }
            }
            return (JSONText(trusted: writer.bytes), place(Double(Int.random(in: 0..<3, using: &random)), "e\(number)"))
        }
        var expected = PropsFold()
        for (props, place) in changes { expected.apply(props, at: place) }
        for _ in 0..<20 {
            var fold = PropsFold()
            for (props, place) in changes.shuffled(using: &random) {
                fold.apply(props, at: place)
                if random.chance(1, in: 3) { fold = PropsFold(stored: fold.stored.bytes) }
            }
            #expect(fold.props == expected.props)
            #expect(fold == expected)
        }
    }

    @Test("absence never erases, null does")
    func absence() {
        var fold = PropsFold()
        #expect(fold.props == nil)
        fold.apply("{\"plan\":\"free\",\"seats\":{\"a\":[1]}}", at: place(1, "a"))
        fold.apply("{\"plan\":\"pro\"}", at: place(2, "b"))
        fold.apply("{\"plan\":\"old\",\"since\":1}", at: place(0, "c"))
        #expect(fold.props == "{\"plan\":\"pro\",\"seats\":{\"a\":[1]},\"since\":1}")
        fold.apply("{\"plan\":null}", at: place(3, "d"))
        #expect(fold.props == "{\"plan\":null,\"seats\":{\"a\":[1]},\"since\":1}")
    }

    @Test("a backend's word stands before a page's, whichever is later")
    func backendFirst() {
        let words: [(JSONText, ThreadFold.Place, Lane)] = [
            ("{\"plan\":\"free\",\"page\":1}", place(1, "a"), .secret), ("{\"plan\":\"pro\",\"theme\":\"dark\"}", place(2, "b"), .public),
            ("{\"page\":2}", place(3, "c"), .secret),
        ]
        for order in [words, words.reversed()] {
            var fold = PropsFold()
            for (props, place, lane) in order {
                fold.apply(props, at: place, from: lane)
                fold = PropsFold(stored: fold.stored.bytes)
            }
            #expect(fold.props == "{\"page\":2,\"plan\":\"free\",\"theme\":\"dark\"}")
        }
    }

    @Test("two things of one ID and moment give the same props in both orders")
    func sharedPlace() {
        let changes: [JSONText] = ["{\"plan\":\"free\"}", "{\"plan\":\"pro\"}"]
        func folded(_ changes: [JSONText]) -> JSONText? {
            var fold = PropsFold()
            for change in changes { fold.apply(change, at: place(1, "shared")) }
            return fold.props
        }
        #expect(folded(changes) == folded(changes.reversed()))
    }

    @Test("props at the depth limit survive their rest")
    func depth() {
        let deep = String(repeating: "[", count: 61) + String(repeating: "]", count: 61)
        var fold = PropsFold()
        fold.apply(JSONText(trusted: Array("{\"a\":\(deep)}".utf8)), at: place(1, "a"))
        #expect(PropsFold(stored: fold.stored.bytes) == fold)
        #expect(fold.props?.string == "{\"a\":\(deep)}")
    }

    @Test(
        "of too many fields those a secret key said stay, then the latest, in every order and across every stop at rest", arguments: 0..<20)
    func bound(_ seed: Int) {
        var random = SeededGenerator(UInt64(seed))
        let changes: [(JSONText, ThreadFold.Place, Lane)] = (0..<40).map { number in
            var writer = JSONWriter()
            writer.object { writer in
                for _ in 0..<10 { writer.field("f\(Int.random(in: 0..<300, using: &random))", number) }
            }
            let lane: Lane = number < 5 ? .secret : .public
            return (JSONText(trusted: writer.bytes), place(Double(number), "e\(number)"), lane)
        }
        func folded(_ changes: [(JSONText, ThreadFold.Place, Lane)]) -> PropsFold {
            var fold = PropsFold()
            for (props, place, lane) in changes {
                fold.apply(props, at: place, from: lane)
                if random.chance(1, in: 3) { fold = PropsFold(stored: fold.stored.bytes) }
            }
            return fold
        }
        let expected = folded(changes)
        func names(of text: JSONText?) -> Set<String> {
            var names: Set<String> = []
            try? JSONDocument.read(text?.bytes ?? []) { $0.forEachMember { key, _ in names.insert(String(decoding: key, as: UTF8.self)) } }
            return names
        }
        let kept = names(of: expected.props)
        #expect(kept.count == PropsFold.mostFields)
        for (props, _, lane) in changes where lane == .secret { #expect(names(of: props).isSubset(of: kept)) }
        for _ in 0..<5 { #expect(folded(changes.shuffled(using: &random)) == expected) }
    }

    @Test("a long value stands there as its beginning, and a field of a long name is left out")
    func longValues() throws {
        let long = String(repeating: "é", count: PropsFold.longestValue)
        var fold = PropsFold()
        fold.apply(JSONText(trusted: Array("{\"a\":\"\(long)\",\"b\":\"ok\",\"\(long)\":1,\"c\":[\"x\(long)\"]}".utf8)), at: place(1, "a"))
        #expect(fold.props?.bytes.count ?? 0 < 2 * PropsFold.longestValue)
        try JSONDocument.read(fold.props?.bytes ?? []) { json in
            #expect(json["a"]?.string?.hasSuffix("éé…") == true && json["b"]?.string == "ok")
            #expect(json["c"]?.string?.hasPrefix("[\"xéé") == true)
            #expect(json["c"]?.string?.contains("\u{FFFD}") == false)
        }
        #expect(PropsFold(stored: fold.stored.bytes) == fold)
    }
}
