import Conversations
import Crypto
import Events
import Foundation

/// What was erased, as keyed hashes of its IDs: enough to know it again, and nothing to read.
final class Tombstones {
    /// What an ID is of; the same ID may be a message's, a run's and an event's.
    enum Kind: String {
        case thread, message, run, event
        /// A trace that a message or run of it was part of.
        case trace
        /// Of a user no tombstone is set; their hash stands in the record of an erasure.
        case user
    }

    let db: Database
    let project: ProjectID
    private let key: SymmetricKey
    /// Hashes that were asked for, and whether they are set.
    private var known: [Blob: Bool] = [:]
    /// While a batch's hashes are gathered: those that are to be asked for.
    private var gathered: Set<Blob>?

    init(db: Database, project: ProjectID) throws {
        (self.db, self.project) = (db, project)
        let bytes = try Blob.fetchOne(db, sql: "SELECT tombstone_key FROM control")?.bytes ?? []
        key = SymmetricKey(data: bytes)
    }

    /// nil where nothing was ever erased in the project.
    static func ofProject(_ project: ProjectID, db: Database) throws -> Tombstones? {
        try db.fetchOne(Self.any, [project.number]) == nil ? nil : try Tombstones(db: db, project: project)
    }

    static let any = "SELECT 1 FROM tombstone WHERE project = $1 LIMIT 1"

    func hash(_ kind: Kind, _ id: String) -> Blob {
        let input = "\(project.number)\0\(kind.rawValue)\0\(id)"
        return Blob(Array(HMAC<SHA256>.authenticationCode(for: Data(input.utf8), using: key)))
    }

    /// Sets tombstones for IDs; answers how many of them had none.
    func set(_ kind: Kind, _ ids: [String]) throws -> Int {
        guard !ids.isEmpty else { return 0 }
        let hashes = ids.map { hash(kind, $0) }
        for hash in hashes { known[hash] = true }
        return try db.execute(
            "INSERT INTO tombstone (project, hash) SELECT $1, unnest($2::bytea[]) ON CONFLICT DO NOTHING", [project.number, hashes])
    }

    func isSet(_ kind: Kind, _ id: String) throws -> Bool {
        let hash = hash(kind, id)
        if gathered != nil {
            gathered!.insert(hash)
            return false
        }
        if let isSet = known[hash] { return isSet }
        let isSet = try db.fetchOne("SELECT 1 FROM tombstone WHERE project = $1 AND hash = $2", [project.number, hash]) != nil
        known[hash] = isSet
        return isSet
    }

    /// Asks at once for all that a delivery's events and what it set aside will be looked up for.
    func prefetch(_ delivery: Delivery) throws {
        try prefetch {
            for admitted in delivery.events { _ = try refusal(of: admitted.event) }
            for aside in delivery.setAside { _ = try covers(aside.payload, id: aside.id) }
        }
    }

    /// The same of IDs, or of whatever else `look` asks of it.
    func prefetch(_ kind: Kind, _ ids: [String]) throws {
        try prefetch { for id in ids { _ = try isSet(kind, id) } }
    }

    func prefetch(_ look: () throws -> Void) throws {
        gathered = []
        defer { gathered = nil }
        try look()
        let hashes = gathered!.filter { known[$0] == nil }
        gathered = nil
        guard !hashes.isEmpty else { return }
        for hash in hashes { known[hash] = false }
        let rows = try db.fetchAll("SELECT hash FROM tombstone WHERE project = $1 AND hash = ANY($2)", [project.number, Array(hashes)])
        for row in rows { known[row[0]] = true }
    }

    private func isSet(anyOf kinds: [Kind], _ id: String) throws -> Bool { try kinds.contains { try isSet($0, id) } }

    /// Why an event may not come back; nil where it may.
    func refusal(of event: Event) throws -> Refusal? {
        guard let field = try field(of: event) else { return nil }
        return Refusal(.erased, field: field)
    }

    /// The field of an event that names something erased.
    private func field(of event: Event) throws -> String? {
        let own: Kind =
            switch event.idSpace {
            case .message: .message
            case .run: .run
            case .other: .event
            }
        if try isSet(own, event.id) { return "id" }
        if let thread = event.thread, try isSet(.thread, thread) { return "thread" }
        switch event.body {
        case .message(let message):
            if let id = message.replyTo, try isSet(.message, id) { return "replyTo" }
            if let id = message.retryOf, try isSet(.message, id) { return "retryOf" }
            if let trace = message.trace, try isSet(.trace, trace.lowercased()) { return "trace" }
        case .run(let part):
            if let id = part.parent, try isSet(anyOf: [.message, .run], id) { return "parent" }
            if let id = part.within, try isSet(anyOf: [.message, .run], id) { return "within" }
            for trace in event.runTraces where try isSet(.trace, trace) { return "trace" }
        case .comment(let comment):
            if let id = comment.changes, try isSet(.event, id) { return "changes" }
            if try isErased(target: comment.target) { return "target" }
        default: if let target = event.target, try isErased(target: target) { return "target" }
        }
        return nil
    }

    private func isErased(target: String) throws -> Bool {
        if try isSet(anyOf: [.message, .run, .thread, .event], target) { return true }
        let run = TurnFold.run(ofAnswer: target)
        return try run != target && isSet(.run, run)
    }

    /// Whether what was set aside is, or names, something erased.
    func covers(_ aside: JSONText, id: String?) throws -> Bool {
        if let id, try isSet(anyOf: [.message, .run, .event], id) { return true }
        let ids =
            (try? JSONDocument.read(aside.bytes) { json in
                ["id", "thread", "target", "parent", "within", "replyTo", "retryOf", "changes"].compactMap { json.member($0)?.string }
            }) ?? []
        return try ids.contains { try isSet(anyOf: [.thread, .message, .run, .event], $0) }
    }
}
