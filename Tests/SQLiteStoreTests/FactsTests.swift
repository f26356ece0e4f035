import Conversations
import Events
import Foundation
import GRDB
import Logging
import TestKit
import Testing
@testable import SQLiteStore

/// What follows the commits: facts that lists are narrowed by, figures, the audit log of scores, and the list of threads with turns.
@Suite("Facts and figures")
struct FactsTests {
    let directory = NSTemporaryDirectory() + "parley-facts-" + UUID().uuidString

    private func withStore(_ body: (SQLiteStore) async throws -> Void) async throws {
        let store = try SQLiteStore(directory: directory, logger: Logger(label: "test"))
        try await body(store)
        try store.close()
        try FileManager.default.removeItem(atPath: directory)
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

    private func ids(_ store: SQLiteStore, _ project: Project, _ narrow: (inout ThreadFilter) -> Void) async throws -> [String] {
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
                        let number = project.number.number
                        let facts = try Row.fetchAll(
                            db, sql: "SELECT f.kind, t.id, f.subject FROM fact f JOIN thread t ON t.number = f.thread WHERE f.project = ?",
                            arguments: [number])
                        let figures = try Row.fetchAll(
                            db, sql: "SELECT name, sum(value) FROM figure WHERE project = ? AND name > 0 GROUP BY 1 HAVING sum(value) <> 0",
                            arguments: [number])
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
                        try db.execute(sql: "DELETE FROM \(table) WHERE project = ?", arguments: [project.number.number])
                    }
                    try db.execute(sql: "UPDATE thread SET view = NULL")
                    try db.execute(
                        sql: "UPDATE follower SET followed = (SELECT min(sequence) - 1 FROM event WHERE project = ?)",
                        arguments: [project.number.number])
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
                try String.fetchSet(db, sql: "SELECT subject FROM fact WHERE project = ? AND kind = 3", arguments: [project.number.number])
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

    @Test("of a word in very many messages the newest are looked through, and the answer says so")
    func partialSearch() async throws {
        try await withStore { store in
            let project = try await store.createProject(named: "test", settings: .init())
            let events = (0...ThreadQuery.maximumMatches).map {
                Sample.message(Sample.id($0), thread: "t-\($0 / 40)", $0 == 0 ? "common rare" : "common", at: Double($0))
            }
            _ = try await store.append([Sample.delivery(events, project: project.number)])
            while try await store.indexNext(2000) > 0 {}
            var filter = ThreadFilter()
            filter.words = "common"
            let page = try await store.threads(in: project, matching: filter, limit: 50, after: nil, now: Sample.time(9))
            #expect(page.isPartial && page.items.count == 50 && page.items[0].id == "t-50")
            // What a common word begins is not asked for; what a rare one begins is.
            filter.words = "comm"
            #expect(try await store.threads(in: project, matching: filter, limit: 50, after: nil, now: Sample.time(9)).isPartial)
            filter.words = "rar"
            #expect(
                try await store.threads(in: project, matching: filter, limit: 50, after: nil, now: Sample.time(9)).items.map(\.id) == [
                    "t-0"
                ])
            filter.words = "rare"
            let rare = try await store.threads(in: project, matching: filter, limit: 50, after: nil, now: Sample.time(9))
            #expect(!rare.isPartial && rare.items.map(\.id) == ["t-0"])
        }
    }

    @Test("an erasure leaves nothing of the text in the file")
    func nothingLeft() async throws {
        try await withStore { store in
            let project = try await store.createProject(named: "test", settings: .init())
            for number in 0..<60 {
                let isTheirs = number % 3 == 0
                _ = try await store.append([
                    Sample.delivery(
                        [
                            Sample.message(
                                Sample.id(number), thread: "t-\(number)",
                                isTheirs ? "zanzibar\(number) marmalade" : "plain words \(number)",
                                at: Double(number), user: isTheirs ? "forgetme" : "stays"),
                            Sample.runEnd("run-\(number)", output: isTheirs ? "\"zanzibar produced\"" : "\"plain\""),
                            Sample.runStart("run-\(number)", parent: Sample.id(number)),
                        ], project: project.number)
                ])
                if number % 7 == 0 { while try await store.indexNext(5) > 0 {} }
            }
            try await store.catchUpForTests()
            let erasure = try await store.erase(user: "forgetme", in: project.number)
            #expect(erasure.threads == 20 && erasure.messages == 20 && erasure.runs == 20)
            try await store.catchUpForTests()
            try await store.pool.writeWithoutTransaction { _ = try Row.fetchOne($0, sql: "PRAGMA wal_checkpoint(TRUNCATE)") }
            for file in ["/parley.sqlite", "/parley.sqlite-wal"] {
                guard let bytes = FileManager.default.contents(atPath: directory + file) else { continue }
                for word in ["zanzibar", "marmalade", "forgetme"] {
                    #expect(bytes.range(of: Data(word.utf8)) == nil, "\(word) is in \(file)")
                }
            }
            var filter = ThreadFilter()
            filter.words = "plain"
            #expect(try await store.threads(in: project, matching: filter, limit: 50, after: nil, now: Sample.time(9)).items.count == 40)
            try await store.pool.read { try $0.execute(sql: "PRAGMA integrity_check") }
        }
    }

    @Test("a file of the version before is brought up with all that is in it")
    func migration() async throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let old = try DatabaseQueue(path: directory + "/parley.sqlite")
        try Migrations.migrator.migrate(old, upTo: "2")
        try await old.write { db in
            try db.execute(
                sql: """
                    INSERT INTO project (number, id, name, settings, created) VALUES (1, 'prj_1', 'old', '{}', 0);
                    INSERT INTO source VALUES (1, 1, 'key', 'public', '', 'http');
                    INSERT INTO person VALUES (1, 1, 'u1', NULL);
                    INSERT INTO sign_in VALUES (x'01', 9e15);
                    INSERT INTO event (project, id, space, part, type, thread, at, received, source, person, role, digest, content, payload)
                        VALUES (1, 'm-1', 0, x'', 'message', 1, 1000, 1000, 1, 1, 0, x'00', 'Hello old', NULL),
                               (1, 'f-1', 2, x'', 'feedback', NULL, 2000, 2000, 1, 1, NULL, x'00', NULL, '{"target":"m-1","thumb":"up"}'),
                               (1, 's-1', 2, x'', 'score', NULL, 2000, 2000, 1, 1, NULL, x'00', NULL, '{"target":"m-1","name":"quality","value":1}');
                    INSERT INTO thread (number, project, id, messages, roles, first_at, last_at, first_message_at, first_message,
                        last_message_at, last_message, active_at, person) VALUES (1, 1, 't-1', 1, 1, 1000, 1000, 1000, 'm-1', 1000, 'm-1', 1000, 'u1');
                    INSERT INTO vote (project, target, voter, thumb, at, event, thread) VALUES (1, 'm-1', 'user:u1', 1, 2000, 'f-1', 1);
                    INSERT INTO score (project, target, name, author, value, at, event) VALUES (1, 'm-1', 'quality', 'sdk', 1, 2000, 's-1');
                    """)
        }
        try old.close()
        try await withStore { store in
            try await store.catchUpForTests()
            let project = try #require(try await store.projects().first)
            #expect(try await ids(store, project) { $0.provenance = .claimed } == ["t-1"])
            #expect(try await ids(store, project) { $0.score = .value("quality", .equal, 1) } == ["t-1"])
            #expect(try await ids(store, project) { $0.words = "old" } == ["t-1"])
            #expect(try await store.changes(after: 0, limit: 9).map(\.thread) == ["t-1", "t-1", "t-1"])
            let total = try await store.overview(
                in: project.number, from: Timestamp(microseconds: 0), to: Timestamp(microseconds: 1_000_000), offsetMinutes: 0
            ).total
            #expect(total.messages == 1 && total.up == 1 && total.users == 1)
            let erasure = try await store.erase(user: "u1", in: project.number)
            #expect(erasure.events == 3 && erasure.threads == 1)
            #expect(try await store.events(after: 0, in: nil, limit: 9).isEmpty)
        }
    }
}
