import Events

/// Threads: searched, read, closed, opened, tagged.
extension Inquiry {
    /// NDJSON, the newest activity first. The SDK's cursor is the last line's thread ID, whatever its name says; a model ID is taken too.
    func searchThreads() async throws(Refusal) -> Reply {
        let form = try reading(request.body) { json throws(Refusal) in try SearchForm(json, among: Filter.threadFields) }
        let project = try await project(id: form.projectID, name: form.projectName)
        let queues = try await queues(of: project)
        let threads = try await threads(of: project, form, queues: queues, limit: form.limit)
        var writer = JSONWriter()
        for thread in threads {
            writer.thread(thread, of: project, queues: queues)
            writer.endLine()
        }
        return noted(.lines(writer.bytes), projects: [form.projectName].compactMap(\.self))
    }

    func listThreads() async throws(Refusal) -> Reply {
        let form = try SearchForm(query: request.query, among: Filter.threadFields)
        let project = try await project(id: form.projectID, name: form.projectName)
        let queues = try await queues(of: project)
        let found = try await threads(of: project, form, queues: queues, limit: OpikDoor.Limits.list)
        let sorted = form.sorted(found) { $0.held($1.hasPrefix("feedback_scores.") ? "feedback_scores" : $1, queues: queues) }
        return form.reply(sorted, sortable: Filter.threadFields.keys.sorted()) { $0.thread($1, of: project, queues: queues) }
    }

    /// Threads that hold what is asked for, at most `limit`. What a summary can tell is looked at before the conversation is read.
    private func threads(
        of project: Project, _ form: SearchForm, queues: [Queue], limit: Int
    ) async throws(Refusal) -> [StoredThread] {
        func passes(_ thread: StoredThread) -> Bool {
            form.isInTime(thread.startTime) && (form.text.map { thread.contains($0) } ?? true)
                && form.filters.allSatisfy { thread.matches($0, queues: queues) }
        }
        if let id = Filter.exact("id", in: form.filters) {
            guard form.cursor == nil, let thread = try await thread(id, in: project), passes(thread) else { return [] }
            return [thread]
        }
        let ofSummary = form.filters.filter(\.needsOnlySummary)
        var found: [StoredThread] = []
        var isBehindCursor = form.cursor == nil
        var next: String?
        repeat {
            let page = try await desk.threads(in: project, limit: OpikDoor.Limits.scan, after: next)
            for document in page.threads {
                guard let summary = document.reading({ StoredThread(summary: $0) }) else { continue }
                guard isBehindCursor else {
                    isBehindCursor = summary.id == form.cursor || summary.modelID == form.cursor?.lowercased()
                    continue
                }
                guard ofSummary.allSatisfy({ summary.matches($0, queues: queues) }) else { continue }
                guard let thread = try await thread(summary.id, in: project), passes(thread) else { continue }
                found.append(thread)
                if found.count == limit { return found }
            }
            next = page.next
        } while next != nil
        return found
    }

    func thread(_ id: String, in project: Project) async throws(Refusal) -> StoredThread? {
        try await desk.conversation(id, in: project).flatMap { StoredThread($0) }
    }

    /// The thread of a `thread_model_id`.
    func thread(ofModel id: String) async throws(Refusal) -> (thread: StoredThread, project: Project)? {
        guard let number = ThreadModelID.number(of: id), let found = try await desk.thread(number: number),
            let thread = try await thread(found.id, in: found.project)
        else { return nil }
        return (thread, found.project)
    }

    func retrieveThread() async throws(Refusal) -> Reply {
        let form = try ThreadForm(request.body)
        let project = try await project(id: form.projectID, name: form.projectName)
        guard let id = form.threads.first, let thread = try await thread(id, in: project) else {
            return .notFound("Thread '\(form.threads.first ?? "")' not found")
        }
        var writer = JSONWriter()
        writer.thread(thread, of: project, queues: try await queues(of: project))
        return noted(Reply(status: 200, body: writer.bytes), projects: [form.projectName].compactMap(\.self))
    }

    /// Closes or opens threads: all of those named, or none where one is unknown.
    func setStatus(_ status: Event.ThreadPatch.Status) async throws(Refusal) -> Reply {
        let form = try ThreadForm(request.body)
        let project = try await project(id: form.projectID, name: form.projectName)
        var unknown: [String] = []
        for id in form.threads where try await desk.conversation(id, in: project) == nil { unknown.append(id) }
        guard unknown.isEmpty else { return .notFound("Thread '[\(unknown.joined(separator: ", "))]' not found") }
        try await change(form.threads.map { ($0, Event.ThreadPatch(status: status)) }, in: project)
        return noted(.done, projects: [form.projectName].compactMap(\.self))
    }

    /// `{"tags":[…]}` replaces, `{"tags_to_add":[…],"tags_to_remove":[…]}` changes.
    func updateThread() async throws(Refusal) -> Reply {
        let update = try reading(request.body) { TagUpdate($0, merging: false) }
        guard let (thread, project) = try await thread(ofModel: parameter) else { return .notFound("Thread '\(parameter)' not found") }
        try await change([(thread.id, update.patch(of: thread.tags))], in: project)
        return .done
    }

    /// `{"ids":[…],"update":{…},"merge_tags":…}`.
    func updateThreads() async throws(Refusal) -> Reply {
        let (ids, update) = try reading(request.body) { json throws(Refusal) in try TagUpdate.batch(json) }
        var patches: [(project: Project, id: String, patch: Event.ThreadPatch)] = []
        for id in ids {
            guard let (thread, project) = try await thread(ofModel: id) else { return .notFound("Thread '\(id)' not found") }
            patches.append((project, thread.id, update.patch(of: thread.tags)))
        }
        for (_, ofOne) in Dictionary(grouping: patches, by: \.project.number).sorted(by: { $0.key < $1.key }) {
            try await change(ofOne.map { ($0.id, $0.patch) }, in: ofOne[0].project)
        }
        return .done
    }

    private func change(_ patches: [(id: String, patch: Event.ThreadPatch)], in project: Project) async throws(Refusal) {
        var items: [Parcel.Item] = []
        for (id, patch) in patches where patch.status != nil || !patch.tags.isEmpty || !patch.untag.isEmpty {
            let event = DerivedID.given(to: Event(id: "", thread: id, at: request.receivedAt, body: .thread(patch)))
            items.append(.event(try event.fitted()))
        }
        if let refusal = try await write(items, to: project).lazy.compactMap(\.refusal).first { throw refusal }
    }

    func threadScoreNames() async throws(Refusal) -> Reply {
        let project = try await projectOfQuery()
        var names: Set<String> = []
        var next: String?
        repeat {
            let page = try await desk.threads(in: project, limit: OpikDoor.Limits.scan, after: next)
            for document in page.threads {
                names.formUnion(document.reading { StoredScore.list($0["scores"]).map(\.name) } ?? [])
            }
            next = page.next
        } while next != nil
        return Self.scoreNames(names)
    }

    static func scoreNames(_ names: Set<String>) -> Reply {
        .json { writer in
            writer.key("scores")
            writer.array(names.sorted()) { writer, name in
                writer.object { writer in
                    writer.field("name", name)
                    writer.field("type", "NUMERICAL")
                }
            }
        }
    }

    func threadStats() async throws(Refusal) -> Reply {
        let form = try SearchForm(query: request.query, among: Filter.threadFields)
        let project = try await project(id: form.projectID, name: form.projectName)
        let threads = try await threads(of: project, form, queues: try await queues(of: project), limit: OpikDoor.Limits.list)
        return Self.stats(
            count: ("thread_count", threads.count), durations: threads.compactMap(\.duration), costs: threads.compactMap(\.spans.cost),
            scores: threads.flatMap(\.scores))
    }

    /// `{"stats":[{"name","type":"COUNT"|"PERCENTAGE"|"AVG","value"}]}`.
    static func stats(count: (name: String, Int), durations: [Double], costs: [Double], scores: [StoredScore]) -> Reply {
        let sorted = durations.sorted()
        func percentile(_ share: Double) -> Double { sorted[min(sorted.count - 1, Int(share * Double(sorted.count)))] }
        return .json { writer in
            writer.key("stats")
            writer.array { writer in
                func stat(_ name: String, _ type: String, _ write: (inout JSONWriter) -> Void) {
                    writer.object { writer in
                        writer.field("name", name)
                        writer.field("type", type)
                        writer.key("value")
                        write(&writer)
                    }
                }
                stat(count.name, "COUNT") { $0.value(count.1) }
                if !sorted.isEmpty {
                    stat("duration", "PERCENTAGE") { writer in
                        writer.object { writer in
                            writer.field("p50", percentile(0.5))
                            writer.field("p90", percentile(0.9))
                            writer.field("p99", percentile(0.99))
                        }
                    }
                }
                if !costs.isEmpty {
                    stat("total_estimated_cost", "AVG") { $0.value(costs.reduce(0, +) / Double(costs.count)) }
                    stat("total_estimated_cost_sum", "AVG") { $0.value(costs.reduce(0, +)) }
                }
                for (name, mean) in StoredScore.means(scores).sorted(by: { $0.key < $1.key }) {
                    stat("feedback_scores.\(name)", "AVG") { $0.value(mean) }
                }
            }
        }
    }
}

/// `{project_name or project_id, thread_id or thread_ids}`.
private struct ThreadForm {
    var projectID: String?
    var projectName: String?
    var threads: [String]

    init(_ body: [UInt8]) throws(Refusal) {
        let form = try reading(body) { json -> (String?, String?, [String]) in
            var threads = json.texts("thread_ids")
            if let id = json.nonEmptyText("thread_id") { threads.insert(id, at: 0) }
            return (json.nonEmptyText("project_id"), json.nonEmptyText("project_name"), threads)
        }
        (projectID, projectName, threads) = form
        guard !threads.isEmpty else { throw Refusal(.missingField, field: "thread_id", "thread_id is required.") }
        guard threads.count <= OpikDoor.Limits.batch else {
            throw Refusal(.batchTooLarge, field: "thread_ids", "thread_ids must have 1 to \(OpikDoor.Limits.batch) elements.")
        }
    }
}

/// What becomes of tags.
private struct TagUpdate {
    var set: [String]?
    var added: [String]
    var removed: [String]

    init(_ json: JSONValue, merging: Bool) {
        let isThere = json["tags"]?.kind == .array
        set = isThere && !merging ? json.texts("tags") : nil
        added = json.texts("tags_to_add") + (isThere && merging ? json.texts("tags") : [])
        removed = json.texts("tags_to_remove")
    }

    static func batch(_ json: JSONValue) throws(Refusal) -> ([String], TagUpdate) {
        let ids = try ParcelReader.list(json, named: "ids")
        guard let update = json["update"], update.kind == .object else {
            throw Refusal(.missingField, field: "update", "update must be an object.")
        }
        var texts: [String] = []
        ids.forEachElement { if let id = $0.scalarText { texts.append(id) } }
        return (texts, TagUpdate(update, merging: json["merge_tags"]?.bool == true))
    }

    /// The difference to the tags there are.
    func patch(of current: [String]) -> Event.ThreadPatch {
        guard let set else { return Event.ThreadPatch(tags: added, untag: removed.filter { !added.contains($0) }) }
        return Event.ThreadPatch(tags: set, untag: current.filter { !set.contains($0) })
    }
}
