public import Conversations
public import Events

extension PostgresStore {
    /// How long a member's last visit stands before a new one is written, in microseconds: one minute.
    private static let visitGrain: Int64 = 60_000_000

    public func members() async throws -> [Member] {
        try await pool.read { db in
            try db.fetchAll("SELECT \(Member.columns) FROM member m ORDER BY m.created, m.id").map { try Member($0) }
        }
    }

    public func insert(_ member: Member) async throws {
        let isNew = try await pool.write { db in
            try db.execute(
                """
                INSERT INTO member (id, name, folded, role, projects, password, created, seen) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                ON CONFLICT (folded) DO NOTHING
                """,
                [
                    member.id, member.name, member.name.lowercased(), member.role.rawValue, member.storedProjects, member.password,
                    member.createdAt.microseconds, member.lastSeenAt?.microseconds,
                ]) > 0
        }
        guard isNew else { throw ControlFailure.nameTaken(member.name) }
    }

    public func update(_ member: Member) async throws {
        do {
            try await pool.write { db in
                // Of two visits the later one stands; no visit is NULL, which `greatest` passes over.
                _ = try db.execute(
                    """
                    UPDATE member SET name = $2, folded = $3, role = $4, projects = $5, password = $6, seen = greatest($7, seen) WHERE id = $1
                    """,
                    [
                        member.id, member.name, member.name.lowercased(), member.role.rawValue, member.storedProjects, member.password,
                        member.lastSeenAt?.microseconds,
                    ])
            }
        } catch let error as DatabaseError where error.cause == .server("23505") {
            // The folded name is the only thing of it that is unique and changes.
            throw ControlFailure.nameTaken(member.name)
        }
    }

    public func removeMember(_ id: String) async throws -> Bool {
        try await pool.write { db in
            var pipeline = Pipeline()
            let member = pipeline.add("DELETE FROM member WHERE id = $1", [id])
            pipeline.add("DELETE FROM sign_in WHERE member = $1", [id])
            pipeline.add("DELETE FROM review_session WHERE member = $1", [id])
            // One look at the index a project.
            pipeline.add("DELETE FROM seen WHERE project = ANY(ARRAY(SELECT number FROM project)) AND member = $1", [id])
            pipeline.add(
                "DELETE FROM saved_view WHERE project = ANY(ARRAY(SELECT number FROM project)) AND owner = $1 AND NOT shared", [id])
            return try db.commit(with: pipeline)[member].changesCount > 0
        }
    }

    public func insertSignIn(_ digest: [UInt8], of member: String, expiresAt: Timestamp) async throws {
        try await pool.write { db in
            _ = try db.execute("INSERT INTO sign_in VALUES ($1, $2, $3)", [Blob(digest), member, expiresAt.microseconds])
        }
    }

    public func useSignIn(_ digest: [UInt8], at time: Timestamp) async throws -> Member? {
        try await pool.write { db in
            var pipeline = Pipeline()
            pipeline.add("DELETE FROM sign_in WHERE expires <= $1", [time.microseconds])
            // Of two who use it at once one gets the row.
            let used = pipeline.add(
                """
                WITH used AS (DELETE FROM sign_in WHERE digest = $1 RETURNING member)
                SELECT \(Member.columns) FROM used JOIN member m ON m.id = used.member
                """, [Blob(digest)])
            return try db.commit(with: pipeline)[used].first.map { try Member($0) }
        }
    }

    public func insertSession(_ digest: [UInt8], of member: String, expiresAt: Timestamp) async throws {
        let now = clock.now()
        try await pool.write { db in
            var pipeline = Pipeline()
            pipeline.add("DELETE FROM review_session WHERE expires <= $1", [min(now, expiresAt).microseconds - 1])
            pipeline.add("INSERT INTO review_session VALUES ($1, $2, $3)", [Blob(digest), member, expiresAt.microseconds])
            try db.commit(with: pipeline)
        }
    }

    public func member(ofSession digest: [UInt8], at time: Timestamp) async throws -> Member? {
        let found = try await pool.read { db in
            try db.fetchOne(
                "SELECT \(Member.columns) FROM review_session s JOIN member m ON m.id = s.member WHERE s.digest = $1 AND s.expires > $2",
                [Blob(digest), time.microseconds]
            ).map { try Member($0) }
        }
        guard var member = found else { return nil }
        if let seen = member.lastSeenAt, time.microseconds < seen.microseconds + Self.visitGrain { return member }
        member.lastSeenAt = time
        try await pool.write { [member] db in
            _ = try db.execute(
                "UPDATE member SET seen = $1 WHERE id = $2 AND (seen IS NULL OR seen < $1)", [time.microseconds, member.id])
        }
        return member
    }

    public func removeSession(_ digest: [UInt8]) async throws {
        try await pool.write { db in _ = try db.execute("DELETE FROM review_session WHERE digest = $1", [Blob(digest)]) }
    }

    /// Ends all sessions and takes back all sign-in links.
    public func endAllSessions() async throws {
        try await pool.write { db in
            var pipeline = Pipeline()
            pipeline.add("DELETE FROM sign_in")
            pipeline.add("DELETE FROM review_session")
            try db.commit(with: pipeline)
        }
    }

    public func endSessions(of member: String, except digest: [UInt8]?) async throws {
        try await pool.write { db in
            var pipeline = Pipeline()
            pipeline.add("DELETE FROM sign_in WHERE member = $1", [member])
            pipeline.add(
                "DELETE FROM review_session WHERE member = $1 AND digest IS DISTINCT FROM $2", [member, digest.map { Blob($0) }])
            try db.commit(with: pipeline)
        }
    }
}

extension Member {
    /// The columns `init(_:)` reads, in its order.
    fileprivate static let columns = "m.id, m.name, m.role, m.projects, m.password, m.created, m.seen"

    fileprivate init(_ row: Row) throws {
        var projects: [String]?
        if let text: TextBytes = row[3] {
            var list: [String] = []
            try JSONDocument.read(text.bytes, isOurs: true) { json in
                json.forEachElement { if let id = $0.string { list.append(id) } }
            }
            projects = list
        }
        self.init(
            id: row[0], name: row[1], role: Role(rawValue: row[2]) ?? .reader, projects: projects, password: row[4],
            createdAt: Timestamp(microseconds: row[5]), lastSeenAt: (row[6] as Int64?).map { Timestamp(microseconds: $0) })
    }

    fileprivate var storedProjects: String? {
        projects.map { projects in
            var writer = JSONWriter()
            writer.array { writer in for id in projects { writer.value(id) } }
            return writer.string
        }
    }
}
