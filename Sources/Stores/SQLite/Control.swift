import Conversations
public import Events
import GRDB

extension SQLiteStore {
    public func controlRevision() async throws -> Int64 {
        try await readControl("control") { try Int64.fetchOne($0, sql: "SELECT revision FROM control") ?? 0 }
    }

    /// Reads what all else hangs on. A row that says what no row says is damage to the file: it is told in words, and is no reason to trap.
    private func readControl<Value: Sendable>(_ table: String, _ read: @escaping @Sendable (Database) throws -> Value) async throws -> Value
    {
        do {
            return try await pool.read(read)
        } catch let error as DatabaseError {
            guard [.SQLITE_CORRUPT, .SQLITE_NOTADB].contains(error.resultCode) else { throw error }
            throw OpenFailure(description: Self.advice(on: error, path: path))
        } catch let error where !(error is CancellationError) {
            // Not what GRDB says of a column: it prints the row, secrets and all.
            let what = error is RowDecodingError ? "a column of another type" : "\(error)"
            throw OpenFailure(description: Self.advice(onDamage: "table \(table): \(what)", path: path))
        }
    }

    public func projects() async throws -> [Project] {
        try await readControl("project") { db in
            try Row.fetchAll(db, sql: "SELECT number, id, name, settings FROM project ORDER BY number").map { row in
                Project(
                    number: ProjectID(try row.decode(atIndex: 0)), id: try row.decode(atIndex: 1), name: try row.decode(atIndex: 2),
                    settings: try self.settings(try row.decode(atIndex: 3)))
            }
        }
    }

    private func settings(_ stored: String) throws -> Project.Settings {
        var settings = try Project.Settings(stored: stored)
        if settings.inactiveAfterSeconds == Project.Settings.standardInactiveAfterSeconds {
            settings.inactiveAfterSeconds = configuration.inactiveAfterSeconds
        }
        return settings
    }

    public func createProject(named name: String, settings: Project.Settings) async throws -> Project {
        let id = "prj_" + String(UInt64.random(in: 1 << 60 ... .max), radix: 36)
        let now = clock.now()
        return try await change { db in
            guard try Int.fetchOne(db, sql: "SELECT 1 FROM project WHERE name = ? OR id = ?", arguments: [name, name]) == nil else {
                throw ControlFailure.nameTaken(name)
            }
            try db.execute(
                sql: "INSERT INTO project (id, name, settings, created) VALUES (?,?,?,?)",
                arguments: [id, name, settings.stored, now.microseconds])
            return Project(number: ProjectID(db.lastInsertedRowID), id: id, name: name, settings: settings)
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
                sql: "UPDATE project SET name = ?, settings = ? WHERE number = ?",
                arguments: [project.name, project.settings.stored, project.number.number])
        }
    }

    public func deleteProject(_ number: ProjectID) async throws {
        try await change { db in
            try db.execute(sql: "DELETE FROM key WHERE project = ?", arguments: [number.number])
            try db.execute(sql: "DELETE FROM project WHERE number = ?", arguments: [number.number])
        }
        // Nobody comes in any more; what is there goes in stretches, so that other projects' commits need not wait for all of it.
        var isMore = true
        while isMore {
            isMore = try await write { db in
                let indexed = try Int64.fetchOne(db, sql: "SELECT indexed FROM search_state") ?? 0
                let sequences = try Int64.fetchAll(
                    db, sql: "SELECT sequence FROM event WHERE project = ? LIMIT 2000", arguments: [number.number])
                if !sequences.isEmpty { try LogEnd.keep(db) }
                for sequence in sequences {
                    try SearchText.remove(sequence, indexed: indexed, db: db)
                    try db.cachedStatement(sql: "DELETE FROM event WHERE sequence = ?").execute(arguments: [sequence])
                }
                return !sequences.isEmpty
            }
        }
        try await write { try $0.execute(sql: "UPDATE search_state SET purging = 1") }
        for table in Self.projectTables {
            try await write { try $0.execute(sql: "DELETE FROM \(table) WHERE project = ?", arguments: [number.number]) }
        }
    }

    /// All that is a project's, but its events, and the audit log, which must say what became of it.
    static let projectTables = [
        "run", "run_trace", "message_trace", "vote", "score", "comment", "alias", "thread_tag", "thread", "quarantine", "quarantine_total",
        "outcome", "person", "source", "saved_view", "seen", "reviewed", "tombstone", "dirty", "fact", "reply", "figure",
        "counted",
    ]

    public func keys() async throws -> [KeyRecord] {
        try await readControl("key") { db in
            try Row.fetchAll(db, sql: "SELECT * FROM key ORDER BY created, id").map { row in
                guard let lane = Lane(rawValue: try row.decode(forColumn: "lane")),
                    let scope = KeyRecord.Scope(rawValue: try row.decode(forColumn: "scope"))
                else { throw UnknownWord() }
                return KeyRecord(
                    id: try row.decode(forColumn: "id"), lane: lane, scope: scope,
                    project: (try row.decode(Int64?.self, forColumn: "project")).map { ProjectID($0) },
                    digest: try row.decode(Blob.self, forColumn: "digest").bytes, shown: try row.decode(forColumn: "shown"),
                    label: try row.decode(forColumn: "label"), createdAt: Timestamp(microseconds: try row.decode(forColumn: "created")),
                    expiresAt: (try row.decode(Int64?.self, forColumn: "expires")).map { Timestamp(microseconds: $0) },
                    revokedAt: (try row.decode(Int64?.self, forColumn: "revoked")).map { Timestamp(microseconds: $0) },
                    sealed: try row.decode(Blob?.self, forColumn: "sealed")?.bytes,
                    owesNames: try row.decode(Int64?.self, forColumn: "names_from") != nil)
            }
        }
    }

    /// A column of a closed list holds something else.
    private struct UnknownWord: Error, CustomStringConvertible {
        let description = "a lane or scope that is none"
    }

    public func insert(_ key: KeyRecord) async throws {
        try await change { db in
            try db.execute(
                sql: """
                    INSERT INTO key (id, lane, scope, project, digest, shown, label, created, expires, revoked) VALUES (?,?,?,?,?,?,?,?,?,?)
                    """,
                arguments: [
                    key.id, key.lane.rawValue, key.scope.rawValue, key.project?.number, Blob(key.digest), key.shown, key.label,
                    key.createdAt.microseconds, key.expiresAt?.microseconds, key.revokedAt?.microseconds,
                ])
        }
    }

    public func revokeKey(_ id: String, at time: Timestamp) async throws -> Bool {
        try await change { db in
            try db.execute(sql: "UPDATE key SET revoked = ? WHERE id = ? AND revoked IS NULL", arguments: [time.microseconds, id])
            return db.changesCount > 0
        }
    }

    public func keep(sealed: [UInt8], ofKey id: String) async throws {
        let now = clock.now()
        try await change { db in
            try db.execute(
                sql: "UPDATE key SET sealed = ?, names_from = 0, names_since = ? WHERE id = ? AND sealed IS NULL",
                arguments: [Blob(sealed), now.microseconds, id])
        }
    }

    /// Writes to projects or keys, and tells every process that they changed.
    func change<Result: Sendable>(_ work: @Sendable @escaping (Database) throws -> Result) async throws -> Result {
        try await write { db in
            let result = try work(db)
            try db.execute(sql: "UPDATE control SET revision = revision + 1")
            return result
        }
    }
}
