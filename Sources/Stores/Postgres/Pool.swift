import Dispatch
import Logging
import Synchronization

/// The connections to the database: some for what writes, some for what reads, one for what follows the commits, and one for projects, keys
/// and words between nodes, so that none keeps another from its turn.
///
/// A closure runs on a connection's own thread, in a transaction; what it returns was committed. It may run more than once: after a
/// deadlock, or where the connection broke before the commit was sent. When all connections are in use callers wait, in the order in
/// which they came; too many of them, or for too long, and they are told `overloaded`.
final class Pool: Sendable {
    struct Configuration: Sendable {
        var connection: ConnectionString
        var maximumWriters = 4
        var maximumReaders = 6
        /// Callers that wait for a connection, for writing and reading each; the next one is refused.
        var maximumWaiting = 256
        var longestWait = Duration.seconds(5)
        /// The server's bounds on a statement, on waiting for a lock in it, and on a transaction in which nothing happens.
        var statementTimeout = Duration.seconds(30)
        var lockTimeout = Duration.seconds(10)
        var idleInTransactionTimeout = Duration.seconds(60)
        /// Ours, where the server says nothing at all.
        var patience = Duration.seconds(45)
        /// Whether each statement is planned once, for lists of any length, and by its indexes.
        ///
        /// What writers run are look-ups in tables that grow: a plan made while a table was small, which reads all of it, would live on
        /// until the next ANALYZE, at ten times the cost; and one that is made anew each time costs as much as the statement.
        fileprivate(set) var isForWriting = false
        /// Whether a statement may run in several processes. All but readers ask for some hundred rows by their index; starting a process
        /// takes ten times as long as that, and a plan that is kept doesn't know how few there will be.
        fileprivate(set) var isParallel = false
    }

    private let writers: Lane
    private let readers: Lane
    private let followers: Lane
    private let controls: Lane

    init(_ configuration: Configuration, logger: Logger) {
        var writing = configuration
        writing.isForWriting = true
        var reading = configuration
        reading.isParallel = true
        writers = Lane(maximum: configuration.maximumWriters, writing, logger)
        readers = Lane(maximum: configuration.maximumReaders, reading, logger)
        followers = Lane(maximum: 1, configuration, logger)
        controls = Lane(maximum: 1, configuration, logger)
    }

    /// Runs `body` in a transaction that writes, READ COMMITTED: each of its statements sees what was committed before it.
    func write<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        try await writers.run(.write, body)
    }

    /// Runs `body` in a transaction that only reads, REPEATABLE READ: all of its statements see the same moment.
    func read<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        try await readers.run(.read, body)
    }

    /// `write` on a connection that is there for what follows the commits, so that it takes none from them.
    func follow<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        try await followers.run(.write, body)
    }

    /// `read` on a connection that is there for what must not wait for anybody's long question: a revoked key has to stop.
    func readControl<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        try await controls.run(.read, body)
    }

    /// `write` on the connection of `readControl`, for something short that waits for no lock of a row.
    func control<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        try await controls.run(.write, body)
    }

    /// Runs `body` on a connection for reading without a transaction around it: each statement is one of its own.
    func withoutTransaction<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        try await readers.run(nil, body)
    }

    /// Ends the connections that nobody uses, and the others when they come back. Who waits is told `closed`.
    func close() {
        writers.close()
        readers.close()
        followers.close()
        controls.close()
    }
}

/// Connections of one kind.
private final class Lane: Sendable {
    /// A connection, and since when nobody used it.
    private typealias Rested = (connection: Connection, since: ContinuousClock.Instant)

    private struct State {
        var idle: [Rested] = []
        /// Connections that are in use or being made.
        var inUse = 0
        var waiting: [(number: Int, continuation: CheckedContinuation<Rested?, any Error>)] = []
        var lastNumber = 0
        var isClosed = false
        /// After a connection could not be made: when the next may be tried, and what was said.
        var pause: (until: ContinuousClock.Instant, length: Duration, error: DatabaseError)?
    }

    private let state = Mutex(State())
    private let maximum: Int
    private let configuration: Pool.Configuration
    private let logger: Logger

    /// Between two attempts to connect: at first, and at most.
    private static let shortestPause = Duration.milliseconds(100)
    private static let longestPause = Duration.seconds(5)
    /// A connection that was in use so lately is taken to be there still; where it is not, the transaction is tried again.
    private static let trust = Duration.milliseconds(500)
    /// How often a transaction is tried that others were in the way of, or whose connection broke before its commit was sent.
    private static let attempts = 4

    init(maximum: Int, _ configuration: Pool.Configuration, _ logger: Logger) {
        (self.maximum, self.configuration, self.logger) = (max(1, maximum), configuration, logger)
    }

    func run<Value: Sendable>(_ kind: Database.TransactionKind?, _ body: @escaping @Sendable (Database) throws -> Value) async throws
        -> Value
    {
        var attempt = 1
        while true {
            let connection = try await take()
            let (result, isReusable) = await connection.perform { db in
                guard let kind else { return try body(db) }
                return try db.transaction(kind, body)
            }
            give(back: connection, isUsable: isReusable)
            do {
                return try result.get()
            } catch let error as DatabaseError {
                // What was not committed may be done again; of a commit that nobody answered the sender decides.
                let isWorthwhile = error.isTransient || (error.cause == .disconnected && !error.isUnknown)
                guard isWorthwhile, attempt < Self.attempts, !Task.isCancelled else { throw error }
                logger.debug("a transaction is tried again", metadata: ["error": "\(error)", "attempt": "\(attempt)"])
                // Two that were in each other's way should not meet again.
                try await Task.sleep(for: .milliseconds(Int.random(in: 1...(10 * attempt))))
                attempt += 1
            }
        }
    }

    // MARK: taking turns

    private func take() async throws -> Connection {
        while true {
            guard let (connection, since) = try await turn() else { return try await connect() }
            if ContinuousClock.now - since < Self.trust { return connection }
            if await connection.isReusable() { return connection }
            // The server hung up while nobody used it: this turn gets another.
            connection.close()
            state.withLock { $0.inUse -= 1 }
        }
    }

    private enum Turn { case now(Rested?), later(Int) }

    /// An idle connection, or nil where one may be made; waits for either.
    private func turn() async throws -> Rested? {
        try await withCheckedThrowingContinuation { continuation in
            let outcome: Result<Turn, DatabaseError> = state.withLock { state in
                if state.isClosed { return .failure(DatabaseError(.closed, "The store is closed.")) }
                if let rested = state.idle.popLast() {
                    state.inUse += 1
                    return .success(.now(rested))
                }
                if state.inUse < maximum {
                    state.inUse += 1
                    return .success(.now(nil))
                }
                guard state.waiting.count < configuration.maximumWaiting else {
                    return .failure(DatabaseError(.overloaded, "Too many wait for a connection to the database."))
                }
                state.lastNumber += 1
                state.waiting.append((state.lastNumber, continuation))
                return .success(.later(state.lastNumber))
            }
            switch outcome {
            case .success(.now(let rested)): continuation.resume(returning: rested)
            case .success(.later(let number)): giveUp(number, after: configuration.longestWait)
            case .failure(let error): continuation.resume(throwing: error)
            }
        }
    }

    private func giveUp(_ number: Int, after wait: Duration) {
        let seconds = Double(wait.components.seconds) + Double(wait.components.attoseconds) / 1e18
        DispatchQueue.global().asyncAfter(deadline: .now() + seconds) { [self] in
            let waiter = state.withLock { state in
                state.waiting.firstIndex { $0.number == number }.map { state.waiting.remove(at: $0).continuation }
            }
            waiter?.resume(throwing: DatabaseError(.overloaded, "No connection to the database came free in time."))
        }
    }

    private func give(back connection: Connection, isUsable: Bool) {
        let (next, isKept) = state.withLock { state -> (CheckedContinuation<Rested?, any Error>?, Bool) in
            if !state.waiting.isEmpty { return (state.waiting.removeFirst().continuation, true) }
            state.inUse -= 1
            if isUsable, !state.isClosed {
                state.idle.append((connection, .now))
                return (nil, true)
            }
            return (nil, false)
        }
        if !isUsable || !isKept { connection.close() }
        next?.resume(returning: isUsable ? (connection, .now) : nil)
    }

    /// Makes a connection for a turn that was given; after a failure not before its pause is over.
    private func connect() async throws -> Connection {
        do {
            if let pause = state.withLock({ $0.pause }), pause.until > .now { throw pause.error }
            let connection = try await Connection.open(configuration)
            let isBack = state.withLock { state in
                defer { state.pause = nil }
                return state.pause != nil
            }
            if isBack { logger.notice("the database is there again") }
            return connection
        } catch {
            let error = error as? DatabaseError ?? DatabaseError(.disconnected, "\(error)")
            let next = state.withLock { state -> CheckedContinuation<Rested?, any Error>? in
                if state.pause.map({ $0.until <= .now }) ?? true {
                    let length = min((state.pause?.length ?? Self.shortestPause / 2) * 2, Self.longestPause)
                    state.pause = (.now + length * Double.random(in: 0.75...1), length, error)
                }
                if !state.waiting.isEmpty { return state.waiting.removeFirst().continuation }
                state.inUse -= 1
                return nil
            }
            // The next in the queue gets this turn, and most likely the same answer.
            next?.resume(returning: nil)
            throw error
        }
    }

    func close() {
        let (idle, waiting) = state.withLock { state in
            defer { (state.idle, state.waiting, state.isClosed) = ([], [], true) }
            return (state.idle, state.waiting)
        }
        for (connection, _) in idle { connection.close() }
        for waiter in waiting { waiter.continuation.resume(throwing: DatabaseError(.closed, "The store is closed.")) }
    }
}
