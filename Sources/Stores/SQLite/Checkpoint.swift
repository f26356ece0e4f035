import Events
import GRDB
import GRDBSQLite
import Logging
import Synchronization

extension SQLiteStore {
    /// Search, facts and checkpoints, beside the commits, until cancelled.
    public func runUpkeep() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.runFollowers() }
            group.addTask { try await self.runCheckpoints() }
            try await group.waitForAll()
        }
    }

    /// Moves the WAL into the file on a connection of its own, so that no commit waits for it.
    ///
    /// A passive checkpoint runs beside a writer (SQLite, "Write-Ahead Logging", section 2.2), but while commits go on it never
    /// catches the last of them, and only then does the WAL start over. So once it has grown to `walPages`, the writer itself
    /// moves the rest, which is what came in the meantime.
    ///
    /// SQLite syncs the file when the last page of the WAL is in it, and not before: under load that would be tens of megabytes in one
    /// go, and commits wait for the same disk. So little is moved at once, and each time it is `synced` (`CheckpointPace`).
    func runCheckpoints(synced: @escaping @Sendable (Database) throws -> Void = SQLiteStore.sync) async throws {
        var options = GRDB.Configuration()
        options.busyMode = .timeout(1)
        let own: DatabaseQueue
        do {
            own = try DatabaseQueue(path: path, configuration: options)
            // The file is synced once a checkpoint, after its pages are written.
            try await own.writeWithoutTransaction { try $0.execute(sql: "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0") }
        } catch {
            logger.warning("checkpoints are left to the writer", metadata: ["error": "\(error)"])
            return
        }
        @Sendable func checkpoint(_ db: Database, _ move: CheckpointPace.Move) throws -> Int {
            let frames = try Row.fetchOne(db, sql: "PRAGMA wal_checkpoint(PASSIVE)").map { $0[1] as Int } ?? 0
            if move != .plain { try synced(db) }
            return frames
        }
        var pace = CheckpointPace(configuration)
        while !Task.isCancelled {
            try? await Task.sleep(for: pace.pause)
            pace.note(written: appended.exchange(0, ordering: .relaxed), commits: commitsMade.exchange(0, ordering: .relaxed))
            guard let move = pace.due else { continue }
            do {
                let frames = try await own.writeWithoutTransaction { try checkpoint($0, move) }
                pace.moved(move)
                guard frames >= configuration.walPages else { continue }
                // Once more beside the commits, so that what is left for the writer is what came within milliseconds.
                _ = try await own.writeWithoutTransaction { try checkpoint($0, .synced) }
                try await pool.writeWithoutTransaction { try $0.execute(sql: "PRAGMA wal_checkpoint(PASSIVE)") }
            } catch is CancellationError {
                break
            } catch let failure as SyncFailure {
                await keepWAL(failure)
                break
            } catch let error as DatabaseError where error.extendedResultCode == .SQLITE_IOERR_FSYNC {
                // SQLite's own sync, with the last page of the WAL.
                await keepWAL(SyncFailure(code: error.extendedResultCode.rawValue))
                break
            } catch {
                logger.warning("a checkpoint failed; trying again", metadata: ["error": "\(error)"])
            }
        }
        try? own.close()
    }

    /// The disk failed to keep what was moved into the file.
    struct SyncFailure: Error {
        var code: Int32
    }

    /// Has what checkpoints moved into the file on the disk.
    static func sync(_ db: Database) throws(SyncFailure) {
        var file: UnsafeMutablePointer<sqlite3_file>?
        let found = withUnsafeMutablePointer(to: &file) { sqlite3_file_control(db.sqliteConnection, "main", SQLITE_FCNTL_FILE_POINTER, $0) }
        // The pointer is the open connection's own (SQLite, "SQLITE_FCNTL_FILE_POINTER"), which is held here.
        guard found == SQLITE_OK, let file, let sync = file.pointee.pMethods?.pointee.xSync else { return }
        let code = sync(file, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY)
        if code != SQLITE_OK { throw SyncFailure(code: code) }
    }

    /// What the kernel could not write it says once, and then forgets (fsync(2), EIO): a sync that works the next time proves nothing. The WAL
    /// still has it all as long as it does not start over, and the next start moves it into the file again.
    private func keepWAL(_ failure: SyncFailure) async {
        try? await pool.writeWithoutTransaction { try $0.execute(sql: "PRAGMA wal_autocheckpoint = 0") }
        logger.critical(
            "the disk did not keep what was written to the database; nothing is lost as long as its -wal file is there: see to the disk, then start again",
            metadata: ["file": "\(path)", "error": "\(failure.code)"])
    }
}

/// When the WAL is moved into the file: often and little at a time, so that no commit waits long for the disk; but where the writer is at its
/// limit, and acks wait for each other much longer than for the disk, as seldom as a disk that syncs little else can bear.
struct CheckpointPace {
    enum Move {
        /// All there is, since nothing came for a while.
        case last
        /// With a sync at once.
        case synced
        /// As SQLite does it: the sync comes with the last page of the WAL.
        case plain
    }

    /// How long to wait for more: while events come, and before a look whether any came.
    private static let pause = (busy: Duration.milliseconds(20), idle: Duration.milliseconds(200))
    /// So many events a commit are those of many senders that waited for one.
    private static let largeCommit = 256

    private let configuration: SQLiteStore.Configuration
    private var pending = 0
    private var isDirty = false
    private var isAtLimit = false
    private var lastWritten = ContinuousClock.now

    init(_ configuration: SQLiteStore.Configuration) { self.configuration = configuration }

    var pause: Duration { isDirty ? Self.pause.busy : Self.pause.idle }

    mutating func note(written: Int, commits: Int) {
        guard written > 0 else { return }
        pending += written
        isDirty = true
        isAtLimit = written > Self.largeCommit * max(1, commits)
        lastWritten = .now
    }

    /// What is to be done now; nil: nothing.
    var due: Move? {
        if isDirty, .now - lastWritten >= Self.pause.idle { return .last }
        if isAtLimit { return pending >= configuration.checkpointEventsAtLimit ? .plain : nil }
        return pending >= configuration.checkpointEvents ? .synced : nil
    }

    mutating func moved(_ move: Move) {
        if move == .last { isDirty = false }
        pending = 0
    }
}
