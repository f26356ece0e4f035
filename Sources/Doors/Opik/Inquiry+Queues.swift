import Events

/// Annotation queues, kept as events of the project's own type and folded here.
extension Inquiry {
    /// `{id?, project_id|project_name, name, scope, …}`.
    func createQueue() async throws(Refusal) -> Reply {
        let (projectID, projectName, given, fields) = try reading(request.body) { json throws(Refusal) in
            guard json.nonEmptyText("name") != nil else { throw Refusal(.missingField, field: "name", "name is required.") }
            return (json.nonEmptyText("project_id"), json.nonEmptyText("project_name"), json.nonEmptyText("id"), JSONText(json))
        }
        let project = try await project(id: projectID, name: projectName)
        var event = Queue.event(.create, given ?? "", fields: fields, at: request.receivedAt)
        let id = given ?? DerivedID.uuid(version: 7, DerivedID.digest(of: event))
        if given == nil { event = Queue.event(.create, id, fields: fields, at: request.receivedAt) }
        try await write(event, to: project)
        return .made(id, at: "annotation-queues/\(id.asPathSegment ?? "")")
    }

    /// The queue in whichever project of the key it is.
    private func findQueue(_ id: String) async throws(Refusal) -> Queue? {
        for project in try await desk.projects() {
            if let queue = try await queues(of: project).first(where: { $0.id == id }) { return queue }
        }
        return nil
    }

    private func found(_ id: String) async throws(Refusal) -> Queue {
        guard let queue = try await findQueue(id) else { throw Refusal(.notFound, "Annotation queue not found with id '\(id)'") }
        return queue
    }

    func queue() async throws(Refusal) -> Reply {
        let queue = try await found(parameter)
        var writer = JSONWriter()
        queue.write(to: &writer)
        return Reply(status: 200, body: writer.bytes)
    }

    func listQueues() async throws(Refusal) -> Reply {
        let form = try SearchForm(query: request.query.filter { $0.key != "filters" && $0.key != "sorting" }, among: [:])
        let projects = form.projectID == nil && form.projectName == nil ? try await desk.projects() : [try await projectOfQuery()]
        var found: [Queue] = []
        for project in projects { found += try await queues(of: project) }
        if let name = request.query["name"]?.lowercased() { found = found.filter { $0.name.lowercased().contains(name) } }
        return form.reply(found, sortable: []) { $1.write(to: &$0) }
    }

    /// A PATCH whose nulls mean: as it is.
    func updateQueue() async throws(Refusal) -> Reply {
        let fields = try reading(request.body) { JSONText($0) }
        let queue = try await found(parameter)
        try await write(Queue.event(.change, queue.id, fields: fields, at: request.receivedAt), to: queue.project)
        return .done
    }

    func changeItems(_ action: Queue.Action) async throws(Refusal) -> Reply {
        let items = try ids()
        let queue = try await found(parameter)
        try await write(Queue.event(action, queue.id, items: items, at: request.receivedAt), to: queue.project)
        return .done
    }

    func deleteQueues() async throws(Refusal) -> Reply {
        for id in try ids() {
            guard let queue = try await findQueue(id) else { continue }
            try await write(Queue.event(.delete, id, at: request.receivedAt), to: queue.project)
        }
        return .done
    }

    private func ids() throws(Refusal) -> [String] {
        try reading(request.body) { json throws(Refusal) in
            _ = try ParcelReader.list(json, named: "ids")
            return json.texts("ids")
        }
    }
}
