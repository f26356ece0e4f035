public import Conversations
public import Events
import GRDB

extension SQLiteStore {
    /// How long a member's last visit stands before a new one is written, in microseconds: one minute.
    private static let visitGrain: Int64 = 60_000_000

    public func members() async throws -> [Member] {
        try await pool.read { db in
            try Row.fetchAll(db, sql: "SELECT \(Member.columns) FROM member m ORDER BY m.created, m.id").map { try Member($0) }
        }
    }

    public func insert(_ member: Member) async throws {
        try await write { db in
            try Self.refuseName(of: member, db: db)
            try db.execute(
                sql: "INSERT INTO member (id, name, folded, role, projects, password, created, seen) VALUES (?,?,?,?,?,?,?,?)",
                arguments: [
                    member.id, member.name, member.name.lowercased(), member.role.rawValue, member.storedProjects, member.password,
                    member.createdAt.microseconds, member.lastSeenAt?.microseconds,
                ])
        }
    }

    public func update(_ member: Member) async throws {
        try await write { db in
            try Self.refuseName(of: member, db: db)
            try db.execute(
                sql: """
                    UPDATE member SET name = ?, folded = ?, role = ?, projects = ?, password = ?, seen = max(coalesce(?, 0), coalesce(seen, 0))
                    WHERE id = ?
                    """,
                arguments: [
                    member.name, member.name.lowercased(), member.role.rawValue, member.storedProjects, member.password,
                    member.lastSeenAt?.microseconds, member.id,
                ])
            try db.execute(sql: "UPDATE member SET seen = NULL WHERE seen = 0")
        }
    }

    private static func refuseName(of member: Member, db: Database) throws {
        let other = try String.fetchOne(
            db, sql: "SELECT id FROM member WHERE folded = ? AND id <> ?", arguments: [member.name.lowercased(), member.id])
        if other != nil { throw ControlFailure.nameTaken(member.name) }
    }

    public func removeMember(_ id: String) async throws -> Bool {
        try await write { db in
            try db.execute(sql: "DELETE FROM member WHERE id = ?", arguments: [id])
            guard db.changesCount > 0 else { return false }
            for table in ["sign_in", "review_session"] { try db.execute(sql: "DELETE FROM \(table) WHERE member = ?", arguments: [id]) }
            for project in try Int64.fetchAll(db, sql: "SELECT number FROM project") {
                try db.execute(sql: "DELETE FROM seen WHERE project = ? AND member = ?", arguments: [project, id])
                try db.execute(sql: "DELETE FROM saved_view WHERE project = ? AND owner = ? AND shared = 0", arguments: [project, id])
            }
            return true
        }
    }

    public func insertSignIn(_ digest: [UInt8], of member: String, expiresAt: Timestamp) async throws {
        try await write { db in
            try db.execute(sql: "INSERT INTO sign_in VALUES (?,?,?)", arguments: [Blob(digest), member, expiresAt.microseconds])
        }
    }

    public func useSignIn(_ digest: [UInt8], at time: Timestamp) async throws -> Member? {
        try await write { db in
            try db.execute(sql: "DELETE FROM sign_in WHERE expires <= ?", arguments: [time.microseconds])
            let row = try Row.fetchOne(
                db, sql: "SELECT \(Member.columns) FROM sign_in s JOIN member m ON m.id = s.member WHERE s.digest = ?",
                arguments: [Blob(digest)])
            try db.execute(sql: "DELETE FROM sign_in WHERE digest = ?", arguments: [Blob(digest)])
            return try row.map { try Member($0) }
        }
    }

    public func insertSession(_ digest: [UInt8], of member: String, expiresAt: Timestamp) async throws {
        let now = clock.now()
        try await write { db in
            try db.execute(sql: "DELETE FROM review_session WHERE expires <= ?", arguments: [min(now, expiresAt).microseconds - 1])
            try db.execute(sql: "INSERT INTO review_session VALUES (?,?,?)", arguments: [Blob(digest), member, expiresAt.microseconds])
        }
    }

    public func member(ofSession digest: [UInt8], at time: Timestamp) async throws -> Member? {
        let found = try await pool.read { db in
            try Row.fetchOne(
                db,
                sql: "SELECT \(Member.columns) FROM review_session s JOIN member m ON m.id = s.member WHERE s.digest = ? AND s.expires > ?",
                arguments: [Blob(digest), time.microseconds]
            ).map { try Member($0) }
        }
        guard var member = found else { return nil }
        if let seen = member.lastSeenAt, time.microseconds < seen.microseconds + Self.visitGrain { return member }
        member.lastSeenAt = time
        try await write { [member] db in
            try db.execute(
                sql: "UPDATE member SET seen = ? WHERE id = ? AND (seen IS NULL OR seen < ?)",
                arguments: [time.microseconds, member.id, time.microseconds])
        }
        return member
    }

    public func removeSession(_ digest: [UInt8]) async throws {
        try await write { db in try db.execute(sql: "DELETE FROM review_session WHERE digest = ?", arguments: [Blob(digest)]) }
    }

    public func endSessions(of member: String, except digest: [UInt8]?) async throws {
        try await write { db in
            try db.execute(sql: "DELETE FROM sign_in WHERE member = ?", arguments: [member])
            try db.execute(
                sql: "DELETE FROM review_session WHERE member = ? AND digest IS NOT ?", arguments: [member, digest.map { Blob($0) }])
        }
    }
}

extension Member {
    /// The columns `init(_:)` reads, in its order.
    fileprivate static let columns = "m.id, m.name, m.role, m.projects, m.password, m.created, m.seen"

    fileprivate init(_ row: Row) throws {
        var projects: [String]?
        if let text: String = row[3] {
            var list: [String] = []
            try JSONDocument.read(Array(text.utf8), isOurs: true) { json in
                json.forEachElement { if let id = $0.string { list.append(id) } }
            }
            projects = list
        }
        self.init(
            id: row[0], name: row[1], role: Role(rawValue: row[2]) ?? .reader, projects: projects, password: row[4],
            createdAt: Timestamp(microseconds: row[5]), lastSeenAt: (row[6] as Int64?).map { Timestamp(microseconds: $0) })
    }

    fileprivate var storedProjects: String? { projects.map { EventRows.list($0) } }
}
