import Conversations
import Events
import Hummingbird

// Looking at many conversations at once: days and users.
extension Review {
    /// The longest span an overview takes: a year and a day.
    private static let maximumDays = 367

    /// `GET /v1/overview`: what happened, day by day; the last 30 days unless `from` and `to` say otherwise.
    @Sendable func overview(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let query = Query(request)
        let project = try await project(of: request, query)
        let to = try query.time("to") ?? clock.now()
        let from = try query.time("from") ?? to.advanced(bySeconds: -30 * 86400)
        guard from < to, to.microseconds - from.microseconds <= Int64(Self.maximumDays) * 86_400_000_000 else {
            throw Refusal.parameter("from", "must be before `to`, by a year at most")
        }
        let offset = try query.number("offset", -1440...1440) ?? 0
        let overview = try await store.overview(in: project.number, from: from, to: to, offsetMinutes: offset)
        return .json { writer in
            writer.key("days")
            writer.array(overview.days) { writer, day in
                writer.object { writer in
                    writer.field("day", day.day)
                    writer.members(of: day.figures)
                }
            }
            writer.key("total")
            writer.object { $0.members(of: overview.total) }
            writer.key("previous")
            writer.object { $0.members(of: overview.previous) }
        }
    }

    /// `GET /v1/users`: latest activity first.
    @Sendable func users(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let query = Query(request)
        let project = try await project(of: request, query)
        let limit = try query.limit(default: 50)
        let page = try await paging {
            try await store.users(in: project.number, matching: query["q"], limit: limit, after: query["cursor"])
        }
        return .json { writer in
            writer.key("users")
            writer.array(page.items) { $0.user($1) }
            writer.field(orNull: "next", page.next)
        }
    }

    /// `GET /v1/users/{id}`.
    @Sendable func user(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let project = try await project(of: request, Query(request))
        guard let user = try await store.user(parameters.id, in: project.number) else {
            throw Refusal(.notFound, "There is no user of that ID in this project.")
        }
        return .json { writer in
            writer.key("user")
            writer.user(user)
        }
    }

    /// `DELETE /v1/users/{id}`: takes away all they said, and keeps it away. For admins, and for backends, which hear of it first.
    @Sendable func eraseUser(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let (project, reader) = try await entry(of: request, Query(request))
        guard reader.member?.role ?? .admin == .admin else { throw Refusal(.roleForbidden, "Erasing takes the role admin.") }
        // The audit log must not keep what was erased, the user's ID least of all.
        let record = try await ErasureRecord.erase(parameters.id, in: project, by: reader.auditName, store: store, clock: clock)
        return .json { writer in
            writer.key("erased")
            writer.object { $0.members(of: record.erased) }
            writer.key("record")
            writer.object(record.write)
        }
    }
}

extension JSONWriter {
    fileprivate mutating func members(of figures: Figures) {
        field("conversations", figures.conversations)
        field("users", figures.users)
        field("messages", figures.messages)
        field("up", figures.up)
        field("down", figures.down)
        field("runs", figures.runs)
        field("errors", figures.errors)
        field(orNull: "latencyP50Ms", figures.latencyP50)
        field(orNull: "latencyP95Ms", figures.latencyP95)
    }

    fileprivate mutating func user(_ user: UserSummary) {
        object { writer in
            writer.field("id", user.id)
            writer.field("proven", user.isProven)
            writer.field(orNull: "props", user.props)
            writer.field("threads", user.threads)
            writer.field("messages", user.messages)
            writer.field("firstAt", user.firstAt)
            writer.field("lastAt", user.lastAt)
            writer.field("up", user.up)
            writer.field("down", user.down)
        }
    }
}
