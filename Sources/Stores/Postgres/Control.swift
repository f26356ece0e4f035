public import Events

extension PostgresStore {
    public func controlRevision() async throws -> Int64 {
        try await pool.readControl { try Int64.fetchOne($0, sql: "SELECT revision FROM control") ?? 0 }
    }

    public func projects() async throws -> [Project] {
        let inactiveAfterSeconds = configuration.inactiveAfterSeconds
        return try await pool.readControl { db in
            try db.fetchAll("SELECT number, id, name, settings FROM project ORDER BY number").map { row in
                var settings = try Project.Settings(stored: row[3])
                if settings.inactiveAfterSeconds == Project.Settings.standardInactiveAfterSeconds {
                    settings.inactiveAfterSeconds = inactiveAfterSeconds
                }
                return Project(number: ProjectID(row[0]), id: row[1], name: row[2], settings: settings)
            }
        }
    }

    public func createProject(named name: String, settings: Project.Settings) async throws -> Project {
        let id = "prj_" + String(UInt64.random(in: 1 << 60 ... .max), radix: 36)
        let now = clock.now()
        return try await change { db in
            // The row of `control` is held: no other node makes one of that name at the same time.
            guard try db.fetchOne("SELECT 1 FROM project WHERE name = $1 OR id = $1", [name]) == nil else {
                throw ControlFailure.nameTaken(name)
            }
            let number = try Int64.fetchOne(
                db, sql: "INSERT INTO project (id, name, settings, created) VALUES ($1, $2, $3, $4) RETURNING number",
                arguments: [id, name, settings.stored, now.microseconds])!
            return Project(number: ProjectID(number), id: id, name: name, settings: settings)
        }
    }

    public func update(_ project: Project) async throws {
        var project = project
        // What the installation sets for all is not the project's own.
        if project.settings.inactiveAfterSeconds == configuration.inactiveAfterSeconds {
            project.settings.inactiveAfterSeconds = Project.Settings.standardInactiveAfterSeconds
        }
        try await change { [project] db in
            try db.execute(
                "UPDATE project SET name = $2, settings = $3 WHERE number = $1",
                [project.number.number, project.name, project.settings.stored])
        }
    }

    public func deleteProject(_ number: ProjectID) async throws {
        try await change { db in
            try db.execute("DELETE FROM key WHERE project = $1", [number.number])
            try db.execute("DELETE FROM project WHERE number = $1", [number.number])
        }
        // Nobody comes in any more; what is there goes in stretches, so that no statement takes longer than it may. What hangs on rows
        // of the log goes before they do; what is found out of them goes at last, when there is nothing more to find out.
        for table in Self.projectTables {
            var isMore = true
            while isMore {
                isMore = try await pool.write { db in
                    var pipeline = Pipeline()
                    Turn.keep(&pipeline)
                    pipeline.lock([number])
                    _ = try db.run(pipeline)
                    return try db.execute(
                        """
                        DELETE FROM \(table) WHERE project = $1 AND ctid = ANY(ARRAY(
                            SELECT ctid FROM \(table) WHERE project = $1 LIMIT \(Self.deletionChunk)))
                        """, [number.number]) == Self.deletionChunk
                }
            }
        }
    }

    /// Rows taken away in one transaction: some hundred milliseconds.
    private static let deletionChunk = 5000

    /// All that is a project's, but the audit log, which must say what became of it.
    static let projectTables = [
        "run", "run_trace", "message_trace", "vote", "score", "comment", "alias", "thread_tag", "thread", "quarantine", "quarantine_total",
        "outcome", "person", "source", "saved_view", "seen", "reviewed", "tombstone", "event", "search", "dirty", "fact", "reply", "figure",
        "counted",
    ]

    public func keys() async throws -> [KeyRecord] {
        try await pool.readControl { db in
            try db.fetchAll(
                """
                SELECT id, lane, scope, project, digest, shown, label, created, expires, revoked, sealed, names_from IS NOT NULL FROM key
                ORDER BY created, id
                """
            ).map { row in
                guard let lane = Lane(rawValue: row[1]), let scope = KeyRecord.Scope(rawValue: row[2]) else {
                    throw DatabaseError(.server("XX001"), "a key has a lane or scope that is none")
                }
                return KeyRecord(
                    id: row[0], lane: lane, scope: scope, project: (row[3] as Int64?).map { ProjectID($0) }, digest: (row[4] as Blob).bytes,
                    shown: row[5], label: row[6], createdAt: Timestamp(microseconds: row[7]),
                    expiresAt: (row[8] as Int64?).map { Timestamp(microseconds: $0) },
                    revokedAt: (row[9] as Int64?).map { Timestamp(microseconds: $0) }, sealed: (row[10] as Blob?)?.bytes, owesNames: row[11]
                )
            }
        }
    }

    public func insert(_ key: KeyRecord) async throws {
        try await change { db in
            try db.execute(
                """
                INSERT INTO key (id, lane, scope, project, digest, shown, label, created, expires, revoked)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                """,
                [
                    key.id, key.lane.rawValue, key.scope.rawValue, key.project?.number, Blob(key.digest), key.shown, key.label,
                    key.createdAt.microseconds, key.expiresAt?.microseconds, key.revokedAt?.microseconds,
                ])
        }
    }

    public func revokeKey(_ id: String, at time: Timestamp) async throws -> Bool {
        try await change { db in
            try db.execute("UPDATE key SET revoked = $2 WHERE id = $1 AND revoked IS NULL", [id, time.microseconds]) > 0
        }
    }

    public func keep(sealed: [UInt8], ofKey id: String) async throws {
        let now = clock.now()
        try await change { db in
            try db.execute(
                "UPDATE key SET sealed = $2, names_from = 0, names_since = $3 WHERE id = $1 AND sealed IS NULL",
                [id, Blob(sealed), now.microseconds])
        }
    }

    /// Writes to projects or keys, one at a time, and tells every node that they changed.
    @discardableResult
    func change<Result: Sendable>(_ write: @Sendable @escaping (Database) throws -> Result) async throws -> Result {
        try await pool.write { db in
            try ControlRows.noteChange(db)
            return try write(db)
        }
    }
}

/// The table that says how often projects and keys have changed.
enum ControlRows {
    /// What a node listens to (PostgreSQL, LISTEN) so as to hear of changes at once.
    static let channel = "parley_control"

    /// Counts a change, and says so to all who listen, once it is committed.
    static func noteChange(_ db: Database) throws {
        var pipeline = Pipeline()
        pipeline.add("UPDATE control SET revision = revision + 1")
        pipeline.add("NOTIFY \(channel)")
        _ = try db.run(pipeline)
    }
}
