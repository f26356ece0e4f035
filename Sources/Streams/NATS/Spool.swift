import Events
import Foundation
import GRDB
import Synchronization

/// Messages that wait on this machine's disk while the stream's servers are away: one SQLite file, with a bound.
///
/// What is in it was acknowledged: it is on this one disk (`synchronous=FULL`) until the servers have it, and leaves only then. What was
/// taken out is overwritten, for it holds what people said.
public final class Spool: Sendable {
    /// What waits.
    public struct Figures: Sendable, Equatable {
        public var messages = 0
        public var bytes: Int64 = 0
        public var maximumBytes: Int64 = 0
        /// Of the messages, those the servers will not have as they are; tried again at the next start.
        public var refused = 0
    }

    /// The file could not be opened; says what to do.
    public struct OpenFailure: Error, CustomStringConvertible { public var description: String }

    struct Message: Sendable, Equatable {
        var subject: String
        /// The `Nats-Msg-Id` it was, and will be, published with.
        var id: String
        var body: [UInt8]

        /// What it takes in the file, about.
        var size: Int64 { Int64(body.count + subject.utf8.count + id.utf8.count + 32) }
    }

    private let queue: DatabaseQueue
    private let state: Mutex<Figures>

    /// - Parameter maximumBytes: of messages; the file is somewhat larger.
    public init(file: String, maximumBytes: Int64) throws(OpenFailure) {
        do {
            if !FileManager.default.fileExists(atPath: file) {
                _ = FileManager.default.createFile(atPath: file, contents: nil, attributes: [.posixPermissions: 0o600])
            }
            var options = GRDB.Configuration()
            options.prepareDatabase { db in
                // Two servers on one spool would each send all of it.
                try db.execute(
                    sql: """
                        PRAGMA locking_mode = EXCLUSIVE; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;
                        PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;
                        """)
            }
            queue = try DatabaseQueue(path: file, configuration: options)
            let (messages, bytes) = try queue.write { db in
                try db.execute(
                    sql: """
                        CREATE TABLE IF NOT EXISTS message (
                            number INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL,
                            refused TEXT);
                        CREATE TABLE IF NOT EXISTS servers (maximumPayload INTEGER NOT NULL);
                        UPDATE message SET refused = NULL WHERE refused IS NOT NULL;
                        """)
                let row = try Row.fetchOne(
                    db, sql: "SELECT count(*), coalesce(sum(length(body) + length(subject) + length(id) + 32), 0) FROM message")!
                return (row[0] as Int, row[1] as Int64)
            }
            state = Mutex(Figures(messages: messages, bytes: bytes, maximumBytes: maximumBytes))
        } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY {
            throw OpenFailure(
                description: "Another server has \(file): give each server of this machine a data folder of its own, with --data.")
        } catch {
            throw OpenFailure(description: "\(file) can't be opened: \(error). Mend its rights, or move it away where it is damaged.")
        }
    }

    public var figures: Figures { state.withLock { $0 } }

    /// Whether there is no room for a message as large as they get by themselves.
    var isFull: Bool { state.withLock { $0.bytes + 1 << 20 > $0.maximumBytes } }

    public func close() throws { try queue.close() }

    /// The largest message the servers took when they were last seen, in bytes; nil where they never were.
    func maximumPayload() async -> Int? {
        try? await queue.read { try Int.fetchOne($0, sql: "SELECT maximumPayload FROM servers") }
    }

    func note(maximumPayload: Int) async {
        try? await queue.write { db in
            try db.execute(sql: "DELETE FROM servers")
            try db.execute(sql: "INSERT INTO servers VALUES (?)", arguments: [maximumPayload])
        }
    }

    /// Keeps all of them, or none and throws: `unavailable` where there is no room, `diskFull` where the disk has none.
    func put(_ messages: [Message]) async throws(SinkFailure) {
        let size = messages.reduce(0) { $0 + $1.size }
        // Room is taken before the write, so that those who write at once do not go beyond it together.
        let hasRoom = state.withLock { state in
            guard state.bytes + size <= state.maximumBytes else { return false }
            state.bytes += size
            state.messages += messages.count
            return true
        }
        guard hasRoom else { throw SinkFailure(.unavailable, "the stream is away and the spool is full") }
        do {
            try await queue.write { db in
                let insert = try db.cachedStatement(sql: "INSERT INTO message (subject, id, body) VALUES (?, ?, ?)")
                for message in messages { try insert.execute(arguments: [message.subject, message.id, Data(message.body)]) }
            }
        } catch {
            state.withLock { state in
                state.bytes -= size
                state.messages -= messages.count
            }
            let isFull = (error as? DatabaseError)?.resultCode == .SQLITE_FULL
            throw SinkFailure(isFull ? .diskFull : .unavailable, "the spool could not be written: \(error)")
        }
    }

    /// The oldest that wait, up to so many and so large; one at least where any does.
    func next(_ count: Int, bytes: Int) async throws -> [(number: Int64, message: Message)] {
        try await queue.read { db in
            var found: [(Int64, Message)] = []
            var size = 0
            let rows = try Row.fetchCursor(
                db, sql: "SELECT number, subject, id, body FROM message WHERE refused IS NULL ORDER BY number LIMIT ?", arguments: [count])
            while let row = try rows.next() {
                let body = [UInt8](row[3] as Data)
                size += body.count
                if size > bytes, !found.isEmpty { break }
                found.append((row[0], Message(subject: row[1], id: row[2], body: body)))
            }
            return found
        }
    }

    /// The servers have these.
    func remove(_ gone: [(number: Int64, message: Message)]) async throws {
        guard !gone.isEmpty else { return }
        try await queue.write { db in
            let delete = try db.cachedStatement(sql: "DELETE FROM message WHERE number = ?")
            for (number, _) in gone { try delete.execute(arguments: [number]) }
        }
        let isEmpty = state.withLock { state in
            state.messages -= gone.count
            state.bytes -= gone.reduce(0) { $0 + $1.message.size }
            return state.messages == 0
        }
        // What the outage took of the disk is given back.
        if isEmpty {
            try await queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)") }
        }
    }

    /// The servers will not have these, whenever they are asked: kept, and out of the way of the others.
    func setAside(_ numbers: [Int64], because reason: String) async throws {
        try await queue.write { db in
            for number in numbers {
                try db.execute(sql: "UPDATE message SET refused = ? WHERE number = ?", arguments: [reason, number])
            }
        }
        state.withLock { $0.refused += numbers.count }
    }
}
