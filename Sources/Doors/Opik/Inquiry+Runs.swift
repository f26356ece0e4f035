import Events

/// Traces and spans: searched, read, changed many at a time.
extension Inquiry {
    /// NDJSON, the greatest ID first, below the cursor.
    func searchRuns(_ kind: RunRecord.Kind) async throws(Refusal) -> Reply {
        let form = try reading(request.body) { json throws(Refusal) in try SearchForm(json, among: kind.fields) }
        let project = try await project(id: form.projectID, name: form.projectName)
        let queues = kind == .trace ? try await queues(of: project) : []
        let found = try await runs(kind, of: project, form, queues: queues, limit: form.limit)
        var writer = JSONWriter()
        for found in found {
            let spans = try await spans(of: found, kind, in: project)
            writer.run(found.run, kind, of: project, spans: spans, queues: queues, excluding: form.excluded)
            writer.endLine()
        }
        return noted(.lines(writer.bytes), projects: [form.projectName].compactMap(\.self))
    }

    func listRuns(_ kind: RunRecord.Kind) async throws(Refusal) -> Reply {
        let form = try SearchForm(query: request.query, among: kind.fields)
        let project = try await project(id: form.projectID, name: form.projectName)
        let queues = kind == .trace ? try await queues(of: project) : []
        let found = try await runs(kind, of: project, form, queues: queues, limit: OpikDoor.Limits.list)
        let sorted = form.sorted(found) { found, field in
            found.run.held(field.hasPrefix("feedback_scores.") ? "feedback_scores" : field, spans: found.spans, queues: queues)
        }
        var spans: [String: SpanSummary] = [:]
        for shown in form.window(sorted) { spans[shown.run.id] = try await self.spans(of: shown, kind, in: project) }
        return form.reply(sorted, sortable: kind.fields.keys.sorted()) { writer, found in
            writer.run(
                found.run, kind, of: project, spans: spans[found.run.id] ?? SpanSummary(), queues: queues, excluding: form.excluded)
        }
    }

    private struct Found {
        var run: StoredRun
        /// Where they had to be read to tell whether it is one of those asked for.
        var spans: SpanSummary?
    }

    /// Runs that hold what is asked for, at most `limit`: stretch by stretch down the IDs until there are enough or no more.
    private func runs(
        _ kind: RunRecord.Kind, of project: Project, _ form: SearchForm, queues: [Queue], limit: Int
    ) async throws(Refusal) -> [Found] {
        let deep = form.filters.filter { kind == .trace && $0.needsSpans }
        let plain = form.filters.filter { kind != .trace || !$0.needsSpans }
        let readsSpans =
            !deep.isEmpty || kind == .trace && form.sorting.contains { $0.field.hasPrefix("usage.") || $0.field.contains("cost") }
        func passes(_ run: StoredRun) -> Bool {
            run.kind == kind && (form.traceID.map { run.trace == $0 } ?? true)
                && (form.type.map { (run.said("type") ?? "general") == $0 } ?? true) && form.isInTime(run.start)
                && (form.text.map { run.contains($0) } ?? true) && plain.allSatisfy { run.matches($0, queues: queues) }
        }
        var found: [Found] = []
        func keep(_ run: StoredRun) async throws(Refusal) {
            var candidate = Found(run: run)
            if readsSpans { candidate.spans = try await spans(of: candidate, kind, in: project) }
            if deep.allSatisfy({ run.matches($0, spans: candidate.spans) }) { found.append(candidate) }
        }
        if let id = Filter.exact("id", in: form.filters) {
            guard form.cursor.map({ id < $0 }) ?? true, let run = try await desk.run(id, in: project).flatMap({ StoredRun($0) }),
                passes(run)
            else { return [] }
            try await keep(run)
            return found
        }
        if kind == .span, let trace = form.traceID ?? Filter.exact("trace_id", in: form.filters) {
            for run in try await spans(below: trace, in: project) where form.cursor.map({ run.id < $0 }) ?? true {
                if found.count < limit, passes(run) { try await keep(run) }
            }
            return found
        }
        var filter = RunFilter(before: form.cursor, thread: kind == .trace ? Filter.exact("thread_id", in: form.filters) : nil)
        filter.extra = ("kind", kind.rawValue)
        while found.count < limit {
            let stretch = try await desk.runs(in: project, matching: filter, limit: OpikDoor.Limits.scan)
            for document in stretch where found.count < limit {
                guard let run = StoredRun(document) else { continue }
                filter.before = run.id
                if passes(run) { try await keep(run) }
            }
            if stretch.count < OpikDoor.Limits.scan { break }
        }
        return found
    }

    /// A trace's spans, the greatest ID first.
    private func spans(below trace: String, in project: Project) async throws(Refusal) -> [StoredRun] {
        try await desk.runs(in: project, matching: RunFilter(under: trace), limit: OpikDoor.Limits.list)
            .compactMap { StoredRun($0) }.filter { $0.kind == .span && $0.trace == trace }
    }

    private func spans(of found: Found, _ kind: RunRecord.Kind, in project: Project) async throws(Refusal) -> SpanSummary {
        guard kind == .trace else { return SpanSummary() }
        if let spans = found.spans { return spans }
        return SpanSummary(try await spans(below: found.run.id, in: project))
    }

    func run(_ kind: RunRecord.Kind) async throws(Refusal) -> Reply {
        guard let project = try await desk.projectOfRun(parameter),
            let run = try await desk.run(parameter, in: project).flatMap({ StoredRun($0) }), run.kind == kind
        else { return .notFound("\(kind == .trace ? "Trace" : "Span") id: \(parameter) not found") }
        var writer = JSONWriter()
        let queues = kind == .trace ? try await queues(of: project) : []
        writer.run(run, kind, of: project, spans: try await spans(of: Found(run: run), kind, in: project), queues: queues)
        return Reply(status: 200, body: writer.bytes)
    }

    /// `{"ids":[…],"update":{…},"merge_tags":…}`: the same patch for each.
    func updateRuns(_ kind: RunRecord.Kind) async throws(Refusal) -> Reply {
        let items = try reading(request.body) { json throws(Refusal) in
            let ids = try ParcelReader.list(json, named: "ids")
            guard let update = json["update"], update.kind == .object else {
                throw Refusal(.missingField, field: "update", "update must be an object.")
            }
            let isMerging = json["merge_tags"]?.bool == true
            var items: [(id: String, item: Parcel.Item)] = []
            ids.forEachElement { element in
                guard let id = element.scalarText else { return }
                items.append((id, RunRecord(update, kind, patching: id, mergingTags: isMerging, receivedAt: request.receivedAt).item))
            }
            return items
        }
        var parts: [ProjectID: (project: Project, items: [Parcel.Item])] = [:]
        for (id, item) in items {
            let project = try await projectOfRun(id)
            parts[project.number, default: (project, [])].items.append(item)
        }
        for (_, part) in parts.sorted(by: { $0.key < $1.key }) {
            if let refusal = try await write(part.items, to: part.project).lazy.compactMap(\.refusal).first { throw refusal }
        }
        return .done
    }

    func traceScoreNames() async throws(Refusal) -> Reply {
        let form = try SearchForm(query: request.query, among: Filter.traceFields)
        let project = try await project(id: form.projectID, name: form.projectName)
        let found = try await runs(.trace, of: project, form, queues: [], limit: OpikDoor.Limits.list)
        return Self.scoreNames(Set(found.flatMap { $0.run.scores.map(\.name) }))
    }

    func traceStats() async throws(Refusal) -> Reply {
        let form = try SearchForm(query: request.query, among: Filter.traceFields)
        let project = try await project(id: form.projectID, name: form.projectName)
        let queues = try await queues(of: project)
        let found = try await runs(.trace, of: project, form, queues: queues, limit: OpikDoor.Limits.list)
        return Self.stats(
            count: ("trace_count", found.count), durations: found.compactMap(\.run.duration), costs: found.compactMap(\.spans?.cost),
            scores: found.flatMap(\.run.scores))
    }
}

extension RunRecord.Kind {
    var fields: [String: Filter.Kind] { self == .trace ? Filter.traceFields : Filter.spanFields }
}
