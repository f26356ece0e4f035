import Conversations
import Events
import Foundation
import Logging
import TestKit
import Testing
@testable import PostgresStore
@testable import SQLiteStore

@Suite("PostgreSQL store, erasing")
struct EraseTests {
    /// Where in the database one of some texts stands: in a text, a list of words, or bytes that spell it.
    private func places(of words: [String], in store: PostgresStore) async throws -> [String] {
        try await store.pool.read { db in
            let columns = try db.fetchAll(
                """
                SELECT c.table_name::text, c.column_name::text, c.data_type::text FROM information_schema.columns c
                JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
                WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE' AND c.data_type IN ('text', 'tsvector', 'bytea')
                """)
            #expect(columns.count > 60)
            var found: [String] = []
            for column in columns {
                let (table, name, type): (String, String, String) = (column[0], column[1], column[2])
                let text = type == "bytea" ? "encode(\(name), 'escape')" : "\(name)::text"
                for word in words {
                    let count = try Int.fetchOne(
                        db, sql: "SELECT count(*) FROM \(table) WHERE strpos(\(text), $1) > 0", arguments: [word])!
                    if count > 0 { found.append("\(word) is in \(table).\(name)") }
                }
            }
            return found
        }
    }

    /// A conversation with everything in it, all of it with a word that nobody else has.
    private func events(_ number: Int, user: String, _ word: String) -> [Event] {
        let (question, answer, run, thread) = ("\(word)-q\(number)", "\(word)-a\(number)", "\(word)-run\(number)", "\(word)-t\(number)")
        var reply = Sample.message(answer, thread: thread, role: .assistant, "\(word) answered", at: Double(number) + 1)
        if case .message(var message) = reply.body {
            message.replyTo = question
            message.trace = "0af7651916cd43dd8448eb211c8031\(10 + number % 90)"
            reply.body = .message(message)
        }
        var asked = Sample.message(question, thread: thread, "\(word) asked", at: Double(number), user: user, tags: ["\(word)-tag"])
        asked.user?.props = JSONText(trusted: Array("{\"name\":\"\(word)\"}".utf8))
        var part = Event.RunPart()
        part.kind = .chain
        part.question = "\(word) derived question"
        part.answer = "\(word) derived answer"
        part.trace = "1af7651916cd43dd8448eb211c8031\(10 + number % 90)"
        let at = Sample.time(Double(number) + 1)
        return [
            asked, reply, Sample.runStart(run, parent: question),
            Sample.runEnd(run, output: JSONText(trusted: Array("\"\(word) produced\"".utf8))),
            Sample.runStart(run + "-step", parent: run), Event(id: run + "-turn", thread: thread, at: at, body: .run(part)),
            Sample.feedback("\(word)-fb\(number)", on: answer, .down, user: "voter"),
            Event(id: "\(word)-sc\(number)", at: at, body: .score(.init(target: thread, name: "quality", value: 1, author: "ann"))),
            Event(
                id: "\(word)-sd\(number)", at: at,
                body: .score(.init(target: run + "-turn:answer", name: "quality", value: 1, author: "ann"))),
            Event(id: "\(word)-re\(number)", at: at, body: .comment(.init(target: answer, text: "\(word) remark", author: "Ann"))),
            Event(
                id: "\(word)-rr\(number)", at: at,
                body: .comment(.init(target: "\(word)-re\(number)", text: "\(word) reply", author: "Ann"))),
        ]
    }

    @Test("an erasure leaves nothing of a user's texts and IDs in any table")
    func nothingLeft() async throws {
        try await withStore({ $0.partitions = 2 }) { store in
            let project = try await store.createProject(named: "test", settings: .init())
            var batch: [Event] = []
            for number in 0..<40 {
                batch += number % 2 == 0 ? events(number, user: "forgetme", "zanzibar") : events(number, user: "stays", "marmalade")
            }
            // A guest's words in another's conversation, and what others said to them.
            batch.append(Sample.message("zanzibar-guest", thread: "marmalade-t1", "zanzibar as a guest", at: 1.5, user: "forgetme"))
            batch.append(Event(id: "zanzibar-i", at: Sample.time(1), user: .init(id: "forgetme", isProven: true), body: .identify))
            let aside = SetAside(
                id: "zanzibar-q2", type: "message", refusal: Refusal(.weakID),
                payload: "{\"id\":\"zanzibar-q2\",\"text\":\"zanzibar aside\"}")
            for start in stride(from: 0, to: batch.count, by: 50) {
                var delivery = Sample.delivery(Array(batch[start..<min(start + 50, batch.count)]), project: project.number)
                for index in delivery.events.indices where delivery.events[index].event.idSpace != .other {
                    let event = delivery.events[index]
                    let names = IDNames(id: event.event.id, names: ["name-of-" + event.event.id])
                    delivery.events[index] = event.named([names], usesSchemeNames: false, pairsShareIDs: false)
                }
                if start == 0 { delivery.setAside = [aside] }
                let verdicts = try await store.append([delivery])
                #expect(verdicts[0].allSatisfy { $0 == .stored || $0.name == .quarantined })
                // Some of it is followed, and some not.
                if start < 300 { try await store.catchUpForTests() }
            }
            try await store.markSeen("zanzibar-t0", by: "mem_1", at: Sample.time(9), in: project.number)
            _ = try await store.markReviewed("zanzibar-t0", by: "Ann", at: Sample.time(9), in: project.number)
            let before = try await places(of: ["zanzibar", "forgetme"], in: store)
            for table in ["event", "thread", "run", "vote", "score", "comment", "person", "alias", "fact", "reply", "counted", "search"] {
                #expect(before.contains { $0.contains(" in \(table)_") }, "\(table) had nothing of it")
            }
            let erasure = try await store.erase(user: "forgetme", in: project.number)
            #expect(erasure.threads == 20 && erasure.messages == 41 && erasure.quarantined == 1 && erasure.tombstones > 200)
            #expect(try await places(of: ["zanzibar", "forgetme"], in: store) == [])
            // Nor comes it back from what follows the log, or from what is sent again.
            try await store.catchUpForTests()
            for event in batch where event.id.hasPrefix("zanzibar") {
                let verdict = try await store.append([Sample.delivery([event], project: project.number)])[0][0]
                #expect(verdict.name == .dropped || event.id == "zanzibar-i", "\(event.id)")
            }
            #expect(try await places(of: ["zanzibar"], in: store) == [])
            var filter = ThreadFilter()
            filter.words = "marmalade"
            #expect(try await store.threads(in: project, matching: filter, limit: 50, after: nil, now: Sample.time(9)).items.count == 20)
            #expect(try await store.traces(of: "stays", in: project.number).threads == 20)
        }
    }

    @Test("takes away the same as in SQLite, and leaves the same", arguments: 0..<4)
    func likeSQLite(group: Int) async throws {
        let folder = NSTemporaryDirectory() + "parley-twin-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let embedded = try SQLiteStore(directory: folder, logger: Logger(label: "test"))
        try await withStore({ $0.partitions = 2 }) { shared in
            for seed in group * 12..<group * 12 + 12 {
                var made = MadeUp(seed: UInt64(5000 + seed), isRenaming: false)
                let project = try await embedded.createProject(named: "\(seed)", settings: .init())
                _ = try await shared.createProject(named: "\(seed)", settings: .init())
                func append(_ count: Int) async throws {
                    for _ in 0..<count {
                        let batch = (0..<(1 + made.number(4))).map { _ in made.delivery(project.number) }
                        let expected = try await embedded.append(batch)
                        #expect(try await shared.append(batch) == expected, "seed \(seed)")
                    }
                }
                try await append(10)
                try await embedded.catchUpForTests()
                try await shared.catchUpForTests()
                for user in ["u0", "u1"] {
                    let expected = try await embedded.erase(user: user, in: project.number)
                    let found = try await shared.erase(user: user, in: project.number)
                    #expect(found == expected, "seed \(seed), \(user): \(found), not \(expected)")
                    #expect(try await shared.traces(of: user, in: project.number).isNone)
                }
                try await append(5)
                let time = Sample.time(20)
                let expected = try await embedded.eraseThreads(inactiveSince: time, in: project.number, limit: 2)
                var found = try await shared.eraseThreads(inactiveSince: time, in: project.number, limit: 2)
                // Which SQLite counts for users alone.
                found.tombstones = 0
                #expect(found == expected, "seed \(seed)")
                try await append(3)
                try await embedded.catchUpForTests()
                try await shared.catchUpForTests()
                for statements in [Tables.statements, Tables.derived] {
                    let (expected, found) = (
                        try await Tables.of(embedded, project.number, statements), try await Tables.of(shared, project.number, statements)
                    )
                    // SQLite keeps who said only what was refused, and that an erased message replied to one that never came.
                    for table in expected.keys.sorted() where table != "person" && table != "reply" {
                        #expect(expected[table]! == found[table]!, "\(table), seed \(seed)")
                    }
                }
            }
        }
        try embedded.close()
    }

    @Test("what is appended beside an erasure is refused or goes with it, and others' appends go on")
    func beside() async throws {
        try await withStore({ $0.partitions = 2 }) { store in
            let project = try await store.createProject(named: "test", settings: .init())
            for thread in 0..<60 {
                let messages = (0..<40).map {
                    Sample.message("zanzibar-\(thread)-\($0)", thread: "zanzibar-\(thread)", "zanzibar", at: Double($0), user: "forgetme")
                }
                _ = try await store.append([Sample.delivery(messages, project: project.number)])
            }
            let upkeep = Task { try await store.runUpkeep() }
            defer { upkeep.cancel() }
            try await withThrowingTaskGroup(of: Int.self) { group in
                group.addTask {
                    _ = try await store.erase(user: "forgetme", in: project.number)
                    return 0
                }
                for writer in 0..<3 {
                    group.addTask {
                        var stored = 0
                        for number in 0..<60 {
                            // Into a conversation that goes, and into one that stays.
                            let theirs = Sample.message(
                                "zanzibar-more-\(writer)-\(number)", thread: "zanzibar-\(number)", "zanzibar again", at: 50)
                            let others = Sample.message("other-\(writer)-\(number)", thread: "other-\(writer)", "plain", at: Double(number))
                            let verdicts = try await store.append([Sample.delivery([theirs, others], project: project.number)])[0]
                            #expect(verdicts[0] == .stored || verdicts[0].refusal?.reason == .erased)
                            #expect(verdicts[1] == .stored)
                            if verdicts[0] == .stored { stored += 1 }
                        }
                        return stored
                    }
                }
                try await group.waitForAll()
            }
            try await store.catchUpForTests()
            #expect(try await places(of: ["zanzibar", "forgetme"], in: store) == [])
            #expect(try await store.standing(of: project.number).threads == 3)
        }
    }

    @Test("the tables are vacuumed after an erasure")
    func vacuum() async throws {
        try await withStore({ $0.partitions = 2 }) { store in
            let project = try await store.createProject(named: "test", settings: .init())
            _ = try await store.append([Sample.delivery(events(1, user: "forgetme", "zanzibar"), project: project.number)])
            _ = try await store.erase(user: "forgetme", in: project.number)
            var vacuumed: Set<String> = []
            // Counted a moment later.
            for _ in 0..<100 where vacuumed.count < 19 {
                try await Task.sleep(for: .milliseconds(100))
                vacuumed = try await store.pool.read { db in
                    Set(
                        try String.fetchAll(
                            db, sql: "SELECT regexp_replace(relname, '_[01]$', '') FROM pg_stat_user_tables WHERE last_vacuum IS NOT NULL"))
                }
            }
            #expect(
                vacuumed.isSuperset(of: ["event", "thread", "run", "vote", "score", "comment", "person", "alias", "search", "quarantine"]))
        }
    }

    @Test("a project that goes leaves nothing, whatever follows its log meanwhile")
    func project() async throws {
        try await withStore({ $0.partitions = 2 }) { store in
            let project = try await store.createProject(named: "test", settings: .init())
            for number in 0..<30 {
                _ = try await store.append([Sample.delivery(events(number, user: "forgetme", "zanzibar"), project: project.number)])
            }
            let upkeep = Task { try await store.runUpkeep() }
            try await store.deleteProject(project.number)
            upkeep.cancel()
            _ = try? await upkeep.value
            try await store.catchUpForTests()
            #expect(try await places(of: ["zanzibar", "forgetme"], in: store) == [])
        }
    }
}
