public import Conversations
public import Events

extension PostgresStore {
    public func quarantine(in project: ProjectID, of cause: QuarantineCause, limit: Int, after cursor: String?) async throws
        -> Page<QuarantineItem>
    {
        let before = try cursor.map { text in
            guard let number = Int64(text) else { throw ReadFailure.badCursor }
            return number
        }
        return try await pool.read { db in
            var rows = Array(
                try db.fetchAll(
                    """
                    \(QuarantineRows.select) WHERE q.project = $1 AND ($2 IS NULL OR q.reason = $2)
                        AND ($3 IS NULL OR coalesce(q.field, '') = $3) AND ($4 IS NULL OR coalesce(q.type, '') = $4) AND q.number < $5
                    ORDER BY q.number DESC LIMIT $6
                    """, [project.number, cause.reason?.rawValue, cause.field, cause.type, before ?? .max, limit + 1]))
            var next: String?
            if rows.count > limit {
                rows.removeLast()
                next = rows.last.map { String($0[0] as Int64) }
            }
            return Page(items: try rows.map { try QuarantineRows.item($0, db: db) }, next: next)
        }
    }

    public func quarantineCounts(in project: ProjectID) async throws -> [Reason: Int] {
        try await pool.read { db in
            let rows = try db.fetchAll("SELECT reason, count(*) FROM quarantine WHERE project = $1 GROUP BY reason", [project.number])
            return Dictionary(rows.compactMap { row in Reason(rawValue: row[0]).map { ($0, row[1]) } }, uniquingKeysWith: +)
        }
    }

    public func quarantineGroups(in project: ProjectID) async throws -> [QuarantineGroup] {
        try await pool.read { db in
            let rows = try db.fetchAll(
                """
                SELECT reason, field, type, count(*), min(received), max(received), max(number) FROM quarantine
                WHERE project = $1 GROUP BY reason, field, type ORDER BY 4 DESC, 7 DESC
                """, [project.number])
            return try rows.compactMap { row in
                guard let reason = Reason(rawValue: row[0]),
                    let sample = try db.fetchOne(
                        "\(QuarantineRows.select) WHERE q.project = $1 AND q.number = $2", [project.number, row[6] as Int64])
                else { return nil }
                return QuarantineGroup(
                    reason: reason, field: row[1], type: row[2], count: row[3], firstAt: Timestamp(microseconds: row[4]),
                    lastAt: Timestamp(microseconds: row[5]), sample: try QuarantineRows.item(sample, db: db))
            }
        }
    }

    public func quarantineItems(_ ids: [String], in project: ProjectID) async throws -> [QuarantineItem] {
        try await pool.read { db in
            try db.fetchAll(
                "\(QuarantineRows.select) WHERE q.project = $1 AND q.number = ANY($2) ORDER BY q.number",
                [project.number, ids.compactMap { Int64($0) }]
            ).map { try QuarantineRows.item($0, db: db) }
        }
    }

    public func removeQuarantineItems(_ ids: [String], in project: ProjectID) async throws {
        try await pool.write { db in
            // Its total is counted by appends too.
            try db.lock(project)
            try db.execute(
                """
                WITH gone AS (DELETE FROM quarantine WHERE project = $1 AND number = ANY($2) RETURNING octet_length(payload) AS bytes)
                UPDATE quarantine_total SET items = items - (SELECT count(*) FROM gone),
                    bytes = bytes - (SELECT coalesce(sum(gone.bytes), 0)::bigint FROM gone)
                WHERE project = $1
                """, [project.number, ids.compactMap { Int64($0) }])
        }
    }
}

/// Sets things aside in a transaction of appends, within quarantine's bounds.
struct QuarantineKeeper {
    let db: Database
    let configuration: PostgresStore.Configuration
    private var totals: [ProjectID: (items: Int, bytes: Int)] = [:]

    init(db: Database, configuration: PostgresStore.Configuration) { (self.db, self.configuration) = (db, configuration) }

    mutating func setAside(_ aside: SetAside, of delivery: Delivery, source: Int64, as verdict: (Refusal) -> Verdict) throws -> Verdict {
        let project = delivery.source.project
        if totals[project] == nil {
            let row = try db.fetchOne("SELECT items, bytes FROM quarantine_total WHERE project = $1", [project.number])
            totals[project] = row.map { ($0[0], $0[1]) } ?? (0, 0)
        }
        guard let total = totals[project], total.items < configuration.maximumQuarantineItems,
            total.bytes < configuration.maximumQuarantineBytes
        else { return .dropped(Refusal(.quarantineFull)) }
        // The same thing refused twice is kept once.
        let digest = ContentDigest(
            Event(
                id: aside.id ?? "", metadata: aside.payload, body: .other(type: aside.refusal.reason.rawValue)))
        let row = try db.fetchOne(
            """
            WITH new AS (
                INSERT INTO quarantine (project, digest, reason, field, message, event, type, received, source, payload)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING RETURNING octet_length(payload) AS bytes)
            INSERT INTO quarantine_total (project, items, bytes) SELECT $1, 1, new.bytes FROM new
            ON CONFLICT (project) DO UPDATE SET items = quarantine_total.items + 1, bytes = quarantine_total.bytes + excluded.bytes
            RETURNING items, bytes
            """,
            [
                project.number, Blob(digest.bytes), aside.refusal.reason.rawValue, aside.refusal.field, aside.refusal.message, aside.id,
                aside.type, delivery.receivedAt.microseconds, source, TextBytes(aside.payload.bytes),
            ])
        if let row { totals[project] = (row[0], row[1]) }
        return verdict(aside.refusal)
    }
}

private enum QuarantineRows {
    static let select = """
        SELECT q.number, q.reason, q.field, q.message, q.event, q.type, q.received, q.payload, q.project, s.key, s.lane, s.origin, s.transport
        FROM quarantine q JOIN source s ON s.project = q.project AND s.number = q.source
        """

    static func item(_ row: Row, db: Database) throws -> QuarantineItem {
        let project = ProjectID(row[8])
        let origin: String = row[11]
        let payload = JSONText(trusted: (row[7] as TextBytes).bytes)
        let reason = Reason(rawValue: row[1]) ?? .internal
        return QuarantineItem(
            id: String(row[0] as Int64), reason: reason, field: row[2], message: row[3], eventID: row[4], type: row[5],
            receivedAt: Timestamp(microseconds: row[6]),
            source: Source(
                project: project, key: row[9], lane: try EventRows.lane(row[10]), origin: origin.isEmpty ? nil : origin,
                transport: Transport(rawValue: row[12])),
            payload: payload, differs: reason == .idConflict ? try differences(of: payload, project: project, db: db) : [])
    }

    /// What the newcomer says otherwise than the original that stands.
    private static func differences(of payload: JSONText, project: ProjectID, db: Database) throws -> [QuarantineItem.Difference] {
        guard let newcomer = try? JSONDocument.read(payload.bytes, isOurs: true, { try Event($0) }) else { return [] }
        let row = try db.fetchOne(
            "SELECT \(EventRows.columns) \(EventRows.joins) WHERE e.project = $1 AND e.id = $2 AND e.space = $3 AND e.part = ''",
            [project.number, newcomer.id, newcomer.idSpace.rawValue])
        guard let row else { return [] }
        var original = try EventRows.item(row).event
        // The stored time was corrected by the sender's clock, so only a time that was sent can differ.
        if newcomer.at == nil { original.at = nil }
        let stored = members(of: original.json())
        let received = members(of: payload)
        return Set(stored.keys).union(received.keys).sorted().compactMap { name in
            stored[name] == received[name] ? nil : .init(field: name, stored: stored[name], received: received[name])
        }
    }

    private static func members(of object: JSONText) -> [String: JSONText] {
        var members: [String: JSONText] = [:]
        try? JSONDocument.read(object.bytes, isOurs: true) { json in
            json.forEachMember { members[String(decoding: $0, as: UTF8.self)] = JSONText($1) }
        }
        return members
    }
}
