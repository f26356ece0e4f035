import Dispatch
import Events
import Logging
import Synchronization
import TestKit
import Testing
@testable import PostgresStore

/// What a bus heard, to be waited for.
private final class Ear: Sendable {
    private let heard = Mutex<[BusNews]>([])

    func hear(_ news: BusNews) { heard.withLock { $0.append(news) } }
    var all: [BusNews] { heard.withLock { $0 } }
    func forget() { heard.withLock { $0 = [] } }

    /// Ends with the test's own time limit where it never comes.
    func wait(for news: BusNews) async throws {
        while !all.contains(news) { try await Task.sleep(for: .milliseconds(2)) }
    }
}

@Suite("PostgreSQL bus", .serialized, .timeLimit(.minutes(2)))
struct BusTests {
    /// Two nodes on one database, each with an ear that listens.
    private func withBuses(_ body: ([(store: PostgresStore, bus: PostgresBus, ear: Ear)], String) async throws -> Void) async throws {
        try await withDatabase { server, name in
            var configuration = PostgresStore.Configuration(connection: server.connection(to: name))
            configuration.partitions = 1
            configuration.maximumReaders = 1
            var nodes: [(store: PostgresStore, bus: PostgresBus, ear: Ear)] = []
            defer { for node in nodes { node.store.close() } }
            for _ in 0..<2 {
                let store = try await PostgresStore(configuration: configuration, logger: Logger(label: "test"))
                nodes.append((store, store.makeBus(), Ear()))
            }
            try await withThrowingTaskGroup(of: Void.self) { [nodes] group in
                for node in nodes { group.addTask { await node.bus.run { node.ear.hear($0) } } }
                // Whoever begins to listen counts all as changed.
                for node in nodes { try await node.ear.wait(for: .controlChanged) }
                try await body(nodes, name)
                group.cancelAll()
            }
        }
    }

    @Test("what one node says every node hears, itself among them, in order and whole")
    func says() async throws {
        try await withBuses { nodes, _ in
            let messages: [[UInt8]] = [
                [], [0], Array(0...255), [UInt8](repeating: 0, count: nodes[0].bus.longestMessage),
                (0..<nodes[0].bus.longestMessage).map { UInt8(truncatingIfNeeded: $0 * 7) }, [1],
            ]
            try await nodes[0].bus.publish(messages)
            for node in nodes {
                try await node.ear.wait(for: .message([1]))
                #expect(node.ear.all == [.controlChanged] + messages.map { .message($0) })
                #expect(node.bus.figures == BusFigures(isConnected: true))
            }
        }
    }

    @Test("what is too long is refused, and nothing of it is said; what others say there is heard as it is")
    func tooLong() async throws {
        try await withBuses { nodes, _ in
            await #expect(throws: DatabaseError.self) {
                try await nodes[0].bus.publish([[5], [UInt8](repeating: 0, count: nodes[0].bus.longestMessage + 3)])
            }
            _ = try await nodes[0].store.pool.write { try $0.execute("SELECT pg_notify($1, $2)", [PostgresBus.channel, "no base64!"]) }
            try await nodes[1].ear.wait(for: .message([]))
            #expect(!nodes[1].ear.all.contains(.message([5])))
        }
    }

    @Test("a change of a project or a key is heard on every node, once it can be read there")
    func controlChange() async throws {
        try await withBuses { nodes, _ in
            func expectChange(_ change: () async throws -> Void, sourceLocation: SourceLocation = #_sourceLocation) async throws {
                for node in nodes { node.ear.forget() }
                let before = try await nodes[1].store.controlRevision()
                try await change()
                for node in nodes {
                    try await node.ear.wait(for: .controlChanged)
                    #expect(try await node.store.controlRevision() > before, sourceLocation: sourceLocation)
                }
            }
            var project = Project(number: ProjectID(0), id: "", name: "", settings: .init())
            try await expectChange { project = try await nodes[0].store.createProject(named: "a", settings: .init()) }
            let key = KeyRecord(
                id: "key_1", lane: .public, scope: .project, project: project.number, digest: [1], shown: "pk_", label: nil,
                createdAt: Sample.noon)
            try await expectChange { try await nodes[0].store.insert(key) }
            try await expectChange {
                let isRevoked = try await nodes[0].store.revokeKey("key_1", at: Sample.noon)
                #expect(isRevoked)
            }
            try await expectChange { try await nodes[0].store.deleteProject(project.number) }
        }
    }

    @Test("a line that is cut is made anew, and then everything counts as changed")
    func cut() async throws {
        try await withBuses { nodes, database in
            let killer = try TestServer.shared.get().pool()
            defer { killer.close() }
            for round in 1...3 {
                for node in nodes { node.ear.forget() }
                let killed = try await killer.withoutTransaction { db in
                    try Int.fetchOne(
                        db,
                        sql: """
                            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1 AND query LIKE 'LISTEN%'
                            """, arguments: [database])
                }
                #expect(killed == 2)
                for node in nodes {
                    try await node.ear.wait(for: .controlChanged)
                    #expect(node.bus.figures == BusFigures(isConnected: true, reconnections: round))
                }
                try await nodes[0].bus.publish([[UInt8(round)]])
                try await nodes[1].ear.wait(for: .message([UInt8(round)]))
            }
        }
    }

    @Test("projects and keys are read while everything else that reads is busy")
    func busy() async throws {
        try await withBuses { nodes, _ in
            let (store, gate) = (nodes[0].store, DispatchSemaphore(value: 0))
            let isBusy = Counter()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await store.pool.read { _ in
                        _ = isBusy.next()
                        gate.wait()
                    }
                }
                while isBusy.value == 0 { try await Task.sleep(for: .milliseconds(1)) }
                let (revision, projects, keys) = try await (store.controlRevision(), store.projects(), store.keys())
                #expect(revision >= 0 && projects.isEmpty && keys.isEmpty)
                gate.signal()
                try await group.waitForAll()
            }
        }
    }

    @Test("who stops listening is gone from the database's list, and hears no more")
    func stops() async throws {
        try await withDatabase { server, name in
            var configuration = PostgresStore.Configuration(connection: server.connection(to: name))
            configuration.partitions = 1
            let store = try await PostgresStore(configuration: configuration, logger: Logger(label: "test"))
            defer { store.close() }
            let (bus, ear) = (store.makeBus(), Ear())
            let running = Task { await bus.run { ear.hear($0) } }
            try await ear.wait(for: .controlChanged)
            running.cancel()
            await running.value
            #expect(!bus.figures.isConnected)
            func listeners() async throws -> Int? {
                try await store.pool.withoutTransaction { db in
                    try Int.fetchOne(
                        db, sql: "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'")
                }
            }
            while try await listeners() != 0 { try await Task.sleep(for: .milliseconds(5)) }
        }
    }
}
