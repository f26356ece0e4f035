import Events
import GRDB
import GRDBSQLite

/// A statement of the writer that every event runs, bound and read through SQLite's own functions.
///
/// GRDB puts each argument and column into a box and finds statements by their text, which costs more than SQLite's work on a row.
/// The few statements that each message runs go around that; all others stay GRDB's.
///
/// Its pointer holds as long as it does: it keeps GRDB's statement, which finalizes it. Only the writer's queue uses it, inside a
/// transaction, and each use ends with a reset.
final class HotStatement {
    /// What each message or run runs.
    enum Name: Int, CaseIterable {
        case insertEvent, readThread, insertThread, updateThread, judgeThread
        case awaiting, runAwaits, voteAwaits, scoreAwaits, noteAwaits, traceAwaits
        case readParent, childrenOfRun, insertRun, setLink, insertTrace, findMessage, messageOfTrace

        var sql: String {
            switch self {
            case .insertEvent: AppendTransaction.insertEvent
            case .awaiting: RunLinks.awaiting
            case .runAwaits: RunLinks.runAwaits
            case .voteAwaits: RunLinks.voteAwaits
            case .scoreAwaits: RunLinks.scoreAwaits
            case .noteAwaits: RunLinks.noteAwaits
            case .traceAwaits: RunLinks.traceAwaits
            case .readThread: ThreadRows.read
            case .insertThread: ThreadRows.insert
            case .updateThread: ThreadRows.plainUpdate
            case .judgeThread: ThreadRows.judge
            case .readParent: RunLinks.readParent
            case .childrenOfRun: RunLinks.children
            case .insertRun: RunLinks.insert
            case .setLink: RunLinks.setLink
            case .insertTrace: RunLinks.insertTrace
            case .findMessage: RunLinks.findMessage
            case .messageOfTrace: RunLinks.messageOfTrace
            }
        }
    }

    private let statement: Statement
    private let pointer: OpaquePointer
    private var position: Int32 = 0
    private var failure = SQLITE_OK

    init(_ statement: Statement) {
        self.statement = statement
        pointer = statement.sqliteStatement
    }

    // MARK: arguments, in the order of their places

    func bind(_ number: Int64?) {
        position += 1
        note(number.map { sqlite3_bind_int64(pointer, position, $0) } ?? sqlite3_bind_null(pointer, position))
    }

    func bind(_ number: Int?) { bind(number.map(Int64.init)) }

    func bind(_ time: Timestamp?) { bind(time?.microseconds) }

    func bind(_ text: String?) {
        position += 1
        guard var text else { return note(sqlite3_bind_null(pointer, position)) }
        text.withUTF8 { bindText($0) }
    }

    /// Bytes that are UTF-8 without NUL, like all JSON of ours.
    func bind(text bytes: [UInt8]?) {
        position += 1
        guard let bytes else { return note(sqlite3_bind_null(pointer, position)) }
        bytes.withUnsafeBufferPointer { bindText($0) }
    }

    func bind(blob bytes: [UInt8]) {
        position += 1
        // SQLite copies them before it returns. An empty array may have no address, which would be NULL.
        if bytes.isEmpty {
            note(sqlite3_bind_zeroblob(pointer, position, 0))
        } else {
            note(bytes.withUnsafeBytes { sqlite3_bind_blob64(pointer, position, $0.baseAddress, UInt64($0.count), Self.copied) })
        }
    }

    /// UTF-8 that stays where it is until the statement has run: SQLite reads it there, and makes no copy.
    ///
    /// Every run binds all anew, so that no later one reads what is gone.
    func bind(held bytes: UnsafeBufferPointer<UInt8>?) {
        position += 1
        guard let bytes else { return note(sqlite3_bind_null(pointer, position)) }
        guard let start = bytes.baseAddress else { return note(sqlite3_bind_text64(pointer, position, "", 0, Self.copied, Self.utf8)) }
        start.withMemoryRebound(to: CChar.self, capacity: bytes.count) {
            note(sqlite3_bind_text64(pointer, position, $0, UInt64(bytes.count), Self.held, Self.utf8))
        }
    }

    /// A BLOB that stays where it is until the statement has run.
    func bind(held bytes: UnsafeRawBufferPointer) {
        position += 1
        // An empty one may have no address, which would be NULL.
        if bytes.isEmpty {
            note(sqlite3_bind_zeroblob(pointer, position, 0))
        } else {
            note(sqlite3_bind_blob64(pointer, position, bytes.baseAddress, UInt64(bytes.count), Self.held))
        }
    }

    /// SQLite copies them before it returns, so they need to live no longer than the call.
    private func bindText(_ bytes: UnsafeBufferPointer<UInt8>) {
        guard let start = bytes.baseAddress else { return note(sqlite3_bind_text64(pointer, position, "", 0, Self.copied, Self.utf8)) }
        start.withMemoryRebound(to: CChar.self, capacity: bytes.count) {
            note(sqlite3_bind_text64(pointer, position, $0, UInt64(bytes.count), Self.copied, Self.utf8))
        }
    }

    /// SQLITE_TRANSIENT, which is a cast in C and so has no name in Swift (SQLite, "Constants Defining Special Destructor Behavior").
    private static let copied = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
    /// SQLITE_STATIC.
    private static let held: sqlite3_destructor_type? = nil
    private static let utf8 = UInt8(SQLITE_UTF8)

    private func note(_ code: Int32) {
        if code != SQLITE_OK, failure == SQLITE_OK { failure = code }
    }

    // MARK: running

    /// Runs to the end; answers how many rows it changed.
    @discardableResult
    func run() throws -> Int {
        try first { _ in }
        return Int(sqlite3_changes(sqlite3_db_handle(pointer)))
    }

    /// Runs until there is a row, and reads that.
    @discardableResult
    func first<Value>(_ read: (HotRow) throws -> Value) throws -> Value? {
        defer { reset() }
        return try step() ? read(HotRow(pointer: pointer)) : nil
    }

    /// Reads every row; `read` may not use this statement.
    func all<Value>(_ read: (HotRow) throws -> Value) throws -> [Value] {
        defer { reset() }
        var values: [Value] = []
        while try step() { values.append(try read(HotRow(pointer: pointer))) }
        return values
    }

    /// Whether there is another row.
    private func step() throws -> Bool {
        guard failure == SQLITE_OK else { throw error(failure) }
        switch sqlite3_step(pointer) {
        case SQLITE_DONE: return false
        case SQLITE_ROW: return true
        case let code: throw error(code)
        }
    }

    private func reset() {
        sqlite3_reset(pointer)
        position = 0
        failure = SQLITE_OK
    }

    private func error(_ code: Int32) -> DatabaseError {
        DatabaseError(
            resultCode: ResultCode(rawValue: code), message: String(cString: sqlite3_errmsg(sqlite3_db_handle(pointer))),
            sql: statement.sql)
    }
}

/// The statements of a transaction, each looked up once.
final class HotStatements {
    private let db: Database
    private var known = [HotStatement?](repeating: nil, count: HotStatement.Name.allCases.count)

    init(_ db: Database) { self.db = db }

    func callAsFunction(_ name: HotStatement.Name) throws -> HotStatement {
        if let statement = known[name.rawValue] { return statement }
        let statement = HotStatement(try db.cachedStatement(sql: name.sql))
        known[name.rawValue] = statement
        return statement
    }
}

/// Columns by position, from whichever way a row was read.
protocol Columns {
    func integer(_ position: Int) -> Int64?
    func text(_ position: Int) -> String?
}

extension Row: Columns {
    func integer(_ position: Int) -> Int64? { self[position] }
    func text(_ position: Int) -> String? { self[position] }
}

/// The row that a hot statement stands on; it holds until the statement is reset, so nobody keeps it.
struct HotRow: Columns {
    fileprivate let pointer: OpaquePointer

    func integer(_ position: Int) -> Int64? {
        sqlite3_column_type(pointer, Int32(position)) == SQLITE_NULL ? nil : sqlite3_column_int64(pointer, Int32(position))
    }

    func text(_ position: Int) -> String? {
        // The text first and its length then: asking for it as text may change the length (SQLite, "Result Values From A Query").
        guard let start = sqlite3_column_text(pointer, Int32(position)) else { return nil }
        return String(
            decoding: UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(pointer, Int32(position)))), as: UTF8.self)
    }
}
