import Events

/// Scores whose project the body does not say, and those of threads.
extension Inquiry {
    /// One score of one trace or span; a score may come before what it scores.
    func scoreRun() async throws(Refusal) -> Reply {
        let item = try reading(request.body) { json in
            ScoreRecord(json, target: parameter, receivedAt: request.receivedAt, position: 0).item
        }
        let refusal = try await write([item], to: try await projectOfRun(parameter)).first?.refusal
        if let refusal { throw refusal }
        return .done
    }

    /// `{"name":…,"author":…}`; without an author that of all of them.
    func unscoreRun() async throws(Refusal) -> Reply {
        let (name, author) = try reading(request.body) { json throws(Refusal) in
            guard let name = json.nonEmptyText("name") else { throw Refusal(.missingField, field: "name", "name is required.") }
            return (name, json.nonEmptyText("author"))
        }
        let project = try await projectOfRun(parameter)
        let scores = try await desk.run(parameter, in: project).flatMap { StoredRun($0) }?.scores ?? []
        let items = removals(of: [name], author: author, scores: scores).map { name, author in
            ScoreRecord.removal(of: name, from: parameter, author: author, at: request.receivedAt)
        }
        if let refusal = try await write(items, to: project).lazy.compactMap(\.refusal).first { throw refusal }
        return .done
    }

    /// Which scores go, each with its author: those there are, and one that may still be on its way.
    private func removals(of names: [String], author: String?, scores: [StoredScore]) -> [(String, String)] {
        names.flatMap { name -> [(String, String)] in
            if let author { return [(name, author)] }
            let authors = Set(scores.filter { $0.name == name }.map(\.author)).union([ScoreRecord.defaultAuthor])
            return authors.sorted().map { (name, $0) }
        }
    }

    /// `{"scores":[{thread_id, project_name, …}]}`. A thread that is not there yet comes to be with its score.
    ///
    /// Where the project's policy is strict, an active thread is not scored: the answer is 409, which the SDK logs as a warning, and the
    /// score is kept in quarantine.
    func scoreThreads() async throws(Refusal) -> Reply {
        let scores = try reading(request.body) { json throws(Refusal) in
            let list = try ParcelReader.list(json, named: "scores")
            var scores: [ThreadScore] = []
            list.forEachElement { scores.append(ThreadScore($0, receivedAt: request.receivedAt, position: scores.count)) }
            return scores
        }
        var refused: [String] = []
        var setAside: [Refusal] = []
        for (name, ofOne) in Dictionary(grouping: scores, by: \.project).sorted(by: { $0.key < $1.key }) {
            let project = try await desk.project(name, creating: true)
            var items = ofOne.map(\.item)
            if project.settings.scoring == .strict {
                var active: Set<String> = []
                for thread in Set(ofOne.compactMap(\.thread)) where try await isActive(thread, in: project) { active.insert(thread) }
                items = ofOne.map { $0.thread.map { active.contains($0) } == true ? $0.refusedWhileActive : $0.item }
                refused += active.sorted()
            }
            setAside += try await write(items, to: project).compactMap(\.refusal)
        }
        if !refused.isEmpty {
            return OpikDoor.problem(409, "Thread '[\(refused.joined(separator: ", "))]' must be closed before scoring")
        }
        var notices = OpikDoor.notice(ofProjects: scores.map(\.project), for: request)
        if let refusal = setAside.first {
            notices.append(
                "\(setAside.count) of \(scores.count) scores were set aside, the first as \(refusal.reason.rawValue): \(refusal.message)")
        }
        return Reply.done.noting(notices)
    }

    private func isActive(_ id: String, in project: Project) async throws(Refusal) -> Bool {
        try await thread(id, in: project)?.isActive ?? false
    }

    /// `{project_name, thread_id, names:[…], author?}`.
    func unscoreThread() async throws(Refusal) -> Reply {
        struct Form {
            var projectID, projectName, author: String?
            var thread: String
            var names: [String]
        }
        let form = try reading(request.body) { json throws(Refusal) in
            guard let thread = json.nonEmptyText("thread_id") else {
                throw Refusal(.missingField, field: "thread_id", "thread_id is required.")
            }
            return Form(
                projectID: json.nonEmptyText("project_id"), projectName: json.nonEmptyText("project_name"),
                author: json.nonEmptyText("author"), thread: thread, names: json.texts("names"))
        }
        guard !form.names.isEmpty else { throw Refusal(.missingField, field: "names", "names must be a list of score names.") }
        let project = try await project(id: form.projectID, name: form.projectName)
        let scores = try await thread(form.thread, in: project)?.scores ?? []
        let items = removals(of: form.names, author: form.author, scores: scores).map { name, author in
            ScoreRecord.removal(of: name, from: form.thread, thread: form.thread, author: author, at: request.receivedAt)
        }
        if let refusal = try await write(items, to: project).lazy.compactMap(\.refusal).first { throw refusal }
        return .done
    }
}

/// A score of a thread, with its project and what it was made of.
private struct ThreadScore {
    var project: String
    var thread: String?
    var item: Parcel.Item
    private var payload: JSONText

    init(_ json: JSONValue, receivedAt: Timestamp, position: Int) {
        project = json.nonEmptyText("project_name") ?? ParcelReader.defaultProject
        thread = json.nonEmptyText("thread_id")
        item = ScoreRecord(json, target: nil, thread: thread, receivedAt: receivedAt, position: position).item
        payload = JSONText(json)
    }

    var refusedWhileActive: Parcel.Item {
        .refused(
            RefusedItem(
                id: item.id, type: "score",
                refusal: Refusal(.invalidField, field: "thread_id", "The thread is active; it must be closed before scoring."),
                payload: payload))
    }
}
