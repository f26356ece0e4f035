import Conversations
import Events
import Foundation
import Logging
import TestKit
import Testing
@testable import PostgresStore
@testable import SQLiteStore

/// What follows the commits, by one node or by several.
@Suite("PostgreSQL store, beside the commits")
struct UpkeepTests {
    /// Runs `body` with several stores on one new database.
    private func withNodes(_ count: Int, _ body: ([PostgresStore]) async throws -> Void) async throws {
        try await withDatabase { server, name in
            var configuration = PostgresStore.Configuration(connection: server.connection(to: name))
            configuration.partitions = 2
            var stores: [PostgresStore] = []
            for _ in 0..<count { stores.append(try await PostgresStore(configuration: configuration, logger: Logger(label: "test"))) }
            defer { for store in stores { store.close() } }
            try await body(stores)
        }
    }

    /// Waits until everything that was committed is followed; somebody must be at it.
    private func awaitUpkeep(of store: PostgresStore) async throws {
        for _ in 0..<600 {
            let isBehind = try await store.pool.read { db in
                let end = try Int64.fetchOne(db, sql: "SELECT max(sequence) FROM event") ?? 0
                return try Bool.fetchOne(
                    db,
                    sql: """
                        SELECT EXISTS (SELECT FROM follower WHERE followed < $1) OR EXISTS (SELECT FROM search_state WHERE indexed < $1)
                            OR EXISTS (SELECT FROM dirty) OR EXISTS (SELECT FROM thread WHERE turns AND view IS NULL)
                        """, arguments: [end])!
            }
            if !isBehind { return }
            try await Task.sleep(for: .milliseconds(100))
        }
        Issue.record("nobody followed")
    }

    @Test("facts, figures and replies are what they are in SQLite", arguments: 0..<4)
    func likeSQLite(group: Int) async throws {
        let folder = NSTemporaryDirectory() + "parley-twin-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let embedded = try SQLiteStore(directory: folder, logger: Logger(label: "test"))
        try await withNodes(1) { nodes in
            let shared = nodes[0]
            for seed in group * 12..<group * 12 + 12 {
                var made = MadeUp(seed: UInt64(1000 + seed))
                let project = try await embedded.createProject(named: "\(seed)", settings: .init())
                _ = try await shared.createProject(named: "\(seed)", settings: .init())
                for _ in 0..<15 {
                    let batch = (0..<(1 + made.number(4))).map { _ in made.delivery(project.number) }
                    _ = try await embedded.append(batch)
                    _ = try await shared.append(batch)
                    // At the same times: what is renamed later is counted as it was called when it was followed.
                    guard made.chance(30) else { continue }
                    try await embedded.catchUpForTests()
                    try await shared.catchUpForTests()
                }
                try await embedded.catchUpForTests()
                try await shared.catchUpForTests()
                let (expected, found) = (
                    try await Tables.of(embedded, project.number, Tables.derived),
                    try await Tables.of(shared, project.number, Tables.derived)
                )
                for table in expected.keys.sorted() {
                    #expect(expected[table]! == found[table]!, "\(table), seed \(seed)")
                }
            }
        }
        try embedded.close()
    }

    @Test("two nodes at once find out what one does, also where one is gone in the middle")
    func nodes() async throws {
        try await withNodes(3) { nodes in
            let (alone, others) = (nodes[0], Array(nodes[1...]))
            let project = try await alone.createProject(named: "test", settings: .init())
            let first = Task { try await others[0].runUpkeep() }
            let second = Task { try await others[1].runUpkeep() }
            let done = Counter()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in 0..<4 {
                    group.addTask {
                        var made = MadeUp(seed: UInt64(77 + writer), isRenaming: false)
                        for _ in 0..<40 {
                            _ = try await alone.append([made.delivery(project.number)])
                            if done.next() == 80 {
                                // As if its process had ended: its connections are gone, whatever they were at.
                                first.cancel()
                                others[0].close()
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
            try await awaitUpkeep(of: alone)
            second.cancel()
            _ = try? await first.value
            _ = try? await second.value
            func words() async throws -> [String] {
                try await alone.pool.read { try String.fetchAll($0, sql: "SELECT sequence || ' ' || words::text FROM search ORDER BY 1") }
            }
            let (kept, indexed) = (try await Tables.of(alone, project.number, Tables.derived), try await words())
            #expect(kept["fact"]?.isEmpty == false && kept["figure"]?.isEmpty == false)
            // The same found out anew, by one.
            try await alone.pool.write { db in
                for table in ["fact", "figure", "counted", "reply", "search"] { try db.execute("DELETE FROM \(table)") }
                try db.execute("UPDATE thread SET view = NULL")
                try db.execute("UPDATE follower SET followed = 0")
                try db.execute("UPDATE search_state SET indexed = 0")
            }
            try await alone.catchUpForTests()
            let anew = try await Tables.of(alone, project.number, Tables.derived)
            for table in anew.keys.sorted() { #expect(anew[table]! == kept[table]!, "\(table)") }
            #expect(try await words() == indexed && !indexed.isEmpty)
        }
    }

    @Test("a step is one node's; another finds it taken, and takes the next where the one is gone")
    func turns() async throws {
        try await withNodes(2) { nodes in
            let project = try await nodes[0].createProject(named: "test", settings: .init())
            _ = try await nodes[0].append([Sample.delivery([Sample.message(Sample.id(1))], project: project.number)])
            let (isIn, mayEnd) = (AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingOldest(1)), DispatchSemaphore(value: 0))
            let step = Task {
                try await nodes[0].derive { db, _ in
                    isIn.continuation.yield()
                    mayEnd.wait()
                    // It dies here: its connection is gone before it can commit.
                    try db.execute("UPDATE follower SET followed = 99")
                    try db.execute("SELECT pg_terminate_backend(pg_backend_pid())")
                }
            }
            for await _ in isIn.stream { break }
            #expect(try await nodes[1].followNext() == nil)
            #expect(try await nodes[1].indexNext() == nil)
            nodes[0].close()
            mayEnd.signal()
            await #expect(throws: (any Error).self) { _ = try await step.value }
            #expect(try await nodes[1].followNext(waits: true) == 1)
            #expect(try await nodes[1].followNext() == 0)
        }
    }

    @Test("nothing that commits late is passed over")
    func late() async throws {
        try await withNodes(2) { nodes in
            let (slow, quick) = (
                try await nodes[0].createProject(named: "slow", settings: .init()),
                try await nodes[0].createProject(named: "quick", settings: .init())
            )
            func message(_ number: Int) -> Event { Sample.message(Sample.id(number), at: Double(number)) }
            _ = try await nodes[0].append([Sample.delivery([message(1)], project: slow.number)])
            // Somebody has announced numbers, and takes one, before another commits a later one.
            let (isIn, mayEnd) = (AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingOldest(1)), DispatchSemaphore(value: 0))
            let late = Task {
                try await nodes[0].pool.write { db in
                    try db.execute(LogOrder.announce)
                    let number = try Int64.fetchOne(db, sql: "SELECT nextval('event_sequence')")!
                    isIn.continuation.yield()
                    mayEnd.wait()
                    try db.execute(
                        """
                        INSERT INTO event (project, sequence, at, received, thread, source, space, role, id, part, type, digest, content)
                        SELECT project, $1, at + 1, received, thread, source, space, role, 'late', part, type, digest, 'late words'
                        FROM event WHERE project = $2
                        """, [number, slow.number.number])
                }
            }
            for await _ in isIn.stream { break }
            _ = try await nodes[0].append([Sample.delivery([message(2)], project: quick.number)])
            for node in nodes { try await node.catchUpForTests() }
            #expect(try await nodes[1].changes(after: 0, limit: 9).map(\.id) == [Sample.id(1)])
            func messages(_ project: Project) async throws -> Int {
                try await nodes[1].overview(in: project.number, from: Sample.time(-3600), to: Sample.time(3600), offsetMinutes: 0).total
                    .messages
            }
            #expect(try await messages(quick) == 0)
            mayEnd.signal()
            try await late.value
            for node in nodes { try await node.catchUpForTests() }
            #expect(try await nodes[1].changes(after: 0, limit: 9).map(\.id) == [Sample.id(1), "late", Sample.id(2)])
            #expect(try await messages(slow) == 2)
            #expect(try await messages(quick) == 1)
        }
    }

    /// `PARLEY_BIG=100000` threads of two messages, in threes with a run; prints how many events a second search and facts take on, and
    /// how long an erasure takes and keeps others' appends waiting.
    @Test("keeps up with many events", .enabled(if: ProcessInfo.processInfo.environment["PARLEY_BIG"] != nil))
    func rates() async throws {
        let count = Int(ProcessInfo.processInfo.environment["PARLEY_BIG"]!) ?? 100_000
        try await withStore { store in
            let project = try await store.createProject(named: "test", settings: .init())
            let clock = ContinuousClock()
            func append(_ numbers: Range<Int>) async throws {
                let events = numbers.flatMap { number -> [Event] in
                    let (id, at) = (Sample.id(number * 10), Double(number))
                    var events = [
                        Sample.message(id, thread: "t-\(number)", "hello number \(number), how are you", at: at, user: "u\(number / 500)"),
                        Sample.message(Sample.id(number * 10 + 1), thread: "t-\(number)", role: .assistant, "fine, thanks", at: at + 1),
                    ]
                    if number % 3 == 0 {
                        events += [
                            Sample.runStart("run-\(number)", parent: id), Sample.runEnd("run-\(number)", output: "\"fine, thanks\""),
                        ]
                    }
                    return events
                }
                _ = try await store.append([Sample.delivery(events, project: project.number)])
            }
            let filling = try await clock.measure {
                for first in stride(from: 0, to: count, by: 100) { try await append(first..<min(first + 100, count)) }
            }
            let events = try await store.pool.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM event")! }
            let indexing = try await clock.measure { while try await store.indexNext(waits: true)! > 0 {} }
            let following = try await clock.measure { while try await store.followNext(waits: true)! > 0 {} }
            func rate(_ duration: Duration) -> Int { Int(Double(events) / (duration / .seconds(1))) }
            print("BIG \(events) events: appended \(rate(filling))/s, indexed \(rate(indexing))/s, followed \(rate(following))/s")
            // Somebody with 500 conversations goes, while others append.
            let erasing = Task { try await clock.measure { print("BIG \(try await store.erase(user: "u7", in: project.number))") } }
            var longest = Duration.zero
            for number in count..<count + 200 { longest = max(longest, try await clock.measure { try await append(number..<number + 1) }) }
            print("BIG erased in \(try await erasing.value), an append beside it took \(longest) at most")
        }
    }
}
