import Conversations
import Events
import HTTPTypes
import Hummingbird

// Projects and keys; for admins, but for what every reader may know of a project.
extension Review {
    /// `GET /v1/projects`: those one sees.
    @Sendable func projects(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let projects = try await projects(for: reader(of: request, Query(request)))
        return .json { writer in
            writer.key("projects")
            writer.array(projects) { writer, project in
                writer.object {
                    $0.field("id", project.id); $0.field("name", project.name)
                }
            }
        }
    }

    /// `GET /v1/projects/{id}`: its settings, and whether anything has come in.
    @Sendable func project(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let reader = try await reader(of: request, Query(request))
        return try await described(try await project(parameters.id, for: reader))
    }

    /// `POST /v1/projects`: makes one, with the pair of keys it begins with; the secret one is told once.
    @Sendable func addProject(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let admin = Reader.member(try await member(of: request, atLeast: .admin))
        let body = try await request.readJSON(upTo: 64 << 10) { try SettingsBody($0, office: office) }
        guard let name = body.name else { throw Refusal(.badRequest, field: "name", SettingsBody.nameRule) }
        var project: Project?
        try await nameTaken("There is a project called \(name) already.") {
            project = try await store.createProject(named: name, settings: body.applied(to: Project.Settings()))
        }
        guard let project else { throw Refusal(.internal) }
        let page = try await office.issueKey(.public, of: project, label: nil, expiresAt: nil)
        let backend = try await office.issueKey(.secret, of: project, label: nil, expiresAt: nil)
        try await note(admin, "project.create", in: project, subject: project.id) { $0.field("name", name) }
        return .json(.created) { writer in
            writer.key("project")
            writer.object { $0.settings(of: project) }
            writer.field("publicKey", page.text)
            writer.field("secretKey", backend.text)
        }
    }

    /// `PATCH /v1/projects/{id}`: what is absent stays; it holds within a second.
    @Sendable func changeProject(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let admin = Reader.member(try await member(of: request, atLeast: .admin))
        var project = try await project(parameters.id, for: admin)
        let body = try await request.readJSON(upTo: 64 << 10) { try SettingsBody($0, office: office) }
        project.name = body.name ?? project.name
        project.settings = body.applied(to: project.settings)
        let changed = project
        try await nameTaken("There is a project called \(changed.name) already.") { try await store.update(changed) }
        try await note(admin, "project.change", in: changed, subject: changed.id) { $0.settings(of: changed) }
        return try await described(changed)
    }

    /// `DELETE /v1/projects/{id}` with its name in the body: all that was recorded in it goes.
    @Sendable func removeProject(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let admin = Reader.member(try await member(of: request, atLeast: .admin))
        let project = try await project(parameters.id, for: admin)
        let name = try await request.readJSON(upTo: 4096) { $0["name"]?.string }
        guard name == project.name else {
            throw Refusal(.badRequest, field: "name", "To delete the project, the body must have its `name`, \(project.name).")
        }
        try await store.deleteProject(project.number)
        try await note(admin, "project.delete", subject: project.id) { $0.field("name", project.name) }
        return Response(status: .noContent, headers: [.cacheControl: "no-store"])
    }

    /// `POST /v1/scrubbing/preview`: what rules would make of a text; the project's own where none are given. Nothing is written.
    @Sendable func previewScrubbing(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let (project, reader) = try await entry(of: request, Query(request))
        guard reader.member?.role ?? .admin == .admin else { throw Refusal(.roleForbidden, "Trying rules takes the role admin.") }
        let (rules, text) = try await request.readJSON(upTo: 256 << 10) { json in
            guard let text = json["text"]?.string else { throw Refusal(.badRequest, field: "text", "The field `text` must be a string.") }
            return (try json["rules"].map { try $0.scrubbingRules("rules") }, text)
        }
        let made = try office.scrub(text, by: rules ?? project.settings.scrubbing, in: project)
        return .json { writer in
            writer.field("text", made.text)
            writer.key("found")
            writer.object { for each in made.found { $0.field(each.name, each.count) } }
        }
    }

    private func described(_ project: Project) async throws -> Response {
        let standing = try await store.standing(of: project.number)
        let now = clock.now()
        let page = try await store.keys().first { $0.project == project.number && $0.lane == .public && $0.isLive(at: now) }
        return .json { writer in
            writer.key("project")
            writer.object { writer in
                writer.settings(of: project)
                writer.field(orNull: "publicKey", page?.shown)
                writer.field(orNull: "lastEventAt", standing.lastEventAt)
                writer.field("threads", standing.threads)
            }
        }
    }

    // MARK: keys

    /// `GET /v1/keys`: those of the project.
    @Sendable func keys(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let (project, _) = try await set(up: request)
        let now = clock.now()
        let keys = try await store.keys().filter { $0.project == project.number }
        return .json { writer in
            writer.key("keys")
            writer.array(keys) { $0.keyRecord($1, now: now) }
        }
    }

    /// `POST /v1/keys`: makes one; its text is told once.
    @Sendable func addKey(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let (project, admin) = try await set(up: request)
        let now = clock.now()
        let (lane, label, expiry) = try await request.readJSON(upTo: 4096) { json in
            guard let lane = json["lane"]?.string.flatMap({ Lane(rawValue: $0) }) else {
                throw Refusal(.badRequest, field: "lane", "The field `lane` must be public or secret.")
            }
            var label: String?
            if let value = json["label"], !value.isNull { label = try value.text("label", upTo: 80) }
            var expiry: Timestamp?
            if let value = json["expiresAt"], !value.isNull {
                guard let time = Timestamp(value), time > now else {
                    throw Refusal(
                        .badRequest, field: "expiresAt", "The field `expiresAt` must be a time to come, like 2027-01-31T00:00:00Z.")
                }
                expiry = time
            }
            return (lane, label, expiry)
        }
        let (key, text) = try await office.issueKey(lane, of: project, label: label, expiresAt: expiry)
        try await note(admin, "key.create", in: project, subject: key.id) { $0.field("lane", lane.rawValue) }
        return .json(.created) { writer in
            writer.key("key")
            writer.keyRecord(key, now: now)
            writer.field("text", text)
        }
    }

    /// `DELETE /v1/keys/{id}`: revokes it; open sockets are closed within seconds.
    @Sendable func revokeKey(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let (project, admin) = try await set(up: request)
        let id = parameters.id
        guard try await store.keys().contains(where: { $0.id == id && $0.project == project.number }),
            try await store.revokeKey(id, at: clock.now())
        else { throw Refusal(.notFound, "There is no live key of that ID in this project.") }
        try await note(admin, "key.revoke", in: project, subject: id)
        return Response(status: .noContent, headers: [.cacheControl: "no-store"])
    }

    /// The project that an admin sets up; a key is none.
    func set(up request: Request) async throws -> (project: Project, admin: Reader) {
        let admin = Reader.member(try await member(of: request, atLeast: .admin))
        return (try await project(Query(request)["project"], for: admin), admin)
    }

    // MARK: the log

    /// Writes down what somebody did.
    func note(
        _ reader: Reader, _ action: String, in project: Project? = nil, subject: String? = nil,
        _ detail: ((inout JSONWriter) -> Void)? = nil
    ) async throws {
        let text = detail.map { write in
            var writer = JSONWriter()
            writer.object(write)
            return JSONText(trusted: writer.bytes)
        }
        try await store.note(
            AuditEntry(at: clock.now(), by: reader.auditName, action: action, subject: subject, detail: text), in: project?.number)
    }

    /// `GET /v1/audit`: who did what, newest first; of the project, or with `scope=installation` of everything else.
    @Sendable func audit(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let query = Query(request)
        let (project, _) = try await set(up: request)
        let scope = query["scope"] == "installation" ? nil : project.number
        let limit = try query.limit(default: 50)
        let page = try await paging { try await store.audit(in: scope, limit: limit, after: query["cursor"]) }
        return .json { writer in
            writer.key("entries")
            writer.array(page.items) { writer, entry in
                writer.object { writer in
                    writer.field("id", entry.id)
                    writer.field("at", entry.at)
                    writer.field("by", entry.by)
                    writer.field("action", entry.action)
                    writer.field(orNull: "subject", entry.subject)
                    writer.field(orNull: "detail", entry.detail)
                }
            }
            writer.field(orNull: "next", page.next)
        }
    }
}

/// What is said of a project's settings; whatever is absent stays.
private struct SettingsBody {
    static let nameRule = "A project's name has 1 to 80 characters and no control characters."
    var name: String?
    private var changes: [@Sendable (inout Project.Settings) -> Void] = []

    init(_ json: JSONValue, office: any BackOffice) throws(Refusal) {
        let json = json["settings"] ?? json
        if let value = json["name"] {
            guard let name = value.string?.split(separator: " ").joined(separator: " "), (1...80).contains(name.count),
                !name.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F })
            else { throw Refusal(.badRequest, field: "name", Self.nameRule) }
            self.name = name
        }
        if let value = json["origins"] {
            let origins = try value.strings("origins")
            for origin in origins {
                if let fault = office.fault(inOrigin: origin) { throw Refusal(.badRequest, field: "origins", fault) }
            }
            changes.append { $0.origins = origins }
        }
        if let flag = try json.flag("allowsMissingOrigin") { changes.append { $0.allowsMissingOrigin = flag } }
        if let flag = try json.flag("allowsNullOrigin") { changes.append { $0.allowsNullOrigin = flag } }
        // Read twice: here for what is wrong with them, there onto those that stay.
        var quotas = Project.Quotas()
        try quotas.read(json)
        let said = JSONText(json)
        changes.append { settings in
            try? JSONDocument.read(said.bytes, isOurs: true) { try settings.quotas.read($0) }
        }
        if let value = json["inactiveAfterSeconds"] {
            guard let seconds = value.double, (1...31_536_000).contains(seconds) else {
                throw Refusal(.badRequest, field: "inactiveAfterSeconds", "The field `inactiveAfterSeconds` must be 1 to 31536000, a year.")
            }
            changes.append { $0.inactiveAfterSeconds = seconds }
        }
        if let value = json["scoring"] {
            guard let scoring = value.string.flatMap({ Project.Scoring(rawValue: $0) }) else {
                throw Refusal(.badRequest, field: "scoring", "The field `scoring` must be review, open or strict.")
            }
            changes.append { $0.scoring = scoring }
        }
        if let value = json["retentionDays"] {
            let days = value.integer.flatMap { Int(exactly: $0) }
            guard value.isNull || days.map({ (1...36500).contains($0) }) ?? false else {
                throw Refusal(
                    .badRequest, field: "retentionDays", "The field `retentionDays` must be 1 to 36500, or null to keep everything.")
            }
            changes.append { $0.retentionDays = days }
        }
        if let value = json["scrubbing"] {
            let rules = try value.scrubbingRules("scrubbing")
            _ = try office.scrub("", by: rules, in: nil)
            changes.append { $0.scrubbing = rules }
        }
    }

    func applied(to settings: Project.Settings) -> Project.Settings {
        var settings = settings
        for change in changes { change(&settings) }
        return settings
    }
}

extension JSONValue {
    /// A list of rules, each an object or its text.
    fileprivate func scrubbingRules(_ name: String) throws(Refusal) -> [ScrubbingRule] {
        guard kind == .array else { throw Refusal(.badRequest, field: name, "The field `\(name)` must be a list of rules.") }
        var rules: [ScrubbingRule] = []
        try forEachElement { (rule: JSONValue) throws(Refusal) in rules.append(try ScrubbingRule(rule)) }
        return rules
    }

    fileprivate func flag(_ name: String) throws(Refusal) -> Bool? {
        guard let value = member(name) else { return nil }
        guard let flag = value.bool else { throw Refusal(.badRequest, field: name, "The field `\(name)` must be true or false.") }
        return flag
    }
}

extension KeyRecord {
    fileprivate func isLive(at now: Timestamp) -> Bool { revokedAt == nil && (expiresAt.map { $0 > now } ?? true) }
}

extension JSONWriter {
    fileprivate mutating func settings(of project: Project) {
        let settings = project.settings
        field("id", project.id)
        field("name", project.name)
        key("settings")
        object { writer in
            writer.field("origins", settings.origins)
            writer.field("allowsMissingOrigin", settings.allowsMissingOrigin)
            writer.field("allowsNullOrigin", settings.allowsNullOrigin)
            writer.members(of: settings.quotas)
            writer.field("inactiveAfterSeconds", settings.inactiveAfterSeconds)
            writer.field("scoring", settings.scoring.rawValue)
            writer.field(orNull: "retentionDays", settings.retentionDays.map(Int64.init))
            writer.key("scrubbing")
            writer.array(settings.scrubbing) { $0.value($1) }
        }
    }

    fileprivate mutating func keyRecord(_ key: KeyRecord, now: Timestamp) {
        object { writer in
            writer.field("id", key.id)
            writer.field("lane", key.lane.rawValue)
            writer.field("scope", key.scope.rawValue)
            writer.field("shown", key.shown)
            writer.field(orNull: "label", key.label)
            writer.field("createdAt", key.createdAt)
            writer.field(orNull: "expiresAt", key.expiresAt)
            writer.field(orNull: "revokedAt", key.revokedAt)
            writer.field("live", key.isLive(at: now))
        }
    }

    /// Somebody who may sign in.
    mutating func member(_ member: Member) {
        object { writer in
            writer.field("id", member.id)
            writer.field("name", member.name)
            writer.field("role", member.role.rawValue)
            writer.key("projects")
            if let projects = member.projects, member.role != .admin { writer.array(projects) { $0.value($1) } } else { writer.null() }
            writer.field("hasPassword", member.password != nil)
            writer.field("createdAt", member.createdAt)
            writer.field(orNull: "lastSeenAt", member.lastSeenAt)
        }
    }
}
