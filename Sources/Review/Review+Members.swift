public import Conversations
public import Events
import HTTPTypes
import Hummingbird

/// A link that signs a member in, once.
public enum SignInLink {
    /// A day: long enough to be sent to a colleague, short enough to be forgotten in a chat.
    public static let lifetime = 24.0 * 3600

    public static func make(for member: String, in store: some MemberStore, now: Timestamp) async throws -> (
        ticket: Ticket, expiresAt: Timestamp
    ) {
        let ticket = Ticket()
        let expiresAt = now.advanced(bySeconds: lifetime)
        try await store.insertSignIn(ticket.digest, of: member, expiresAt: expiresAt)
        return (ticket, expiresAt)
    }
}

extension Member {
    public static let nameCharacters = 1...80

    /// A new member with an ID of its own.
    public init(new name: String, role: Role, projects: [String]? = nil, at time: Timestamp) {
        self.init(id: "mem_" + Ticket().text.prefix(22), name: name, role: role, projects: projects, createdAt: time)
    }
}

// Who may sign in; for admins.
extension Review {
    /// `GET /v1/members`.
    @Sendable func members(_ request: Request, _ parameters: Parameters) async throws -> Response {
        _ = try await member(of: request, atLeast: .admin)
        let members = try await store.members()
        return .json { writer in
            writer.key("members")
            writer.array(members) { $0.member($1) }
        }
    }

    /// `POST /v1/members`: makes somebody, with a link for them.
    @Sendable func addMember(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let admin = try await member(of: request, atLeast: .admin)
        let body = try await request.readJSON(upTo: 64 << 10, MemberBody.init)
        guard let name = body.name else { throw Refusal(.badRequest, field: "name", MemberBody.nameRule) }
        let member = Member(new: name, role: body.role ?? .reviewer, projects: body.projects ?? nil, at: clock.now())
        try await nameTaken("There is somebody called \(name) already.") { try await store.insert(member) }
        try await note(.member(admin), "member.add", subject: member.id) {
            $0.field("name", member.name); $0.field("role", member.role.rawValue)
        }
        return try await linked(member, for: request, status: .created)
    }

    /// `PATCH /v1/members/{id}`.
    @Sendable func changeMember(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let admin = try await member(of: request, atLeast: .admin)
        let body = try await request.readJSON(upTo: 64 << 10, MemberBody.init)
        var member = try await anyMember(parameters.id)
        if let role = body.role, role != .admin, member.role == .admin { try await requireAnotherAdmin(than: member) }
        member.name = body.name ?? member.name
        member.role = body.role ?? member.role
        if let projects = body.projects { member.projects = projects }
        let changed = member
        try await nameTaken("There is somebody called \(member.name) already.") { try await store.update(changed) }
        try await note(.member(admin), "member.change", subject: member.id) {
            $0.field("name", changed.name); $0.field("role", changed.role.rawValue)
        }
        return .json { writer in
            writer.key("member")
            writer.member(changed)
        }
    }

    /// `DELETE /v1/members/{id}`: their sessions end at once.
    @Sendable func removeMember(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let admin = try await member(of: request, atLeast: .admin)
        let member = try await anyMember(parameters.id)
        if member.role == .admin { try await requireAnotherAdmin(than: member) }
        _ = try await store.removeMember(member.id)
        try await note(.member(admin), "member.remove", subject: member.id) { $0.field("name", member.name) }
        return Response(status: .noContent, headers: [.cacheControl: "no-store"])
    }

    /// `POST /v1/members/{id}/link`: another one-time link.
    @Sendable func linkMember(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let admin = try await member(of: request, atLeast: .admin)
        let member = try await anyMember(parameters.id)
        try await note(.member(admin), "member.link", subject: member.id)
        return try await linked(member, for: request, status: .ok)
    }

    private func linked(_ member: Member, for request: Request, status: HTTPResponse.Status) async throws -> Response {
        let (ticket, expiresAt) = try await SignInLink.make(for: member.id, in: store, now: clock.now())
        // Where the page is, by its own word: a browser sends Origin with every POST.
        let base = request.headers[.origin] ?? "http://" + (request.head.authority ?? "localhost")
        return .json(status) { writer in
            writer.key("member")
            writer.member(member)
            writer.field("link", ticket.link(at: base))
            writer.field("expiresAt", expiresAt)
        }
    }

    private func anyMember(_ id: String) async throws -> Member {
        guard let member = try await store.members().first(where: { $0.id == id }) else {
            throw Refusal(.notFound, "There is nobody of that ID.")
        }
        return member
    }

    private func requireAnotherAdmin(than member: Member) async throws {
        guard try await store.members().contains(where: { $0.role == .admin && $0.id != member.id }) else {
            throw Refusal(.lastAdmin, "\(member.name) is the only admin; make somebody else one first.")
        }
    }

    func nameTaken(_ message: String, _ work: () async throws -> Void) async throws {
        do {
            try await work()
        } catch ControlFailure.nameTaken {
            throw Refusal(.nameTaken, field: "name", message)
        }
    }
}

/// What is said of a member: whatever is absent stays.
private struct MemberBody {
    static let nameRule = "A name has 1 to 80 characters and no control characters."
    var name: String?
    var role: Member.Role?
    /// `.some(nil)`: all of them.
    var projects: [String]??

    init(_ json: JSONValue) throws(Refusal) {
        if let value = json["name"] {
            let name = value.string.map { $0.split(whereSeparator: \.isWhitespace).joined(separator: " ") }
            guard let name, Member.nameCharacters.contains(name.count),
                !name.unicodeScalars.contains(where: {
                    $0.properties.generalCategory == .control || $0.properties.generalCategory == .format
                })
            else { throw Refusal(.badRequest, field: "name", Self.nameRule) }
            self.name = name
        }
        if let value = json["role"] {
            guard let role = value.string.flatMap({ Member.Role(rawValue: $0) }) else {
                throw Refusal(.badRequest, field: "role", "The role must be reader, reviewer or admin.")
            }
            self.role = role
        }
        if let value = json["projects"] { projects = .some(value.isNull ? nil : try value.strings("projects")) }
    }
}
