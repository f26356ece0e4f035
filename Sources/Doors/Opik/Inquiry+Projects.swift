import Events

/// The projects that the key opens.
extension Inquiry {
    func listProjects() async throws(Refusal) -> Reply {
        let form = try SearchForm(query: request.query.filter { $0.key != "filters" && $0.key != "sorting" }, among: [:])
        var projects = try await desk.projects()
        if let name = request.query["name"]?.lowercased() { projects = projects.filter { $0.name.lowercased().contains(name) } }
        return form.reply(projects, sortable: []) { $0.project($1) }
    }

    func project() async throws(Refusal) -> Reply {
        guard let project = try await desk.projects().first(where: { $0.id == parameter || $0.name == parameter }) else {
            throw Refusal(.projectUnknown)
        }
        return Self.reply(project)
    }

    /// `{"name":…}`; a key of one project has that one, whatever the name.
    func retrieveProject() async throws(Refusal) -> Reply {
        let name = try name()
        return noted(Self.reply(try await desk.project(name, creating: false)), projects: [name])
    }

    func createProject() async throws(Refusal) -> Reply {
        let name = try name()
        if try await desk.projects().contains(where: { $0.name == name }) { return OpikDoor.problem(409, "Project already exists") }
        guard request.project == nil else {
            throw Refusal(.laneForbidden, "This key belongs to one project; a key of scope workspace makes projects.")
        }
        let project = try await desk.project(name, creating: true)
        return .made(project.id, at: "projects/\(project.id)")
    }

    func deleteProject() async throws(Refusal) -> Reply {
        guard let project = try await desk.projects().first(where: { $0.id == parameter || $0.name == parameter }) else {
            throw Refusal(.projectUnknown)
        }
        try await desk.deleteProject(project)
        return Reply(status: 204)
    }

    private func name() throws(Refusal) -> String {
        try reading(request.body) { json throws(Refusal) in
            guard let name = json.nonEmptyText("name") else { throw Refusal(.missingField, field: "name", "name is required.") }
            return name
        }
    }

    private static func reply(_ project: Project) -> Reply {
        var writer = JSONWriter()
        writer.project(project)
        return Reply(status: 200, body: writer.bytes)
    }
}

extension JSONWriter {
    fileprivate mutating func project(_ project: Project) {
        object { writer in
            writer.field("id", project.id)
            writer.field("name", project.name)
            writer.field("visibility", "private")
        }
    }
}
