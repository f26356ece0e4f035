import Events
import Foundation
import GRDB
import GRDBSQLite
import Logging
import Synchronization
import TestKit
import Testing
@testable import SQLiteStore

/// What follows the commits, and the writer's hot statements.
@Suite("Beside the commits")
struct BackgroundTests {
    let directory = NSTemporaryDirectory() + "parley-background-" + UUID().uuidString
    let store: SQLiteStore

    init() throws { store = try SQLiteStore(directory: directory, logger: Logger(label: "test")) }

    private func end() throws {
        try store.close()
        try FileManager.default.removeItem(atPath: directory)
    }

    private func level() async throws -> Int? {
        try await store.pool.writeWithoutTransaction { try Int.fetchOne($0, sql: "PRAGMA synchronous") }
    }

    private struct Spoilt: Error {}

    @Test("what can be made again does not wait for the disk, and leaves the level of acks as it was, even when it fails")
    func derived() async throws {
        let within = try await store.writeDerived { try Int.fetchOne($0, sql: "PRAGMA synchronous") }
        #expect(within == 1)
        #expect(try await level() == 2)
        await #expect(throws: Spoilt.self) { try await store.writeDerived { _ in throw Spoilt() } }
        #expect(try await level() == 2)
        try end()
    }

    @Test("a commit of events restores the level that was left relaxed")
    func restored() async throws {
        let project = try await store.createProject(named: "test", settings: .init())
        // As if the level could not be set back.
        try await store.pool.writeWithoutTransaction { db in
            store.isRelaxed.withLock { $0 = true }
            try db.execute(sql: "PRAGMA synchronous = NORMAL")
        }
        #expect(try await level() == 1)
        let verdicts = try await store.append([
            Sample.delivery([Sample.message(Sample.id(1), thread: "t", "hello")], project: project.number)
        ])
        #expect(verdicts == [[.stored]])
        #expect(try await level() == 2)
        try end()
    }

    @Test("what checkpoints move into the file is synced", .timeLimit(.minutes(1)))
    func syncedCheckpoints() async throws {
        let (synced, tell) = AsyncStream.makeStream(of: Void.self)
        let checkpoints = Task {
            try await store.runCheckpoints { db in
                try SQLiteStore.sync(db)
                tell.yield()
            }
        }
        store.appended.add(1, ordering: .relaxed)
        var told = synced.makeAsyncIterator()
        #expect(await told.next() != nil)
        checkpoints.cancel()
        try await checkpoints.value
        try end()
    }

    @Test("little is moved at once and synced, but where the writer is at its limit")
    func checkpointPace() {
        var pace = CheckpointPace(store.configuration)
        let (few, many) = (store.configuration.checkpointEvents, store.configuration.checkpointEventsAtLimit)
        #expect(pace.due == nil)
        pace.note(written: few - 1, commits: few)
        #expect(pace.due == nil)
        pace.note(written: 1, commits: 1)
        #expect(pace.due == .synced)
        pace.moved(.synced)
        #expect(pace.due == nil)
        // Hundreds of events a commit: many senders wait for each.
        pace.note(written: many - 1, commits: many / 1000)
        #expect(pace.due == nil)
        pace.note(written: 1000, commits: 1)
        #expect(pace.due == .plain)
        pace.moved(.plain)
        // As soon as commits are small again, what was moved is synced.
        pace.note(written: few, commits: few)
        #expect(pace.due == .synced)
    }

    @Test(
        "a disk that did not keep what was moved ends the moving, whoever synced: the WAL keeps it all", .timeLimit(.minutes(1)),
        arguments: [SQLiteStore.SyncFailure(code: SQLITE_IOERR), DatabaseError(resultCode: .SQLITE_IOERR_FSYNC)] as [any Error])
    func unsyncedCheckpoint(failure: any Error) async throws {
        let project = try await store.createProject(named: "test", settings: .init())
        let tries = Mutex(0)
        store.appended.add(1, ordering: .relaxed)
        try await store.runCheckpoints { _ in
            tries.withLock { $0 += 1 }
            throw failure
        }
        #expect(tries.withLock { $0 } == 1)
        #expect(try await store.pool.writeWithoutTransaction { try Int.fetchOne($0, sql: "PRAGMA wal_autocheckpoint") } == 0)
        let delivery = Sample.delivery([Sample.message(Sample.id(1), thread: "t", "hello")], project: project.number)
        #expect(try await store.append([delivery]) == [[.stored]])
        try end()
    }

    @Test("steps go into the gaps between commits, and are held up no longer than nine times a step")
    func gaps() async throws {
        let traffic = CommitTraffic()
        #expect(!traffic.isBusy)
        await traffic.waitForGap()
        traffic.began()
        #expect(traffic.isBusy)
        let clock = ContinuousClock()
        // A commit without end: the patience is over at some time.
        #expect(await clock.measure { await traffic.waitForGap(after: .milliseconds(20)) } >= .milliseconds(180))
        let ending = Task {
            try await Task.sleep(for: .milliseconds(20))
            let ended = clock.now
            traffic.ended()
            return ended
        }
        await traffic.waitForGap(after: .milliseconds(20))
        let ended = try await ending.value
        // A machine that lets us wait here may have let the lull go by.
        #expect(traffic.isBusy || clock.now - ended > .milliseconds(100))
        try await Task.sleep(for: .milliseconds(150))
        #expect(!traffic.isBusy)
        try end()
    }

    @Test("threads that the writer knows by heart are read again once anybody else has written")
    func known() async throws {
        let project = try await store.createProject(named: "test", settings: .init())
        let other = try SQLiteStore(directory: directory, logger: Logger(label: "other"))
        func say(_ number: Int, by one: SQLiteStore) async throws {
            let message = Sample.message(Sample.id(number), thread: "t", "hello \(number)")
            #expect(try await one.append([Sample.delivery([message], project: project.number)]) == [[.stored]])
        }
        func messages() async throws -> [Int] { try await store.pool.read { try Int.fetchAll($0, sql: "SELECT messages FROM thread") } }
        func isKnown() async throws -> Bool {
            try await store.pool.writeWithoutTransaction { db in
                let stamp = try ChangeStamp(db)
                return store.numbers.withLock { $0.stamp == stamp && $0.threads.count == 1 }
            }
        }
        for number in 1...7 { try await say(number, by: number % 3 == 0 ? other : store) }
        #expect(try await messages() == [7])
        #expect(try await isKnown())
        // What follows the commits changes no fold, so that what is known goes on to hold; the search index writes in its commit.
        #expect(try await store.indexNext(100) > 0)
        #expect(try await store.followNext(100) > 0)
        #expect(try await isKnown())
        try await say(8, by: store)
        #expect(try await messages() == [8])
        try await say(9, by: other)
        #expect(try await !isKnown())
        try await say(10, by: store)
        #expect(try await messages() == [10])
        // Taken away on the writer's own connection, as erasing does.
        try await store.pool.write { try $0.execute(sql: "DELETE FROM thread") }
        #expect(try await !isKnown())
        try await say(11, by: store)
        #expect(try await messages() == [1])
        try other.close()
        try end()
    }

    /// What may be there before a message, and what becomes of it when the message comes.
    private static let awaiting: [(what: [Event], kept: String, expected: String)] = [
        ([Sample.runStart("run", parent: Sample.id(2))], "SELECT link FROM run", "2"),
        ([Sample.feedback("vote", on: Sample.id(2), .up)], "SELECT thread IS NULL FROM vote", "0"),
        (
            [Event(id: "score", at: Sample.time(1), body: .score(.init(target: Sample.id(2), name: "tone", value: 1)))],
            "SELECT thread IS NULL FROM score", "0"
        ),
        ([traced("run", by: Sample.id(2).filter { $0 != "-" })], "SELECT fallback FROM run", Sample.id(2)),
        (
            [
                traced("run", by: String(repeating: "ab", count: 16)),
                Event(
                    id: "note", at: Sample.time(1), body: .trace(target: Sample.id(2), trace: String(repeating: "ab", count: 16))),
            ], "SELECT fallback FROM run", Sample.id(2)
        ),
    ]

    private static func traced(_ id: String, by trace: String) -> Event {
        var part = Event.RunPart()
        (part.kind, part.trace) = (.llm, trace)
        return Event(id: id, at: Sample.time(1), body: .run(part))
    }

    @Test(
        "a message finds what came before it, also where its project had nothing of the kind until then, whoever wrote it",
        arguments: awaiting.indices, [false, true])
    func awaited(kind: Int, isOther: Bool) async throws {
        let project = try await store.createProject(named: "test", settings: .init())
        let other = try SQLiteStore(directory: directory, logger: Logger(label: "other"))
        let (what, kept, expected) = Self.awaiting[kind]
        func append(_ events: [Event], by one: SQLiteStore) async throws {
            let verdicts = try await one.append([Sample.delivery(events, project: project.number)])
            #expect(verdicts == [events.map { _ in .stored }])
        }
        // With this the writer knows that there is nothing.
        try await append([Sample.message(Sample.id(1), thread: "t")], by: store)
        #expect(store.numbers.withLock { $0.awaiting[project.number] } == [])
        try await append(what, by: isOther ? other : store)
        try await append([Sample.message(Sample.id(2), thread: "t")], by: store)
        #expect(try await store.pool.read { try String.fetchAll($0, sql: kept) } == [expected])
        try other.close()
        try end()
    }

    @Test("a message finds what came right before it, in one delivery", arguments: awaiting.indices)
    func awaitedTogether(kind: Int) async throws {
        let project = try await store.createProject(named: "test", settings: .init())
        let (what, kept, expected) = Self.awaiting[kind]
        let events = [Sample.message(Sample.id(1), thread: "t")] + what + [Sample.message(Sample.id(2), thread: "t")]
        let verdicts = try await store.append([Sample.delivery(events, project: project.number)])
        #expect(verdicts == [events.map { _ in .stored }])
        #expect(try await store.pool.read { try String.fetchAll($0, sql: kept) } == [expected])
        try end()
    }

    @Test("a thread that nothing was stored in is not known, and its number goes to the next one")
    func unstored() async throws {
        let project = try await store.createProject(named: "test", settings: .init())
        func say(_ number: Int, in thread: String, _ expected: Verdict.Name) async throws {
            let message = Sample.message(Sample.id(number), thread: thread, "hello in \(thread)")
            let verdicts = try await store.append([Sample.delivery([message], project: project.number)])
            #expect(verdicts.map { $0.map(\.name) } == [[expected]])
        }
        try await say(1, in: "a", .stored)
        try await say(1, in: "b", .conflict)
        try await say(2, in: "c", .stored)
        try await say(3, in: "b", .stored)
        let found = try await store.pool.read { db in
            try Row.fetchAll(db, sql: "SELECT t.id, t.messages, e.id FROM thread t JOIN event e ON e.thread = t.number ORDER BY t.id").map {
                "\($0[0] as String) \($0[1] as Int) \($0[2] as String)"
            }
        }
        #expect(found == ["a 1 \(Sample.id(1))", "b 1 \(Sample.id(3))", "c 1 \(Sample.id(2))"])
        try end()
    }

    @Test("threads whose IDs Unicode holds for the same are two, in one transaction and over several")
    func spellings() async throws {
        let project = try await store.createProject(named: "test", settings: .init())
        let spellings = ["caf\u{e9}", "cafe\u{301}"]
        func say(_ numbers: [Int]) async throws {
            let messages = numbers.map { Sample.message(Sample.id($0), thread: spellings[$0 % 2], user: spellings[$0 % 2]) }
            #expect(try await store.append([Sample.delivery(messages, project: project.number)]) == [numbers.map { _ in .stored }])
        }
        for numbers in [[0, 1], [2], [3], [4, 5]] { try await say(numbers) }
        let kept = try await store.pool.read { db in
            try Row.fetchAll(db, sql: "SELECT hex(id), messages, hex(person) FROM thread ORDER BY id DESC").map { row in
                "\(row[0] as String) \(row[1] as Int) \(row[2] as String)"
            }
        }
        #expect(kept == ["636166C3A9 3 636166C3A9", "63616665CC81 3 63616665CC81"])
        #expect(try await store.pool.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM person") } == 2)
        try end()
    }

    @Test("a thread with much metadata is not kept by heart, and grows all the same")
    func large() async throws {
        let project = try await store.createProject(named: "test", settings: .init())
        let much = JSONText(trusted: Array(#"{"a":"\#(String(repeating: "x", count: 2000))"}"#.utf8))
        let patch = Event(id: Sample.id(1), thread: "t", at: Sample.time(1), metadata: much, body: .thread(.init()))
        _ = try await store.append([Sample.delivery([patch, Sample.message(Sample.id(2), thread: "t")], project: project.number)])
        #expect(store.numbers.withLock { $0.threads.isEmpty })
        _ = try await store.append([Sample.delivery([Sample.message(Sample.id(3), thread: "t")], project: project.number)])
        #expect(store.numbers.withLock { $0.threads.isEmpty })
        #expect(try await store.pool.read { try Int.fetchOne($0, sql: "SELECT messages FROM thread") } == 2)
        #expect(try await store.pool.read { try Int.fetchOne($0, sql: "SELECT length(metadata) FROM thread") } == much.bytes.count)
        try end()
    }

    @Test("hot statements keep every kind of value, and say what SQLite says")
    func hotStatements() async throws {
        try await store.pool.write { db in
            try db.execute(sql: "CREATE TEMP TABLE kept (number INTEGER PRIMARY KEY, text TEXT, bytes BLOB, UNIQUE (text))")
            let insert = HotStatement(try db.makeStatement(sql: "INSERT INTO kept VALUES (?,?,?)"))
            for (number, text, bytes) in [
                (1, "", [UInt8]()), (2, "Çok güzel 🎉 " + String(repeating: "x", count: 100), [0, 1, 255]), (3, nil, [7]),
            ] {
                insert.bind(number)
                insert.bind(text)
                insert.bind(blob: bytes)
                #expect(try insert.run() == 1)
            }
            let rows = try Row.fetchAll(db, sql: "SELECT text, bytes, typeof(text), typeof(bytes) FROM kept ORDER BY number")
            #expect(rows.map { $0[0] as String? } == ["", "Çok güzel 🎉 " + String(repeating: "x", count: 100), nil])
            #expect(rows.map { Array($0[1] as Data) } == [[], [0, 1, 255], [7]])
            #expect(rows.map { $0[2] as String } == ["text", "text", "null"])
            #expect(rows.map { $0[3] as String } == ["blob", "blob", "blob"])

            insert.bind(4)
            insert.bind(text: Array("".utf8))
            insert.bind(blob: [])
            let failure = #expect(throws: DatabaseError.self) { try insert.run() }
            #expect(failure?.resultCode == .SQLITE_CONSTRAINT)
            // What failed is as good as new.
            insert.bind(4)
            insert.bind(text: Array("{\"a\":1}".utf8))
            insert.bind(blob: [])
            #expect(try insert.run() == 1)

            let select = HotStatement(try db.makeStatement(sql: "SELECT number, text FROM kept WHERE number = ?"))
            for (number, text) in [(4, "{\"a\":1}"), (3, nil)] {
                select.bind(number)
                let found = try select.first { ($0.integer(0), $0.text(1)) }
                #expect(found?.0 == Int64(number) && found?.1 == text)
            }
            select.bind(99)
            #expect(try select.first { $0.integer(0) } == nil)
        }
        try end()
    }
}
