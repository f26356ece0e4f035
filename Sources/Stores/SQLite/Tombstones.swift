import Conversations
import Crypto
import Events
import Foundation
import GRDB

/// What was erased, as keyed hashes of its IDs: enough to know it again, and nothing to read.
struct Tombstones {
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

    init(db: Database, project: ProjectID) throws {
        (self.db, self.project) = (db, project)
        key = SymmetricKey(data: try Data.fetchOne(db.cachedStatement(sql: "SELECT tombstone_key FROM control")) ?? Data())
    }

    /// nil where nothing was ever erased in the project, which is asked once a delivery.
    static func ofProject(_ project: ProjectID, db: Database) throws -> Tombstones? {
        let isThere = try Int.fetchOne(
            db.cachedStatement(sql: "SELECT 1 FROM tombstone WHERE project = ? LIMIT 1"), arguments: [project.number])
        return isThere == nil ? nil : try Tombstones(db: db, project: project)
    }

    func hash(_ kind: Kind, _ id: String) -> Blob {
        let input = "\(project.number)\0\(kind.rawValue)\0\(id)"
        return Blob(Array(HMAC<SHA256>.authenticationCode(for: Data(input.utf8), using: key)))
    }

    func set(_ kind: Kind, _ id: String) throws {
        try db.cachedStatement(sql: "INSERT INTO tombstone VALUES (?,?) ON CONFLICT DO NOTHING")
            .execute(arguments: [project.number, hash(kind, id)])
    }

    func isSet(_ kind: Kind, _ id: String) throws -> Bool {
        try Int.fetchOne(
            db.cachedStatement(sql: "SELECT 1 FROM tombstone WHERE project = ? AND hash = ?"), arguments: [project.number, hash(kind, id)])
            != nil
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
