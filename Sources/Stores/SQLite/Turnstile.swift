import GRDB

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Where processes that write to one file await SQLite's lock in turn.
///
/// SQLite gives its lock to whoever happens to ask while it is free, and who must wait asks ten times a second at most ("Result Codes",
/// SQLITE_BUSY): beside a server that commits without a pause, a command that revokes a key could ask in vain until its patience ends.
/// Here a writer stands from before BEGIN until the lock is its own, and nobody else asks meanwhile.
///
/// It is a courtesy, on which nothing rests: whoever has stood before it for a second goes on, and without its file (a full disk) there is
/// none. A process that dies leaves it (flock(2)).
final class Turnstile: Sendable {
    private static let patience = Duration.seconds(1)

    private let descriptor: Int32

    /// - Parameter path: of the database. Not its own file: to close that would end SQLite's locks on it ("How To Corrupt", section 2.2).
    init(of path: String) { descriptor = open(path + "-turn", O_RDWR | O_CREAT | O_CLOEXEC, 0o600) }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Writes in a transaction of its own.
    func transaction<Value>(_ db: Database, _ work: () throws -> Value) throws -> Value {
        enter()
        var isInside = true
        defer { if isInside { leave() } }
        var value: Value?
        try db.inTransaction(.immediate) {
            leave()
            isInside = false
            value = try work()
            return .commit
        }
        return value!
    }

    /// Answers whether it is in, which it is not where it has waited for too long.
    @discardableResult
    func enter() -> Bool {
        guard descriptor >= 0 else { return false }
        if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return true }
        let began = ContinuousClock.now
        while ContinuousClock.now - began < Self.patience {
            usleep(1000)
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return true }
        }
        return false
    }

    func leave() {
        if descriptor >= 0 { flock(descriptor, LOCK_UN) }
    }
}

extension SQLiteStore {
    /// Writes in a transaction of its own.
    func write<Value: Sendable>(_ work: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        try await pool.writeWithoutTransaction { [turnstile] db in try turnstile.transaction(db) { try work(db) } }
    }
}
