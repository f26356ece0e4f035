import Events
import HTTPTypes
import Hummingbird

/// Who reads, by key or by session.
enum Reader {
    /// A secret key, and the project it reads.
    case key(Project)
    /// A signed-in person, who chooses among all projects.
    case reviewer
}

extension Review {
    /// Who reads. A key counts before a cookie; a request with neither is refused.
    func reader(of request: Request, _ query: Query) async throws -> Reader {
        if let key = request.key ?? query["key"] {
            let wanted = request.wantedProject(query)
            let project = try await authenticator.reader(bearer: key, project: wanted).get()
            // Only a browser sends Origin of itself, and what a page holds the whole world can read.
            guard request.headers[.origin] == nil else { throw Refusal(.secretKeyInBrowser, field: "key") }
            if let wanted, wanted != project.id, wanted != project.name {
                throw Refusal(.laneForbidden, field: "project", "This key reads the project \(project.name) and no other.")
            }
            return .key(project)
        }
        guard let ticket = request.sessionTicket, try await store.hasReviewSession(ticket.digest, at: clock.now()) else {
            throw Refusal(.unauthorized)
        }
        try request.requireOwnPage()
        return .reviewer
    }

    /// The project a request reads: the key's, or the one a reviewer names; the first when none is named.
    func project(of request: Request, _ query: Query) async throws -> Project {
        switch try await reader(of: request, query) {
        case .key(let project): return project
        case .reviewer:
            let projects = try await store.projects().sorted { $0.number < $1.number }
            guard let wanted = request.wantedProject(query) else {
                guard let first = projects.first else {
                    throw Refusal(.projectUnknown, "There is no project yet; `parley project create NAME` makes one.")
                }
                return first
            }
            guard let project = projects.first(where: { $0.id == wanted }) ?? projects.first(where: { $0.name == wanted }) else {
                throw Refusal(.projectUnknown, field: "project", "There is no project of that name or ID.")
            }
            return project
        }
    }
}

extension Request {
    /// `Authorization: Bearer KEY`, or `X-API-Key: KEY`. Another scheme is a proxy's and none of our business.
    fileprivate var key: String? {
        if let header = headers[.authorization], header.prefix(7).lowercased() == "bearer " {
            let key = header.dropFirst(7).drop { $0 == " " }
            if !key.isEmpty { return String(key) }
        }
        return headers[.apiKey].flatMap { $0.isEmpty ? nil : $0 }
    }

    fileprivate func wantedProject(_ query: Query) -> String? { query["project"] ?? headers[.parleyProject] }
}

extension HTTPField.Name {
    fileprivate static let apiKey = HTTPField.Name("X-API-Key")!
    fileprivate static let parleyProject = HTTPField.Name("Parley-Project")!
}
