import Conversations
import Events
import HTTPTypes
import Hummingbird

// What was set aside, by cause; mended, sent through the door again, or thrown away.
extension Review {
    /// The most that one call replays: an answer that a person still reads, in seconds. More calls go on where it ended.
    static let replayLimit = 1000
    /// What is in memory at a time; a backend's event may be 20 MB.
    private static let atOnce = 20

    /// `GET /v1/quarantine`: newest first, with a count of all by reason.
    @Sendable func quarantine(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let query = Query(request)
        let project = try await project(of: request, query)
        let cause = QuarantineCause(
            reason: try query.choice("reason", of: Reason.allCases), field: query["field"], type: query["type"])
        let limit = try query.limit(default: 50)
        let page = try await paging { try await store.quarantine(in: project.number, of: cause, limit: limit, after: query["cursor"]) }
        let counts = try await store.quarantineCounts(in: project.number)
        return .json { writer in
            writer.key("items")
            writer.array(page.items) { $0.quarantined($1) }
            writer.key("counts")
            writer.object { $0.members(ofCounts: counts) }
            writer.field(orNull: "next", page.next)
        }
    }

    /// `GET /v1/quarantine/groups`: by reason, field and type, the largest first.
    @Sendable func quarantineGroups(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let project = try await project(of: request, Query(request))
        let groups = try await store.quarantineGroups(in: project.number).sorted { $0.count > $1.count }
        return .json { writer in
            writer.key("groups")
            writer.array(groups) { writer, group in
                writer.object { writer in
                    writer.field("reason", group.reason.rawValue)
                    writer.field(orNull: "field", group.field)
                    writer.field(orNull: "type", group.type)
                    writer.field("message", group.sample.message)
                    writer.field("count", group.count)
                    writer.field("firstAt", group.firstAt)
                    writer.field("lastAt", group.lastAt)
                    writer.key("sample")
                    writer.quarantined(group.sample)
                }
            }
        }
    }

    /// `POST /v1/quarantine/replay`: by IDs, or those of a cause, as many as one call takes; mended first where that is asked for.
    @Sendable func replayQuarantine(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let (project, reader) = try await entry(of: request, Query(request))
        guard reader.member?.role ?? .admin == .admin else { throw Refusal(.roleForbidden, "Replaying takes the role admin.") }
        let order = try await request.readJSON(upTo: 1 << 20, QuarantineOrder.init)
        var results: [Replayed] = []
        let cursor = try await eachChunk(of: order, in: project) { items in
            let verdicts = try await office.replay(items, order.mending, in: project)
            precondition(verdicts.count == items.count, "a replay gives one verdict an item")
            results += zip(items, verdicts).map { Replayed(item: $0.id, event: $0.eventID, verdict: $1) }
        }
        if case .ids = order.selection, results.isEmpty {
            throw Refusal(.notFound, "None of these is in quarantine; they may have been replayed before.")
        }
        if !order.mending.isDry {
            try await note(reader, "quarantine.replay", in: project) {
                $0.field("items", results.count); $0.field("trust", order.mending.trusts)
            }
        }
        return .json { writer in
            writer.key("results")
            writer.array(results.enumerated()) { $0.replayed($1.element, index: $1.offset) }
            writer.field(orNull: "next", cursor)
        }
    }

    /// `DELETE /v1/quarantine`: throws away, by IDs or by cause.
    @Sendable func clearQuarantine(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let (project, reader) = try await entry(of: request, Query(request))
        guard reader.member?.role ?? .admin == .admin else { throw Refusal(.roleForbidden, "Throwing away takes the role admin.") }
        let order = try await request.readJSON(upTo: 1 << 20, QuarantineOrder.init)
        var removed = 0
        var cursor: String?
        repeat {
            var next = order
            next.cursor = cursor
            cursor = try await eachChunk(of: next, in: project) { items in
                try await store.removeQuarantineItems(items.map(\.id), in: project.number)
                removed += items.count
            }
        } while cursor != nil
        let count = removed
        try await note(reader, "quarantine.clear", in: project) { $0.field("items", count) }
        return .json { $0.field("removed", count) }
    }

    /// Reads what is selected, a chunk at a time, up to the limit of a call; answers where to go on.
    private func eachChunk(
        of order: QuarantineOrder, in project: Project, _ work: ([QuarantineItem]) async throws -> Void
    ) async throws -> String? {
        var done = 0
        switch order.selection {
        case .ids(var ids):
            while !ids.isEmpty {
                let items = try await store.quarantineItems(Array(ids.prefix(Self.atOnce)), in: project.number)
                if !items.isEmpty { try await work(items) }
                ids.removeFirst(min(ids.count, Self.atOnce))
            }
            return nil
        case .cause(let cause):
            var cursor = order.cursor
            repeat {
                // What comes back into quarantine is newer than the cursor and not met again.
                let page = try await paging {
                    try await store.quarantine(in: project.number, of: cause, limit: Self.atOnce, after: cursor)
                }
                if !page.items.isEmpty { try await work(page.items) }
                done += page.items.count
                cursor = page.next
            } while cursor != nil && done < Self.replayLimit
            return cursor
        }
    }
}

/// What is to be done with which things in quarantine.
private struct QuarantineOrder {
    enum Selection {
        case ids([String])
        case cause(QuarantineCause)
    }
    var selection: Selection
    var mending = Mending()
    var cursor: String?

    init(_ json: JSONValue) throws(Refusal) {
        mending.trusts = json["trust"]?.bool ?? false
        mending.isDry = json["dryRun"]?.bool ?? false
        cursor = json["cursor"]?.string
        if let patch = json["patch"], !patch.isNull {
            guard patch.kind == .object else {
                throw Refusal(.badRequest, field: "patch", "The field `patch` must be an object (RFC 7396).")
            }
            mending.patch = JSONText(patch)
        }
        if let list = json["ids"] {
            let ids = try list.strings("ids")
            guard (1...Review.replayLimit).contains(ids.count) else {
                throw Refusal(
                    .badRequest, field: "ids", "The field `ids` must be a list of 1 to \(Review.replayLimit) IDs out of /v1/quarantine.")
            }
            selection = .ids(ids)
            return
        }
        guard let reason = json["reason"]?.string.flatMap({ Reason(rawValue: $0) }) else {
            throw Refusal(.badRequest, field: "reason", "The body must have `ids`, or a `reason` out of /v1/quarantine.")
        }
        // `null` says that there is none; what is absent does not matter.
        func part(_ value: JSONValue?) -> String? { value.map { $0.string ?? "" } }
        selection = .cause(QuarantineCause(reason: reason, field: part(json["field"]), type: part(json["type"])))
    }
}

/// What became of a thing in quarantine that was sent through the door again.
struct Replayed {
    /// Its ID in quarantine.
    var item: String
    var event: String?
    var verdict: Verdict
}
