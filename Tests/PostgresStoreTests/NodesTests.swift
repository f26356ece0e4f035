import Conversations
import Events
import Logging
import TestKit
import Testing
@testable import PostgresStore

/// Several stores on one database, as several nodes have them.
@Suite("PostgreSQL store, several nodes", .serialized)
struct NodesTests {
    private func withNodes(
        _ count: Int, _ change: (inout PostgresStore.Configuration) -> Void = { _ in }, _ body: ([PostgresStore]) async throws -> Void
    ) async throws {
        try await withDatabase { server, name in
            var configuration = PostgresStore.Configuration(connection: server.connection(to: name))
            configuration.partitions = 2
            change(&configuration)
            var nodes: [PostgresStore] = []
            defer { for node in nodes { node.close() } }
            for _ in 0..<count { nodes.append(try await PostgresStore(configuration: configuration, logger: Logger(label: "test"))) }
            try await body(nodes)
        }
    }

    @Test("of the same id with other content on many nodes at once one is stored, and the rest are conflicts that show it")
    func firstWins() async throws {
        try await withNodes(3) { nodes in
            let project = try await nodes[0].createProject(named: "test", settings: .init())
            for round in 0..<40 {
                let verdicts = try await withThrowingTaskGroup(of: (Int, Verdict).self) { group in
                    for (number, node) in nodes.enumerated() {
                        group.addTask {
                            let event = Sample.message(Sample.id(round), "said by \(number)")
                            return (number, try await node.append([Sample.delivery([event], project: project.number)])[0][0])
                        }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                let stored = verdicts.filter { $0.1 == .stored }.map(\.0)
                #expect(stored.count == 1 && verdicts.count { $0.1.name == .conflict } == 2)
                let texts = try await nodes[0].pool.read {
                    try String.fetchAll(
                        $0, sql: "SELECT content FROM event WHERE project = $1 AND id = $2",
                        arguments: [project.number.number, Sample.id(round)])
                }
                #expect(texts == stored.map { "said by \($0)" })
            }
            #expect(try await nodes[1].quarantineCounts(in: project.number) == [.idConflict: 80])
            let differ = try await nodes[2].quarantine(in: project.number, of: .init(), limit: 1, after: nil).items[0].differs
            #expect(differ.map(\.field) == ["content"])
            try await law(nodes[0], project)
            let counted = try await nodes[0].pool.read {
                try Int.fetchOne($0, sql: "SELECT messages FROM thread WHERE project = $1", arguments: [project.number.number])
            }
            #expect(counted == 40)
        }
    }

    private func law(_ store: PostgresStore, _ project: Project) async throws {
        for row in try await store.outcomes(in: project.number, from: nil, to: nil) { #expect(row.tally.holds) }
    }

    @Test("connections that are killed under load lose nothing that was acked, and double nothing")
    func killed() async throws {
        try await withNodes(2, { $0.maximumWriters = 2 }) { nodes in
            let project = try await nodes[0].createProject(named: "test", settings: .init())
            let database = try await nodes[0].pool.read { try String.fetchOne($0, sql: "SELECT current_database()")! }
            let isOver = Counter()
            let failures = Counter()
            let kills = Counter()
            let passed = Counter()
            let acked = try await withThrowingTaskGroup(of: [String].self) { group in
                group.addTask {
                    let killer = try TestServer.shared.get().pool()
                    defer { killer.close() }
                    while isOver.value == 0 {
                        let killed = try await killer.withoutTransaction {
                            try Int.fetchOne(
                                $0,
                                sql: """
                                    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                                    WHERE datname = $1 AND state <> 'idle'
                                    """, arguments: [database])!
                        }
                        for _ in 0..<killed { _ = kills.next() }
                        // Some come through between two kills, however slow the machine is.
                        let before = passed.value
                        repeat {
                            try await Task.sleep(for: .milliseconds(20))
                        } while isOver.value == 0 && passed.value == before
                    }
                    return []
                }
                let senders = (0..<6).map { sender in
                    { @Sendable () async -> [String] in
                        var acked: [String] = []
                        for number in 0..<60 {
                            let event = Sample.message(Sample.id(sender * 1000 + number), thread: "t-\(number % 5)", user: "u\(sender)")
                            let delivery = Sample.delivery([event], project: project.number)
                            // As a sender does: the same again until there is a verdict.
                            for _ in 0..<50 {
                                do {
                                    let verdict = try await nodes[sender % 2].append([delivery])[0][0]
                                    if verdict == .stored || verdict == .duplicate { acked.append(event.id) }
                                    _ = passed.next()
                                    break
                                } catch {
                                    _ = failures.next()
                                    try? await Task.sleep(for: .milliseconds(20))
                                }
                            }
                        }
                        return acked
                    }
                }
                for sender in senders { group.addTask { await sender() } }
                var all: [String] = []
                for _ in senders { all += try await group.next()! }
                _ = isOver.next()
                for try await rest in group { all += rest }
                return all
            }
            #expect(acked.count == 360)
            #expect(kills.value > 0)
            let (stored, folded) = try await nodes[0].pool.read { db in
                (
                    try String.fetchAll(db, sql: "SELECT id FROM event WHERE project = $1", arguments: [project.number.number]),
                    try Int.fetchOne(db, sql: "SELECT sum(messages) FROM thread WHERE project = $1", arguments: [project.number.number])
                )
            }
            #expect(stored.count == 360 && Set(stored) == Set(acked) && folded == 360)
            try await law(nodes[0], project)
        }
    }

    @Test("who follows the log sees every event once and in order, however many write it")
    func order() async throws {
        try await withNodes(3) { nodes in
            var projects: [Project] = []
            for number in 0..<6 { projects.append(try await nodes[0].createProject(named: "\(number)", settings: .init())) }
            let total = 6 * 40 * 3
            let isOver = Counter()
            let seen = try await withThrowingTaskGroup(of: [Int64].self) { [projects] group in
                group.addTask {
                    var seen: [Int64] = []
                    var last: Int64 = 0
                    // Once more after the last writer ended.
                    var rounds = 0
                    while rounds < 2 {
                        if isOver.value > 0 { rounds += 1 }
                        let after = last
                        let new = try await nodes[2].readLog { db, end in
                            try Int64.fetchAll(
                                db, sql: "SELECT sequence FROM event WHERE sequence > $1 AND sequence <= $2 ORDER BY sequence",
                                arguments: [after, end])
                        }
                        seen += new
                        last = new.last ?? last
                    }
                    return seen
                }
                let writers = projects.enumerated().map { place, project in
                    { @Sendable () async throws in
                        for number in 0..<40 {
                            let events = (0..<3).map { Sample.message(Sample.id(number * 3 + $0)) }
                            _ = try await nodes[(place + number) % 2].append([Sample.delivery(events, project: project.number)])
                        }
                    }
                }
                try await withThrowingTaskGroup(of: Void.self) { writing in
                    for writer in writers { writing.addTask { try await writer() } }
                    try await writing.waitForAll()
                }
                _ = isOver.next()
                return try await group.next()!
            }
            let all = try await nodes[0].pool.read { try Int64.fetchAll($0, sql: "SELECT sequence FROM event ORDER BY sequence") }
            #expect(all.count == total && seen == all)
        }
    }

    @Test("nobody reads past a number whose writer is still at work")
    func unfinished() async throws {
        try await withNodes(1) { nodes in
            let project = try await nodes[0].createProject(named: "test", settings: .init())
            let other = try await nodes[0].createProject(named: "other", settings: .init())
            let (isTaken, isEnough) = (Barrier(2), Barrier(2))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await nodes[0].pool.write { db in
                        try db.execute(LogOrder.announce)
                        try db.execute("SELECT nextval('event_sequence')")
                        isTaken.wait()
                        isEnough.wait()
                    }
                }
                await Task.detached { isTaken.wait() }.value
                _ = try await nodes[0].append([Sample.delivery([Sample.message(Sample.id(1))], project: other.number)])
                #expect(try await nodes[0].readLog { _, end in end } == 0)
                await Task.detached { isEnough.wait() }.value
                try await group.waitForAll()
                #expect(try await nodes[0].readLog { _, end in end } == 2)
            }
            _ = project
        }
    }

    @Test("a change to a key is heard of by who listens")
    func notice() async throws {
        try await withNodes(2) { nodes in
            let before = try await nodes[1].controlRevision()
            let project = try await nodes[0].createProject(named: "test", settings: .init())
            let key = KeyRecord(
                id: "key_1", lane: .secret, scope: .project, project: project.number, digest: [1, 2], shown: "sk_…", createdAt: Sample.noon)
            try await nodes[0].insert(key)
            #expect(try await nodes[1].keys() == [key])
            #expect(try await nodes[1].projects() == [project])
            #expect(try await nodes[0].revokeKey("key_1", at: Sample.time(1)))
            #expect(try await nodes[1].revokeKey("key_1", at: Sample.time(1)) == false)
            #expect(try await nodes[1].controlRevision() >= before + 3)
            await #expect(throws: ControlFailure.nameTaken("test")) {
                _ = try await nodes[1].createProject(named: "test", settings: .init())
            }
        }
    }

    @Test("texts with NUL, every script and 64 KiB come back as they went, and a project goes without a rest")
    func texts() async throws {
        try await withNodes(1) { nodes in
            let project = try await nodes[0].createProject(named: "test", settings: .init())
            let texts = ["a\0b", "\u{1A}\0", "\u{1F600} Grüße 你好", String(repeating: "ü", count: 32 << 10), "e\u{301}", "\u{E9}"]
            var events = texts.enumerated().map {
                Sample.message(Sample.id($0), thread: "t-\u{1A}", $1, tags: [$1.prefix(20).replacing("\0", with: "") + "x"])
            }
            var user = Event.User(id: "u\u{1A}")
            user.props = "{\"a\":\"\\u0000\"}"
            events[0].user = user
            let verdicts = try await nodes[0].append([Sample.delivery(events, project: project.number)])[0]
            #expect(verdicts.allSatisfy { $0 == .stored })
            let again = try await nodes[0].append([Sample.delivery(events, project: project.number)])[0]
            #expect(again.allSatisfy { $0 == .duplicate })
            let read = try await nodes[0].pool.read { db in
                try db.fetchAll(
                    "SELECT \(EventRows.columns) \(EventRows.joins) WHERE e.project = $1 ORDER BY e.sequence", [project.number.number]
                ).map { try EventRows.item($0).event }
            }
            #expect(read == events)
            try await nodes[0].deleteProject(project.number)
            let rest = try await nodes[0].pool.read { db in
                try PostgresStore.projectTables.filter { table in
                    try db.fetchOne("SELECT 1 FROM \(table) WHERE project = $1 LIMIT 1", [project.number.number]) != nil
                }
            }
            #expect(rest == [])
        }
    }
}
