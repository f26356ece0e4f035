import GRDBSQLite
import PostgresStore

/// The file that is copied, on a connection that only reads it, beside those of servers and commands.
///
/// Nobody may open the file beside SQLite in the same process: its locks are the process's own, and end with whichever descriptor of it is
/// closed first.
final class SourceFile {
    /// Rows that are read together, and bytes of them: what is held in memory is bounded by both.
    private static let pageRows = 2000
    private static let pageBytes = 8 << 20

    private let connection: OpaquePointer
    private var statements: [String: OpaquePointer] = [:]
    private var isReading = false

    init(path: String) throws {
        var opened: OpaquePointer?
        let code = sqlite3_open_v2(path, &opened, SQLITE_OPEN_READONLY, nil)
        guard code == SQLITE_OK, let opened else {
            let said = opened.map { String(cString: sqlite3_errmsg($0)) } ?? "error \(code)"
            sqlite3_close_v2(opened)
            throw MigrationFailure(description: "\(path) can't be read: \(said).")
        }
        connection = opened
        sqlite3_busy_timeout(connection, 10_000)
    }

    deinit {
        for statement in statements.values { sqlite3_finalize(statement) }
        sqlite3_close_v2(connection)
    }

    // MARK: reading

    /// Runs `body` in one snapshot, and within another call in that one's.
    func read<Value>(_ body: () throws -> Value) throws -> Value {
        if isReading { return try body() }
        try execute("BEGIN")
        isReading = true
        defer {
            isReading = false
            sqlite3_exec(connection, "COMMIT", nil, nil, nil)
        }
        return try body()
    }

    /// Changes with each commit of another connection (SQLite, "PRAGMA data_version").
    func version() throws -> Int64 { try integer("PRAGMA data_version") ?? 0 }

    func integer(_ sql: String) throws -> Int64? {
        let statement = try prepared(sql)
        defer { sqlite3_reset(statement) }
        guard try step(statement), sqlite3_column_type(statement, 0) != SQLITE_NULL else { return nil }
        return sqlite3_column_int64(statement, 0)
    }

    func blob(_ sql: String) throws -> [UInt8]? {
        let statement = try prepared(sql)
        defer { sqlite3_reset(statement) }
        guard try step(statement), let start = sqlite3_column_blob(statement, 0) else { return nil }
        return Array(UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(statement, 0))))
    }

    func count(of table: MigratedTable) throws -> Int {
        Int(try integer("SELECT count(*) FROM \(table.name)\(table.condition.map { " WHERE \($0)" } ?? "")") ?? 0)
    }

    struct Page {
        var rows: [RowBytes] = []
        /// Whether there are no more after it.
        var isLast = false
    }

    /// The next rows after a key, in the order of the key, and up to another.
    func page(of table: MigratedTable, after key: RowBytes?, upTo end: RowBytes? = nil) throws -> Page {
        let statement = try prepared(Self.select(table, hasStart: key != nil, hasEnd: end != nil))
        defer { sqlite3_reset(statement) }
        if let key { bind(key, of: table, to: statement) }
        if let end { bind(end, of: table, to: statement, from: key == nil ? 0 : table.keyCount) }
        var page = Page()
        var bytes = 0
        while page.rows.count < Self.pageRows, bytes < Self.pageBytes {
            guard try step(statement) else {
                page.isLast = true
                break
            }
            let row = try self.row(of: table, statement)
            bytes += row.bytes.count
            page.rows.append(row)
        }
        return page
    }

    private static func select(_ table: MigratedTable, hasStart: Bool, hasEnd: Bool) -> String {
        var place = 0
        func bound(_ comparison: String) -> String {
            let places = table.key.map { _ in
                place += 1
                return "?\(place)"
            }
            return "(\(table.keyNames)) \(comparison) (\(places.joined(separator: ", ")))"
        }
        let conditions = [hasStart ? bound(">") : nil, hasEnd ? bound("<=") : nil, table.condition].compactMap(\.self)
        return """
            SELECT \(names(table)) FROM \(table.name)\(conditions.isEmpty ? "" : " WHERE " + conditions.joined(separator: " AND ")) \
            ORDER BY \(table.keyNames)
            """
    }

    /// Whether a row with that key is there.
    func has(_ key: RowBytes, in table: MigratedTable) throws -> Bool {
        let conditions = table.key.enumerated().map { "\($1.name) = ?\($0 + 1)" } + [table.condition].compactMap(\.self)
        let statement = try prepared("SELECT 1 FROM \(table.name) WHERE \(conditions.joined(separator: " AND "))")
        defer { sqlite3_reset(statement) }
        bind(key, of: table, to: statement)
        return try step(statement)
    }

    // MARK: statements

    private static func names(_ table: MigratedTable) -> String {
        table.columns.filter { !$0.isDerived }.map(\.name).joined(separator: ", ")
    }

    private func failure() -> MigrationFailure {
        MigrationFailure(description: "The file could not be read: \(String(cString: sqlite3_errmsg(connection))).")
    }

    private func execute(_ sql: String) throws { guard sqlite3_exec(connection, sql, nil, nil, nil) == SQLITE_OK else { throw failure() } }

    private func prepared(_ sql: String) throws -> OpaquePointer {
        if let statement = statements[sql] { return statement }
        var statement: OpaquePointer?
        guard sqlite3_prepare_v2(connection, sql, -1, &statement, nil) == SQLITE_OK, let statement else { throw failure() }
        statements[sql] = statement
        return statement
    }

    private func step(_ statement: OpaquePointer) throws -> Bool {
        switch sqlite3_step(statement) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default: throw failure()
        }
    }

    private func bind(_ key: RowBytes, of table: MigratedTable, to statement: OpaquePointer, from first: Int = 0) {
        // SQLITE_TRANSIENT, a macro in C: the bytes are copied.
        let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
        for (place, (column, field)) in zip(table.key, key.fields).enumerated() {
            let place = Int32(first + place + 1)
            guard let field else {
                sqlite3_bind_null(statement, place)
                continue
            }
            switch column.kind {
            case .integer, .small: sqlite3_bind_int64(statement, place, RowBytes.integer(field))
            case .text:
                let text = field.withUnsafeBufferPointer { StoredText.bytes(of: $0) }
                // Without an address it would be NULL.
                if text.isEmpty { sqlite3_bind_text(statement, place, "", 0, transient) }
                text.withUnsafeBytes { bytes in
                    guard let start = bytes.baseAddress, !bytes.isEmpty else { return }
                    sqlite3_bind_text(statement, place, start.assumingMemoryBound(to: CChar.self), Int32(bytes.count), transient)
                }
            case .bytes:
                if field.isEmpty { sqlite3_bind_zeroblob(statement, place, 0) }
                field.withUnsafeBytes { bytes in
                    guard let start = bytes.baseAddress, !bytes.isEmpty else { return }
                    sqlite3_bind_blob(statement, place, start, Int32(bytes.count), transient)
                }
            case .boolean, .double: preconditionFailure("\(table.name).\(column.name) is of a kind that no key has")
            }
        }
    }

    private func row(of table: MigratedTable, _ statement: OpaquePointer) throws -> RowBytes {
        var row = RowBytes()
        var place: Int32 = 0
        for column in table.columns {
            if column.isDerived {
                // The one there is: what tells sources of a project apart, by the four columns before it.
                let texts = (place - 4..<place).map { text(statement, $0).map { String(decoding: $0, as: UTF8.self) } ?? "" }
                SourceIdentity.of(key: texts[0], lane: texts[1], origin: texts[2], transport: texts[3]).withUnsafeBufferPointer {
                    row.append(blob: $0)
                }
                continue
            }
            defer { place += 1 }
            guard sqlite3_column_type(statement, place) != SQLITE_NULL else {
                row.appendNull()
                continue
            }
            switch column.kind {
            case .integer: row.append(sqlite3_column_int64(statement, place))
            case .small:
                guard let value = Int16(exactly: sqlite3_column_int64(statement, place)) else {
                    throw MigrationFailure(
                        description: "A row of \(table.name) has a \(column.name) that is out of range: see `parley doctor`.")
                }
                row.append(small: value)
            case .boolean: row.append(sqlite3_column_int64(statement, place) != 0)
            case .double: row.append(sqlite3_column_double(statement, place))
            case .text: row.append(text: text(statement, place) ?? UnsafeBufferPointer(start: nil, count: 0))
            case .bytes:
                let start = sqlite3_column_blob(statement, place)?.assumingMemoryBound(to: UInt8.self)
                row.append(blob: UnsafeBufferPointer(start: start, count: start == nil ? 0 : Int(sqlite3_column_bytes(statement, place))))
            }
        }
        return row
    }

    private func text(_ statement: OpaquePointer, _ place: Int32) -> UnsafeBufferPointer<UInt8>? {
        // The text first and its length then: asking for it as text may change the length (SQLite, "Result Values From A Query").
        guard let start = sqlite3_column_text(statement, place) else { return nil }
        return UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(statement, place)))
    }
}
