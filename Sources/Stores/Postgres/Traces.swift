public import Conversations
import Crypto
public import Events
import Foundation

/// What is left of a user, looked for apart from the erasure that took the rest away.
extension PostgresStore {
    /// `isPurged` is never so: when the pages, the log and the copies of a server lose what stood there is not to be seen from here
    /// (`erase(user:in:)`).
    public func traces(of user: String, in project: ProjectID) async throws -> UserTraces {
        let keys = Event.User.keys(of: user)
        return try await pool.read { db in
            let names: Arguments = [project.number, keys]
            var pipeline = Pipeline()
            let threads = pipeline.add("SELECT count(*) FROM thread WHERE project = $1 AND person = ANY($2) AND person IS NOT NULL", names)
            let events = pipeline.add(
                """
                SELECT count(*) FROM event WHERE project = $1 AND person IS NOT NULL
                    AND person = ANY(ARRAY(SELECT number FROM person WHERE project = $1 AND id = ANY($2)))
                """, names)
            let votes = pipeline.add(
                "SELECT count(*) FROM vote WHERE project = $1 AND voter = ANY($2)", [project.number, keys.map { "user:" + $0 }])
            let people = pipeline.add("SELECT count(*) FROM person WHERE project = $1 AND id = ANY($2)", names)
            let answers = try db.run(pipeline)
            var traces = UserTraces(fingerprint: try Tombstones(db: db, project: project).fingerprint(ofUser: user))
            traces.threads = answers[threads][0][0]
            traces.events = answers[events][0][0]
            traces.votes = answers[votes][0][0]
            traces.names = answers[people][0][0]
            var after: Int64? = 0
            while let from = after {
                let rows = try db.fetchAll(
                    "SELECT number, payload FROM quarantine WHERE project = $1 AND number > $2 ORDER BY number LIMIT 500",
                    [project.number, from])
                traces.quarantined += rows.count { row in
                    (try? JSONDocument.read((row[1] as TextBytes).bytes) { $0.member("user")?.member("id")?.string }) == user
                }
                after = rows.last?[0]
            }
            return traces
        }
    }

    public func users(ofFingerprint fingerprint: String, in project: ProjectID) async throws -> [String] {
        try await pool.read { db in
            let tombstones = try Tombstones(db: db, project: project)
            let keys = try String.fetchAll(db, sql: "SELECT id FROM person WHERE project = $1", arguments: [project.number])
            return Set(keys.map { Event.User(key: $0).id }).filter { tombstones.fingerprint(ofUser: $0) == fingerprint }.sorted()
        }
    }

    public func seal(of bytes: [UInt8]) async throws -> String {
        try await pool.read { db in
            let key = try Blob.fetchOne(db, sql: "SELECT tombstone_key FROM control")?.bytes ?? []
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
