import GRDB
import Logging
import Synchronization

/// When commits are under way, for the work beside them to go into the gaps.
final class CommitTraffic: Sendable {
    private struct State {
        var underWay = 0
        var lastBegan = ContinuousClock.now
        var lastEnded: ContinuousClock.Instant?
        /// How much of the time commits were under way, in the stretch before and in the one that began then.
        var load = 0.0
        var stretchBegan = ContinuousClock.now
        var spent = Duration.zero
    }
    private let state = Mutex(State())

    /// So long after a commit the next one is not expected at once.
    private static let gap = Duration.milliseconds(1)
    /// So long after a commit others are on their way.
    private static let lull = Duration.milliseconds(100)
    private static let stretch = Duration.milliseconds(200)
    /// The work beside the commits is never held up longer, however many there are.
    private static let longestPatience = Duration.milliseconds(250)
    private static let shortestPatience = Duration.milliseconds(5)
    /// Where commits leave this much of the time, the work beside them may take a tenth of it even without gaps.
    private static let saturation = 0.85

    func began() {
        state.withLock { state in
            if state.underWay == 0 { state.lastBegan = .now }
            state.underWay += 1
        }
    }

    func ended() {
        state.withLock { state in
            let now = ContinuousClock.now
            state.underWay -= 1
            state.lastEnded = now
            if state.underWay == 0 { state.spent += now - state.lastBegan }
            let span = now - state.stretchBegan
            guard span >= Self.stretch else { return }
            state.load = state.spent / span
            state.stretchBegan = now
            state.spent = .zero
        }
    }

    /// Whether acks would wait behind a long step now.
    var isBusy: Bool { state.withLock { $0.underWay > 0 || Self.isRecent($0.lastEnded, Self.lull) } }

    private var isGap: Bool { state.withLock { $0.underWay == 0 && !Self.isRecent($0.lastEnded, Self.gap) } }

    private static func isRecent(_ instant: ContinuousClock.Instant?, _ span: Duration) -> Bool {
        instant.map { ContinuousClock.now - $0 < span } ?? false
    }

    /// Returns in a gap between commits, or when its patience is over: nine times what the last step took, so that a busy writer gives
    /// a tenth of its time; a quarter of a second where the writer is at its limit.
    func waitForGap(after step: Duration = .zero) async {
        let patience =
            state.withLock { $0.load > Self.saturation }
            ? Self.longestPatience : min(max(step * 9, Self.shortestPatience), Self.longestPatience)
        let deadline = ContinuousClock.now + patience
        while !isGap, ContinuousClock.now < deadline, !Task.isCancelled { try? await Task.sleep(for: Self.gap) }
    }
}

extension SQLiteStore {
    /// Events that search and facts take on in one go while nothing else is written, and while acks may wait behind it: some ten
    /// milliseconds, and one or two.
    private static let indexChunk = (idle: 256, busy: 16)
    private static let followChunk = (idle: 128, busy: 16)

    /// Follows the commits with the search index, facts and figures until cancelled.
    ///
    /// While events keep coming it works in the gaps between their commits, one short step at a time; where there are none, in a tenth
    /// of the time, or four steps a second while the writer is at its limit: it is never further behind than the load lasts.
    func runFollowers() async throws {
        var took = Duration.zero
        while !Task.isCancelled {
            let indexing = await step("search index", Self.indexChunk, after: took, indexNext)
            let following = await step("facts", Self.followChunk, after: indexing.took, followNext)
            took = following.took
            var hasMore = indexing.hasMore || following.hasMore
            if !following.hasMore {
                let viewing = await step("views", (1, 1), after: took) { _ in try await self.viewNext() ? 1 : 0 }
                took = viewing.took
                hasMore = viewing.hasMore || hasMore
            }
            if !indexing.hasMore, !traffic.isBusy, (try? await purgeNext()) == true { continue }
            if !hasMore { try? await Task.sleep(for: .milliseconds(200)) }
        }
    }

    /// Takes one step; answers whether there is more to do, and how long it took.
    private func step(
        _ name: String, _ chunk: (idle: Int, busy: Int), after last: Duration, _ work: (Int) async throws -> Int
    ) async -> (hasMore: Bool, took: Duration) {
        let isBusy = traffic.isBusy
        if isBusy { await traffic.waitForGap(after: last) }
        let size = isBusy ? chunk.busy : chunk.idle
        let began = ContinuousClock.now
        var done = 0
        do {
            done = try await work(size)
        } catch is CancellationError {
            done = 0
        } catch {
            logger.warning("what follows the commits could not; trying again", metadata: ["what": "\(name)", "error": "\(error)"])
        }
        return (done >= size, ContinuousClock.now - began)
    }

    /// Writes what can be made again from the log, in a transaction that does not wait for the disk.
    ///
    /// After a crash it may be gone, together with the mark of how far it had come; the file is sound either way, and the next commit
    /// of events takes it to the disk with itself (SQLite, "PRAGMA synchronous", NORMAL in WAL mode). It leaves the folds of threads
    /// alone, so that what the writer knows of them goes on to hold.
    func writeDerived<Value: Sendable>(_ work: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        appended.add(1, ordering: .relaxed)
        return try await pool.writeWithoutTransaction { db in
            self.isRelaxed.withLock { $0 = true }
            try db.execute(sql: "PRAGMA synchronous = NORMAL")
            defer { try? self.restoreFull(db) }
            let (stamp, value) = try self.turnstile.transaction(db) { (try ChangeStamp(db), try work(db)) }
            // Counted after the commit, in which the search index writes too; nobody else's changes are among them.
            let changes = db.totalChangesCount
            self.numbers.withLock { if $0.stamp == stamp { $0.stamp?.changes = changes } }
            return value
        }
    }

    /// P-ACK-1: every commit of events begins with this, outside of its transaction, where alone the level can be changed.
    func restoreFull(_ db: Database) throws {
        guard isRelaxed.withLock({ $0 }) else { return }
        try db.execute(sql: "PRAGMA synchronous = FULL")
        isRelaxed.withLock { $0 = false }
    }
}
