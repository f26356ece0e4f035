public import Conversations
public import Events

/// What every store must do, checked against a real one; each check throws `Broken` with the sentence that does not hold.
///
/// A store's own tests run `StoreContract.all` over fresh stores.
public struct StoreContract: Sendable {
    public struct Broken: Error, CustomStringConvertible { public let description: String }

    public struct Clause: Sendable, CustomStringConvertible {
        public let sentence: String
        let check: @Sendable (any Store, Project) async throws -> Void
        public var description: String { sentence }

        /// Runs against a store that holds nothing of this project yet.
        public func holds(for store: any Store, in project: Project) async throws {
            try await check(store, project)
            try await StoreContract.law(store, project)
        }
    }

    static func require(_ condition: Bool, _ sentence: @autoclosure () -> String) throws {
        if !condition { throw Broken(description: sentence()) }
    }

    /// received = the sum of the verdicts, per key and minute.
    public static func law(_ store: any Store, _ project: Project) async throws {
        for row in try await store.outcomes(in: project.number, from: nil, to: nil) {
            try require(row.tally.holds, "received \(row.tally.received) is not the sum of \(row.tally.verdicts) for \(row.key)")
        }
    }

    static func append(_ store: any Store, _ project: Project, _ events: [Event], lane: Lane = .secret) async throws -> [Verdict] {
        try await store.append([Sample.delivery(events, project: project.number, lane: lane)])[0]
    }

    static func read(_ store: any Store, _ project: Project, _ thread: String = "t-1") async throws -> Conversation? {
        try await store.conversation(thread, in: project, limit: 200, after: nil, now: Sample.time(20))
    }

    public static let all: [Clause] = ground + reconciliation + review

    private static let ground: [Clause] = [
        Clause(sentence: "a second event with the same id and content is a duplicate") { store, project in
            let event = Sample.message(Sample.id(1))
            try require(try await append(store, project, [event]) == [.stored], "the first is not stored")
            try require(try await append(store, project, [event, event]) == [.duplicate, .duplicate], "the second is no duplicate")
            try require(try await read(store, project)?.thread.messageCount == 1, "it was counted twice")
        },
        Clause(sentence: "a second event with the same id and other content is a conflict, and the original stands") { store, project in
            _ = try await append(store, project, [Sample.message(Sample.id(1), "first")])
            let verdict = try await append(store, project, [Sample.message(Sample.id(1), thread: "t-2", "second")])[0]
            try require(verdict.name == .conflict && verdict.refusal?.reason == .idConflict, "the verdict is \(verdict)")
            let item = try await store.message(Sample.id(1), in: project.number)
            guard case .message(let message)? = item?.event.body, message.content == .text("first") else {
                throw Broken(description: "the original does not stand")
            }
            try require(try await read(store, project, "t-2") == nil, "the newcomer opened a thread")
            let kept = try await store.quarantine(in: project.number, of: .init(reason: .idConflict), limit: 10, after: nil).items
            try require(kept.count == 1, "the newcomer is not in quarantine once")
            try require(kept[0].differs.map(\.field) == ["content", "thread"], "it says that \(kept[0].differs.map(\.field)) differ")
        },
        Clause(sentence: "the same conflict sent again is kept once") { store, project in
            _ = try await append(store, project, [Sample.message(Sample.id(1), "first")])
            for _ in 0..<3 { _ = try await append(store, project, [Sample.message(Sample.id(1), "second")]) }
            try require(try await store.quarantineCounts(in: project.number) == [.idConflict: 1], "it is kept more than once")
        },
        Clause(sentence: "a message, its run's parts and feedback give the same conversation in every order") { store, project in
            let events = [
                Sample.message(Sample.id(1), user: "u1"), Sample.runStart("run-1", parent: Sample.id(1)), Sample.runEnd("run-1"),
                Sample.runStart("run-2", parent: "run-1", kind: .tool, at: 1.5), Sample.feedback("fb-1", on: Sample.id(1), .up),
                Sample.feedback("fb-2", on: Sample.id(1), .down, at: 4),
            ]
            var expected: Conversation?
            for (number, order) in permutations(of: events).enumerated() {
                let own = try await store.createProject(named: "order-\(project.number)-\(number)", settings: .init())
                for event in order {
                    try require(try await append(store, own, [event]) == [.stored], "an event was not stored")
                }
                guard var conversation = try await read(store, own) else { throw Broken(description: "no conversation") }
                conversation.thread.number = 0
                if let expected {
                    try require(conversation == expected, "order \(number) gives another conversation")
                } else {
                    expected = conversation
                    let runs = conversation.items.first?.runs ?? []
                    try require(
                        runs.count == 1 && runs[0].link == .bound && runs[0].children.count == 1, "the runs do not hang under the message")
                    try require(runs[0].run.output == "\"answer\"" && runs[0].run.input == "\"question\"", "the parts did not fold")
                    try require(
                        conversation.items[0].feedback.down == 1 && conversation.items[0].feedback.up == 0, "the last vote does not win")
                    try require(conversation.looseRuns.isEmpty, "a run hangs loose")
                }
            }
        },
        Clause(sentence: "a run waits for its message, and is counted while it waits") { store, project in
            _ = try await append(store, project, [Sample.runStart("run-1", parent: Sample.id(9))])
            try require(try await store.pendingLinks(in: project.number) == 1, "it is not counted")
            _ = try await append(store, project, [Sample.message(Sample.id(9))])
            try require(try await store.pendingLinks(in: project.number) == 0, "it still waits")
            try require(try await store.run("run-1", in: project.number)?.message == Sample.id(9), "its message is not found")
        },
        Clause(sentence: "a circle of runs is cut at the same place in every order") { store, project in
            let events = ["b": "c", "c": "a", "a": "b", "d": "b"].map { Sample.runStart($0, parent: $1, thread: "t-1") }
            for (number, order) in permutations(of: events).enumerated() {
                let own = try await store.createProject(named: "circle-\(project.number)-\(number)", settings: .init())
                for event in order { _ = try await append(store, own, [event]) }
                for (run, link) in ["a": ParentLink.refused, "b": .bound, "c": .bound, "d": .bound] {
                    let found = try await store.run(run, in: own.number)?.node.link
                    try require(found == link, "order \(number): \(run) is \(String(describing: found))")
                }
                try require(try await read(store, own)?.looseRuns.map(\.run.id) == ["a"], "the tree does not begin at the cut")
            }
        },
        Clause(sentence: "a run never binds across projects") { store, project in
            let other = try await store.createProject(named: "other-\(project.number)", settings: .init())
            _ = try await append(store, other, [Sample.message(Sample.id(1))])
            _ = try await append(store, project, [Sample.runStart("run-1", parent: Sample.id(1))])
            try require(try await store.run("run-1", in: project.number)?.node.link == .pending, "it is bound")
            try require(try await store.run("run-1", in: other.number) == nil, "the other project sees it")
            try require(try await store.message(Sample.id(1), in: project.number) == nil, "this project sees the other's message")
        },
        Clause(sentence: "a run names its message even where both have one id, and never itself") { store, project in
            let id = Sample.id(5)
            _ = try await append(store, project, [Sample.runStart(id, parent: id), Sample.runStart("child", parent: id)])
            try require(try await store.run(id, in: project.number)?.node.link == .refused, "it names itself")
            _ = try await append(store, project, [Sample.message(id)])
            let runs = try await read(store, project)?.items.first?.runs ?? []
            try require(runs.map(\.run.id) == [id] && runs[0].children.map(\.run.id) == ["child"], "the run is not under its message")
        },
        Clause(sentence: "votes count once a voter, the last one, and history stays") { store, project in
            _ = try await append(
                store, project,
                [
                    Sample.message(Sample.id(1)), Sample.feedback("fb-1", on: Sample.id(1), .up, at: 3, user: "a"),
                    Sample.feedback("fb-2", on: Sample.id(1), nil, at: 4, user: "a"),
                    Sample.feedback("fb-3", on: Sample.id(1), .up, at: 5, user: "b"),
                ])
            let feedback = try await read(store, project)?.items.first?.feedback
            try require(feedback?.up == 1 && feedback?.down == 0 && feedback?.votes.count == 2, "\(String(describing: feedback))")
            try require(try await store.events(after: 0, in: project.number, limit: 10).count == 4, "history is gone")
        },
        Clause(sentence: "threads are listed by newest activity, filtered and paged") { store, project in
            for number in 0..<7 {
                _ = try await append(
                    store, project,
                    [
                        Sample.message(
                            Sample.id(number), thread: "t-\(number)", role: number == 3 ? .assistant : .user, "word\(number) shared",
                            at: Double(number), user: number == 2 ? "u2" : nil, tags: number == 4 ? ["vip"] : [])
                    ])
            }
            _ = try await append(store, project, [Sample.feedback("fb", on: Sample.id(5), .down)])
            func list(_ narrow: (inout ThreadFilter) -> Void) async throws -> [String] {
                var filter = ThreadFilter()
                narrow(&filter)
                var ids: [String] = []
                var cursor: String?
                repeat {
                    let page = try await store.threads(in: project, matching: filter, limit: 3, after: cursor, now: Sample.time(20))
                    ids += page.items.map(\.id)
                    cursor = page.next
                } while cursor != nil
                return ids
            }
            try require(try await list { _ in } == (0..<7).reversed().map { "t-\($0)" }, "the order is wrong")
            try require(try await list { $0.user = "u2" } == ["t-2"], "by user")
            try require(try await list { $0.role = .assistant } == ["t-3"], "by role")
            try require(try await list { $0.tag = "vip" } == ["t-4"], "by tag")
            try require(try await list { $0.feedback = .down } == ["t-5"], "by feedback")
            try require(try await list { $0.feedback = ThreadFilter.FeedbackKind.none }.count == 6, "by no feedback")
            try require(try await list { $0.from = Sample.time(5) } == ["t-6", "t-5"], "by time")
            try require(try await list { $0.status = .active }.count == 7, "by status")
            try require(try await list { $0.status = .inactive } == [], "by the other status")
        },
        Clause(sentence: "items are paged in order of time") { store, project in
            let events = (0..<25).map { Sample.message(Sample.id($0), at: Double($0 / 2)) }
            _ = try await append(store, project, events.shuffled())
            var ids: [String] = []
            var cursor: String?
            repeat {
                guard let page = try await store.conversation("t-1", in: project, limit: 4, after: cursor, now: Sample.time(20)) else {
                    break
                }
                ids += page.items.map(\.event.id)
                cursor = page.next
            } while cursor != nil
            try require(ids == (0..<25).map(Sample.id), "\(ids)")
        },
        Clause(sentence: "what is read back says what was sent") { store, project in
            var event = Sample.message(Sample.id(1), role: .assistant, "Grüße \u{1F600}", user: "u1", tags: ["a"])
            event.user?.props = "{\"plan\":\"free\"}"
            event.metadata = "{\"page\":\"/x\"}"
            event.unknown = "{\"later\":[1,2]}"
            _ = try await append(store, project, [event])
            try require(try await store.message(Sample.id(1), in: project.number)?.event == event, "it does not")
            try require(try await read(store, project)?.thread.user?.props == "{\"plan\":\"free\"}", "the user's props are not folded")
        },
        Clause(sentence: "a user who is proven and one who only says the name are two, and the thread is the proven one's") {
            store, project in
            func said(_ number: Int, at seconds: Double, _ plan: String, isProven: Bool) -> Event {
                var event = Sample.message(Sample.id(number), at: seconds)
                event.user = Event.User(id: "ann", props: JSONText(trusted: Array("{\"plan\":\"\(plan)\"}".utf8)), isProven: isProven)
                return event
            }
            let events = [
                said(1, at: 1, "gold", isProven: false), said(2, at: 2, "free", isProven: true), said(3, at: 3, "lead", isProven: false),
            ]
            for event in [events[2], events[0], events[1]] { _ = try await append(store, project, [event], lane: .public) }
            let read = try await read(store, project)
            try require(
                read?.thread.user == Event.User(id: "ann", props: "{\"plan\":\"free\"}", isProven: true),
                "\(String(describing: read?.thread.user))")
            try require(read?.items.map(\.provenance) == [.claimed, .verified, .claimed], "\(read?.items.map(\.provenance) ?? [])")
            for event in events {
                try require(try await store.message(event.id, in: project.number)?.event == event, "\(event.id) is read otherwise")
            }
            var vote = Sample.feedback("fb-1", on: Sample.id(2), .up, at: 4)
            vote.user = Event.User(id: "ann", isProven: true)
            var forged = Sample.feedback("fb-2", on: Sample.id(2), .down, at: 5)
            forged.user = Event.User(id: "ann")
            _ = try await append(store, project, [vote, forged], lane: .public)
            let votes = try await store.message(Sample.id(2), in: project.number)?.feedback.votes ?? []
            try require(votes.map(\.thumb) == [.up, .down] && Set(votes.map(\.voter)).count == 2, "\(votes)")
            _ = try await append(store, project, [said(4, at: 6, "other", isProven: false)], lane: .public)
            try require(try await store.user("ann", in: project.number)?.isProven == true, "the name finds the claim first")
            _ = try await store.erase(user: "ann", in: project.number)
            try require(try await store.user("ann", in: project.number) == nil, "something of the user is left")
            try require(try await store.message(Sample.id(3), in: project.number) == nil, "what was said in the user's name is left")
        },
        Clause(sentence: "what is set aside is kept with its reason, listed, and gone when removed") { store, project in
            let refusal = Refusal(.weakID, field: "id")
            let aside = SetAside(id: "0", type: "message", refusal: refusal, payload: "{\"id\":\"0\"}")
            let verdicts = try await store.append([Sample.delivery([], project: project.number, lane: .public, setAside: [aside])])[0]
            try require(verdicts == [.quarantined(refusal)], "\(verdicts)")
            let items = try await store.quarantine(in: project.number, of: .init(), limit: 10, after: nil).items
            try require(items.count == 1 && items[0].payload == "{\"id\":\"0\"}" && items[0].reason == .weakID, "it is not listed")
            try await store.removeQuarantineItems(items.map(\.id), in: project.number)
            try require(try await store.quarantineCounts(in: project.number).isEmpty, "it is still there")
        },
        Clause(sentence: "a closed thread is inactive until something new happens in it") { store, project in
            let close = Event(id: "close-1", thread: "t-1", at: Sample.time(1), body: .thread(.init(status: .inactive)))
            _ = try await append(store, project, [Sample.message(Sample.id(1)), close])
            try require(try await read(store, project)?.thread.status == .inactive, "it is not inactive")
            _ = try await append(store, project, [Sample.message(Sample.id(2), at: 5)])
            try require(try await read(store, project)?.thread.status == .active, "it is not active again")
        },
    ]

    public static func permutations<Element>(of elements: [Element]) -> [[Element]] {
        guard elements.count > 1 else { return [elements] }
        return elements.indices.flatMap { index in
            var rest = elements
            let first = rest.remove(at: index)
            return permutations(of: rest).map { [first] + $0 }
        }
    }
}
