import GRDB
import Logging
import Synchronization

/// When commits are under way, for the work beside them to go into the gaps.
final class CommitTraffic: Sendable {
    private struct State {
        var underWay = 0
        var lastEnded: ContinuousClock.Instant?
    }
    private let state = Mutex(State())

    /// So long after a commit the next one is not expected at once.
    private static let gap = Duration.milliseconds(1)
    /// So long after a commit others are on their way.
    private static let lull = Duration.milliseconds(100)
    /// The work beside the commits is never held up longer, however many there are.
    private static let patience = Duration.milliseconds(250)

    func began() { state.withLock { $0.underWay += 1 } }

    func ended() {
        state.withLock { state in
            state.underWay -= 1
            state.lastEnded = .now
        }
    }

    /// Whether acks would wait behind a long step now.
    var isBusy: Bool { state.withLock { $0.underWay > 0 || Self.isRecent($0.lastEnded, Self.lull) } }

    private var isGap: Bool { state.withLock { $0.underWay == 0 && !Self.isRecent($0.lastEnded, Self.gap) } }

    private static func isRecent(_ instant: ContinuousClock.Instant?, _ span: Duration) -> Bool {
        instant.map { ContinuousClock.now - $0 < span } ?? false
    }

    /// Returns in a gap between commits, or when none came in a quarter of a second.
    func waitForGap() async {
        let deadline = ContinuousClock.now + Self.patience
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
    /// While events keep coming it works in the gaps between their commits, one short step at a time; where there are no gaps, four
    /// steps a second, so that it is never further behind than the load lasts.
    func runFollowers() async throws {
        while !Task.isCancelled {
            let hasIndexed = await step("search index", Self.indexChunk, indexNext)
            let hasFollowed = await step("facts", Self.followChunk, followNext)
            var hasMore = hasIndexed || hasFollowed
            if !hasFollowed { hasMore = await step("views", (1, 1), { _ in try await self.viewNext() ? 1 : 0 }) || hasMore }
            if !hasIndexed, !traffic.isBusy, (try? await purgeNext()) == true { continue }
            if !hasMore { try? await Task.sleep(for: .milliseconds(200)) }
        }
    }

    /// Takes one step; answers whether there is more to do.
    private func step(_ name: String, _ chunk: (idle: Int, busy: Int), _ work: (Int) async throws -> Int) async -> Bool {
        let isBusy = traffic.isBusy
        if isBusy { await traffic.waitForGap() }
        let size = isBusy ? chunk.busy : chunk.idle
        do {
            return try await work(size) >= size
        } catch is CancellationError {
            return false
        } catch {
            logger.warning("what follows the commits could not; trying again", metadata: ["what": "\(name)", "error": "\(error)"])
            return false
        }
    }

    /// Writes what can be made again from the log, in a transaction that does not wait for the disk.
    ///
    /// After a crash it may be gone, together with the mark of how far it had come; the file is sound either way, and the next commit
    /// of events takes it to the disk with itself (SQLite, "PRAGMA synchronous", NORMAL in WAL mode).
    func writeDerived<Value: Sendable>(_ work: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        appended.add(1, ordering: .relaxed)
        return try await pool.writeWithoutTransaction { db in
            self.isRelaxed.withLock { $0 = true }
            try db.execute(sql: "PRAGMA synchronous = NORMAL")
            defer { try? self.restoreFull(db) }
            var value: Value?
            try db.inTransaction(.immediate) {
                value = try work(db)
                return .commit
            }
            return value!
        }
    }

    /// P-ACK-1: every commit of events begins with this, outside of its transaction, where alone the level can be changed.
    func restoreFull(_ db: Database) throws {
        guard isRelaxed.withLock({ $0 }) else { return }
        try db.execute(sql: "PRAGMA synchronous = FULL")
        isRelaxed.withLock { $0 = false }
    }
}
