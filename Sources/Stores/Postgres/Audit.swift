public import Conversations
public import Events

extension PostgresStore {
    public func note(_ entry: AuditEntry, in project: ProjectID?) async throws {
        try await pool.write { db in try Audit.note(entry, in: project, db: db) }
    }

    public func audit(matching filter: AuditFilter, limit: Int, after cursor: String?) async throws -> Page<AuditEntry> {
        let before = try cursor.map { text in
            guard let number = Int64(text) else { throw ReadFailure.badCursor }
            return number
        }
        let rest: Arguments = [
            before ?? .max, filter.action, filter.by, filter.from?.microseconds, filter.to?.microseconds, limit + 1,
        ]
        let (sql, arguments): (String, Arguments) =
            switch filter.scope {
            case .everything: (Self.auditOfEverything, rest)
            case .installation: (Self.auditOfInstallation, rest)
            case .project(let project): (Self.auditOfProject, rest + [project.number])
            }
        return try await pool.read { db in
            var rows = Array(try db.fetchAll(sql, arguments))
            var next: String?
            if rows.count > limit {
                rows.removeLast()
                next = rows.last.map { String($0[0] as Int64) }
            }
            return Page(
                items: rows.map { row in
                    var entry = AuditEntry(
                        id: row[0], at: Timestamp(microseconds: row[1]), by: row[2], action: row[3], subject: row[4],
                        detail: (row[5] as TextBytes?).map { JSONText(trusted: $0.bytes) })
                    entry.project = (row[6] as Int64?).map { ProjectID($0) }
                    return entry
                }, next: next)
        }
    }

    // One each, so that an index answers for a project or for the installation.
    static let auditOfEverything = audit("")
    static let auditOfInstallation = audit("AND project IS NULL")
    static let auditOfProject = audit("AND project = $7")

    private static func audit(_ scope: String) -> String {
        """
        SELECT number, at, by, action, subject, detail, project FROM audit
        WHERE number < $1 \(scope) AND ($2::text IS NULL OR action = $2 OR starts_with(action, $2 || '.'))
            AND ($3::text IS NULL OR by = $3) AND ($4::bigint IS NULL OR at >= $4) AND ($5::bigint IS NULL OR at < $5)
        ORDER BY number DESC LIMIT $6
        """
    }
}
