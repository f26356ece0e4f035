public import Conversations
public import Events
import GRDB

extension SQLiteStore {
    public func quarantine(in project: ProjectID, of cause: QuarantineCause, limit: Int, after cursor: String?) async throws
        -> Page<QuarantineItem>
    {
        let before = try cursor.map { text in
            guard let number = Int64(text) else { throw ReadFailure.badCursor }
            return number
        }
        return try await pool.read { db in
            var rows = try Row.fetchAll(
                db,
                sql: """
                    \(QuarantineRows.select) WHERE q.project = ?1 AND (?2 IS NULL OR q.reason = ?2) AND (?3 IS NULL OR coalesce(q.field, '') = ?3)
                        AND (?4 IS NULL OR coalesce(q.type, '') = ?4) AND q.number < ?5
                    ORDER BY q.number DESC LIMIT ?6
                    """, arguments: [project.number, cause.reason?.rawValue, cause.field, cause.type, before ?? .max, limit + 1])
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
            let rows = try Row.fetchAll(
                db, sql: "SELECT reason, count(*) FROM quarantine WHERE project = ? GROUP BY reason", arguments: [project.number])
            return Dictionary(rows.compactMap { row in Reason(rawValue: row[0]).map { ($0, row[1]) } }, uniquingKeysWith: +)
        }
    }

    public func quarantineGroups(in project: ProjectID) async throws -> [QuarantineGroup] {
        try await pool.read { db in
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT reason, field, type, count(*), min(received), max(received), max(number) FROM quarantine
                    WHERE project = ? GROUP BY reason, field, type ORDER BY 4 DESC, 7 DESC
                    """, arguments: [project.number])
            return try rows.compactMap { row in
                guard let reason = Reason(rawValue: row[0]),
                    let sample = try Row.fetchOne(
                        db, sql: "\(QuarantineRows.select) WHERE q.project = ? AND q.number = ?",
                        arguments: [project.number, row[6] as Int64])
                else { return nil }
                return QuarantineGroup(
                    reason: reason, field: row[1], type: row[2], count: row[3], firstAt: Timestamp(microseconds: row[4]),
                    lastAt: Timestamp(microseconds: row[5]), sample: try QuarantineRows.item(sample, db: db))
            }
        }
    }

    public func quarantineItems(_ ids: [String], in project: ProjectID) async throws -> [QuarantineItem] {
        try await pool.read { db in
            try Row.fetchAll(
                db, sql: "\(QuarantineRows.select) WHERE q.project = ? AND q.number IN (SELECT value FROM json_each(?)) ORDER BY q.number",
                arguments: [project.number, QuarantineRows.numbers(ids)]
            ).map { try QuarantineRows.item($0, db: db) }
        }
    }

    public func removeQuarantineItems(_ ids: [String], in project: ProjectID) async throws {
        try await write { db in
            let arguments: StatementArguments = [project.number, QuarantineRows.numbers(ids)]
            let condition = "project = ? AND number IN (SELECT value FROM json_each(?))"
            let row = try Row.fetchOne(
                db, sql: "SELECT count(*), coalesce(sum(length(CAST(payload AS BLOB))), 0) FROM quarantine WHERE \(condition)",
                arguments: arguments)!
            try db.execute(sql: "DELETE FROM quarantine WHERE \(condition)", arguments: arguments)
            try db.execute(
                sql: "UPDATE quarantine_total SET items = items - ?, bytes = bytes - ? WHERE project = ?",
                arguments: [row[0] as Int, row[1] as Int, project.number])
        }
    }
}

private enum QuarantineRows {
    static let select = """
        SELECT q.number, q.reason, q.field, q.message, q.event, q.type, q.received, q.payload, q.project, s.key, s.lane, s.origin, s.transport
        FROM quarantine q JOIN source s ON s.number = q.source
        """

    static func numbers(_ ids: [String]) -> String { "[" + ids.compactMap { Int64($0) }.map(String.init).joined(separator: ",") + "]" }

    static func item(_ row: Row, db: Database) throws -> QuarantineItem {
        let project = ProjectID(row[8])
        let origin: String = row[11]
        let payload = JSONText(trusted: Array((row[7] as String).utf8))
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
        let row = try Row.fetchOne(
            db.cachedStatement(
                sql: "SELECT \(EventRows.columns) \(EventRows.joins) WHERE e.project = ? AND e.id = ? AND e.space = ? AND e.part = x''"),
            arguments: [project.number, newcomer.id, newcomer.idSpace.rawValue])
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

extension AppendTransaction {
    /// Keeps something refused, as long as there is room; the same thing once.
    func setAside(_ aside: SetAside, of delivery: Delivery, source: Int64, as verdict: (Refusal) -> Verdict) throws -> Verdict {
        let project = delivery.source.project.number
        let total = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT items, bytes FROM quarantine_total WHERE project = ?"), arguments: [project])
        if let total, (total[0] as Int) >= configuration.maximumQuarantineItems || (total[1] as Int) >= configuration.maximumQuarantineBytes
        {
            return .dropped(Refusal(.quarantineFull))
        }
        // The same thing refused twice is kept once.
        let digest = ContentDigest(
            Event(
                id: aside.id ?? "", metadata: aside.payload, body: .other(type: aside.refusal.reason.rawValue)))
        try db.cachedStatement(
            sql: """
                INSERT INTO quarantine (project, digest, reason, field, message, event, type, received, source, payload)
                VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING
                """
        ).execute(arguments: [
            project, Blob(digest.bytes), aside.refusal.reason.rawValue, aside.refusal.field, aside.refusal.message, aside.id, aside.type,
            delivery.receivedAt.microseconds, source, aside.payload.string,
        ])
        if db.changesCount > 0 {
            try db.cachedStatement(
                sql: """
                    INSERT INTO quarantine_total VALUES (?, 1, ?)
                    ON CONFLICT DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes
                    """
            ).execute(arguments: [project, aside.payload.bytes.count])
        }
        return verdict(aside.refusal)
    }
}
