import PostgresStore

/// Goes through a table page by page and sees to it that the database has what the file has.
final class Walker {
    /// How far it has come.
    struct Place: Sendable {
        /// The last key it has seen; nil at the beginning.
        var key: RowBytes?
        /// The last it is to see; nil is the table's end.
        var end: RowBytes?
        var rows = 0
        var isWhole = false
    }

    let source: SourceFile
    let target: TargetDatabase

    init(_ source: SourceFile, _ target: TargetDatabase) { (self.source, self.target) = (source, target) }

    /// Compares a stretch of a table, or whole tables one after the other, in one snapshot of the file.
    func compare(
        _ tables: [MigratedTable], _ place: Place, mends: Bool, onStep: (_ table: String, _ rows: Int) -> Void,
        into take: (Migration.Comparison) -> Void
    ) throws {
        try source.read {
            for table in tables {
                var comparison = Migration.Comparison(of: table.name)
                var place = place
                while !place.isWhole {
                    let next = try step(table, from: place, isMoving: false, mends: mends, digests: true, into: &comparison)
                    onStep(table.name, next.rows - place.rows)
                    place = next
                }
                take(comparison)
            }
        }
    }

    /// Rows of a page in the database before something else is thought of than reading it at once: more of them are not in the file.
    private static let manyRows = 20_000

    /// The same, for what is to be brought.
    func step(_ table: MigratedTable, from place: Place, isMoving: Bool) throws -> (place: Place, mended: Int) {
        var comparison = Migration.Comparison(of: table.name)
        return (try step(table, from: place, isMoving: isMoving, mends: true, digests: false, into: &comparison), comparison.mended)
    }

    /// Compares the next page of a table, mends what differs and goes on.
    /// - Parameters:
    ///   - isMoving: whether the place is noted as how far the table was copied.
    ///   - digests: whether both sides' digests are wanted, which cost as much as the comparison.
    private func step(
        _ table: MigratedTable, from place: Place, isMoving: Bool, mends: Bool, digests: Bool, into comparison: inout Migration.Comparison
    ) throws -> Place {
        try source.read {
            let marks = isMoving ? try self.marks() : []
            let page = try source.page(of: table, after: place.key, upTo: place.end)
            let end = page.isLast ? place.end : page.rows.last?.prefix(fields: table.keyCount)
            var limit = Self.manyRows
            var there = try target.rows(of: table, after: place.key, upTo: end, limit: limit)
            var gone = try self.gone(there, page, table)
            while there.count == limit {
                // Most of them are not in the file any more: first these go.
                if mends, !gone.isEmpty {
                    try target.transaction { try remove(gone, from: table) }
                    comparison.mended += gone.count
                } else {
                    limit *= 2
                }
                there = try target.rows(of: table, after: place.key, upTo: end, limit: limit)
                gone = try self.gone(there, page, table)
            }
            var new: [RowBytes] = []
            // Events whose words are to be indexed, by their number.
            var unread: [Int64] = []
            for row in page.rows {
                let share = digests ? TableDigest.Share(of: row) : nil
                if let share { comparison.source.add(share) }
                let key = row.prefix(fields: table.keyCount)
                let found = try there[key] ?? (mends ? nil : target.row(of: table, at: key))
                if !mends || found == row {
                    // The same bytes, read from the other side.
                    if let share, let found { comparison.target.add(found == row ? share : TableDigest.Share(of: found)) }
                    continue
                }
                new.append(row)
                if table.name == "event", !Self.haveSameWords(row, found) { unread.append(RowBytes.integer(row.fields[0]!)) }
            }
            if !mends, digests { for key in gone { comparison.target.add(there[key]!) } }
            var next = place
            next.key = page.rows.last?.prefix(fields: table.keyCount) ?? place.key
            next.rows += page.rows.count
            next.isWhole = page.isLast
            guard mends, isMoving || !gone.isEmpty || !new.isEmpty else { return next }
            try target.transaction {
                if !gone.isEmpty { try remove(gone, from: table) }
                if !new.isEmpty { try put(new, into: table, isFirst: isMoving && there.isEmpty, unread: unread, &comparison.target) }
                if isMoving { try note(next, of: table, marks) }
            }
            comparison.mended += new.count + gone.count
            return next
        }
    }

    /// The keys of rows that the file does not have.
    ///
    /// One by one it is asked for those that were not in its page: the two may put texts with control characters in another order.
    private func gone(_ there: [RowBytes: RowBytes], _ page: SourceFile.Page, _ table: MigratedTable) throws -> [RowBytes] {
        var rest = Set(there.keys)
        for row in page.rows { rest.remove(row.prefix(fields: table.keyCount)) }
        return try rest.filter { try !source.has($0, in: table) }
    }

    private func remove(_ keys: [RowBytes], from table: MigratedTable) throws {
        if let dependent = table.dependent { try target.run("DELETE FROM \(dependent)") }
        try target.remove(keys, from: table)
    }

    private func put(_ rows: [RowBytes], into table: MigratedTable, isFirst: Bool, unread: [Int64], _ digest: inout TableDigest) throws {
        if let dependent = table.dependent { try target.run("DELETE FROM \(dependent)") }
        if try !(isFirst && target.append(rows, to: table)) { for row in try target.put(rows, into: table) { digest.add(row) } }
        guard table.name == "event", let last = rows.last.map({ RowBytes.integer($0.fields[0]!) }) else { return }
        // The index goes up to the sequence's end, and no further.
        try target.run("SELECT setval('event_sequence', \(last)) WHERE \(last) > (SELECT last_value FROM event_sequence)")
        let indexed = Int64(try target.run("SELECT indexed FROM search_state")[0][0] ?? "") ?? 0
        let behind = unread.filter { $0 <= indexed }
        guard let first = behind.min() else { return }
        try target.run(
            """
            DELETE FROM search USING event e WHERE e.sequence = ANY('{\(behind.map { "\($0)" }.joined(separator: ","))}')
                AND search.project = e.project AND search.sequence = e.sequence;
            UPDATE search_state SET indexed = \(first - 1)
            """)
    }

    /// Whether two rows of the log have the same to be found: their project, their kind and their texts.
    private static func haveSameWords(_ row: RowBytes, _ other: RowBytes?) -> Bool {
        guard let other else { return false }
        return row.prefix(fields: wordFields) == other.prefix(fields: wordFields)
    }

    /// `sequence`, `project`, `space`, `content` and `payload`, the first columns of `event`.
    private static let wordFields = 5

    private func note(_ place: Place, of table: MigratedTable, _ marks: [Int64]) throws {
        let key = place.key.map { "'\(Self.hex($0.bytes))'" } ?? "NULL"
        try target.run(
            """
            INSERT INTO migration_table VALUES ('\(table.name)', \(key), \(place.rows), \(place.isWhole))
            ON CONFLICT (name) DO UPDATE SET place = excluded.place, rows = excluded.rows, is_whole = excluded.is_whole;
            UPDATE migration SET log = \(marks[0]), revision = \(marks[1]), noted = \(marks[2])
            """)
    }

    /// What only ever grows in a file: the end of its log, how often projects and keys changed, the last number of the audit log.
    func marks() throws -> [Int64] {
        try [
            "SELECT coalesce(max(sequence), 0) FROM event", "SELECT revision FROM control",
            "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'audit'), 0)",
        ].map { try source.integer($0) ?? 0 }
    }

    // MARK: words

    static func explained<Value>(_ body: () throws -> Value) throws -> Value {
        do { return try body() } catch let refusal as TargetDatabase.Refusal {
            throw MigrationFailure(
                description:
                    "The database refused (\(refusal.code): \(refusal.message)). What was copied before stands: start again once that is mended."
            )
        }
    }

    static func hex(_ bytes: [UInt8]) -> String { bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
}
