import Conversations
import Events
import HTTPTypes
import Hummingbird

// Filters that people gave a name: their own, and those they share.
extension Review {
    /// `GET /v1/views`.
    @Sendable func views(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let (project, reader) = try await entry(of: request, Query(request))
        let (views, members) = (try await store.views(of: reader.record, in: project.number), try await store.members())
        let names = Dictionary(members.map { ($0.id, $0.name) }, uniquingKeysWith: { first, _ in first })
        return .json { writer in
            writer.key("views")
            writer.array(views) { $0.view($1, owner: names[$1.owner]) }
        }
    }

    /// `POST /v1/views`. A reader's are their own; sharing takes a reviewer.
    @Sendable func addView(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let (project, reader) = try await entry(of: request, Query(request))
        let (name, text, isShared) = try await request.readJSON(upTo: 16 << 10) { json in
            guard let name = json["name"], let query = json["query"]?.string, query.utf8.count <= 4096 else {
                throw Refusal(.badRequest, field: "query", "A view has a `name` and a `query` of at most 4096 bytes.")
            }
            return (try name.text("name", upTo: 80), query, json["shared"]?.bool ?? false)
        }
        // A view that the list would refuse is refused here.
        _ = try ThreadFilter(Query(text), viewer: reader.member)
        guard !isShared || reader.role >= .reviewer else { throw Refusal(.roleForbidden, "Sharing a view takes the role reviewer.") }
        let view = SavedView(
            id: "view_" + Ticket().text.prefix(16), name: name, query: text, owner: reader.record, isShared: isShared)
        try await store.insert(view, in: project.number)
        return .json(.created) { writer in
            writer.key("view")
            writer.view(view, owner: reader.author(nil))
        }
    }

    /// `DELETE /v1/views/{id}`: one's own; an admin's hand reaches the shared ones too.
    @Sendable func removeView(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let (project, reader) = try await entry(of: request, Query(request))
        guard try await store.removeView(parameters.id, of: reader.role == .admin ? nil : reader.record, in: project.number) else {
            throw Refusal(.notFound, "There is no view of that ID that is yours.")
        }
        return Response(status: .noContent, headers: [.cacheControl: "no-store"])
    }
}

extension JSONWriter {
    fileprivate mutating func view(_ view: SavedView, owner: String?) {
        object { writer in
            writer.field("id", view.id)
            writer.field("name", view.name)
            writer.field("query", view.query)
            writer.field(orNull: "owner", owner)
            writer.field("shared", view.isShared)
        }
    }
}
