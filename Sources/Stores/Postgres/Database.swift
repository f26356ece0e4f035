import CLibPQ

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// One connection inside a transaction: statements run on it one after the other, and block the connection's own thread.
///
/// Each statement is prepared once a connection and found again by its text, so statements are constant texts with `$1`, `$2`, … for
/// all that varies. What a transaction needs to ask at once goes in a `Pipeline`: one round trip for all of it.
///
/// Not `Sendable`: it is handed to a closure of `Pool.read` or `Pool.write` and is of no use outside of it.
final class Database {
    /// How long one round trip may take, whatever the server's own timeouts say.
    private let patience: Duration
    private let connection: OpaquePointer
    /// The names of statements this connection knows, by their text and the types of their arguments.
    private var prepared: [StatementKey: String] = [:]
    private var nextName = 0
    /// What opens the transaction, sent in front of its first statement; empty once that is done.
    private var opening: [String] = []
    /// Transactions that wrote, and after how many of them plans are made anew.
    private var writes = 0
    private var nextPlanning = firstPlanning
    private(set) var isInTransaction = false
    /// Whether a COMMIT was sent whose answer has not come.
    private var isCommitting = false
    /// Whether nobody waits any more for what is under way.
    private var isAbandoned = false

    /// Statements kept a connection; past this many all are forgotten: the store's own are some hundreds.
    private static let maximumPrepared = 1000

    /// A plan is made for tables as large as they are then. While they are young that is soon another size, so plans are made anew after
    /// so many transactions, after twice as many, and so on; then each time that many have passed, which costs some milliseconds.
    private static let firstPlanning = 16
    private static let longestPlanning = 4096

    private struct StatementKey: Hashable {
        var sql: String
        var types: [UInt32]
    }

    /// - Parameter connection: a `PGconn` that is connected, which the caller keeps and ends.
    init(_ connection: OpaquePointer, patience: Duration) throws {
        self.connection = connection
        self.patience = patience
        guard PQsetnonblocking(connection, 1) == 0, PQenterPipelineMode(connection) == 1 else { throw lost() }
    }

    // MARK: statements

    /// Runs a statement; answers how many rows it changed.
    @discardableResult
    func execute(_ sql: String, _ arguments: Arguments = []) throws -> Int { try fetchAll(sql, arguments).changesCount }

    func fetchOne(_ sql: String, _ arguments: Arguments = []) throws -> Row? { try fetchAll(sql, arguments).first }

    func fetchAll(_ sql: String, _ arguments: Arguments = []) throws -> Rows {
        var pipeline = Pipeline()
        let place = pipeline.add(sql, arguments)
        return try run(pipeline)[place]
    }

    /// Runs statements in their order, in one round trip. The first that fails is thrown; those after it are not run.
    func run(_ pipeline: Pipeline) throws -> Pipeline.Answers { try run(pipeline, isLast: false) }

    /// Several statements as one text, without arguments: for migrations.
    func executeScript(_ sql: String) throws {
        try begin()
        guard PQexitPipelineMode(connection) == 1 else { throw lost() }
        defer { PQenterPipelineMode(connection) }
        guard PQsetnonblocking(connection, 0) == 0 else { throw lost() }
        defer { PQsetnonblocking(connection, 1) }
        guard let pointer = PQexec(connection, sql) else { throw lost() }
        let answer = Answer(pointer)
        guard [PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY].contains(answer.status) else {
            throw isBroken ? lost() : DatabaseError(answer, statement: sql)
        }
    }

    // MARK: notifications

    /// What somebody said on a channel.
    struct Notification: Sendable {
        var channel: String
        var payload: String
    }

    /// What was said on the channels that this connection listens to; waits so long for the first word. Not in a transaction.
    func notifications(waiting time: Duration) throws -> [Notification] {
        var heard = said()
        guard heard.isEmpty else { return heard }
        var socket = pollfd(fd: PQsocket(connection), events: Int16(POLLIN), revents: 0)
        let milliseconds = time.components.seconds * 1000 + time.components.attoseconds / 1_000_000_000_000_000
        guard poll(&socket, 1, Int32(clamping: milliseconds)) >= 0 || errno == EINTR else { throw lost() }
        guard PQconsumeInput(connection) == 1 else { throw lost() }
        heard = said()
        guard PQstatus(connection) == CONNECTION_OK else { throw lost() }
        return heard
    }

    private func said() -> [Notification] {
        var heard: [Notification] = []
        while let word = PQnotifies(connection) {
            heard.append(Notification(channel: String(cString: word.pointee.relname), payload: String(cString: word.pointee.extra)))
            PQfreemem(word)
        }
        return heard
    }

    // MARK: transactions

    /// Runs `body` in a transaction: committed when it returns, rolled back when it throws.
    ///
    /// The opening travels with the body's first statement; a body may send the commit along with its last ones (`commit(with:)`).
    func transaction<Value>(_ kind: TransactionKind, _ body: (Database) throws -> Value) throws -> Value {
        opening = [kind.rawValue]
        if kind == .write {
            writes += 1
            if writes >= nextPlanning {
                nextPlanning = writes + min(writes, Self.longestPlanning)
                opening.insert("DISCARD PLANS", at: 0)
            }
        }
        isInTransaction = true
        isCommitting = false
        defer { (opening, isInTransaction) = ([], false) }
        do {
            let value = try body(self)
            if isInTransaction { try commit(with: Pipeline()) }
            return value
        } catch {
            if isInTransaction, opening.isEmpty, !isBroken {
                isInTransaction = false
                // Should even this fail, the connection is given up with its transaction.
                _ = try? execute("ROLLBACK")
            }
            throw error
        }
    }

    enum TransactionKind: String {
        /// Each statement sees what was committed before it began.
        case write = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
        /// All statements see the same.
        case read = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    }

    /// Sends a transaction's last statements and its COMMIT in one round trip. Where one fails, nothing is committed.
    @discardableResult
    func commit(with pipeline: Pipeline) throws -> Pipeline.Answers {
        precondition(isInTransaction, "there is no transaction to commit")
        if pipeline.isEmpty, !opening.isEmpty {
            (opening, isInTransaction) = ([], false)
            return Pipeline.Answers([])
        }
        let answers = try run(pipeline, isLast: true)
        isInTransaction = false
        return answers
    }

    /// Sends what opens the transaction, if that is still to be sent.
    private func begin() throws {
        guard !opening.isEmpty else { return }
        var pipeline = Pipeline()
        for sql in opening { pipeline.add(sql) }
        opening = []
        _ = try send(pipeline)
    }

    private func run(_ pipeline: Pipeline, isLast: Bool) throws -> Pipeline.Answers {
        var whole = Pipeline()
        let openings = opening.count
        for sql in opening { whole.add(sql) }
        opening = []
        whole.add(pipeline)
        if isLast {
            whole.add("COMMIT")
            isCommitting = true
        }
        var answers: [Rows]
        do {
            answers = try send(whole)
        } catch var error as DatabaseError {
            error.isUnknown = isLast && isCommitting
            throw error
        }
        if isLast { isCommitting = false }
        answers.removeFirst(openings)
        if isLast { answers.removeLast() }
        return Pipeline.Answers(answers)
    }

    // MARK: the wire

    private var isBroken: Bool { isAbandoned || PQstatus(connection) == CONNECTION_BAD }

    /// Whether it can be used by the next who wants it: no transaction is open, nothing is under way, and the server has not hung up.
    var isReusable: Bool {
        guard !isBroken, PQtransactionStatus(connection) == PQTRANS_IDLE else { return false }
        var socket = pollfd(fd: PQsocket(connection), events: Int16(POLLIN), revents: 0)
        guard poll(&socket, 1, 0) > 0 else { return true }
        // Something was said unasked: a goodbye, or a notice.
        return PQconsumeInput(connection) == 1 && PQstatus(connection) == CONNECTION_OK
    }

    private func lost() -> DatabaseError {
        let said = String(cString: PQerrorMessage(connection)).split(separator: "\n").first.map { String($0) }
        return DatabaseError(.disconnected, "The connection to the database broke\(said.map { ": \($0)" } ?? "").")
    }

    private func send(_ pipeline: Pipeline) throws -> [Rows] {
        if prepared.count > Self.maximumPrepared { try forgetStatements() }
        // Names of what is prepared on the way count once the server said so.
        var preparing: [StatementKey: String] = [:]
        var expected: [(key: StatementKey, isPreparing: Bool)] = []
        for statement in pipeline.statements {
            let values = statement.arguments.values
            let key = StatementKey(sql: statement.sql, types: values.map { Swift.type(of: $0).type })
            var name = prepared[key] ?? preparing[key]
            if name == nil {
                nextName += 1
                name = "s\(nextName)"
                preparing[key] = name
                expected.append((key, true))
                guard PQsendPrepare(connection, name!, key.sql, Int32(key.types.count), key.types) == 1 else { throw lost() }
            }
            expected.append((key, false))
            try send(values, to: name!)
        }
        guard PQpipelineSync(connection) == 1 else { throw lost() }
        return try receive(expected, preparing)
    }

    private func send(_ values: [any Bindable], to name: String) throws {
        var bytes: [UInt8] = []
        var places: [(offset: Int, length: Int)?] = []
        for value in values {
            if value.isNull {
                places.append(nil)
            } else {
                let offset = bytes.count
                value.append(to: &bytes)
                places.append((offset, bytes.count - offset))
            }
        }
        // A value of no bytes still needs an address: without one it is NULL.
        bytes.append(0)
        let sent = bytes.withUnsafeBytes { buffer in
            let start = buffer.baseAddress!.assumingMemoryBound(to: CChar.self)
            let pointers = places.map { $0.map { UnsafePointer(start + $0.offset) } }
            let lengths = places.map { Int32($0?.length ?? 0) }
            let formats = [Int32](repeating: 1, count: values.count)
            return PQsendQueryPrepared(connection, name, Int32(values.count), pointers, lengths, formats, 1)
        }
        guard sent == 1 else { throw lost() }
    }

    /// Reads the answers up to the end of the round trip, and sends what is still to be sent meanwhile.
    private func receive(_ expected: [(key: StatementKey, isPreparing: Bool)], _ preparing: [StatementKey: String]) throws -> [Rows] {
        let deadline = ContinuousClock.now + patience
        var answers: [Rows] = []
        var failure: DatabaseError?
        for (key, isPreparing) in expected {
            while let answer = try next(by: deadline) {
                switch answer.status {
                case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY:
                    if isPreparing { prepared[key] = preparing[key] } else { answers.append(Rows(answer: answer)) }
                case PGRES_PIPELINE_ABORTED: break
                default: failure = failure ?? DatabaseError(answer, statement: key.sql)
                }
            }
            if isBroken { break }
        }
        // The mark at the end of the round trip; without it what comes next would be taken for another's answer.
        if !isBroken, try next(by: deadline)?.status != PGRES_PIPELINE_SYNC {
            isAbandoned = true
            throw failure ?? lost()
        }
        if let failure {
            // The server said no: then a COMMIT behind it was not carried out. But for a goodbye, which may come after it.
            if !failure.endsConnection { isCommitting = false }
            throw failure
        }
        if isBroken { throw lost() }
        return answers
    }

    /// The next answer; nil at the end of a statement's.
    private func next(by deadline: ContinuousClock.Instant) throws -> Answer? {
        while true {
            let unsent = PQflush(connection)
            guard unsent >= 0 else { throw lost() }
            if unsent == 0, PQisBusy(connection) == 0 { return PQgetResult(connection).map { Answer($0) } }
            let left = deadline - .now
            guard left > .zero else {
                isAbandoned = true
                throw DatabaseError(.timedOut, "The database gave no answer within \(patience.components.seconds) seconds.")
            }
            var socket = pollfd(fd: PQsocket(connection), events: Int16(POLLIN | (unsent == 1 ? POLLOUT : 0)), revents: 0)
            let milliseconds = left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000 + 1
            guard poll(&socket, 1, Int32(clamping: milliseconds)) >= 0 || errno == EINTR else { throw lost() }
            // What was said before the end is still read: why the server hung up.
            if socket.revents & Int16(POLLIN | POLLHUP | POLLERR) != 0, PQconsumeInput(connection) == 0, PQisBusy(connection) == 1 {
                throw lost()
            }
        }
    }

    private func forgetStatements() throws {
        prepared = [:]
        var pipeline = Pipeline()
        pipeline.add("DEALLOCATE ALL")
        _ = try send(pipeline)
        // It took itself away too.
        prepared = [:]
    }
}
