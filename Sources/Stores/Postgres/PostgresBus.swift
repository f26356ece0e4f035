public import Events
import Logging
import Synchronization

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// What nodes say to each other over the database they share (PostgreSQL, NOTIFY): it reaches whoever listens at the time.
///
/// Listening has a connection of its own. Where it breaks another is made, after pauses that grow, and then everything counts as changed.
/// A pooler that hands connections out by the transaction swallows what is said: nothing is heard then, and nothing says so.
///
/// A transaction that says something waits at its commit for any other that does (one lock of the whole server), so nothing that commits
/// events ever does: only changes of projects and keys, and each node once a second.
public final class PostgresBus: Bus {
    /// PostgreSQL takes payloads of less than 8000 characters; base64 makes four of three bytes.
    public let longestMessage = 7999 / 4 * 3

    /// The channel of what nodes say to each other; that of changes is `ControlRows.channel`.
    static let channel = "parley_nodes"

    private let pool: Pool
    private let configuration: Pool.Configuration
    private let logger: Logger
    private let state = Mutex(State())

    private struct State {
        var connections = 0
        var isConnected = false
    }

    /// How long the connection's thread waits for something to be heard before it looks whether it is still wanted.
    private static let slice = Duration.milliseconds(250)
    /// Between two attempts to connect: at first, and at most.
    private static let shortestPause = Duration.milliseconds(100)
    private static let longestPause = Duration.seconds(5)

    init(pool: Pool, connection: ConnectionString, logger: Logger) {
        (self.pool, configuration, self.logger) = (pool, Pool.Configuration(connection: connection), logger)
    }

    public var figures: BusFigures {
        state.withLock { BusFigures(isConnected: $0.isConnected, reconnections: max(0, $0.connections - 1)) }
    }

    public func publish(_ messages: [[UInt8]]) async throws {
        guard !messages.isEmpty else { return }
        let payloads = messages.map { Data($0).base64EncodedString() }
        try await pool.control { db in
            var pipeline = Pipeline()
            // Nobody is promised anything: no disk to wait for, with a lock held that others want.
            pipeline.add("SET LOCAL synchronous_commit = off")
            pipeline.add("SELECT pg_notify($1, p) FROM unnest($2::text[]) p", [Self.channel, payloads])
            try db.commit(with: pipeline)
        }
    }

    public func run(hear: @escaping @Sendable (BusNews) -> Void) async {
        var pause = Self.shortestPause
        while !Task.isCancelled {
            let began = ContinuousClock.now
            do {
                try await listen(hear)
                return
            } catch {
                let wasConnected = state.withLock { state in
                    defer { state.isConnected = false }
                    return state.isConnected
                }
                if wasConnected {
                    logger.warning(
                        "the database's notifications do not come; changes are looked for each second, and quotas are this node's own",
                        metadata: ["error": "\(error)"])
                }
                if wasConnected, .now - began > Self.longestPause { pause = Self.shortestPause }
            }
            try? await Task.sleep(for: pause * Double.random(in: 0.75...1))
            pause = min(pause * 2, Self.longestPause)
        }
    }

    /// Listens on a new connection; returns when cancelled.
    private func listen(_ hear: @Sendable (BusNews) -> Void) async throws {
        let connection = try await Connection.open(configuration)
        defer { connection.close() }
        try await connection.perform { db in
            // A server may hang up on who says nothing for long.
            try db.execute("SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'")
            try db.execute("LISTEN \(ControlRows.channel)")
            try db.execute("LISTEN \(Self.channel)")
        }.0.get()
        let connections = state.withLock { state in
            state.isConnected = true
            state.connections += 1
            return state.connections
        }
        if connections > 1 { logger.notice("the database's notifications come again") }
        // What was said while nobody listened is not said again.
        hear(.controlChanged)
        while !Task.isCancelled {
            for notification in try await connection.perform({ try $0.notifications(waiting: Self.slice) }).0.get() {
                switch notification.channel {
                case ControlRows.channel: hear(.controlChanged)
                default: hear(.message(Data(base64Encoded: notification.payload).map { Array($0) } ?? []))
                }
            }
        }
        state.withLock { $0.isConnected = false }
    }
}

extension PostgresStore {
    /// What carries words between nodes that share the database; to be run by who has it.
    public func makeBus() -> PostgresBus { PostgresBus(pool: pool, connection: configuration.connection, logger: logger) }
}
