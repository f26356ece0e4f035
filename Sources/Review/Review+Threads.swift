import Conversations
import Events
import Hummingbird

extension Review {
    /// `GET /v1/threads`: the list, newest activity first.
    @Sendable func threads(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let query = Query(request)
        let (project, reader) = try await entry(of: request, query)
        let (filter, limit) = (try ThreadFilter(query, viewer: reader.member), try query.limit(default: 50))
        let page = try await paging {
            try await store.threads(in: project, matching: filter, limit: limit, after: query["cursor"], now: clock.now())
        }
        return .json { writer in
            writer.key("threads")
            writer.array(page.items) { $0.summary($1) }
            writer.field(orNull: "next", page.next)
            writer.field("isPartial", page.isPartial)
        }
    }

    /// `GET /v1/threads/{id}`: a conversation, its items in order of time.
    @Sendable func thread(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let query = Query(request)
        let project = try await project(of: request, query)
        // 500: a long conversation in one answer of about a megabyte.
        let limit = try query.limit(default: 200, upTo: 500)
        let conversation = try await paging {
            try await store.conversation(parameters.id, in: project, limit: limit, after: query["cursor"], now: clock.now())
        }
        guard let conversation else { throw Refusal(.notFound, "There is no thread of that ID in this project.") }
        let style = try Rendering(query)
        return .json { $0.members(of: conversation, style, under: project) }
    }

    /// `GET /v1/messages/{id}`.
    @Sendable func message(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let query = Query(request)
        let project = try await project(of: request, query)
        let style = try Rendering(query)
        guard let item = try await store.message(parameters.id, in: project.number) else {
            throw Refusal(.notFound, "There is no message of that ID in this project.")
        }
        return .json { writer in
            writer.key("message")
            writer.object { writer in
                writer.members(of: item, style)
                writer.field(orNull: "thread", item.event.thread)
            }
        }
    }

    /// `GET /v1/runs/{id}`: a run with all below it.
    @Sendable func run(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let project = try await project(of: request, Query(request))
        guard let (node, message) = try await store.run(parameters.id, in: project.number) else {
            throw Refusal(.notFound, "There is no run of that ID in this project.")
        }
        return .json { writer in
            writer.key("run")
            writer.object { writer in
                writer.members(of: node)
                writer.field(orNull: "message", message)
            }
        }
    }

    /// Reads a page; a cursor that no page gave out is the reader's mistake.
    func paging<Page>(_ read: () async throws -> Page) async throws -> Page {
        do {
            return try await read()
        } catch ReadFailure.badCursor {
            throw Refusal.parameter("cursor", "must be the `next` of the page before it, with the same filters")
        }
    }
}
