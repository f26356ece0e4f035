public import Conversations
public import Events
public import Logging
import Synchronization

/// The shared store: one PostgreSQL database, written and read by any number of nodes.
///
/// `append` commits as the database does: when it returns, the events survive the death of this process and of the server, as far as its
/// disk keeps its word about fsync, and reach a standby before the answer where the server is set up so (`synchronous_standby_names`).
/// Of one project one append is carried out at a time, on whichever node; those of different projects run side by side.
public final class PostgresStore: Sendable {
    public struct Configuration: Sendable {
        public var connection: ConnectionString
        /// Connections for appends and other writes, and for reads.
        public var maximumWriters = 4
        public var maximumReaders = 6
        /// Callers that wait for a connection of either kind; the next one is told `overloaded`, and so is who waited too long.
        public var maximumWaiting = 256
        public var longestWait = Duration.seconds(5)
        /// Into how many parts the large tables are cut by their project, 1 to 1024; noted when the database is set up, and kept.
        public var partitions = 8
        /// After how long threads are inactive, in projects that do not say.
        public var inactiveAfterSeconds = Project.Settings.standardInactiveAfterSeconds
        /// Quarantine's bounds for each project; beyond them the newcomer is dropped as `quarantine_full`.
        public var maximumQuarantineItems = 100_000
        public var maximumQuarantineBytes = 256 << 20

        /// Whether a database is opened that `parley migrate` has begun to fill and not finished.
        public var admitsUnfinished = false

        public init(connection: ConnectionString) { self.connection = connection }
    }

    /// The database could not be opened; says what to do.
    public struct OpenFailure: Error, CustomStringConvertible {
        public var description: String
    }

    let pool: Pool
    let configuration: Configuration
    let clock: WallClock
    let logger: Logger
    /// Numbers for threads and users that no transaction has used yet.
    let reserve = Mutex(Reserve())
    let statistics = Statistics()

    struct Reserve {
        private var numbers: [NumberReserve.Kind: [Int64]] = [:]

        mutating func take() -> [NumberReserve.Kind: [Int64]] {
            defer { numbers = [:] }
            return numbers
        }

        mutating func give(back unused: [NumberReserve.Kind: [Int64]]) { numbers.merge(unused) { $0 + $1 } }
    }

    /// Connects and brings the tables up to date; several nodes may do so at once. Throws `OpenFailure`.
    public init(configuration: Configuration, clock: WallClock = .system, logger: Logger) async throws {
        self.configuration = configuration
        self.clock = clock
        self.logger = logger
        var bounds = Pool.Configuration(connection: configuration.connection)
        bounds.maximumWriters = configuration.maximumWriters
        bounds.maximumReaders = configuration.maximumReaders
        bounds.maximumWaiting = configuration.maximumWaiting
        bounds.longestWait = configuration.longestWait
        pool = Pool(bounds, logger: logger)
        do {
            try await Migrations.migrate(pool, partitions: min(max(configuration.partitions, 1), 1024))
            if !configuration.admitsUnfinished, try await pool.read({ try Self.isUnfinished($0) }) {
                throw OpenFailure(
                    description:
                        "The database is being filled by `parley migrate` and not whole yet: run that to its end, or use another database.")
            }
        } catch let error as DatabaseError {
            pool.close()
            throw OpenFailure(description: Self.advice(on: error))
        } catch {
            pool.close()
            throw error
        }
    }

    /// Whether what is copied there from a file is not all there yet (`migration`, which only a copy makes).
    private static func isUnfinished(_ db: Database) throws -> Bool {
        guard try Bool.fetchOne(db, sql: "SELECT to_regclass('migration') IS NOT NULL")! else { return false }
        return try db.fetchOne("SELECT 1 FROM migration WHERE ended IS NULL") != nil
    }

    private static func advice(on error: DatabaseError) -> String {
        switch error.cause {
        case .server("42501"):
            "The database's user may not make tables. Let it own the database, or GRANT CREATE ON SCHEMA public (\(error.message))."
        case .server("53100"): "The disk of the database is full. Free some space and start again."
        case .disconnected: "The database can't be reached: \(error.message)"
        default: "The database can't be opened: \(error)"
        }
    }

    /// Ends the connections; what is under way comes to its end first.
    public func close() { pool.close() }

    /// Looks the database over: whether an ack means what it says, and how the server is set up.
    public func examine() async throws -> [(check: String, isFine: Bool, detail: String)] {
        try await pool.read { db in
            let row = try db.fetchOne(
                """
                SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_setting('fsync'),
                    current_setting('full_page_writes'), current_setting('synchronous_commit'),
                    current_setting('synchronous_standby_names'), current_setting('server_encoding'),
                    coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),
                    coalesce(inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1', true),
                    version, partitions FROM parley
                """)!
            let (version, fsync, pages, commit, standbys): (String, String, String, String, String) = (
                row[1], row[2], row[3], row[4], row[5]
            )
            let (encoding, isEncrypted, isLocal): (String, Bool, Bool) = (row[6], row[7], row[8])
            return [
                ("server is PostgreSQL 14 or later", row[0] as Int >= 140_000, version),
                ("tables are up to date", row[9] as Int == Migrations.newest, "version \(row[9] as Int), \(row[10] as Int) partitions"),
                ("texts are UTF-8", encoding == "UTF8", encoding),
                (
                    "an ack means on disk (fsync, synchronous_commit)", fsync == "on" && pages == "on" && commit != "off",
                    "fsync=\(fsync) full_page_writes=\(pages) synchronous_commit=\(commit) synchronous_standby_names=\(standbys.isEmpty ? "none" : standbys)"
                ),
                (
                    "nobody can read the line to the database", isEncrypted || isLocal,
                    isEncrypted ? "TLS" : isLocal ? "on this machine" : "no TLS: set sslmode=verify-full"
                ),
            ]
        }
    }
}

extension PostgresStore: Store {}
