import Events
import Logging

/// Whose turn it is to carry on what follows the log: one transaction's at a time, on whichever node.
///
/// A turn is a lock that ends with its transaction, so that who dies in the middle of one leaves nothing behind, and the next begins
/// where the last that was committed ended. Erasures take it too: nothing of what they take away is then under way elsewhere.
enum Turn {
    /// One row where the turn was free, and none where somebody has it.
    fileprivate static let take = """
        SELECT pg_advisory_xact_lock($2::int4, 0) WHERE pg_try_advisory_xact_lock($1::int4, 0)
        """

    /// Waits for whoever takes a step, and keeps others from taking one until the transaction ends. It comes before the lock of a project.
    static func keep(_ pipeline: inout Pipeline) { pipeline.add("SELECT pg_advisory_xact_lock($1::int4, 0)", [LockClass.derived]) }
}

extension PostgresStore {
    /// Carries on search, facts and figures behind the commits until cancelled.
    ///
    /// Any number of nodes may do so on one database. Each step is one node's; who finds another at it looks again after some seconds, and
    /// takes over where that one is gone. All goes up to the safe end of the log and no further (`LogOrder`).
    public func runUpkeep() async throws {
        var isFailing = false
        while !Task.isCancelled {
            let pause: Duration
            do {
                pause = try await upkeep()
                if isFailing { logger.notice("what follows the commits goes on") }
                isFailing = false
            } catch {
                if Task.isCancelled { return }
                // Once, until it goes on: a database that is away says the same every time.
                if !isFailing { logger.warning("what follows the commits could not; trying again", metadata: ["error": "\(error)"]) }
                isFailing = true
                pause = Self.pauseAfterFailure
            }
            if pause > .zero { try? await Task.sleep(for: pause * Double.random(in: 0.8...1.2)) }
        }
    }

    /// Where there was nothing to do; where another node is at it; where the database could not.
    private static let pauseAfterAll = Duration.milliseconds(200)
    private static let pauseForOthers = Duration.seconds(2)
    private static let pauseAfterFailure = Duration.seconds(2)

    /// A step of each; answers how long to wait for the next.
    private func upkeep() async throws -> Duration {
        guard let indexed = try await indexNext(), let followed = try await followNext() else { return Self.pauseForOthers }
        var isMore = indexed >= Self.indexChunk || followed >= Self.followChunk
        if followed < Self.followChunk {
            guard let isViewed = try await viewNext() else { return Self.pauseForOthers }
            isMore = isMore || isViewed
        }
        return isMore ? .zero : Self.pauseAfterAll
    }

    /// Runs one step of what can be made again from the log, in a turn of its own; nil where it is another's turn.
    ///
    /// Its commit doesn't wait for the disk: after a crash it may be gone, together with the mark of how far it had come. `work` is
    /// READ COMMITTED, and gets the safe end of the log, as it was before any of its statements.
    /// - Parameter waits: whether to wait for the other.
    func derive<Value: Sendable>(waits: Bool = false, _ work: @escaping @Sendable (Database, Int64) throws -> Value) async throws -> Value?
    {
        try await pool.follow { db in
            var pipeline = Pipeline()
            pipeline.add("SET LOCAL synchronous_commit = off")
            if waits { pipeline.add("SELECT pg_advisory_xact_lock($1::int4, 0)", [LockClass.upkeep]) }
            let turn = pipeline.add(Turn.take, [LockClass.upkeep, LockClass.derived])
            guard try !db.run(pipeline)[turn].isEmpty else { return nil }
            return try work(db, LogOrder.safeEnd(db))
        }
    }
}

extension PostgresStore {
    /// All steps of search, facts and views, for tests that cannot wait for them.
    package func catchUpForTests() async throws {
        while try await indexNext(waits: true)! > 0 {}
        while try await followNext(waits: true)! > 0 {}
        while try await viewNext(waits: true)! {}
    }
}
