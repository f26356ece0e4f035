import Crypto
public import PostgresStore
import SQLiteStore
import Synchronization

/// Copies what a file holds to a database, while gateways go on writing to the file; what both hold is the same then, row by row.
///
/// Rows are facts: they are copied as they stand, with their numbers, times and order, and nothing is decided again. Each table is walked in
/// the order of its key, page by page, each page of the file one snapshot; what of a page differs in the database is mended, in one
/// transaction with the mark of how far it came (`migration_table`), so that a copy that was killed goes on there.
///
/// 1. `copy()` brings all rows, once.
/// 2. `follow()` brings what is new, and what has changed since; as often as one likes.
/// 3. `finish()`, once nobody writes to the file any more, walks all of it a last time and compares every row. Only then
///    do servers open the database (`PostgresStore.Configuration.admitsUnfinished`).
///
/// Its calls block, those to either side: it is made for a process of its own.
public final class Migration {
    /// How far it is, for who looks on.
    public struct Progress: Sendable {
        public var table: String
        public var done: Int
        public var total: Int
    }

    private let folder: String
    private let path: String
    private let address: ConnectionString
    private let walker: Walker
    /// Where each table's copy has come to; nil is its beginning. What is not in it is copied to its end.
    private var places: [String: Walker.Place] = [:]
    /// Rows of the file by table, as they were first counted: for who looks on.
    private var counts: [String: Int] = [:]

    private var source: SourceFile { walker.source }
    private var target: TargetDatabase { walker.target }

    // MARK: beginning

    /// Opens both, and looks whether the one may be copied to the other. The database has its tables already.
    ///
    /// Throws `MigrationFailure`: where the file is of another version, or went back since the copy began; where the database holds something
    /// else; where another copy is at work on it.
    /// - Parameter comparing: whether nothing is to be written.
    public init(folder: String, to address: ConnectionString, comparing: Bool = false, now: Int64) throws {
        (self.folder, self.address) = (folder, address)
        path = folder + "/" + SQLiteStore.fileName
        let source = try SourceFile(path: path)
        let schema = try source.integer("SELECT max(CAST(identifier AS INTEGER)) FROM grdb_migrations") ?? 0
        guard schema == SQLiteStore.schema else {
            throw MigrationFailure(
                description: schema < SQLiteStore.schema
                    ? "\(path) is of an earlier version (schema \(schema), this one's is \(SQLiteStore.schema)): start this Parley's server on it once, which brings it up to date."
                    : "\(path) was written by a newer Parley (schema \(schema), this one knows \(SQLiteStore.schema)): use that one.")
        }
        walker = Walker(source, try TargetDatabase(address))
        try Walker.explained {
            try lock()
            try begin(comparing: comparing, now: now)
            places = try readPlaces()
        }
    }

    /// The first of two numbers that stand for the copy among the database's advisory locks, and the second.
    private static let lockNumbers = "1885434477, 0"

    /// Who was killed may be on the server's side for a moment still.
    private func wait(_ complaint: String, until isFree: () throws -> Bool) throws {
        for _ in 0..<20 {
            if try isFree() { return }
            try target.run("SELECT pg_sleep(0.5)")
        }
        throw MigrationFailure(description: complaint)
    }

    private func lock() throws {
        try wait("Another `parley migrate` is at work on this database: wait for it, or end it.") {
            try target.run("SELECT pg_try_advisory_lock(\(Self.lockNumbers))")[0][0] == "t"
        }
    }

    private func begin(comparing: Bool, now: Int64) throws {
        let identity = Walker.hex(Array(SHA256.hash(data: try source.blob("SELECT tombstone_key FROM control") ?? [])))
        let isBegun = try target.run("SELECT to_regclass('migration') IS NOT NULL")[0][0] == "t"
        let rows = isBegun ? try target.run("SELECT source, ended, log, revision, noted FROM migration") : []
        guard let row = rows.first else {
            guard !comparing else { throw MigrationFailure(description: "Nothing was copied to this database: leave --verify out.") }
            return try note(source: identity, now: now)
        }
        guard row[0] == identity else {
            throw MigrationFailure(description: "The database was begun with the data of another folder: copy to a new one.")
        }
        guard row[1] == nil || comparing else {
            throw MigrationFailure(
                description:
                    "The data of \(folder) is in this database already, and servers may have written to it since: nothing is left to copy.")
        }
        let marks = try walker.marks()
        for (before, now) in zip([row[2], row[3], row[4]], marks) where Int64(before ?? "") ?? 0 > now {
            throw MigrationFailure(
                description:
                    "\(folder) is not what it was when the copy began: its log ended later then. If it was restored from a backup, copy to a new database."
            )
        }
    }

    /// Begins in a database in which there is nothing yet.
    private func note(source identity: String, now: Int64) throws {
        try wait("A server or a command is at work on this database: end it first.") {
            let sessions = """
                SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'parley'
                """
            return try target.run(sessions)[0][0] == "0"
        }
        let held = try ["project", "key", "member", "event", "audit"].filter { try target.count(of: .named($0)) > 0 }
        guard held.isEmpty else {
            throw MigrationFailure(
                description:
                    "The database holds other data (\(held.joined(separator: ", "))). Copy to a new one: createdb --encoding=UTF8 --template=template0 NAME."
            )
        }
        _ = try target.transaction {
            try target.run(
                """
                CREATE TABLE IF NOT EXISTS migration (
                    source text NOT NULL, began bigint NOT NULL, ended bigint, log bigint NOT NULL, revision bigint NOT NULL,
                    noted bigint NOT NULL);
                CREATE TABLE IF NOT EXISTS migration_table (
                    name text PRIMARY KEY, place text, rows bigint NOT NULL, is_whole boolean NOT NULL);
                INSERT INTO migration VALUES ('\(identity)', \(now), NULL, 0, 0, 0)
                """)
        }
    }

    private func readPlaces() throws -> [String: Walker.Place] {
        var places: [String: Walker.Place] = [:]
        for row in try target.run("SELECT name, place, rows, is_whole FROM migration_table") {
            guard let name = row[0] else { continue }
            places[name] = Walker.Place(
                key: row[1].map { RowBytes(bytes: Self.bytes(ofHex: $0)) }, rows: Int(row[2] ?? "") ?? 0, isWhole: row[3] == "t")
        }
        return places
    }

    // MARK: copying

    /// Whether every row was brought once.
    public var isCopied: Bool { MigratedTable.all.allSatisfy { places[$0.name]?.isWhole ?? false } }

    /// Brings all rows; goes on where an earlier one ended.
    public func copy(onStep: (Progress) throws -> Void) throws {
        try Walker.explained {
            let total = try countRows()
            var before = 0
            for group in MigratedTable.groups {
                try inOneMoment(group) {
                    for table in group {
                        var place = places[table.name] ?? Walker.Place()
                        while !place.isWhole {
                            place = try walker.step(table, from: place, isMoving: true).place
                            places[table.name] = place
                            try onStep(Progress(table: table.name, done: min(before + place.rows, total), total: total))
                        }
                        before += counts[table.name] ?? 0
                    }
                }
            }
            // Servers ask as soon as they start: the planner should know the tables then.
            try target.run("ANALYZE")
        }
    }

    private func countRows() throws -> Int {
        if counts.isEmpty { try source.read { for table in MigratedTable.all { counts[table.name] = try source.count(of: table) } } }
        return counts.values.reduce(0, +)
    }

    /// Those that refer to each other are read in one snapshot, and from their beginnings where they were not brought to their ends.
    private func inOneMoment(_ group: [MigratedTable], _ body: () throws -> Void) throws {
        guard group.count > 1 else { return try body() }
        if !group.allSatisfy({ places[$0.name]?.isWhole ?? false }) { for table in group { places[table.name] = nil } }
        try source.read(body)
    }

    /// Brings what came since, and looks through all tables but the logs for what has changed; answers how many rows that were.
    /// - Parameter onStep: called after each page; may throw to end it.
    public func follow(onStep: () throws -> Void = {}) throws -> Int {
        try Walker.explained {
            _ = try countRows()
            var changed = 0
            for group in MigratedTable.groups {
                try inOneMoment(group) {
                    for table in group {
                        var place = table.isLog ? places[table.name] ?? Walker.Place() : Walker.Place()
                        place.isWhole = false
                        while !place.isWhole {
                            let step = try walker.step(table, from: place, isMoving: table.isLog)
                            place = step.place
                            if table.isLog { places[table.name] = place }
                            changed += step.mended
                            try onStep()
                        }
                    }
                }
            }
            return changed
        }
    }

    /// Events of the file that are not copied yet.
    public func behind() throws -> Int {
        let last = places["event"]?.key?.fields[0].map { RowBytes.integer($0) } ?? 0
        return Int(try source.integer("SELECT count(*) FROM event WHERE sequence > \(last) AND project <> 0") ?? 0)
    }

    // MARK: finishing

    /// A stretch of a table, for one of those who compare.
    private struct Piece: Sendable {
        var tables: [MigratedTable]
        var place = Walker.Place()
    }

    /// What those who compare share.
    private final class Work: Sendable {
        let left: Mutex<ArraySlice<Piece>>
        let done = Atomic(0)
        let found = Mutex<[String: Comparison]>([:])

        init(_ pieces: [Piece]) { left = Mutex(pieces[...]) }
    }

    /// What is to be compared, each piece by itself: the log is the most of it, and cut by its numbers.
    private func pieces(for workers: Int) throws -> [Piece] {
        let log = MigratedTable.named("event")
        let last = try source.integer("SELECT max(sequence) FROM event") ?? 0
        let length = max(last / Int64(workers * 2), 1000)
        let cuts = Array(stride(from: length, to: last, by: Int64.Stride(length)))
        var pieces = zip([nil] + cuts.map(Optional.some), cuts.map(Optional.some) + [nil]).map { start, end in
            Piece(tables: [log], place: Walker.Place(key: start.map(Self.key), end: end.map(Self.key)))
        }
        pieces += MigratedTable.groups.filter { $0[0].name != log.name }.map { Piece(tables: $0) }
        return pieces
    }

    private static func key(_ number: Int64) -> RowBytes {
        var key = RowBytes()
        key.append(number)
        return key
    }

    /// Compares every row of both, and mends what differs; then the database is whole, and servers may open it.
    ///
    /// For when nobody writes to the file any more. Answers what came of each table; where one does not agree, or somebody wrote all the
    /// same (`isStill`), the database stays closed.
    /// - Parameters:
    ///   - mends: whether what differs is mended; otherwise nothing is written at all.
    ///   - workers: how many compare side by side, each with a connection of its own to either side.
    ///   - onStep: called after each page, by any of them.
    ///   - onWhole: called before the database is opened to servers.
    public func finish(
        mends: Bool, workers: Int, now: Int64, onStep: @escaping @Sendable (Progress) -> Void, onWhole: () throws -> Void = {}
    ) async throws -> (tables: [Comparison], isStill: Bool) {
        let (version, total, pieces) = try Walker.explained { (try source.version(), try countRows(), try self.pieces(for: workers)) }
        let work = Work(pieces)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<workers {
                group.addTask { [path, address] in
                    try Walker.explained {
                        let walker = Walker(try SourceFile(path: path), try TargetDatabase(address))
                        while let piece = work.left.withLock({ $0.popFirst() }) {
                            try walker.compare(piece.tables, piece.place, mends: mends) { table, rows in
                                let sum = work.done.add(rows, ordering: .relaxed).newValue
                                onStep(Progress(table: table, done: min(sum, total), total: total))
                            } into: { comparison in
                                work.found.withLock { $0[comparison.table, default: Comparison(of: comparison.table)].add(comparison) }
                            }
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        return try Walker.explained {
            let found = work.found.withLock { $0 }
            let tables = try MigratedTable.all.map { table in
                var comparison = found[table.name] ?? Comparison(of: table.name)
                comparison.counted = try target.count(of: table)
                return comparison
            }
            let isStill = try source.version() == version
            if mends, isStill, tables.allSatisfy(\.agrees) {
                try onWhole()
                try settle(now: now)
            }
            return (tables, isStill)
        }
    }

    /// What is of one row, and where numbers go on; the last commit, which waits for the disk.
    private func settle(now: Int64) throws {
        func last(_ table: String, _ column: String = "number") throws -> Int64 {
            let given = try source.integer("SELECT max(seq) FROM sqlite_sequence WHERE name = '\(table)'") ?? 0
            return max(given, try source.integer("SELECT max(\(column)) FROM \(table)") ?? 0)
        }
        var sequences = try [("thread_number", "thread"), ("person_number", "person"), ("source_number", "source")].map {
            ("'\($0)'", try last($1))
        }
        for table in ["project", "audit", "quarantine"] {
            sequences.append(("pg_get_serial_sequence('\(table)', 'number')", try last(table)))
        }
        let revision = try source.integer("SELECT revision FROM control") ?? 0
        let key = Walker.hex(try source.blob("SELECT tombstone_key FROM control") ?? [])
        let followed = try source.integer("SELECT followed FROM follower") ?? 0
        let log = try last("event", "sequence")
        try target.transaction {
            try target.run("SET LOCAL synchronous_commit = on")
            try target.run("SELECT setval('event_sequence', \(log)) WHERE \(log) > (SELECT last_value FROM event_sequence)")
            for (sequence, number) in sequences where number > 0 { try target.run("SELECT setval(\(sequence), \(number))") }
            try target.run(
                """
                UPDATE control SET revision = greatest(revision, \(revision)) + 1, tombstone_key = '\\x\(key)';
                UPDATE follower SET followed = \(followed);
                UPDATE migration SET ended = \(now)
                """)
        }
    }

    private static func bytes(ofHex text: String) -> [UInt8] {
        let digits = Array(text.utf8)
        return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(String(decoding: digits[$0...$0 + 1], as: UTF8.self), radix: 16)! }
    }
}

/// Why a file can't be copied to a database, and what to do.
public struct MigrationFailure: Error, CustomStringConvertible { public var description: String }
