public import Conversations
public import Events

/// The proof of an erasure: who took away what, when, what a look afterwards found left, and what it does not reach; nothing of what was erased.
///
/// The user stands in it as a keyed hash, which only this installation can make again of the ID. `seal` is a MAC over the rest under a key of
/// the database, by which the installation knows its own record.
public struct ErasureRecord: Sendable, Equatable {
    public var id: String
    /// The project's ID.
    public var project: String
    public var user: String
    public var by: String
    public var beganAt: Timestamp
    public var endedAt: Timestamp
    public var erased: Erasure
    public var left: UserTraces
    /// Backups and exports that the audit log knows of; each may hold what was erased.
    public var backups: Int
    public var exports: Int
    public var seal = ""

    /// Erases a user, looks for what is left, and notes the record in the audit log as `user.erase`.
    public static func erase(
        _ user: String, in project: Project, by name: String, store: some ReviewStore, clock: WallClock
    ) async throws -> ErasureRecord {
        let beganAt = clock.now()
        let erased = try await store.erase(user: user, in: project.number)
        let left = try await store.traces(of: user, in: project.number)
        let id = "era_" + String(UInt64.random(in: 1 << 60 ... .max), radix: 36)
        var record = ErasureRecord(
            id: id, project: project.id, user: left.fingerprint, by: name, beganAt: beganAt, endedAt: clock.now(), erased: erased,
            left: left,
            backups: try await count("backup", .everything, store), exports: try await count("export", .project(project.number), store))
        record.seal = try await store.seal(of: record.sealed)
        var writer = JSONWriter()
        writer.object(record.write)
        try await store.note(
            AuditEntry(at: record.endedAt, by: name, action: "user.erase", subject: id, detail: JSONText(trusted: writer.bytes)),
            in: project.number)
        return record
    }

    private static func count(_ action: String, _ scope: AuditFilter.Scope, _ store: some ReviewStore) async throws -> Int {
        var filter = AuditFilter()
        filter.action = action
        filter.scope = scope
        var count = 0
        var cursor: String?
        repeat {
            let page = try await store.audit(matching: filter, limit: 1000, after: cursor)
            count += page.items.count
            cursor = page.next
        } while cursor != nil
        return count
    }

    /// Whether this installation made it, as it stands.
    public func isGenuine(in store: some ReviewStore) async throws -> Bool { try await store.seal(of: sealed) == seal }

    private var sealed: [UInt8] {
        var writer = JSONWriter()
        writer.object(writeSealed)
        return writer.bytes
    }

    public func write(to json: inout JSONWriter) {
        writeSealed(to: &json)
        json.field("seal", seal)
        json.field(
            "notReached",
            [
                "copies of the data folder, and the \(backups) backups made of it that are noted: erase again after a restore",
                "the \(exports) exports of this project that are noted, and what others read before",
                "what the page and the backend keep themselves, and logs of proxies",
                "blocks of the disk that the file system or the drive wrote elsewhere before; snapshots of volumes",
            ])
    }

    private func writeSealed(to json: inout JSONWriter) {
        json.field("id", id)
        json.field("project", project)
        json.field("user", user)
        json.field("by", by)
        json.field("beganAt", beganAt)
        json.field("endedAt", endedAt)
        json.key("erased")
        json.object { $0.members(of: erased) }
        json.key("left")
        json.object { json in
            json.field("threads", left.threads)
            json.field("events", left.events)
            json.field("votes", left.votes)
            json.field("names", left.names)
            json.field("quarantined", left.quarantined)
            // Until then words of it stand in pages of the file that nobody reads any more.
            json.field("purged", left.isPurged)
        }
        json.field("backups", backups)
        json.field("exports", exports)
    }
}

extension ErasureRecord {
    /// Reads what `write(to:)` wrote; nil for anything else.
    public init?(_ json: JSONValue) {
        func number(_ name: String, of part: JSONValue) -> Int { part.member(name)?.integer.flatMap { Int(exactly: $0) } ?? -1 }
        guard let id = json["id"]?.string, let project = json["project"]?.string, let user = json["user"]?.string,
            let by = json["by"]?.string,
            let beganAt = json["beganAt"].flatMap({ Timestamp($0) }), let endedAt = json["endedAt"].flatMap({ Timestamp($0) }),
            let erased = json["erased"], let left = json["left"], let seal = json["seal"]?.string
        else { return nil }
        var erasure = Erasure()
        erasure.threads = number("threads", of: erased)
        erasure.messages = number("messages", of: erased)
        erasure.runs = number("runs", of: erased)
        erasure.events = number("events", of: erased)
        erasure.quarantined = number("quarantined", of: erased)
        erasure.tombstones = number("tombstones", of: erased)
        var traces = UserTraces(fingerprint: user)
        traces.threads = number("threads", of: left)
        traces.events = number("events", of: left)
        traces.votes = number("votes", of: left)
        traces.names = number("names", of: left)
        traces.quarantined = number("quarantined", of: left)
        traces.isPurged = left["purged"]?.bool ?? false
        self.init(
            id: id, project: project, user: user, by: by, beganAt: beganAt, endedAt: endedAt, erased: erasure, left: traces,
            backups: number("backups", of: json), exports: number("exports", of: json), seal: seal)
    }
}

extension JSONWriter {
    mutating func members(of erased: Erasure) {
        field("threads", erased.threads)
        field("messages", erased.messages)
        field("runs", erased.runs)
        field("events", erased.events)
        field("quarantined", erased.quarantined)
        field("tombstones", erased.tombstones)
    }
}
