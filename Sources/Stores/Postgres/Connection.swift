import CLibPQ
import Dispatch
import Foundation
import Synchronization

/// A connection to the server with a thread of its own, on which all of its work is done: statements block that thread, and no other.
final class Connection: Sendable {
    /// What only the thread touches.
    private struct Open {
        var pointer: OpaquePointer
        var database: Database
    }

    private let thread = WorkThread(name: "parley-postgres")

    /// Connects; throws `DatabaseError` where that can't be done.
    static func open(_ configuration: Pool.Configuration) async throws -> Connection {
        let connection = Connection()
        do {
            try await connection.thread.perform { slot in slot = try Self.connect(configuration) }
        } catch {
            connection.close()
            throw error
        }
        return connection
    }

    /// Runs `work` on the connection's thread; answers what came of it, and whether the connection can be used again.
    func perform<Value: Sendable>(_ work: @escaping @Sendable (Database) throws -> Value) async -> (Result<Value, any Error>, Bool) {
        do {
            return try await thread.perform { slot in
                guard let open = slot as? Open else { throw DatabaseError(.disconnected, "The connection to the database is closed.") }
                let result = Result { try work(open.database) }
                return (result, open.database.isReusable)
            }
        } catch {
            return (.failure(error), false)
        }
    }

    /// Whether it can still be used.
    func isReusable() async -> Bool { await perform { _ in }.1 }

    /// Ends the connection after what it is doing. The server is told, and the thread ends.
    func close() {
        thread.finish { slot in
            if let open = slot as? Open { PQfinish(open.pointer) }
            slot = nil
        }
    }

    private static func connect(_ configuration: Pool.Configuration) throws -> Open {
        let parameters = try configuration.connection.parameters()
        let pointer = withCStrings(parameters.map(\.keyword)) { keywords in
            withCStrings(parameters.map(\.value)) { values in PQconnectdbParams(keywords, values, 0) }
        }
        guard let pointer else { throw DatabaseError(.disconnected, "There is no memory for a connection to the database.") }
        do {
            guard PQstatus(pointer) == CONNECTION_OK else {
                var said = String(cString: PQerrorMessage(pointer)).split(separator: "\n").joined(separator: "; ")
                // libpq doesn't say it, but a service or a plug-in might.
                if let password = PQpass(pointer).map({ String(cString: $0) }), !password.isEmpty {
                    said = said.replacingOccurrences(of: password, with: "***")
                }
                throw DatabaseError(.disconnected, said.isEmpty ? "The database can't be reached." : said)
            }
            // Notices are for people at a terminal.
            PQsetNoticeProcessor(pointer, { _, _ in }, nil)
            try set(up: pointer, configuration)
            return Open(pointer: pointer, database: try Database(pointer, patience: configuration.patience))
        } catch {
            PQfinish(pointer)
            throw error
        }
    }

    private static let plansForWriting =
        "SET plan_cache_mode = force_generic_plan; SET enable_hashjoin = off; SET enable_mergejoin = off;"

    private static func set(up pointer: OpaquePointer, _ configuration: Pool.Configuration) throws {
        func milliseconds(_ duration: Duration) -> Int64 {
            duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000
        }
        // All that is read has an index for it. While a table is small, or the planner's picture of it old, walking through it looks cheap;
        // and a plan that is kept outlives that.
        //
        // P-ACK-1: a commit's answer waits for the disk; what an operator set beyond that (`remote_apply`) stands.
        let sql = """
            SET statement_timeout = \(milliseconds(configuration.statementTimeout));
            SET lock_timeout = \(milliseconds(configuration.lockTimeout));
            SET idle_in_transaction_session_timeout = \(milliseconds(configuration.idleInTransactionTimeout));
            \(configuration.isForWriting ? plansForWriting : "")
            \(configuration.isParallel ? "" : "SET max_parallel_workers_per_gather = 0;")
            SET standard_conforming_strings = on; SET bytea_output = 'hex'; SET TimeZone = 'UTC'; SET jit = off;
            SET enable_seqscan = off;
            SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
            """
        guard let result = PQexec(pointer, sql) else { throw DatabaseError(.disconnected, "The connection to the database broke.") }
        let answer = Answer(result)
        guard answer.status == PGRES_TUPLES_OK else { throw DatabaseError(answer, statement: "SET …") }
        guard let encoding = PQparameterStatus(pointer, "server_encoding").map({ String(cString: $0) }), encoding == "UTF8" else {
            throw DatabaseError(
                .closed, "The database does not keep its texts as UTF-8. Make another: createdb --encoding=UTF8 --template=template0 NAME.")
        }
    }

    private static func withCStrings<Value>(_ texts: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Value) -> Value {
        var pointers = texts.map { UnsafePointer<CChar>(strdup($0)) }
        defer { for pointer in pointers { free(UnsafeMutablePointer(mutating: pointer)) } }
        pointers.append(nil)
        return pointers.withUnsafeBufferPointer { body($0.baseAddress!) }
    }
}

/// A thread that does one piece of work after the other, with something of its own that no other thread sees.
///
/// Its queue is as long as there are callers: a pool hands a connection to one at a time.
private final class WorkThread: Sendable {
    private typealias Work = @Sendable (inout Any?) -> Bool

    private struct State {
        var queue: [Work] = []
        var isFinished = false
    }

    private let state = Mutex(State())
    private let signal = DispatchSemaphore(value: 0)

    init(name: String) {
        let thread = Thread { self.run() }
        thread.name = name
        thread.start()
    }

    private func run() {
        var slot: Any?
        while true {
            signal.wait()
            let work = state.withLock { $0.queue.removeFirst() }
            if work(&slot) { return }
        }
    }

    /// Answers whether it will be done; after the last work nothing is.
    private func add(isLast: Bool = false, _ work: @escaping Work) -> Bool {
        let isAdded = state.withLock { state in
            if state.isFinished { return false }
            state.isFinished = isLast
            state.queue.append(work)
            return true
        }
        if isAdded { signal.signal() }
        return isAdded
    }

    func perform<Value: Sendable>(_ work: @escaping @Sendable (inout Any?) throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            let isAdded = add { slot in
                continuation.resume(with: Result { try work(&slot) })
                return false
            }
            if !isAdded {
                continuation.resume(throwing: DatabaseError(.disconnected, "The connection to the database is closed."))
            }
        }
    }

    func finish(_ work: @escaping @Sendable (inout Any?) -> Void) {
        _ = add(isLast: true) { slot in
            work(&slot)
            return true
        }
    }
}
