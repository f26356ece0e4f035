import CLibPQ
import PostgresStore

/// The database that is filled, on a connection of its own that copies rows in and out in binary (PostgreSQL, "COPY").
///
/// Its calls block. Commits don't wait for the disk, but for the last (`settle`), which takes all before it along.
final class TargetDatabase {
    private let connection: OpaquePointer
    private var staged: Set<String> = []

    /// What the server refused, by its SQLSTATE (PostgreSQL, "Error Codes").
    struct Refusal: Error {
        static let uniqueViolation = "23505"
        var code: String
        var message: String
    }

    init(_ address: ConnectionString) throws {
        var parameters = try address.parameters()
        parameters.removeAll { $0.keyword == "application_name" }
        parameters.append(("application_name", Self.name))
        let keywords = parameters.map { $0.keyword }, values = parameters.map { $0.value }
        guard let opened = Self.withCStrings(keywords, { names in Self.withCStrings(values) { PQconnectdbParams(names, $0, 0) } }) else {
            throw MigrationFailure(description: "There is no memory for a connection to the database.")
        }
        connection = opened
        guard PQstatus(connection) == CONNECTION_OK else {
            throw MigrationFailure(description: "The database can't be reached: \(said(of: connection)).")
        }
        PQsetNoticeProcessor(connection, { _, _ in }, nil)
        // All that is read has an index for it, also before anybody has looked at how large the tables have become.
        try run(
            """
            SET statement_timeout = 0; SET lock_timeout = '60s'; SET idle_in_transaction_session_timeout = 0;
            SET standard_conforming_strings = on; SET jit = off; SET synchronous_commit = off;
            SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off
            """)
    }

    deinit { PQfinish(connection) }

    /// What its sessions are called in `pg_stat_activity`.
    static let name = "parley-migrate"

    private static func withCStrings<Value>(_ texts: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Value) -> Value {
        let copies = texts.map { Array($0.utf8CString) }
        let whole = copies.flatMap(\.self)
        return whole.withUnsafeBufferPointer { buffer in
            var pointers: [UnsafePointer<CChar>?] = []
            var offset = 0
            for copy in copies {
                pointers.append(buffer.baseAddress! + offset)
                offset += copy.count
            }
            pointers.append(nil)
            return pointers.withUnsafeBufferPointer { body($0.baseAddress!) }
        }
    }

    // MARK: statements

    /// Runs statements; answers the last one's rows as texts, nil for NULL.
    @discardableResult
    func run(_ sql: String) throws -> [[String?]] {
        guard let result = PQexec(connection, sql) else { throw lost() }
        defer { PQclear(result) }
        let status = PQresultStatus(result)
        guard status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK else { throw refusal(result) }
        return (0..<PQntuples(result)).map { row in
            (0..<PQnfields(result)).map { column in
                PQgetisnull(result, row, column) == 1 ? nil : String(cString: PQgetvalue(result, row, column))
            }
        }
    }

    func transaction<Value>(_ body: () throws -> Value) throws -> Value {
        try run("BEGIN")
        do {
            let value = try body()
            try run("COMMIT")
            return value
        } catch {
            // Should even this fail, the connection is of no more use, and its transaction is gone with it.
            _ = try? run("ROLLBACK")
            throw error
        }
    }

    func count(of table: MigratedTable) throws -> Int {
        try transaction {
            // All of it is read: without an index, and by several at once.
            try run("SET LOCAL enable_seqscan = on")
            return Int(try run("SELECT count(*) FROM \(table.name)")[0][0] ?? "") ?? 0
        }
    }

    private func lost() -> MigrationFailure {
        MigrationFailure(
            description: "The connection to the database broke: \(said(of: connection)). Start again: it goes on where it was.")
    }

    private func refusal(_ result: OpaquePointer) -> any Error {
        // PG_DIAG_SQLSTATE and PG_DIAG_MESSAGE_PRIMARY, which are macros of characters in C. Details stay out: they have values in them.
        func field(_ code: Character) -> String? { PQresultErrorField(result, Int32(code.asciiValue!)).map { String(cString: $0) } }
        guard let code = field("C") else { return lost() }
        return Refusal(code: code, message: field("M") ?? "")
    }

    // MARK: rows

    /// The rows of a table with keys above `first` and up to `last`, by their keys, `limit` of them at most.
    func rows(of table: MigratedTable, after first: RowBytes?, upTo last: RowBytes?, limit: Int) throws -> [RowBytes: RowBytes] {
        let bounds = try [first.map { "> (\(try literals(of: $0, in: table)))" }, last.map { "<= (\(try literals(of: $0, in: table)))" }]
            .compactMap(\.self).map { "(\(table.keyNames)) \($0)" }
        var rows: [RowBytes: RowBytes] = [:]
        try copyOut(
            """
            SELECT \(table.columnNames) FROM \(table.name)\(bounds.isEmpty ? "" : " WHERE " + bounds.joined(separator: " AND ")) \
            LIMIT \(limit)
            """
        ) { rows[$0.prefix(fields: table.keyCount)] = $0 }
        return rows
    }

    /// The row with a key.
    func row(of table: MigratedTable, at key: RowBytes) throws -> RowBytes? {
        var found: RowBytes?
        let condition = "(\(table.keyNames)) = (\(try literals(of: key, in: table)))"
        try copyOut("SELECT \(table.columnNames) FROM \(table.name) WHERE \(condition)") { found = $0 }
        return found
    }

    /// Takes rows away by their keys.
    func remove(_ keys: [RowBytes], from table: MigratedTable) throws {
        let stage = try self.stage(of: table, "gone", table.key)
        try copyIn(keys, to: stage, columns: table.key)
        let condition = Self.sameness(table.key.map(\.name), "s", table.name)
        if table.name == "event" {
            try run(
                "DELETE FROM search USING \(stage) s, event WHERE \(condition) AND search.project = event.project AND search.sequence = s.sequence"
            )
        }
        try run("DELETE FROM \(table.name) USING \(stage) s WHERE \(condition)")
    }

    /// Puts rows in where there is nothing in their way; false, and nothing is done, where something is.
    func append(_ rows: [RowBytes], to table: MigratedTable) throws -> Bool {
        try run("SAVEPOINT append")
        do {
            try copyIn(rows, to: table.name, columns: table.columns[...])
            try run("RELEASE SAVEPOINT append")
            return true
        } catch let refusal as Refusal where refusal.code == Refusal.uniqueViolation {
            try run("ROLLBACK TO SAVEPOINT append; RELEASE SAVEPOINT append")
            return false
        }
    }

    /// Puts rows in, in place of those that share a key, or anything else that no two may share, with them.
    /// - Returns: the rows as they stand there afterwards.
    func put(_ rows: [RowBytes], into table: MigratedTable) throws -> [RowBytes] {
        let stage = try self.stage(of: table, "new", table.columns[...])
        try copyIn(rows, to: stage, columns: table.columns[...])
        for unique in [table.key.map(\.name)] + table.uniques {
            let condition = Self.sameness(unique, "s", table.name)
            if table.name == "event" {
                // What has the same words stays found.
                try run(
                    """
                    WITH gone AS (DELETE FROM event USING \(stage) s WHERE \(condition) RETURNING event.project, event.sequence)
                    DELETE FROM search USING gone g WHERE search.project = g.project AND search.sequence = g.sequence
                        AND NOT EXISTS (SELECT 1 FROM \(stage) s WHERE s.project = g.project AND s.sequence = g.sequence)
                    """)
            } else {
                try run("DELETE FROM \(table.name) USING \(stage) s WHERE \(condition)")
            }
        }
        try run(
            "INSERT INTO \(table.name) (\(table.columnNames)) OVERRIDING SYSTEM VALUE SELECT \(table.columnNames) FROM \(stage)")
        var there: [RowBytes] = []
        let names = table.columns.map { "t.\($0.name)" }.joined(separator: ", ")
        try copyOut("SELECT \(names) FROM \(stage) s JOIN \(table.name) t ON \(Self.sameness(table.key.map(\.name), "s", "t"))") {
            there.append($0)
        }
        return there
    }

    private static func sameness(_ columns: [String], _ one: String, _ other: String) -> String {
        columns.map { "\(one).\($0) = \(other).\($0)" }.joined(separator: " AND ")
    }

    /// A table for rows on their way, emptied with each transaction.
    private func stage(of table: MigratedTable, _ word: String, _ columns: ArraySlice<MigratedTable.Column>) throws -> String {
        let name = "migration_\(word)_\(table.name)"
        if !staged.contains(name) {
            try run(
                """
                CREATE TEMPORARY TABLE IF NOT EXISTS \(name) ON COMMIT DELETE ROWS AS
                SELECT \(columns.map(\.name).joined(separator: ", ")) FROM \(table.name) WITH NO DATA
                """)
            staged.insert(name)
        }
        return name
    }

    private func literals(of key: RowBytes, in table: MigratedTable) throws -> String {
        try zip(table.key, key.fields).map { column, field in
            guard let field else { return "NULL" }
            switch column.kind {
            case .integer, .small: return "\(RowBytes.integer(field))"
            case .bytes: return "'\\x\(field.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined())'::bytea"
            case .text:
                let quoted = field.withUnsafeBytes { bytes -> String? in
                    guard let start = bytes.baseAddress, !bytes.isEmpty else { return "''" }
                    guard let text = PQescapeLiteral(connection, start.assumingMemoryBound(to: CChar.self), bytes.count) else { return nil }
                    defer { PQfreemem(text) }
                    return String(cString: text)
                }
                guard let quoted else { throw lost() }
                return quoted
            case .boolean, .double: preconditionFailure("\(table.name).\(column.name) is of a kind that no key has")
            }
        }.joined(separator: ", ")
    }

    // MARK: COPY

    /// What a binary copy begins with: its signature, no flags, no further header.
    private static let header: [UInt8] = Array("PGCOPY\n".utf8) + [0xFF, 0x0D, 0x0A, 0x00] + [UInt8](repeating: 0, count: 8)
    /// Bytes of rows handed to libpq at once.
    private static let chunk = 256 << 10

    private func copyIn(_ rows: [RowBytes], to table: String, columns: ArraySlice<MigratedTable.Column>) throws {
        let names = columns.map(\.name).joined(separator: ", ")
        guard let began = PQexec(connection, "COPY \(table) (\(names)) FROM STDIN (FORMAT binary)") else { throw lost() }
        defer { PQclear(began) }
        guard PQresultStatus(began) == PGRES_COPY_IN else { throw refusal(began) }
        let count = [UInt8(columns.count >> 8), UInt8(columns.count & 0xFF)]
        var bytes = Self.header
        func send() throws {
            let sent = bytes.withUnsafeBytes {
                PQputCopyData(connection, $0.baseAddress!.assumingMemoryBound(to: CChar.self), Int32($0.count))
            }
            guard sent == 1 else { throw lost() }
            bytes.removeAll(keepingCapacity: true)
        }
        for row in rows {
            bytes += count
            bytes += row.bytes
            if bytes.count > Self.chunk { try send() }
        }
        // A row of −1 fields is the end.
        bytes += [0xFF, 0xFF]
        try send()
        guard PQputCopyEnd(connection, nil) == 1 else { throw lost() }
        try finish()
    }

    private func copyOut(_ select: String, _ take: (RowBytes) -> Void) throws {
        guard let began = PQexec(connection, "COPY (\(select)) TO STDOUT (FORMAT binary)") else { throw lost() }
        defer { PQclear(began) }
        guard PQresultStatus(began) == PGRES_COPY_OUT else { throw refusal(began) }
        var isFirst = true
        while true {
            var buffer: UnsafeMutablePointer<CChar>?
            let length = PQgetCopyData(connection, &buffer, 0)
            guard length > 0, let buffer else {
                guard length == -1 else { throw lost() }
                break
            }
            defer { PQfreemem(buffer) }
            var bytes = UnsafeRawBufferPointer(start: buffer, count: Int(length))[...]
            // The header comes with the first row.
            if isFirst { bytes = bytes.dropFirst(Self.header.count) }
            isFirst = false
            // The number of fields; the end has none of them.
            if bytes.count <= 2 { continue }
            take(RowBytes(bytes: Array(bytes.dropFirst(2))))
        }
        try finish()
    }

    private func finish() throws {
        var failure: (any Error)?
        while let result = PQgetResult(connection) {
            if PQresultStatus(result) != PGRES_COMMAND_OK { failure = failure ?? refusal(result) }
            PQclear(result)
        }
        if let failure { throw failure }
    }
}

private func said(of connection: OpaquePointer) -> String {
    String(cString: PQerrorMessage(connection)).split(separator: "\n").joined(separator: "; ")
}
