import Conversations
import Events
import TestKit
import Testing
@testable import PostgresStore

/// What follows the commits: facts that lists are narrowed by, figures, the audit log of scores, and the list of threads with turns.
@Suite("PostgreSQL store, facts and figures")
struct FactsTests {
    private func withStore(_ body: (PostgresStore) async throws -> Void) async throws {
        try await PostgresStoreTests.withStore({ $0.partitions = 2 }, body)
    }

    private func failing(_ id: String, parent: String?, thread: String? = nil, at seconds: Double = 2) -> Event {
        var part = Event.RunPart()
        part.kind = .llm
        part.parent = parent
        part.success = false
        part.startedAt = Sample.time(1)
        part.endedAt = Sample.time(seconds)
        return Event(id: id, thread: thread, at: Sample.time(seconds), body: .run(part))
    }

    private func ids(_ store: PostgresStore, _ project: Project, _ narrow: (inout ThreadFilter) -> Void) async throws -> [String] {
        var filter = ThreadFilter()
        narrow(&filter)
        return try await store.threads(in: project, matching: filter, limit: 50, after: nil, now: Sample.time(20)).items.map(\.id)
    }

    @Test("are the same in every order of arrival, whenever they are kept up")
    func orders() async throws {
        try await withStore { store in
            let events = [
                Sample.message(Sample.id(1), at: 0), Sample.message(Sample.id(2), role: .assistant, "Something else", at: 3),
                Sample.runStart("run-1", parent: Sample.id(1)), Sample.runEnd("run-1"), failing("run-2", parent: "run-1"),
            ]
            for (number, order) in StoreContract.permutations(of: events).enumerated() {
                let project = try await store.createProject(named: "order-\(number)", settings: .init())
                for event in order {
                    _ = try await store.append([Sample.delivery([event], project: project.number)])
                    if number % 2 == 0 { try await store.catchUpForTests() }
                }
                try await store.catchUpForTests()
                let summary = try await store.threads(in: project, matching: .init(), limit: 1, after: nil, now: Sample.time(20)).items[0]
                #expect(summary.errors == 1 && summary.findings == 1, "order \(number): \(summary)")
                #expect(try await ids(store, project) { $0.hasError = true } == ["t-1"])
                #expect(try await ids(store, project) { $0.hasError = false } == [])
                #expect(try await ids(store, project) { $0.provenance = .differs } == ["t-1"], "order \(number)")
                #expect(try await ids(store, project) { $0.provenance = .confirmed } == [])
                #expect(try await ids(store, project) { $0.runs = .pending } == [], "order \(number)")
                #expect(try await ids(store, project) { $0.runs = .orphan } == [], "order \(number)")
                let total = try await store.overview(
                    in: project.number, from: Sample.time(-3600), to: Sample.time(3600), offsetMinutes: 0
                ).total
                #expect(
                    total.messages == 2 && total.runs == 1 && total.errors == 1 && total.conversations == 1, "order \(number): \(total)")
                #expect(total.latencyP50.map { abs($0 - 1000) <= 50 } == true, "order \(number): \(total)")
            }
        }
    }

    @Test("say what the conversations say, and the same kept along as found out anew")
    func random() async throws {
        try await withStore { store in
            for seed in 0..<40 {
                var generator = Dice(state: UInt64(seed))
                let project = try await store.createProject(named: "random-\(seed)", settings: .init())
                for event in Self.events(&generator).shuffled(using: &generator) {
                    _ = try await store.append([Sample.delivery([event], project: project.number)])
                    if Int.random(in: 0..<3, using: &generator) == 0 { try await store.catchUpForTests() }
                }
                try await store.catchUpForTests()
                func facts() async throws -> Set<String> {
                    try await store.pool.read { db in
                        let facts = try db.fetchAll(
                            """
                            SELECT f.kind, t.id, f.subject FROM fact f JOIN thread t ON t.project = f.project AND t.number = f.thread
                            WHERE f.project = $1
                            """, [project.number.number])
                        let figures = try db.fetchAll(
                            "SELECT name, sum(value) FROM figure WHERE project = $1 AND name > 0 GROUP BY 1 HAVING sum(value) <> 0",
                            [project.number.number])
                        return Set(facts.map { "\($0[0] as Int) \($0[1] as String) \($0[2] as String)" })
                            .union(figures.map { "figure \($0[0] as Int) \($0[1] as Int)" })
                    }
                }
                let kept = try await facts()
                var read: Set<String> = []
                for thread in ["t-1", "t-2"] {
                    guard
                        let conversation = try await store.conversation(
                            thread, in: project, limit: 500, after: nil, now: Sample.time(999))
                    else { continue }
                    for item in conversation.items {
                        switch item.confirmation {
                        case .confirmed?: read.insert("4 \(thread) \(item.event.id)")
                        case .differs?: read.insert("5 \(thread) \(item.event.id)")
                        case nil: break
                        }
                    }
                }
                #expect(kept.filter { "45".contains($0.first!) } == read, "seed \(seed)")
                try await store.pool.write { db in
                    for table in ["fact", "figure", "counted", "reply"] {
                        try db.execute("DELETE FROM \(table) WHERE project = $1", [project.number.number])
                    }
                    try db.execute("UPDATE thread SET view = NULL")
                    try db.execute(
                        "UPDATE follower SET followed = (SELECT min(sequence) - 1 FROM event WHERE project = $1)", [project.number.number])
                }
                try await store.catchUpForTests()
                #expect(try await facts() == kept, "seed \(seed)")
            }
        }
    }

    private struct Dice: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            // SplitMix64 (Steele, Lea and Flood, 2014).
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    /// Some messages and runs of two threads, some of them turns, some by trace, some that name nothing that is there.
    private static func events(_ dice: inout Dice) -> [Event] {
        let words = ["one", "two"]
        func pick<Item>(_ items: [Item]) -> Item { items.randomElement(using: &dice)! }
        let mayTurn = Bool.random(using: &dice)
        var events: [Event] = (0..<6).map { number in
            var event = Sample.message(
                Sample.id(number), thread: pick(["t-1", "t-1", "t-2"]), role: pick([.user, .assistant, .system]), pick(words),
                at: Double(number))
            if case .message(var message) = event.body, message.role == .assistant, pick([true, false, false]) {
                message.replyTo = Sample.id(Int.random(in: 0..<6, using: &dice))
                event.body = .message(message)
            }
            return event
        }
        for number in 0..<6 {
            let id = pick([true, false, false, false]) ? Sample.id(number) : "run-\(number)"
            var start = Event.RunPart()
            start.kind = pick([.llm, .agent, .tool])
            start.parent = pick([nil, Sample.id(Int.random(in: 0..<6, using: &dice)), "run-\(Int.random(in: 0..<6, using: &dice))"])
            start.startedAt = Sample.time(Double(number))
            if pick([true, false, false]) { start.trace = TraceID(ofMessage: Sample.id(Int.random(in: 0..<6, using: &dice)))?.text }
            if mayTurn, pick([true, false]) { (start.question, start.answer) = (pick(words), pick(words)) }
            let thread: String? = pick([nil, "t-1", "t-2"])
            events.append(Event(id: id, thread: thread, at: Sample.time(Double(number)), body: .run(start)))
            var end = Event.RunPart()
            end.output = pick(["\"one\"", "\"two\"", "null"])
            end.success = pick([true, false])
            end.endedAt = Sample.time(Double(number) + 2)
            events.append(Event(id: id, at: Sample.time(Double(number) + 2), body: .run(end)))
        }
        return events
    }

    @Test("know runs that wait for their parent, and runs under no message")
    func loose() async throws {
        try await withStore { store in
            let project = try await store.createProject(named: "test", settings: .init())
            let events = [
                Sample.message(Sample.id(1)), Sample.runStart("waiting", parent: "nowhere", thread: "t-1"),
                Sample.runStart("alone", parent: nil, thread: "t-1"), Sample.runStart("step", parent: "alone", thread: "t-1"),
            ]
            _ = try await store.append([Sample.delivery(events, project: project.number)])
            try await store.catchUpForTests()
            #expect(try await ids(store, project) { $0.runs = .pending } == ["t-1"])
            #expect(try await ids(store, project) { $0.runs = .orphan } == ["t-1"])
            let loose = try await store.conversation("t-1", in: project, limit: 9, after: nil, now: Sample.time(9))?.looseRuns
            let facts = try await store.pool.read { db in
                Set(
                    try String.fetchAll(
                        db, sql: "SELECT subject FROM fact WHERE project = $1 AND kind = 3", arguments: [project.number.number]))
            }
            #expect(Set(loose?.map(\.run.id) ?? []) == facts)
            _ = try await store.append([Sample.delivery([Sample.message("nowhere", at: 3)], project: project.number)])
            try await store.catchUpForTests()
            #expect(try await ids(store, project) { $0.runs = .pending } == [])
        }
    }

    @Test("a score that a policy takes off is in the audit log once")
    func audit() async throws {
        try await withStore { store in
            let project = try await store.createProject(named: "test", settings: .init())
            func judge(_ id: String, _ judge: Event.Score.Judge) -> Event {
                Event(id: id, at: Sample.time(1), body: .score(.init(target: "t-1", name: id, value: 1, author: "Ann", judge: judge)))
            }
            let events = [Sample.message(Sample.id(1)), judge("by-person", .person), judge("by-program", .program)]
            _ = try await store.append([Sample.delivery(events, project: project.number)])
            try await store.catchUpForTests()
            #expect(try await store.audit(in: project.number, limit: 9, after: nil).items.isEmpty)
            for number in 2..<5 {
                _ = try await store.append([
                    Sample.delivery([Sample.message(Sample.id(number), at: Double(number))], project: project.number)
                ])
                try await store.catchUpForTests()
            }
            let entries = try await store.audit(in: project.number, limit: 9, after: nil).items
            #expect(entries.map(\.action) == ["scores.removed"] && entries.first?.subject == "t-1" && entries.first?.by == "parley")
        }
    }

    @Test("a list of threads with turns reads the same kept and read whole")
    func turns() async throws {
        try await withStore { store in
            let project = try await store.createProject(named: "test", settings: .init())
            for number in 0..<3 {
                var part = Event.RunPart()
                part.kind = .chain
                part.question = "asked \(number)"
                part.answer = "answered \(number)"
                part.startedAt = Sample.time(Double(number * 10))
                part.endedAt = Sample.time(Double(number * 10 + 2))
                let turn = Event(id: "turn-\(number)", thread: "t-1", at: Sample.time(Double(number * 10)), body: .run(part))
                _ = try await store.append([Sample.delivery([turn], project: project.number)])
                func list() async throws -> [ThreadSummary] {
                    try await store.threads(in: project, matching: .init(), limit: 9, after: nil, now: Sample.time(100)).items
                }
                let whole = try await list()
                #expect(whole.first?.messageCount == 2 * (number + 1) && whole.first?.last?.text == "answered \(number)")
                try await store.catchUpForTests()
                #expect(try await list() == whole)
                #expect(try await store.pool.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM thread WHERE view IS NULL") } == 0)
                #expect(try await ids(store, project) { $0.runs = .orphan } == [])
                #expect(try await ids(store, project) { $0.role = .assistant } == ["t-1"])
            }
            let total = try await store.overview(
                in: project.number, from: Sample.time(-3600), to: Sample.time(3600), offsetMinutes: 0
            ).total
            #expect(total.messages == 6 && total.runs == 3)
        }
    }

    @Test("days are a reader's, each of the span is there, and the span before is told beside")
    func overview() async throws {
        try await withStore { store in
            let project = try await store.createProject(named: "test", settings: .init())
            // Noon is 17:45 in Kathmandu; 6.5 hours later it is the next day there.
            let events = [
                Sample.message(Sample.id(1), user: "u1"), Sample.message(Sample.id(2), thread: "t-2", at: 6.5 * 3600, user: "u1"),
                Sample.message(Sample.id(3), thread: "t-3", at: -86_400, user: "u2"),
                Sample.feedback("fb-1", on: Sample.id(1), .up, user: "u1"),
                Event(
                    id: "fb-2", at: Sample.time(4), body: .feedback(.init(target: Sample.id(1), thumb: .down, author: "Ann"))),
            ]
            _ = try await store.append([Sample.delivery(events, project: project.number)])
            try await store.catchUpForTests()
            let midnight = Sample.time(-12 * 3600 - 345 * 60)
            let overview = try await store.overview(
                in: project.number, from: midnight, to: midnight.advanced(bySeconds: 3 * 86_400), offsetMinutes: 345)
            #expect(overview.days.map(\.day) == ["2026-11-21", "2026-11-22", "2026-11-23"])
            #expect(overview.days.map(\.figures.messages) == [1, 1, 0])
            #expect(overview.days[0].figures.up == 1 && overview.days[0].figures.down == 0)
            #expect(overview.total.conversations == 2 && overview.total.users == 1)
            #expect(overview.previous.conversations == 1 && overview.previous.messages == 1)
        }
    }
}
