import Conversations
import Events
import Hummingbird

// What an operator looks at: what was set aside, what became of every event, and which projects there are.
extension Review {
    /// The most that one call replays: an answer that a person still reads, in seconds.
    static let replayLimit = 1000
    /// What is in memory at a time; a backend's event may be 20 MB.
    private static let replayAtOnce = 20

    /// `GET /v1/projects`: all for a reviewer, its own for a key.
    @Sendable func projects(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let projects =
            switch try await reader(of: request, Query(request)) {
            case .key(let project): [project]
            case .reviewer: try await store.projects().sorted { $0.number < $1.number }
            }
        return .json { writer in
            writer.key("projects")
            writer.array(projects) { writer, project in
                writer.object {
                    $0.field("id", project.id); $0.field("name", project.name)
                }
            }
        }
    }

    /// `GET /v1/outcomes`: the ledger, by key and minute, and its sum.
    @Sendable func outcomes(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let query = Query(request)
        let project = try await project(of: request, query)
        let (from, to) = (try query.time("from"), try query.time("to"))
        let rows = try await store.outcomes(in: project.number, from: from, to: to)
        return .json { $0.members(ofOutcomes: rows) }
    }

    /// `GET /v1/quarantine`: newest first, with a count of all by reason.
    @Sendable func quarantine(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let query = Query(request)
        let project = try await project(of: request, query)
        let (reason, limit) = (try query.choice("reason", of: Reason.allCases), try query.limit(default: 50))
        let page = try await paging {
            try await store.quarantine(in: project.number, reason: reason, limit: limit, after: query["cursor"])
        }
        let counts = try await store.quarantineCounts(in: project.number)
        return .json { writer in
            writer.key("items")
            writer.array(page.items) { $0.quarantined($1) }
            writer.key("counts")
            writer.object { $0.members(ofCounts: counts) }
            writer.field(orNull: "next", page.next)
        }
    }

    /// `POST /v1/quarantine/replay`: by IDs, or all of a reason (as many as one call takes; call again for the rest).
    @Sendable func replayQuarantine(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let project = try await project(of: request, Query(request))
        var results: [Replayed] = []
        switch try await request.readJSON(upTo: 256 << 10, Self.selection) {
        case .ids(var ids):
            while !ids.isEmpty {
                let items = try await store.quarantineItems(Array(ids.prefix(Self.replayAtOnce)), in: project.number)
                results += try await replayed(items, in: project)
                ids.removeFirst(min(ids.count, Self.replayAtOnce))
            }
            guard !results.isEmpty else { throw Refusal(.notFound, "None of these is in quarantine; they may have been replayed before.") }
        case .reason(let reason):
            var cursor: String?
            repeat {
                // What comes back into quarantine is newer than the cursor and not met again.
                let page = try await store.quarantine(in: project.number, reason: reason, limit: Self.replayAtOnce, after: cursor)
                results += try await replayed(page.items, in: project)
                cursor = page.next
            } while cursor != nil && results.count < Self.replayLimit
        }
        return .json { writer in
            writer.key("results")
            writer.array(results.enumerated()) { $0.replayed($1.element, index: $1.offset) }
        }
    }

    private func replayed(_ items: [QuarantineItem], in project: Project) async throws -> [Replayed] {
        guard !items.isEmpty else { return [] }
        let verdicts = try await replay(items, project)
        precondition(verdicts.count == items.count, "a replay gives one verdict an item")
        return zip(items, verdicts).map { Replayed(item: $0.id, event: $0.eventID, verdict: $1) }
    }

    /// What a replay is asked for.
    private enum Selection {
        case ids([String])
        case reason(Reason)
    }

    private static func selection(_ json: JSONValue) throws(Refusal) -> Selection {
        if let list = json["ids"] {
            var ids: [String] = []
            var strings = list.kind == .array
            list.forEachElement { element in
                if let id = element.string { ids.append(id) } else { strings = false }
            }
            guard strings, (1...replayLimit).contains(ids.count) else {
                throw Refusal(.badRequest, field: "ids", "The field `ids` must be a list of 1 to \(replayLimit) IDs out of /v1/quarantine.")
            }
            return .ids(ids)
        }
        guard let reason = json["reason"]?.string.flatMap({ Reason(rawValue: $0) }) else {
            throw Refusal(.badRequest, field: "reason", "The body must have `ids`, or a `reason` out of /v1/quarantine.")
        }
        return .reason(reason)
    }
}

/// What became of a thing in quarantine that was sent through the door again.
struct Replayed {
    /// Its ID in quarantine.
    var item: String
    var event: String?
    var verdict: Verdict
}
