import ArgumentParser
import Conversations
import Events
import Logging
import StoreMigration
import Synchronization

/// `parley migrate`: copies a data folder's file to a PostgreSQL while a server runs on it.
struct MigrateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate", abstract: "Move all data from a data folder to PostgreSQL, while the server runs.",
        discussion: """
            It copies the file of --data to the database at --store, which must be new, and then follows what the server writes, until the \
            server is ended. Then it compares every row of both, says the number of rows and a digest of each table, and ends; from then on \
            servers run with --store. Clients keep what they have meanwhile and come back. Killed or cut off, it goes on where it was when it \
            is started again. Until it is done no server opens the database; afterwards none opens the file.
            """)

    @Flag(help: "Copy nothing: compare every row of both, once the server is ended and before one runs on the database.")
    var verify = false
    @OptionGroup var data: DataOptions

    func run() async throws {
        let folder = data.folder
        guard folder.database != nil else {
            throw Complaint("Name the database with --store, like postgresql://parley@db.example/parley?sslmode=verify-full.")
        }
        guard folder.exists else { throw Complaint("There is no Parley data in \(folder.path): name its folder with --data.") }
        do {
            if verify { try await compare(folder) } else { try await move(folder) }
        } catch let failure as MigrationFailure {
            throw Complaint(failure.description)
        }
    }

    private func compare(_ folder: DataFolder) async throws {
        // Its tables are there, or it says what is wrong.
        try await Assembly.withTarget(of: folder) { _ in }
        guard let lease = try Lease(of: folder.path, isShared: false) else {
            throw Complaint("A server is at work on \(folder.path): end it first. What it writes would differ.")
        }
        defer { lease.end() }
        let tables = try await finish(Assembly.migration(of: folder, comparing: true), mends: false, folder)
        try tell(tables, seconds: nil, folder)
    }

    private func move(_ folder: DataFolder) async throws {
        try await Assembly.withTarget(of: folder) { _ in }
        let migration = try Assembly.migration(of: folder, comparing: false)
        if !migration.isCopied {
            var bar = ProgressBar("Copying", unit: "rows")
            defer { bar.end() }
            try migration.copy { bar.show($0.done, of: $0.total, detail: $0.table) }
        }
        let lease = try await follow(migration, folder)
        defer { lease.end() }
        let began = ContinuousClock.now
        try await note(folder)
        let tables = try await finish(migration, mends: true, folder)
        let seconds = (ContinuousClock.now - began) / .seconds(1)
        try tell(tables, seconds: seconds, folder)
    }

    /// Says it in the file's audit log, which is copied with the rest.
    private func note(_ folder: DataFolder) async throws {
        var file = folder
        file.database = nil
        var logger = Logger(label: "parley") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .error
        let store = try await Assembly.openStore(in: file, logger: logger)
        defer { try? store.close() }
        try await store.note("migrate", subject: folder.shownDatabase)
    }

    /// Follows until no server is at work on the folder any more; answers the claim that keeps others away.
    private func follow(_ migration: Migration, _ folder: DataFolder) async throws -> Lease {
        var isAnnounced = false
        defer { Console.endProgress() }
        while true {
            let began = ContinuousClock.now
            _ = try migration.follow()
            let took = ContinuousClock.now - began
            if let lease = try Lease(of: folder.path, isShared: false) { return lease }
            if !isAnnounced {
                Console.endProgress()
                Console.note(
                    "All is copied, and what is new follows. End the server on \(folder.path) when it suits you: then the rest is compared, and the database is ready."
                )
                isAnnounced = true
            }
            // It follows a quarter of the time, so that the server keeps the rest; and search is made ready beside it.
            let pause = max(took * 3, Self.shortestPause)
            let lease = try await Assembly.withTarget(of: folder) { index -> Lease? in
                while ContinuousClock.now - began < took + pause {
                    Console.progress("Following; \(try migration.behind()) events behind. End the server when it suits you.")
                    try await index(.milliseconds(100))
                    if let lease = try Lease(of: folder.path, isShared: false) { return lease }
                    try await Task.sleep(for: .milliseconds(100))
                }
                return nil
            }
            if let lease { return lease }
        }
    }

    private static let shortestPause = Duration.seconds(1)
    /// How often it is compared anew where a command wrote to the file in the middle.
    private static let attempts = 3

    /// Who compare side by side; more of them than processors, since each waits for the database half of its time.
    private static let workers = 4

    private func finish(_ migration: Migration, mends: Bool, _ folder: DataFolder) async throws -> [Migration.Comparison] {
        let bar = Mutex(ProgressBar("Comparing", unit: "rows"))
        defer { Console.endProgress() }
        for _ in 0..<Self.attempts {
            let (tables, isStill) = try await migration.finish(
                mends: mends, workers: Self.workers, now: WallClock.system.now().microseconds
            ) { progress in
                bar.withLock { $0.show(progress.done, of: progress.total, detail: progress.table) }
            } onWhole: {
                // First nobody opens the file any more, then servers may open the database: never both.
                try folder.noteMove(at: WallClock.system.now())
            }
            if isStill { return tables }
        }
        throw Complaint("A command writes to the file again and again: start this once it is done.")
    }

    /// Says what came of each table; throws where one differs.
    private func tell(_ tables: [Migration.Comparison], seconds: Double?, _ folder: DataFolder) throws {
        if data.json {
            try Console.json { json in
                json.object { json in
                    json.field(ifPresent: "seconds", seconds)
                    json.key("tables")
                    json.array(tables) { json, table in
                        json.object {
                            $0.field("table", table.table)
                            $0.field("rows", table.source.rows)
                            $0.field("digest", table.source.text)
                            $0.field("copiedRows", table.counted)
                            $0.field("copiedDigest", table.target.text)
                            $0.field("agrees", table.agrees)
                        }
                    }
                }
            }
        } else {
            var shown = Table("table", "rows", "digest", "in the database")
            for table in tables {
                let copy = table.agrees ? "the same" : "DIFFERS: \(table.counted) rows, \(table.target.text)"
                shown.add(table.table, "\(table.source.rows)", table.source.text, copy)
            }
            try shown.write()
        }
        let differing = tables.filter { !$0.agrees }.map(\.table)
        guard differing.isEmpty else {
            throw Complaint(
                "The database does not hold what the file does: \(differing.joined(separator: ", ")). \(verify ? "Start without --verify to mend it, where no server has run on the database yet." : "No server opens it. Look at its log, and start again.")"
            )
        }
        guard !verify, !data.json, let seconds else { return }
        let tenths = Int((seconds * 10).rounded())
        try Console.line(
            "All of it is in \(folder.shownDatabase ?? ""), compared in \(tenths / 10).\(tenths % 10) s. Start servers with --store now; the file stays as it is."
        )
    }
}
