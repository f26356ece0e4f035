public import Conversations
import Crypto
public import Events
import Foundation
import GRDB

/// What is left of a user, looked for apart from the erasure that took the rest away.
extension SQLiteStore {
    public func traces(of user: String, in project: ProjectID) async throws -> UserTraces {
        let keys = Event.User.keys(of: user)
        var traces = try await pool.read { db in
            let names = [project.number] + StatementArguments(keys)
            func count(_ sql: String, _ arguments: StatementArguments) throws -> Int {
                try Int.fetchOne(db, sql: sql, arguments: arguments) ?? 0
            }
            var traces = UserTraces(fingerprint: try Tombstones(db: db, project: project).fingerprint(ofUser: user))
            traces.threads = try count("SELECT count(*) FROM thread WHERE project = ? AND person IN (?, ?)", names)
            traces.events = try count(
                """
                SELECT count(*) FROM event INDEXED BY event_person WHERE project = ?1 AND person IS NOT NULL
                    AND person IN (SELECT number FROM person WHERE project = ?1 AND id IN (?2, ?3))
                """, names)
            traces.votes = try count(
                "SELECT count(*) FROM vote WHERE project = ? AND voter IN (?, ?)",
                [project.number] + StatementArguments(keys.map { "user:" + $0 }))
            traces.names = try count("SELECT count(*) FROM person WHERE project = ? AND id IN (?, ?)", names)
            traces.isPurged = try Int.fetchOne(db, sql: "SELECT purging FROM search_state") == 0
            return traces
        }
        var after: Int64? = 0
        while let from = after {
            let (last, found) = try await pool.read { db -> (Int64?, Int) in
                let rows = try Row.fetchAll(
                    db, sql: "SELECT number, payload FROM quarantine WHERE project = ? AND number > ? ORDER BY number LIMIT 500",
                    arguments: [project.number, from])
                let theirs = rows.count { row in
                    (try? JSONDocument.read(Array((row[1] as String).utf8)) { $0.member("user")?.member("id")?.string }) == user
                }
                return (rows.last?[0], theirs)
            }
            traces.quarantined += found
            after = last
        }
        return traces
    }

    public func users(ofFingerprint fingerprint: String, in project: ProjectID) async throws -> [String] {
        try await pool.read { db in
            let tombstones = try Tombstones(db: db, project: project)
            let keys = try String.fetchAll(db, sql: "SELECT id FROM person WHERE project = ?", arguments: [project.number])
            return Set(keys.map { Event.User(key: $0).id }).filter { tombstones.fingerprint(ofUser: $0) == fingerprint }.sorted()
        }
    }

    public func seal(of bytes: [UInt8]) async throws -> String {
        try await pool.read { db in
            let key = try Data.fetchOne(db, sql: "SELECT tombstone_key FROM control") ?? Data()
            // A key of its own, so that no seal is ever taken for a tombstone.
            let own = HMAC<SHA256>.authenticationCode(for: Data("parley erasure record".utf8), using: SymmetricKey(data: key))
            return HMAC<SHA256>.authenticationCode(for: bytes, using: SymmetricKey(data: Data(own))).hex
        }
    }
}

extension Tombstones {
    /// A user's ID as a keyed hash, the same for the ID that is proven and the one that is said.
    func fingerprint(ofUser id: String) -> String { hash(.user, id).bytes.hex }
}

extension Sequence<UInt8> {
    fileprivate var hex: String { map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
}
