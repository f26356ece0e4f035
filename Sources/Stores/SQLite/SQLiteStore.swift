public import Conversations
public import Events
import CSQLite
import Foundation
import GRDB
public import Logging
import Synchronization

/// The embedded store: one SQLite file in WAL mode, one writer, many readers.
///
/// `append` commits with `synchronous=FULL`: when it returns, the events survive the death of the process and of the
/// machine, as far as the disk keeps its word about fsync. Several processes may open the file at once.
public final class SQLiteStore: Sendable {
    public struct Configuration: Sendable {
        /// The writer's page cache, in KiB. SQLite's own 2 MB halves the rate of inserts once the indexes outgrow it.
        public var writerCacheKiB = 48 * 1024
        /// Events committed before what the WAL has of them is moved into the file, beside the writer: some 2 MB.
        public var checkpointEvents = 1000
        /// The same where the writer is at its limit: fewer checkpoints move fewer pages twice.
        public var checkpointEventsAtLimit = 5000
        /// Pages in the WAL, of 4 KiB, before the writer waits for the last of them to be moved, so that it starts over.
        public var walPages = 16384
        public var maximumReaders = 4
        /// After how long threads are inactive, in projects that do not say.
        public var inactiveAfterSeconds = Project.Settings.standardInactiveAfterSeconds
        /// Quarantine's bounds for each project; beyond them the newcomer is dropped as `quarantine_full`.
        public var maximumQuarantineItems = 100_000
        public var maximumQuarantineBytes = 256 << 20
        public init() {}
    }

    /// The file could not be opened; says what to do.
    public struct OpenFailure: Error, CustomStringConvertible {
        public var description: String
    }

    let pool: DatabasePool
    let configuration: Configuration
    let clock: WallClock
    let logger: Logger
    let path: String
    /// Numbers the writer has looked up; only the writer's transactions use it, one at a time.
    let numbers = Mutex(NumberCache())
    /// Events written since the checkpoints last looked, and other changes as one each.
    let appended = Atomic(0)
    /// Commits of events since then.
    let commitsMade = Atomic(0)
    let traffic = CommitTraffic()
    let commits = CommitQueue()
    let turnstile: Turnstile
    /// Whether the writer's commits may not wait for the disk: false but while `writeDerived` is at work.
    let isRelaxed = Mutex(false)

    public init(directory: String, configuration: Configuration = Configuration(), clock: WallClock = .system, logger: Logger) throws {
        self.configuration = configuration
        self.clock = clock
        self.logger = logger
        _ = Self.countsNoMemory
        path = directory + "/parley.sqlite"
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw OpenFailure(
                description:
                    "The data folder \(directory) can't be made: \(error.localizedDescription). Choose another with --data, or mend its rights."
            )
        }
        guard FileManager.default.isWritableFile(atPath: directory) else {
            throw OpenFailure(
                description: "The data folder \(directory) is not writable for this user. Choose another with --data, or mend its rights.")
        }
        turnstile = Turnstile(of: path)
        var options = GRDB.Configuration()
        options.maximumReaderCount = configuration.maximumReaders
        options.busyMode = .timeout(10)
        options.prepareDatabase { db in
            try db.execute(sql: "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096")
        }
        do {
            pool = try DatabasePool(path: path, configuration: options)
            let isLater = try pool.read { try Migrations.migrator.hasBeenSuperseded($0) }
            guard !isLater else {
                throw OpenFailure(
                    description: "\(path) was written by a newer Parley: use that one, or a later one; or restore an earlier backup.")
            }
            try Migrations.migrator.migrate(pool)
            try pool.writeWithoutTransaction { db in
                // P-ACK-1: GRDB sets NORMAL when it opens a pool, so FULL has to come after.
                try db.execute(
                    sql: """
                        PRAGMA synchronous = FULL;
                        PRAGMA wal_autocheckpoint = \(4 * configuration.walPages);
                        PRAGMA cache_size = -\(configuration.writerCacheKiB);
                        PRAGMA secure_delete = FAST;
                        """)
            }
        } catch let error as DatabaseError {
            throw OpenFailure(description: Self.advice(on: error, path: path))
        }
    }

    /// Nobody asks SQLite how much memory it has; set once, before the first file is opened.
    private static let countsNoMemory = parley_sqlite_count_no_memory() == SQLITE_OK

    static func advice(onDamage what: String, path: String) -> String {
        "\(path) is damaged or is no Parley database (\(what)). Restore it from a backup, or move it away to start anew."
    }

    static func advice(on error: DatabaseError, path: String) -> String {
        switch error.resultCode {
        case .SQLITE_NOTADB, .SQLITE_CORRUPT: advice(onDamage: error.message ?? "", path: path)
        case .SQLITE_FULL: "The disk of \(path) is full. Free some space and start again."
        case .SQLITE_READONLY, .SQLITE_CANTOPEN, .SQLITE_PERM: "\(path) can't be opened for writing. Mend its rights or the folder's."
        case .SQLITE_BUSY: "\(path) is locked by another program. End that one, or wait for it."
        default: "\(path) can't be opened: \(error.message ?? "error \(error.resultCode.rawValue)")."
        }
    }

    public func close() throws { try pool.close() }

    /// Looks the file over: damage, WAL, and the level an ack stands for.
    public func examine() async throws -> [(check: String, isFine: Bool, detail: String)] {
        let damage = try await pool.read { try String.fetchOne($0, sql: "PRAGMA quick_check(1)") ?? "no answer" }
        let (journal, synchronous) = try await pool.writeWithoutTransaction { db in
            (try String.fetchOne(db, sql: "PRAGMA journal_mode") ?? "", try Int.fetchOne(db, sql: "PRAGMA synchronous") ?? -1)
        }
        return [
            ("database is sound", damage == "ok", damage == "ok" ? path : damage),
            ("write-ahead log is on", journal == "wal", journal),
            ("an ack means on disk (synchronous=FULL)", synchronous == 2, "synchronous=\(synchronous)"),
        ]
    }
}

extension SQLiteStore: Store {}

extension SQLiteStore {
    /// One step of the search index, for tests that cannot wait for it.
    package func indexNextForTests() async throws -> Int { try await indexNext() }

    /// All steps of search, facts and views, for tests that cannot wait for them.
    package func catchUpForTests() async throws {
        while try await indexNext() > 0 {}
        while try await followNext() > 0 {}
        while try await viewNext() {}
        while try await purgeNext() {}
    }

    /// How SQLite would run these statements, a line each.
    package func plansForTests(of statements: [String]) async throws -> [String] {
        try await pool.read { db in
            try statements.map { sql in
                let statement = try db.makeStatement(sql: "EXPLAIN QUERY PLAN " + sql)
                statement.setUncheckedArguments([])
                return try Row.fetchAll(statement).map { $0["detail"] as String }.joined(separator: "; ")
            }
        }
    }
}

/// Numbers of sources and users, which never change once given.
struct NumberCache {
    /// Past this many a cache starts anew: about 10 MB.
    static let maximum = 50_000

    /// `control.revision` when they were looked up: projects and users may have been taken away since, by another process too.
    var revision: Int64 = -1
    var sources: [Source: Int64] = [:]
    var people: [OwnedID: Int64] = [:]
    /// IDs whose names are registered.
    var named: Set<OwnedID> = []
    /// What messages may find in a project, as long as `stamp` is that of the file.
    var awaiting: [ProjectID: RunLinks.Awaiting] = [:]
    /// Threads as they stand in their rows, as long as `stamp` is that of the file.
    var threads = ThreadMemory()
    var stamp: ChangeStamp?

    /// Past this many threads start anew: about 15 MB, of 20 at most.
    private static let maximumThreads = 16_384

    mutating func trim() {
        if named.count > Self.maximum { named.removeAll() }
        if sources.count > Self.maximum { sources.removeAll() }
        if people.count > Self.maximum { people.removeAll() }
        if threads.count > Self.maximumThreads { threads = ThreadMemory() }
    }
}

extension String {
    /// Its UTF-8, where it stands if that is in one piece.
    func withBytes<Result>(_ body: (UnsafeBufferPointer<UInt8>) throws -> Result) rethrows -> Result {
        if let result = try utf8.withContiguousStorageIfAvailable(body) { return result }
        var copy = self
        return try copy.withUTF8(body)
    }
}

/// Whether anything was written since: by another connection (SQLite, "PRAGMA data_version"), or by this one.
struct ChangeStamp: Equatable {
    var version: Int64
    var changes: Int

    init(_ db: Database) throws {
        version = try Int64.fetchOne(db.cachedStatement(sql: "PRAGMA data_version")) ?? 0
        changes = db.totalChangesCount
    }
}
