import Conversations
import Events

/// How what several senders say of one conversation comes together: names, traces, turns, remarks, policies.
extension StoreContract {
    /// What a sender with a key of its own calls an ID.
    private static func name(of id: String) -> String { "name-of-" + id }

    private static func admitted(_ event: Event, names: [String] = [], isNamed: Bool = false, pairs: Bool = false) -> AdmittedEvent {
        AdmittedEvent(
            event: event, at: event.at ?? Sample.time(10), digest: ContentDigest(event),
            names: names.map { IDNames(id: $0, names: [name(of: $0)]) }, usesSchemeNames: isNamed, pairsShareIDs: pairs)
    }

    private static func append(_ store: any Store, _ project: Project, _ admitted: [AdmittedEvent]) async throws -> [Verdict] {
        var delivery = Sample.delivery([], project: project.number)
        delivery.events = admitted
        delivery.tally.received = admitted.count
        return try await store.append([delivery])[0]
    }

    /// The same events in every order, each order in a project of its own; all must read alike.
    private static func inEveryOrder(
        _ events: [AdmittedEvent], _ store: any Store, _ project: Project, _ check: (Conversation, Project) async throws -> Void
    ) async throws {
        var expected: Conversation?
        // One by one, and all of them at once.
        for (number, (order, isTogether)) in permutations(of: events).flatMap({ [($0, false), ($0, true)] }).enumerated() {
            let own = try await store.createProject(named: "every-\(project.number)-\(number)", settings: project.settings)
            for events in isTogether ? [order] : order.map({ [$0] }) {
                let verdicts = try await append(store, own, events)
                try require(verdicts.allSatisfy { $0 == .stored }, "order \(number): \(events.map(\.event.id)) are \(verdicts)")
            }
            guard var conversation = try await read(store, own) else { throw Broken(description: "order \(number): no conversation") }
            conversation.thread.number = 0
            if let expected {
                try require(conversation == expected, "order \(number) reads \(conversation), not \(expected)")
            } else {
                expected = conversation
                try await check(conversation, own)
            }
            try await law(store, own)
        }
    }

    /// A span of a message's trace, the message, and the run that the span turns out to be.
    private static func renamedSpan(isNamingTrace: Bool) -> [AdmittedEvent] {
        let trace = Sample.id(1).replacing("-", with: "")
        let span = "\(trace)-00000000000000aa"
        var part = Event.RunPart()
        part.kind = .llm
        if isNamingTrace { part.trace = trace }
        let start = Sample.runStart("run-1", parent: nil)
        return [
            admitted(Event(id: span, at: Sample.time(1), body: .run(part)), isNamed: true), admitted(Sample.message(Sample.id(1))),
            AdmittedEvent(event: start, at: Sample.time(2), digest: ContentDigest(start), names: [IDNames(id: "run-1", names: [span])]),
        ]
    }

    private static func turn(_ id: String, question: String?, answer: String?, parent: String? = nil, thread: String? = "t-1") -> Event {
        var part = Event.RunPart()
        part.kind = .chain
        part.parent = parent
        part.question = question
        part.answer = answer
        part.startedAt = Sample.time(1)
        part.endedAt = answer == nil ? nil : Sample.time(2)
        return Event(id: id, thread: thread, at: Sample.time(answer == nil ? 1 : 2), body: .run(part))
    }

    /// The scores on the thread as they stand days later.
    private static func standing(_ store: any Store, _ project: Project) async throws -> [String] {
        let conversation = try await store.conversation("t-1", in: project, limit: 9, after: nil, now: Sample.time(3 * 86_400))
        return conversation?.thread.scores.map { $0.name + ($0.isStale ? " stale" : "") } ?? []
    }

    static let reconciliation: [Clause] = [
        Clause(sentence: "an id and its other names are one thing, whichever comes first") { store, project in
            let message = Sample.message(Sample.id(1), user: "u1")
            let run = Sample.runStart("run-1", parent: name(of: Sample.id(1)))
            let vote = Sample.feedback("fb-1", on: name(of: Sample.id(1)), .down)
            let reply = Sample.message(Sample.id(2), thread: name(of: "t-1"), role: .assistant, "Hi", at: 4, tags: ["b"])
            let events = [
                admitted(message, names: [Sample.id(1), "t-1"]), admitted(run, isNamed: true), admitted(vote, isNamed: true),
                admitted(reply, isNamed: true),
            ]
            try await inEveryOrder(events, store, project) { conversation, own in
                try require(
                    conversation.items.map(\.event.id) == [Sample.id(1), Sample.id(2)], "it is not one thread: \(conversation.items)")
                let runs = conversation.items[0].runs
                try require(
                    runs.count == 1 && runs[0].link == .bound && runs[0].run.parent == Sample.id(1), "the run is not bound: \(runs)")
                try require(conversation.items[0].feedback.down == 1, "the vote is lost")
                try require(
                    conversation.thread.id == "t-1" && conversation.thread.messageCount == 2, "the thread is \(conversation.thread)")
                try require(
                    conversation.thread.tags == ["b"] && conversation.thread.down == 1, "its tags and votes are \(conversation.thread)")
                try require(try await store.pendingLinks(in: own.number) == 0, "a link waits")
                let other = try await store.threads(in: own, matching: ThreadFilter(), limit: 9, after: nil, now: Sample.time(20)).items
                try require(other.map(\.id) == ["t-1"], "there are the threads \(other.map(\.id))")
            }
        },
        Clause(sentence: "a score by another name of its conversation stands on it, whichever comes first") { store, project in
            let score = Event(
                id: "sc-1", at: Sample.time(2), body: .score(.init(target: name(of: "t-1"), name: "quality", value: 1)))
            let events = [
                admitted(Sample.message(Sample.id(1))), admitted(score, isNamed: true),
                admitted(Sample.message(Sample.id(2), at: 4), names: ["t-1"]),
            ]
            try await inEveryOrder(events, store, project) { conversation, own in
                try require(conversation.thread.scores.map(\.name) == ["quality"], "the scores are \(conversation.thread.scores)")
                var filter = ThreadFilter()
                filter.score = .named("quality")
                let found = try await store.threads(in: own, matching: filter, limit: 9, after: nil, now: Sample.time(20)).items
                try require(found.map(\.id) == ["t-1"], "the list finds \(found.map(\.id))")
            }
        },
        Clause(sentence: "what was stored before a key was noted gets its names later") { store, project in
            let key = KeyRecord(
                id: "key_names-\(project.number)", lane: .secret, scope: .project, project: project.number,
                digest: Array("\(project.id)".utf8), shown: "sk_…", createdAt: Sample.noon)
            try await store.insert(key)
            _ = try await append(store, project, [Sample.message(Sample.id(1))])
            _ = try await append(store, project, [admitted(Sample.runStart("run-1", parent: name(of: Sample.id(1))), isNamed: true)])
            _ = try await append(store, project, [admitted(Sample.runStart("run-2", parent: name(of: "run-1")), isNamed: true)])
            try require(try await store.pendingLinks(in: project.number) == 2, "they are bound before they can be")
            try await store.keep(sealed: [1, 2, 3], ofKey: key.id)
            let kept = try await store.keys().first { $0.id == key.id }
            try require(kept?.sealed == [1, 2, 3] && kept?.owesNames == true, "the key is not noted")
            _ = try await store.giveNames(ofKey: key.id) { [name(of: $0)] }
            try require(try await store.pendingLinks(in: project.number) == 0, "a run still waits")
            for run in ["run-1", "run-2"] {
                try require(try await store.run(run, in: project.number)?.message == Sample.id(1), "the message of \(run) is not found")
            }
        },
        Clause(sentence: "a question and its answer may share an id where their dialect does so") { store, project in
            let events = [
                admitted(Sample.message(Sample.id(1), "Why?"), pairs: true),
                admitted(Sample.message(Sample.id(1), role: .assistant, "Because", at: 3), pairs: true),
                admitted(Sample.runStart("run-1", parent: Sample.id(1))),
                admitted(Sample.runStart("run-2", parent: Sample.id(1) + ":assistant")),
            ]
            try await inEveryOrder(events, store, project) { conversation, own in
                try require(conversation.items.map(\.event.id) == [Sample.id(1), Sample.id(1) + ":assistant"], "\(conversation.items)")
                try require(conversation.items[0].runs.map(\.run.id) == ["run-1"], "the run is not under the question")
                try require(conversation.items[1].runs.map(\.run.id) == ["run-2"], "the other run is not under the answer")
                try require(try await store.pendingLinks(in: own.number) == 0, "a link waits")
                let again = try await append(store, own, events)
                try require(again == [.duplicate, .duplicate, .duplicate, .duplicate], "sent again they are \(again)")
            }
        },
        Clause(sentence: "a run hangs under the message of its trace until its parent is there") { store, project in
            var part = Event.RunPart()
            part.kind = .llm
            part.parent = "span-0"
            part.trace = Sample.id(1).replacing("-", with: "")
            part.startedAt = Sample.time(1)
            let span = Event(id: "span-1", at: Sample.time(1), body: .run(part))
            try await inEveryOrder([admitted(Sample.message(Sample.id(1))), admitted(span)], store, project) { conversation, own in
                let runs = conversation.items[0].runs
                try require(runs.map(\.run.id) == ["span-1"] && runs[0].via == .trace, "the run is \(runs)")
                try require(try await store.run("span-1", in: own.number)?.message == Sample.id(1), "its message is not found")
                try require(try await store.pendingLinks(in: own.number) == 0, "it is counted as waiting")
                part.parent = nil
                _ = try await append(store, own, [Event(id: "span-0", at: Sample.time(0), body: .run(part))])
                let grown = try await read(store, own)?.items[0].runs ?? []
                try require(
                    grown.map(\.run.id) == ["span-0"] && grown[0].children.map(\.run.id) == ["span-1"], "its parent is there now: \(grown)")
            }
        },
        Clause(sentence: "the id of a span says its trace, in every order") { store, project in
            let trace = Sample.id(1).replacing("-", with: "")
            let root = "\(trace)-00000000000000aa"
            func span(_ number: Int, parent: String?, isNaming: Bool) -> AdmittedEvent {
                var part = Event.RunPart()
                part.kind = .llm
                part.parent = parent
                if isNaming { part.trace = trace }
                part.startedAt = Sample.time(Double(number))
                return admitted(Event(id: "\(trace)-000000000000000\(number)", at: Sample.time(Double(number)), body: .run(part)))
            }
            let spans = [
                span(1, parent: root, isNaming: false), span(2, parent: root, isNaming: true), span(3, parent: nil, isNaming: false),
            ]
            try await inEveryOrder(spans + [admitted(Sample.message(Sample.id(1)))], store, project) { conversation, own in
                let runs = conversation.items[0].runs
                try require(runs.map(\.run.id) == spans.map(\.event.id) && runs.allSatisfy { $0.via == .trace }, "the runs are \(runs)")
                try require(try await store.pendingLinks(in: own.number) == 0, "one is counted as waiting")
                var part = Event.RunPart()
                part.kind = .agent
                _ = try await append(store, own, [Event(id: root, at: Sample.time(0), body: .run(part))])
                let grown = try await read(store, own)?.items[0].runs ?? []
                try require(
                    grown.map(\.run.id) == [root, spans[2].event.id] && grown[0].children.map(\.run.id) == spans.prefix(2).map(\.event.id),
                    "their parent is there now: \(grown)")
            }
        },
        Clause(sentence: "siblings are bound on either side of their parent, in every order") { store, project in
            let events = [
                admitted(Sample.message(Sample.id(1))), admitted(Sample.runStart("run-1", parent: "run-0", at: 1)),
                admitted(Sample.runStart("run-0", parent: Sample.id(1), at: 0)), admitted(Sample.runStart("run-2", parent: "run-0", at: 2)),
            ]
            try await inEveryOrder(events, store, project) { conversation, own in
                let runs = conversation.items[0].runs
                try require(
                    runs.map(\.run.id) == ["run-0"] && runs[0].children.map(\.run.id) == ["run-1", "run-2"], "the runs are \(runs)")
                try require(try await store.pendingLinks(in: own.number) == 0, "one waits")
            }
        },
        Clause(sentence: "only an id TRACE-SPAN says a trace") { store, project in
            let trace = Sample.id(1).replacing("-", with: "")
            let others = [trace, "\(trace)-1", "\(trace)-00000000000000AA", "\(trace)_00000000000000aa", "\(trace)-00000000000000aa0"]
            let runs = others.map { id in
                var part = Event.RunPart()
                part.kind = .llm
                return Event(id: id, at: Sample.time(1), body: .run(part))
            }
            for events in [runs + [Sample.message(Sample.id(1))], [Sample.message(Sample.id(1))] + runs] {
                let own = try await store.createProject(named: "no-trace-\(project.number)-\(events[0].id)", settings: project.settings)
                _ = try await append(store, own, events)
                let found = try await read(store, own)?.items[0].runs ?? []
                try require(found.isEmpty, "found are \(found.map(\.run.id))")
            }
        },
        Clause(sentence: "a span with another name keeps the trace that it names") { store, project in
            try await inEveryOrder(renamedSpan(isNamingTrace: true), store, project) { conversation, _ in
                let runs = conversation.items[0].runs.map(\.run.id)
                try require(runs == ["run-1"], "under the message are \(runs)")
            }
        },
        Clause(sentence: "a span with another name has no trace that only its id said") { store, project in
            try await inEveryOrder(renamedSpan(isNamingTrace: false), store, project) { conversation, _ in
                let runs = conversation.items[0].runs.map(\.run.id)
                try require(runs == [], "under the message are \(runs)")
            }
        },
        Clause(sentence: "a message may say which trace it went with") { store, project in
            let trace = "0af7651916cd43dd8448eb211c80319c"
            var message = Sample.message(Sample.id(1))
            message.body = .message(.init(role: .user, content: .text("Hello"), trace: trace))
            var part = Event.RunPart()
            part.kind = .llm
            part.trace = "1bf7651916cd43dd8448eb211c80319c"
            part.linkedTraces = [trace]
            let span = Event(id: "span-1", at: Sample.time(1), body: .run(part))
            try await inEveryOrder([admitted(message), admitted(span)], store, project) { conversation, _ in
                try require(conversation.items[0].runs.map(\.run.id) == ["span-1"], "\(conversation)")
            }
        },
        Clause(sentence: "a turn takes the place of no message, and a message takes that of a turn's, in every order") { store, project in
            let events = [
                admitted(turn("turn-1", question: "Hello", answer: nil)),
                admitted(turn("turn-1", question: nil, answer: "Hi  there", thread: nil)),
                admitted(Sample.message(Sample.id(1), "Hello", at: 0)),
                admitted(Sample.message(Sample.id(2), role: .assistant, "Hi there", at: 3)),
            ]
            try await inEveryOrder(events, store, project) { conversation, _ in
                try require(conversation.items.map(\.event.id) == [Sample.id(1), Sample.id(2)], "\(conversation.items)")
                let runs = conversation.items[0].runs
                try require(runs.map(\.run.id) == ["turn-1"] && runs[0].via == .inferred, "the turn is not under its question: \(runs)")
                try require(conversation.thread.messageCount == 2 && conversation.looseRuns.isEmpty, "\(conversation.thread)")
            }
        },
        Clause(sentence: "a turn alone makes its messages") { store, project in
            _ = try await append(store, project, [turn("turn-1", question: "Hello", answer: "Hi")])
            let conversation = try await read(store, project)
            try require(conversation?.items.map(\.event.id) == ["turn-1", "turn-1:answer"], "\(String(describing: conversation))")
            try require(conversation?.items.allSatisfy { $0.derivedFrom == "turn-1" } == true, "they do not say where they are from")
            try require(conversation?.items[0].runs.map(\.run.id) == ["turn-1"], "the turn is not under its question")
            let list = try await store.threads(in: project, matching: ThreadFilter(), limit: 9, after: nil, now: Sample.time(20)).items
            try require(list.map(\.messageCount) == [2] && list[0].last?.text == "Hi", "the list says \(list)")
            try require(try await store.message("turn-1:answer", in: project.number)?.derivedFrom == "turn-1", "the answer is not found")
            // A page is a stretch of the same.
            let first = try await store.conversation("t-1", in: project, limit: 1, after: nil, now: Sample.time(20))
            let second = try await store.conversation("t-1", in: project, limit: 1, after: first?.next, now: Sample.time(20))
            try require(
                second?.items.map(\.event.id) == ["turn-1:answer"] && second?.next == nil,
                "the second page is \(String(describing: second))")
        },
        Clause(sentence: "a turn that names a message hangs under it, and its answer is shown once") { store, project in
            let events = [
                admitted(turn("turn-1", question: "other words", answer: "Hi", parent: Sample.id(1))),
                admitted(Sample.message(Sample.id(1), "Hello", at: 0)),
            ]
            try await inEveryOrder(events, store, project) { conversation, _ in
                try require(conversation.items.map(\.event.id) == [Sample.id(1), "turn-1:answer"], "\(conversation.items)")
            }
        },
        Clause(sentence: "a turn with a message's own id is that message's") { store, project in
            let events = [
                admitted(turn(Sample.id(1), question: "Hello", answer: "Hi")), admitted(Sample.message(Sample.id(1), "Hello!", at: 0)),
            ]
            try await inEveryOrder(events, store, project) { conversation, _ in
                try require(conversation.items.map(\.event.id) == [Sample.id(1), Sample.id(1) + ":answer"], "\(conversation.items)")
                try require(conversation.items[0].derivedFrom == nil && conversation.items[0].runs.count == 1, "\(conversation.items[0])")
            }
        },
        Clause(sentence: "remarks are added, changed and taken back in any order") { store, project in
            func comment(_ id: String, changes: String? = nil, _ text: String?, at: Double) -> AdmittedEvent {
                admitted(
                    Event(
                        id: id, at: Sample.time(at),
                        body: .comment(.init(target: Sample.id(1), changes: changes, text: text, author: "ann"))))
            }
            let events = [
                admitted(Sample.message(Sample.id(1))), comment("c-1", "first", at: 3), comment("c-2", changes: "c-1", "second", at: 4),
                comment("c-3", changes: "c-1", "third", at: 5),
            ]
            try await inEveryOrder(events, store, project) { conversation, own in
                let comments = conversation.items[0].comments
                try require(comments.map(\.id) == ["c-1"] && comments[0].text == "third" && comments[0].at == Sample.time(3), "\(comments)")
                _ = try await append(store, own, [comment("c-4", changes: "c-1", nil, at: 6)])
                try require(try await read(store, own)?.items[0].comments == [], "it is still there")
            }
        },
        Clause(sentence: "a tag that is taken off is off until it is set again") { store, project in
            func patch(_ id: String, tags: [String] = [], untag: [String] = [], at: Double) -> AdmittedEvent {
                admitted(Event(id: id, thread: "t-1", at: Sample.time(at), body: .thread(.init(tags: tags, untag: untag))))
            }
            let events = [
                patch("p-1", tags: ["a", "b"], at: 1), patch("p-2", untag: ["a", "b"], at: 2), patch("p-3", tags: ["b"], at: 3),
                admitted(Sample.message(Sample.id(1))),
            ]
            try await inEveryOrder(events, store, project) { conversation, own in
                try require(conversation.thread.tags == ["b"], "its tags are \(conversation.thread.tags)")
                var filter = ThreadFilter()
                filter.tag = "a"
                let found = try await store.threads(in: own, matching: filter, limit: 9, after: nil, now: Sample.time(20)).items
                try require(found.isEmpty, "it is found by a tag that is off")
            }
        },
        Clause(sentence: "scores follow their project's policy") { store, project in
            func score(_ id: String, _ judge: Event.Score.Judge, at: Double) -> Event {
                Event(
                    id: id, at: Sample.time(at),
                    body: .score(.init(target: "t-1", name: judge.rawValue, value: 1, author: judge.rawValue, judge: judge)))
            }
            let day = 86_400.0
            for policy in Project.Scoring.allCases {
                var own = try await store.createProject(named: "policy-\(policy)-\(project.number)", settings: .init())
                own.settings.scoring = policy
                func say(_ events: [Event], at seconds: Double) async throws -> [Verdict.Name] {
                    var delivery = Sample.delivery(events, project: own.number, receivedAt: Sample.time(seconds))
                    delivery.scoring = ScoringRule(rule: policy, inactiveAfterSeconds: own.settings.inactiveAfterSeconds)
                    return try await store.append([delivery])[0].map(\.name)
                }
                _ = try await say([Sample.message(Sample.id(1))], at: 0)
                let early = try await say([score("s-1", .person, at: 5), score("s-2", .program, at: 5)], at: 5)
                let allowed: [Project.Scoring: [Verdict.Name]] = [
                    .review: [.dropped, .stored], .open: [.stored, .stored], .strict: [.dropped, .dropped],
                ]
                try require(early == allowed[policy]!, "\(policy), active: \(early)")
                let late = try await say([score("s-3", .person, at: day), score("s-4", .program, at: day)], at: day)
                try require(late == [.stored, .stored], "\(policy), inactive: \(late)")
                let scored = try await standing(store, own)
                try require(scored == ["person", "program"], "\(policy), scored: \(scored)")
                _ = try await say([Sample.message(Sample.id(2), at: 2 * day)], at: 2 * day)
                let stay: [Project.Scoring: [String]] = [.review: ["program stale"], .open: ["person", "program"], .strict: []]
                let left = try await standing(store, own)
                try require(left == stay[policy]!, "\(policy), gone on: \(left)")
            }
        },
        Clause(sentence: "a score that is taken back is gone, also for an earlier one that comes later") { store, project in
            func score(_ id: String, _ value: Double?, at: Double) -> AdmittedEvent {
                admitted(Event(id: id, at: Sample.time(at), body: .score(.init(target: Sample.id(1), name: "tone", value: value))))
            }
            let events = [admitted(Sample.message(Sample.id(1))), score("s-1", 1, at: 3), score("s-2", nil, at: 4)]
            try await inEveryOrder(events, store, project) { conversation, _ in
                try require(conversation.items[0].scores.isEmpty, "\(conversation.items[0].scores)")
            }
        },
        Clause(sentence: "a project that is taken away leaves nothing, and its neighbour everything") { store, project in
            let own = try await store.createProject(named: "gone-\(project.number)", settings: .init())
            let key = KeyRecord(
                id: "key_gone-\(own.number)", lane: .secret, scope: .project, project: own.number, digest: Array(own.id.utf8),
                shown: "sk_…",
                createdAt: Sample.noon)
            try await store.insert(key)
            let events = [
                Sample.message(Sample.id(1), user: "u1", tags: ["a"]), Sample.runStart("run-1", parent: Sample.id(1)),
                Sample.feedback("fb-1", on: Sample.id(1), .up),
            ]
            for project in [own, project] { _ = try await append(store, project, events) }
            try await store.deleteProject(own.number)
            try require(!(try await store.projects()).contains { $0.number == own.number }, "it is still listed")
            try require(!(try await store.keys()).contains { $0.id == key.id }, "its key is still there")
            try require(try await read(store, own) == nil, "its thread is still there")
            try require(try await store.run("run-1", in: own.number) == nil, "its run is still there")
            try require(try await store.events(after: 0, in: own.number, limit: 9).isEmpty, "its events are still there")
            try require(try await store.outcomes(in: own.number, from: nil, to: nil).isEmpty, "its ledger is still there")
            try require(try await read(store, project)?.items.first?.feedback.up == 1, "the neighbour lost something")
        },
        Clause(sentence: "what was erased stays away under its other names too") { store, project in
            let events = [
                admitted(Sample.message(Sample.id(1), user: "u1"), names: [Sample.id(1), "t-1"]),
                admitted(Sample.feedback("fb-1", on: name(of: Sample.id(1)), .down), isNamed: true),
            ]
            for event in events { _ = try await append(store, project, [event]) }
            let erasure = try await store.erase(user: "u1", in: project.number)
            try require(erasure.threads == 1 && erasure.events == 2, "\(erasure)")
            let again =
                events + [
                    admitted(Sample.message(name(of: Sample.id(1)), user: "u1"), isNamed: true),
                    admitted(Sample.message(Sample.id(2), thread: name(of: "t-1")), isNamed: true),
                    admitted(Sample.runStart("run-1", parent: name(of: Sample.id(1))), isNamed: true),
                ]
            for event in again {
                let verdicts = try await append(store, project, [event])
                try require(verdicts[0].refusal?.reason == .erased, "\(event.event.id) is \(verdicts)")
            }
        },
        Clause(sentence: "a vote on what a turn said is the thread's, whichever comes first") { store, project in
            let events = [
                admitted(turn("turn-1", question: "Hi", answer: "Hello")),
                admitted(Sample.feedback("fb-1", on: TurnFold.answerID(of: "turn-1"), .down)),
            ]
            try await inEveryOrder(events, store, project) { conversation, _ in
                try require(conversation.thread.down == 1, "it is not counted")
            }
        },
        Clause(sentence: "runs are listed by id, and by what their senders said besides") { store, project in
            for number in 0..<6 {
                var part = Event.RunPart()
                part.kind = .chain
                part.parent = number % 2 == 1 ? Sample.id(number - 1) : nil
                part.extra = number % 2 == 0 ? "{\"kind\":\"trace\"}" : "{\"kind\":\"span\"}"
                _ = try await append(store, project, [Event(id: Sample.id(number), thread: "t-1", at: Sample.time(1), body: .run(part))])
            }
            func list(_ filter: RunFilter, _ limit: Int = 9) async throws -> [String] {
                try await store.runs(in: project.number, matching: filter, limit: limit).map(\.run.id)
            }
            let traces = [4, 2, 0].map(Sample.id)
            try require(try await list(RunFilter(extra: ("kind", "trace"))) == traces, "by kind")
            try require(try await list(RunFilter(extra: ("kind", "trace")), 2) == Array(traces.prefix(2)), "a page")
            try require(try await list(RunFilter(before: Sample.id(2), extra: ("kind", "trace"))) == [Sample.id(0)], "the next page")
            try require(try await list(RunFilter(under: Sample.id(4))) == [Sample.id(5)], "under one")
            try require(try await list(RunFilter(thread: "t-1")).count == 6, "by thread")
            try require(try await list(RunFilter(thread: "t-2")).isEmpty, "by another thread")
            try require(try await store.projectOfRun(Sample.id(3)) == [project.number], "its project")
        },
    ]
}
