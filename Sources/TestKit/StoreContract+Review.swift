import Conversations
import Events

/// What people who review need of a store: themselves, their marks, what they narrow lists by, and taking things away.
extension StoreContract {
    private static func ids(
        _ store: any Store, _ project: Project, now: Timestamp = Sample.time(20), _ narrow: (inout ThreadFilter) -> Void
    ) async throws -> [String] {
        var filter = ThreadFilter()
        narrow(&filter)
        var ids: [String] = []
        var cursor: String?
        repeat {
            let page = try await store.threads(in: project, matching: filter, limit: 2, after: cursor, now: now)
            ids += page.items.map(\.id)
            cursor = page.next
        } while cursor != nil
        return ids
    }

    private static func score(
        _ id: String, on target: String, _ name: String, _ value: Double? = nil, category: String? = nil, at seconds: Double = 5,
        judge: Event.Score.Judge = .program
    ) -> Event {
        Event(
            id: id, at: Sample.time(seconds),
            body: .score(.init(target: target, name: name, value: value, category: category, author: "ann", judge: judge)))
    }

    private static func remark(_ id: String, on target: String, _ text: String, at seconds: Double = 5) -> Event {
        Event(id: id, at: Sample.time(seconds), body: .comment(.init(target: target, text: text, author: "Ann")))
    }

    /// A conversation with a run, a vote, a score, remarks and a tag.
    private static func rich(_ number: Int, thread: String, user: String) -> [Event] {
        let (question, answer, run) = (Sample.id(number), Sample.id(number + 1), "run-\(number)")
        var reply = Sample.message(answer, thread: thread, role: .assistant, "secret answer", at: 2)
        if case .message(var message) = reply.body {
            message.replyTo = question
            reply.body = .message(message)
        }
        return [
            Sample.message(question, thread: thread, "secret question", at: 1, user: user, tags: ["tag"]), reply,
            Sample.runStart(run, parent: question), Sample.runEnd(run, output: "\"secret answer\""),
            Sample.runStart(run + "-step", parent: run), Sample.feedback("fb-\(number)", on: answer, .down, user: "somebody"),
            score("score-\(number)", on: thread, "quality", 1), remark("remark-\(number)", on: answer, "secret remark"),
            remark("reply-\(number)", on: "remark-\(number)", "secret reply"),
        ]
    }

    static let review: [Clause] = [
        Clause(sentence: "members have names of their own, links that work once, and sessions that end") { store, _ in
            let ann = Member(id: "mem_1", name: "Ann", role: .admin, createdAt: Sample.noon)
            var bob = Member(id: "mem_2", name: "Bob", role: .reader, projects: ["prj_1"], createdAt: Sample.time(1))
            try await store.insert(ann)
            try await store.insert(bob)
            try require(try await store.members() == [ann, bob], "they are not there")
            bob.name = "aNN"
            do {
                try await store.update(bob)
                throw Broken(description: "two have one name")
            } catch is ControlFailure {}
            bob.name = "Bert"
            bob.role = .reviewer
            bob.password = "derived"
            try await store.update(bob)
            try require(try await store.members() == [ann, bob], "he did not change")
            try await store.insertSignIn([1], of: bob.id, expiresAt: Sample.time(60))
            try require(try await store.useSignIn([1], at: Sample.time(10))?.name == "Bert", "the link does not work")
            try require(try await store.useSignIn([1], at: Sample.time(11)) == nil, "it works twice")
            try await store.insertSignIn([2], of: bob.id, expiresAt: Sample.time(60))
            try require(try await store.useSignIn([2], at: Sample.time(60)) == nil, "it works too late")
            for digest: UInt8 in 3...5 {
                try await store.insertSession([digest], of: bob.id, expiresAt: Sample.time(8_000_000_000))
            }
            let seen = try await store.member(ofSession: [3], at: Sample.time(20))
            try require(seen?.id == bob.id && seen?.lastSeenAt == Sample.time(20), "the session is not his")
            try require(try await store.member(ofSession: [3], at: Sample.time(50))?.lastSeenAt == Sample.time(20), "seen noted too often")
            try await store.endSessions(of: bob.id, except: [3])
            try require(try await store.member(ofSession: [4], at: Sample.time(20)) == nil, "another session goes on")
            try require(try await store.member(ofSession: [3], at: Sample.time(20)) != nil, "his own ended too")
            try await store.removeSession([3])
            try require(try await store.member(ofSession: [3], at: Sample.time(20)) == nil, "it goes on")
            try await store.insertSession([6], of: bob.id, expiresAt: Sample.time(8_000_000_000))
            try require(try await store.removeMember(bob.id), "he was not there")
            try require(try await store.removeMember(bob.id) == false, "he was there twice")
            try require(try await store.member(ofSession: [6], at: Sample.time(20)) == nil, "his session goes on")
            _ = try await store.removeMember(ann.id)
        },
        Clause(sentence: "a view is its owner's, or everybody's") { store, project in
            let own = SavedView(id: "v1", name: "b", query: "q=x", owner: "mem_1", isShared: false)
            let shared = SavedView(id: "v2", name: "a", query: "tag=y", owner: "mem_2", isShared: true)
            try await store.insert(own, in: project.number)
            try await store.insert(shared, in: project.number)
            try require(try await store.views(of: "mem_1", in: project.number) == [shared, own], "they are not both listed")
            try require(try await store.views(of: "mem_3", in: project.number) == [shared], "an unshared one is seen")
            try require(try await store.removeView("v2", of: "mem_1", in: project.number) == false, "another's was taken away")
            try require(try await store.removeView("v2", of: nil, in: project.number), "it is not taken away")
        },
        Clause(sentence: "a mark holds until something new happens") { store, project in
            _ = try await append(store, project, [Sample.message(Sample.id(1)), Sample.message(Sample.id(2), thread: "t-2")])
            try require(
                try await store.markReviewed("t-1", by: "Ann", at: Sample.time(3), in: project.number), "there is no such thread")
            try require(try await store.markReviewed("t-9", by: "Ann", at: Sample.time(3), in: project.number) == false, "there is one")
            try await store.markSeen("t-1", by: "mem_1", at: Sample.time(3), in: project.number)
            try await store.markSeen("t-1", by: "mem_1", at: Sample.time(-5), in: project.number)
            func lists() async throws -> [[String]] {
                [
                    try await ids(store, project) { $0.isReviewed = true }, try await ids(store, project) { $0.isReviewed = false },
                    try await ids(store, project) { ($0.isSeen, $0.viewer) = (true, "mem_1") },
                    try await ids(store, project) { ($0.isSeen, $0.viewer) = (false, "mem_1") },
                    try await ids(store, project) { ($0.isSeen, $0.viewer) = (true, "mem_2") },
                ]
            }
            let before = try await lists()
            try require(before == [["t-1"], ["t-2"], ["t-1"], ["t-2"], []], "\(before)")
            let summary = try await read(store, project)?.thread
            try require(
                summary?.reviewed == .init(by: "Ann", at: Sample.time(3)) && summary?.isSeen == nil, "\(String(describing: summary))")
            _ = try await append(store, project, [Sample.message(Sample.id(3), at: 4)])
            try require(try await lists() == [[], ["t-1", "t-2"], [], ["t-1", "t-2"], []], "the mark outlived what it spoke of")
            _ = try await store.markReviewed("t-2", by: "Ann", at: Sample.time(3), in: project.number)
            _ = try await store.markReviewed("t-2", by: "Ann", at: nil, in: project.number)
            try require(try await ids(store, project) { $0.isReviewed = true } == [], "it is not taken back")
        },
        Clause(sentence: "threads are found by the scores that stand on them or their messages, whichever came first") { store, project in
            let events = [
                Sample.message(Sample.id(1), at: 0), Sample.message(Sample.id(2), thread: "t-2", at: 1),
                Sample.message(Sample.id(3), thread: "t-3", at: 2), score("s-1", on: "t-1", "quality", 0.2),
                score("s-2", on: Sample.id(2), "quality", 0.9), score("s-3", on: "t-3", "kind", category: "spam"),
            ]
            for (number, order) in [events, events.reversed()].enumerated() {
                let own = try await store.createProject(named: "scores-\(project.number)-\(number)", settings: project.settings)
                for event in order { _ = try await append(store, own, [event]) }
                let found = [
                    try await ids(store, own) { $0.score = .any },
                    try await ids(store, own) { $0.score = ThreadFilter.ScoreCondition.none },
                    try await ids(store, own) { $0.score = .named("quality") },
                    try await ids(store, own) { $0.score = .value("quality", .atLeast, 0.9) },
                    try await ids(store, own) { $0.score = .value("quality", .below, 0.9) },
                    try await ids(store, own) { $0.score = .category("kind", "spam") },
                    try await ids(store, own) { $0.score = .category("kind", "ham") },
                ]
                try require(
                    found == [["t-3", "t-2", "t-1"], [], ["t-2", "t-1"], ["t-2"], ["t-1"], ["t-3"], []], "order \(number): \(found)")
            }
            try require(try await store.scoreNames(in: project.number).isEmpty, "another project's names")
        },
        Clause(sentence: "a score that a conversation outlived is found no more, and told as taken off") { store, project in
            var delivery = Sample.delivery([Sample.message(Sample.id(1))], project: project.number)
            delivery.receivedAt = Sample.time(1)
            _ = try await store.append([delivery])
            _ = try await append(
                store, project, [score("s-1", on: "t-1", "quality", 1, judge: .person), score("s-2", on: "t-1", "auto", 1)])
            try require(try await ids(store, project) { $0.score = .named("quality") } == ["t-1"], "it does not stand")
            _ = try await append(store, project, [Sample.message(Sample.id(2), at: 7), Sample.message(Sample.id(3), at: 9)])
            try require(try await ids(store, project) { $0.score = .named("quality") } == [], "it still stands")
            try require(try await ids(store, project) { $0.score = .named("auto") } == ["t-1"], "a program's is gone too")
            let thread = try await read(store, project)?.thread
            try require(
                thread?.removedScores.map(\.score.name) == ["quality"] && thread?.removedScores.first?.removedAt == Sample.time(7),
                "\(String(describing: thread?.removedScores))")
            try require(
                thread?.closesAt == Sample.time(9 + project.settings.inactiveAfterSeconds), "\(String(describing: thread?.closesAt))")
        },
        Clause(sentence: "threads are found by where their messages came from") { store, project in
            _ = try await append(store, project, [Sample.message(Sample.id(1))])
            _ = try await append(store, project, [Sample.message(Sample.id(2), thread: "t-2", at: 1, user: "u")], lane: .public)
            _ = try await append(store, project, [Sample.message(Sample.id(3), thread: "t-3", at: 2)], lane: .public)
            for (kind, thread) in [(ThreadFilter.ProvenanceKind.verified, "t-1"), (.claimed, "t-2"), (.anonymous, "t-3")] {
                try require(try await ids(store, project) { $0.provenance = kind } == [thread], "\(kind)")
            }
        },
        Clause(sentence: "remarks on remarks are read with them, and each leads to its thread") { store, project in
            _ = try await append(store, project, rich(1, thread: "t-1", user: "u1"))
            let remarks = try await read(store, project)?.items[1].comments ?? []
            try require(remarks.map(\.text) == ["secret remark"] && remarks[0].replies.map(\.text) == ["secret reply"], "\(remarks)")
            for target in ["t-1", Sample.id(1), Sample.id(2), "run-1", "run-1-step", "remark-1", "reply-1"] {
                try require(try await store.threadOf(target: target, in: project.number) == "t-1", "\(target) leads elsewhere")
            }
            try require(try await store.threadOf(target: "nothing", in: project.number) == nil, "nothing leads somewhere")
            try require(try await store.authorOfComment("remark-1", in: project.number) == .some("Ann"), "it has another author")
            try require(try await store.authorOfComment("remark-9", in: project.number) == nil, "there is no such remark")
            try require(try await store.tags(in: project.number).map(\.tag) == ["tag"], "the tag is not listed")
            let changes = try await store.changes(after: 0, limit: 100).filter { $0.project == project.number }
            try require(changes.count == 9 && changes.allSatisfy { $0.thread == "t-1" }, "\(changes)")
        },
        Clause(sentence: "an answer is confirmed by the run under its question, in every order") { store, project in
            let events = [
                Sample.message(Sample.id(1), at: 0), Sample.message(Sample.id(2), role: .assistant, "An  answer\n", at: 3),
                Sample.runStart("run-1", parent: Sample.id(1)), Sample.runEnd("run-1", output: "{\"content\":\"An answer\"}"),
            ]
            for (number, order) in permutations(of: events).enumerated() {
                let own = try await store.createProject(named: "confirmed-\(project.number)-\(number)", settings: project.settings)
                for event in order { _ = try await append(store, own, [event]) }
                let items = try await read(store, own)?.items
                try require(items?.last?.confirmation == .confirmed, "order \(number): \(String(describing: items?.last?.confirmation))")
                try require(
                    try await store.message(Sample.id(2), in: own.number)?.confirmation == .confirmed, "the message by itself is not")
            }
            _ = try await append(
                store, project,
                events + [Sample.message(Sample.id(4), at: 5), Sample.message(Sample.id(5), role: .assistant, "Other", at: 6)])
            _ = try await append(store, project, [Sample.runEnd("run-2", output: "\"Another\"")])
            let items = try await read(store, project)?.items
            try require(items?.last?.confirmation == nil, "nothing can be said of the other")
            _ = try await append(store, project, [Sample.runStart("run-2", parent: Sample.id(4))])
            try require(
                try await read(store, project)?.items.last?.confirmation == .differs(run: "run-2", produced: "Another"),
                "it does not differ")
        },
        Clause(sentence: "users are listed by latest activity, with what they left") { store, project in
            for number in 0..<6 {
                _ = try await append(
                    store, project,
                    [Sample.message(Sample.id(number), thread: "t-\(number)", at: Double(number), user: "u\(number % 3)")])
            }
            _ = try await append(store, project, [Sample.feedback("fb", on: Sample.id(3), .up)])
            var users: [UserSummary] = []
            var cursor: String?
            repeat {
                let page = try await store.users(in: project.number, matching: nil, limit: 2, after: cursor)
                users += page.items
                cursor = page.next
            } while cursor != nil
            try require(users.map(\.id) == ["u2", "u1", "u0"], "\(users)")
            try require(
                users.last
                    == UserSummary(
                        id: "u0", props: nil, threads: 2, messages: 2, firstAt: Sample.time(0), lastAt: Sample.time(3), up: 1, down: 0),
                "\(users)")
            try require(
                try await store.users(in: project.number, matching: "U1", limit: 9, after: nil).items.map(\.id) == ["u1"], "not by a part")
            try require(try await store.user("u0", in: project.number) == users.last, "not by its ID")
            try require(try await store.user("u9", in: project.number) == nil, "there is no such user")
        },
        Clause(sentence: "users are found among many, by words of many and of few") { store, project in
            // Two threads each, the second in the order from the last to the first.
            let count = 2200
            for turn in 0..<2 {
                _ = try await append(
                    store, project,
                    (0..<count).map {
                        Sample.message(
                            Sample.id(turn * count + $0), thread: "t-\(turn)-\($0)", at: Double(turn == 0 ? $0 : 3 * count - $0),
                            user: "u\($0)")
                    })
            }
            for (words, wanted) in [
                (nil, Array(0..<count)), ("U", Array(0..<count)), ("u21", [21, 210, 211, 212] + (213...219) + (2100..<2200)),
            ] {
                var found: [String] = []
                var cursor: String?
                repeat {
                    let page = try await store.users(in: project.number, matching: words, limit: 700, after: cursor)
                    found += page.items.map(\.id)
                    cursor = page.next
                } while cursor != nil
                try require(found == wanted.map { "u\($0)" }, "\(words ?? "without a word"): \(found.count) of \(wanted.count)")
            }
            try require(
                try await store.users(in: project.number, matching: "u9999", limit: 9, after: nil).items.isEmpty, "there is no such user")
        },
        Clause(sentence: "what a user said is gone, and what is sent again in any order is dropped as erased") { store, project in
            let other = try await store.createProject(named: "other-\(project.number)", settings: .init())
            let theirs = rich(1, thread: "t-1", user: "u1") + [Sample.message(Sample.id(90), thread: "t-2", "a guest", at: 2, user: "u1")]
            let others = rich(11, thread: "t-2", user: "u2")
            for event in theirs + others { _ = try await append(store, project, [event]) }
            _ = try await append(store, other, theirs)
            let aside = SetAside(
                id: "0", type: "message", refusal: Refusal(.weakID), payload: "{\"id\":\"0\",\"user\":{\"id\":\"u1\"}}")
            _ = try await store.append([Sample.delivery([], project: project.number, setAside: [aside])])
            let erasure = try await store.erase(user: "u1", in: project.number)
            try require(
                erasure.threads == 1 && erasure.messages == 3 && erasure.runs == 2 && erasure.events == 10 && erasure.quarantined == 1,
                "\(erasure)")
            try require(try await read(store, project) == nil, "the thread is there")
            try require(try await read(store, project, "t-2")?.thread.messageCount == 2, "another's thread is not as it was")
            try require(try await read(store, project, "t-2")?.items.count == 2, "the guest's message is there")
            try require(try await store.run("run-1", in: project.number) == nil, "a run is there")
            try require(try await store.user("u1", in: project.number) == nil, "the user is there")
            try require(
                try await store.events(after: 0, in: project.number, limit: 100).map(\.event.id).sorted() == others.map(\.id).sorted(),
                "the log has more than the others'")
            try require(try await read(store, other)?.items.count == 2, "the other project lost something")
            for order in [theirs, theirs.reversed(), theirs.shuffled()] {
                for event in order {
                    let verdict = try await append(store, project, [event])[0]
                    try require(verdict.name == .dropped && verdict.refusal?.reason == .erased, "\(event.id) is \(verdict)")
                }
            }
            let again = try await append(
                store, project,
                [
                    Sample.message(Sample.id(50), thread: "t-1"), Sample.runStart("run-50", parent: Sample.id(2)),
                    Sample.feedback("fb-50", on: Sample.id(2), .up), remark("remark-50", on: "remark-1", "again"),
                ])
            try require(again.allSatisfy { $0.refusal?.reason == .erased }, "what names it is \(again)")
            let set = SetAside(
                id: Sample.id(1), type: "message", refusal: Refusal(.invalidField),
                payload: JSONText(trusted: Array("{\"id\":\"\(Sample.id(1))\"}".utf8)))
            let verdict = try await store.append([Sample.delivery([], project: project.number, setAside: [set])])[0]
            try require(verdict.map(\.name) == [.dropped], "it comes back into quarantine")
            try require(
                try await append(store, project, [Sample.message(Sample.id(60), thread: "t-60", user: "u1")]) == [.stored],
                "they can't come back with something new")
            try require(try await store.user("u1", in: project.number)?.messages == 1, "what is new is not theirs")
        },
        Clause(sentence: "threads without activity are taken away, and the others stay") { store, project in
            for number in 0..<4 {
                _ = try await append(store, project, [Sample.message(Sample.id(number), thread: "t-\(number)", at: Double(number))])
            }
            let first = try await store.eraseThreads(inactiveSince: Sample.time(3), in: project.number, limit: 2)
            try require(first.threads == 2 && first.messages == 2, "\(first)")
            try require(try await ids(store, project) { _ in } == ["t-3", "t-2"], "others are gone")
            let second = try await store.eraseThreads(inactiveSince: Sample.time(3), in: project.number, limit: 2)
            try require(second.threads == 1, "\(second)")
            try require(
                try await store.eraseThreads(inactiveSince: Sample.time(3), in: project.number, limit: 2) == Erasure(), "there is more")
            try require(try await append(store, project, [Sample.message(Sample.id(9), thread: "t-0")])[0].name == .dropped, "it is back")
        },
        Clause(sentence: "quarantine is listed by cause, and its causes are counted") { store, project in
            let asides = [("a", "id", "message"), ("b", "id", "message"), ("c", "at", "message"), ("d", "id", "run")].map {
                (id: String, field: String, type: String) in
                SetAside(
                    id: id, type: type, refusal: Refusal(.invalidField, field: field),
                    payload: JSONText(trusted: Array("{\"id\":\"\(id)\"}".utf8)))
            }
            _ = try await store.append([Sample.delivery([], project: project.number, setAside: asides)])
            let groups = try await store.quarantineGroups(in: project.number)
            try require(groups.map(\.count) == [2, 1, 1] && groups[0].sample.eventID == "b", "\(groups)")
            let cause = QuarantineCause(reason: .invalidField, field: "id", type: "message")
            try require(
                try await store.quarantine(in: project.number, of: cause, limit: 9, after: nil).items.map(\.eventID) == ["b", "a"],
                "not by cause")
        },
        Clause(sentence: "the audit log is a project's or the installation's, newest first") { store, project in
            for number in 0..<3 {
                try await store.note(
                    AuditEntry(at: Sample.time(Double(number)), by: "Ann", action: "a-\(number)", detail: "{\"n\":1}"), in: project.number)
            }
            let first = try await store.audit(in: project.number, limit: 2, after: nil)
            let second = try await store.audit(in: project.number, limit: 2, after: first.next)
            try require(
                (first.items + second.items).map(\.action) == ["a-2", "a-1", "a-0"] && second.next == nil, "\(first.items) \(second.items)")
            try require(first.items[0].detail == "{\"n\":1}" && first.items[0].by == "Ann", "\(first.items)")
            try require(try await store.audit(in: nil, limit: 9, after: nil).items.isEmpty, "the installation has the project's")
        },
        Clause(sentence: "a project keeps for how long its conversations stay, and knows when something came last") { store, project in
            var changed = project
            changed.settings.retentionDays = 30
            try await store.update(changed)
            try require(
                try await store.projects().first { $0.number == project.number }?.settings.retentionDays == 30, "it does not")
            try require(try await store.standing(of: project.number) == (nil, 0), "something came")
            _ = try await append(store, project, [Sample.message(Sample.id(1))])
            try require(try await store.standing(of: project.number) == (Sample.time(10), 1), "it does not know")
        },
    ]
}
