import Conversations
import Events
import HTTPTypes
import Hummingbird

/// Who reads, by key or by session.
enum Reader {
    /// A secret key, and the project it opens. It may do what a reviewer may.
    case key(Project, name: String)
    /// A signed-in person, who chooses among the projects they see.
    case member(Member)

    var role: Member.Role {
        switch self {
        case .key: .reviewer
        case .member(let member): member.role
        }
    }

    /// Whose judgement it is; a key says itself in whose name it judges.
    func author(_ named: String?) -> String {
        switch self {
        case .key: named ?? "api"
        case .member(let member): member.name
        }
    }

    /// The name of record that stands beside what they write.
    var record: String {
        switch self {
        case .key(_, let name): name
        case .member(let member): member.id
        }
    }

    /// How the audit log names them.
    var auditName: String {
        switch self {
        case .key(_, let name): name
        case .member(let member): member.name
        }
    }

    var member: Member? { if case .member(let member) = self { member } else { nil } }

    /// Whether they see a project.
    func sees(_ project: Project) -> Bool {
        switch self {
        case .key(let own, _): own.number == project.number
        case .member(let member): member.role == .admin || member.projects?.contains(project.id) ?? true
        }
    }
}

extension Review {
    /// Who reads. A key counts before a cookie; a request with neither is refused, and one by somebody of too low a role.
    func reader(of request: Request, _ query: Query, atLeast role: Member.Role = .reader) async throws -> Reader {
        let reader = try await whoever(asks: request, query)
        guard reader.role >= role else {
            throw Refusal(.roleForbidden, "This takes the role \(role.rawValue); yours is \(reader.role.rawValue).")
        }
        return reader
    }

    private func whoever(asks request: Request, _ query: Query) async throws -> Reader {
        if let key = request.key ?? query["key"] {
            let wanted = request.wantedProject(query)
            let (project, name) = try await authenticator.reader(bearer: key, project: wanted).get()
            // Only a browser sends Origin of itself, and what a page holds the whole world can read.
            guard request.headers[.origin] == nil else { throw Refusal(.secretKeyInBrowser, field: "key") }
            if let wanted, wanted != project.id, wanted != project.name {
                throw Refusal(.laneForbidden, field: "project", "This key reads the project \(project.name) and no other.")
            }
            return .key(project, name: name)
        }
        return .member(try await member(of: request))
    }

    /// The signed-in person; keys don't count.
    func member(of request: Request, atLeast role: Member.Role = .reader) async throws -> Member {
        guard let ticket = request.sessionTicket, let member = try await store.member(ofSession: ticket.digest, at: clock.now()) else {
            throw Refusal(.unauthorized)
        }
        try request.requireOwnPage()
        guard member.role >= role else {
            throw Refusal(.roleForbidden, "This takes the role \(role.rawValue); yours is \(member.role.rawValue).")
        }
        return member
    }

    /// The project a request is about, and who asks: the key's, or the one a person names; their first when none is named.
    func entry(
        of request: Request, _ query: Query, atLeast role: Member.Role = .reader
    ) async throws -> (project: Project, reader: Reader) {
        let reader = try await reader(of: request, query, atLeast: role)
        if case .key(let project, _) = reader { return (project, reader) }
        return (try await project(request.wantedProject(query), for: reader), reader)
    }

    /// A project somebody sees. One that they don't is as unknown as one that isn't there.
    func project(_ wanted: String?, for reader: Reader) async throws -> Project {
        let seen = try await projects(for: reader)
        guard let wanted else {
            guard let first = seen.first else {
                throw Refusal(.projectUnknown, "There is no project yet; `parley project create NAME` makes one.")
            }
            return first
        }
        guard let project = seen.first(where: { $0.id == wanted }) ?? seen.first(where: { $0.name == wanted }) else {
            throw Refusal(.projectUnknown, field: "project", "There is no project of that name or ID.")
        }
        return project
    }

    func projects(for reader: Reader) async throws -> [Project] {
        if case .key(let project, _) = reader { return [project] }
        return try await store.projects().filter(reader.sees).sorted { $0.number < $1.number }
    }

    func project(of request: Request, _ query: Query) async throws -> Project { try await entry(of: request, query).project }
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
