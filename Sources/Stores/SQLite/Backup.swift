import Foundation
import GRDB

/// Copies of the file, made while others write to it, and what a copy holds.
extension SQLiteStore {
    /// What stands in a database file, in numbers.
    public struct Contents: Sendable, Equatable {
        /// The last of the migrations that made it.
        public var schema: Int
        /// Rows of what people would miss, by the name of their table.
        public var counts: [String: Int]
        public init(schema: Int, counts: [String: Int]) { (self.schema, self.counts) = (schema, counts) }
    }

    /// A database file that can't be copied or is not sound; says why.
    public struct FileFailure: Error, CustomStringConvertible {
        public var description: String
    }

    /// The name of the file in its folder, and of those that SQLite puts beside it.
    public static let fileName = "parley.sqlite"
    public static let sideFileNames = ["parley.sqlite-wal", "parley.sqlite-shm", "parley.sqlite-journal"]

    /// The schema that this program writes; a file of a later one is of a later program.
    public static var schema: Int { Migrations.migrator.migrations.compactMap { Int($0) }.max() ?? 0 }

    /// Tables whose rows are counted. What is derived from them, search and facts among it, is made again from the log where it lacks.
    private static let counted = [
        "project", "key", "member", "event", "thread", "run", "vote", "score", "comment", "quarantine", "tombstone", "audit", "saved_view",
    ]

    /// Pages copied in one step, of 4 KiB: what is copied and not yet on the disk, which another's fsync may have to wait for, is never more.
    private static let pagesAStep: CInt = 512

    /// Copies the database of a folder into a file, as it stands at one moment: what was committed by then is in it, what comes later is not.
    ///
    /// It reads one snapshot (SQLite, "Isolation"), so that writers go on beside it and never wait for it; what they write meanwhile stays
    /// in the write-ahead log until it is done. After each step it waits as long as the step took, which leaves them half of the disk's time.
    /// The copy needs no file beside it. Nothing is migrated. What has to be done with it after a failure is the caller's.
    /// - Parameter onStep: told after each step how many bytes of how many are copied; may throw to end it.
    public static func copy(directory: String, to target: String, onStep: (_ done: Int64, _ total: Int64) throws -> Void) throws {
        do {
            var options = GRDB.Configuration()
            options.busyMode = .timeout(10)
            let source = try DatabaseQueue(path: directory + "/" + fileName, configuration: options)
            let copy = try DatabaseQueue(path: target, configuration: options)
            let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: target))
            defer { try? file.close() }
            // A copy that was cut off is thrown away, so that it needs no journal; what is finished is synced step by step.
            try copy.writeWithoutTransaction { try $0.execute(sql: "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF") }
            try withoutActuallyEscaping(onStep) { onStep in
                try source.read { db in
                    // The first read takes the snapshot: without one, each step would see what was written since, and begin anew.
                    let pageSize = Int64(
                        try Int.fetchOne(db, sql: "SELECT page_size FROM pragma_page_size, (SELECT 1 FROM control)") ?? 4096)
                    var began = ContinuousClock.now
                    try copy.writeWithoutTransaction { copy in
                        try db.backup(to: copy, pagesPerStep: pagesAStep) { progress in
                            try file.synchronize()
                            try onStep(Int64(progress.completedPageCount) * pageSize, Int64(progress.totalPageCount) * pageSize)
                            let took = ContinuousClock.now - began
                            if !progress.isCompleted { Thread.sleep(forTimeInterval: min(took / .seconds(1), longestPause)) }
                            began = .now
                        }
                    }
                }
            }
            // One file, without the log that the original keeps beside it; the store turns it on again.
            try copy.writeWithoutTransaction { try $0.execute(sql: "PRAGMA journal_mode = DELETE") }
            try copy.close()
            try source.close()
            try file.synchronize()
        } catch let error as DatabaseError {
            throw FileFailure(description: advice(onCopying: error, to: target))
        } catch let error as CocoaError {
            throw FileFailure(description: "\(target) can't be written: \(error.localizedDescription) Back up elsewhere, or mend the disk.")
        }
    }

    /// After a step that a slow disk held up; longer would only make the backup slower.
    private static let longestPause = 0.25

    /// Looks a file over that nobody writes to, and counts what is in it.
    /// - Parameter isThorough: indexes are compared with their tables too, which reads each row of the file.
    public static func contents(ofFile file: String, isThorough: Bool) throws -> Contents {
        var options = GRDB.Configuration()
        options.readonly = true
        do {
            let queue = try DatabaseQueue(path: file, configuration: options)
            return try queue.read { db in
                let damage = try String.fetchOne(db, sql: isThorough ? "PRAGMA integrity_check(1)" : "PRAGMA quick_check(1)") ?? "no answer"
                guard damage == "ok" else { throw FileFailure(description: "\(file) is damaged: \(damage).") }
                return try contents(db, file: file)
            }
        } catch let error as DatabaseError {
            throw FileFailure(description: "\(file) is damaged or is no Parley database (\(error.message ?? "\(error.resultCode)")).")
        }
    }

    private static func contents(_ db: Database, file: String) throws -> Contents {
        let applied = try Migrations.migrator.appliedIdentifiers(db).compactMap { Int($0) }
        guard let schema = applied.max() else { throw FileFailure(description: "\(file) is no Parley database.") }
        // A table of a later version is not there to be counted.
        let tables = try Set(String.fetchAll(db, sql: "SELECT name FROM sqlite_master WHERE type = 'table'"))
        var counts: [String: Int] = [:]
        for table in counted where tables.contains(table) {
            counts[table] = try Int.fetchOne(db, sql: "SELECT count(*) FROM \(table)")
        }
        return Contents(schema: schema, counts: counts)
    }

    private static func advice(onCopying error: DatabaseError, to target: String) -> String {
        switch error.resultCode {
        case .SQLITE_FULL: "The disk of \(target) is full: free some space, or back up elsewhere."
        case .SQLITE_IOERR, .SQLITE_READONLY, .SQLITE_CANTOPEN, .SQLITE_PERM:
            "\(target) can't be written (\(error.message ?? "error \(error.resultCode.rawValue)")): mend its rights, or back up elsewhere."
        case .SQLITE_NOTADB, .SQLITE_CORRUPT: "The database is damaged (\(error.message ?? "")): see `parley doctor`."
        default: "The database can't be copied: \(error.message ?? "error \(error.resultCode.rawValue)")."
        }
    }

    /// Ends all sessions and takes back all sign-in links: those of a backup were ended or used since.
    public func endAllSessions() async throws {
        try await write { try $0.execute(sql: "DELETE FROM sign_in; DELETE FROM review_session") }
    }
}
