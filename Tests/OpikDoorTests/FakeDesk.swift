import Conversations
import Events
import Synchronization

/// A desk over events in memory: folds them as the stores do, and answers in the documents of the read API.
final class FakeDesk: Desk {
    struct State {
        var now: Timestamp
        var projects: [Project]
        var isWorkspace: Bool
        var events: [ProjectID: [(event: Event, at: Timestamp)]] = [:]
        var refused: [RefusedItem] = []
        var threadNumbers: [(project: ProjectID, id: String)] = []
        /// What every write is answered with, where it is not the store's own verdict.
        var verdict: Verdict?
    }
    private let state: Mutex<State>

    init(workspace: Bool = false, at now: Timestamp = moment, scoring: Project.Scoring = .review) {
        var settings = Project.Settings()
        settings.scoring = scoring
        let project = Project(number: ProjectID(1), id: "prj_1", name: "chat-demo", settings: settings)
        state = Mutex(State(now: now, projects: [project], isWorkspace: workspace))
    }

    /// 2026-11-21T02:50:00Z, when the captures were made.
    static let moment = Timestamp(iso8601: "2026-11-21T02:50:00Z")!

    var now: Timestamp { state.withLock { $0.now } }

    var isWorkspace: Bool { state.withLock { $0.isWorkspace } }
    var refused: [RefusedItem] { state.withLock { $0.refused } }

    func set(now: Timestamp) { state.withLock { $0.now = now } }

    func advance(bySeconds seconds: Double) { state.withLock { $0.now = $0.now.advanced(bySeconds: seconds) } }

    /// Answers every write with this, until told otherwise.
    func answer(_ verdict: Verdict?) { state.withLock { $0.verdict = verdict } }

    /// Takes an event as from another door.
    func take(_ event: Event, in project: Int64 = 1) async {
        _ = await write([.event(event)], to: Project(number: ProjectID(project), id: "prj_\(project)", name: "chat-demo"))
    }

    func projects() async throws(Refusal) -> [Project] { state.withLock { $0.projects } }

    func project(_ name: String?, creating: Bool) async throws(Refusal) -> Project {
        let found = state.withLock { state -> Project? in
            guard state.isWorkspace, let name else { return state.projects[0] }
            if let project = state.projects.first(where: { $0.id == name || $0.name == name }) { return project }
            guard creating else { return nil }
            let number = Int64(state.projects.count + 1)
            let project = Project(number: ProjectID(number), id: "prj_\(number)", name: name)
            state.projects.append(project)
            return project
        }
        guard let found else { throw Refusal(.projectUnknown) }
        return found
    }

    func write(_ items: [Parcel.Item], to project: Project) async -> [Verdict] {
        state.withLock { state in
            items.map { item in
                if let verdict = state.verdict { return verdict }
                switch item {
                case .refused(let item):
                    state.refused.append(item)
                    return .quarantined(item.refusal)
                case .event(let event):
                    let digest = ContentDigest(event)
                    let known = state.events[project.number] ?? []
                    if known.contains(where: { $0.event.id == event.id && ContentDigest($0.event) == digest }) { return .duplicate }
                    state.events[project.number, default: []].append((event, event.at ?? state.now))
                    if let thread = event.thread, !state.threadNumbers.contains(where: { $0 == (project.number, thread) }) {
                        state.threadNumbers.append((project.number, thread))
                    }
                    return .stored
                }
            }
        }
    }

    // MARK: documents

    private func events(in project: Project) -> [(event: Event, at: Timestamp)] { state.withLock { $0.events[project.number] ?? [] } }

    private func folded(in project: Project) -> [Run] {
        let parts = events(in: project).filter { if case .run = $0.event.body { true } else { false } }
        return Dictionary(grouping: parts, by: \.event.id).values.compactMap { parts in
            Run(folding: parts.map { Run.Part(event: $0.event, at: $0.at, digest: ContentDigest($0.event)) })
        }.sorted { $0.id > $1.id }
    }

    func run(_ id: String, in project: Project) async throws(Refusal) -> JSONText? {
        let runs = folded(in: project)
        return runs.first { $0.id == id }.map { document(of: $0, in: project, nested: runs) }
    }

    func runs(in project: Project, matching filter: RunFilter, limit: Int) async throws(Refusal) -> [JSONText] {
        let all = folded(in: project)
        let under = filter.under.map { root -> Set<String> in
            var below: Set<String> = []
            var front = [root]
            while let next = front.popLast() {
                for run in all where run.parent == next && below.insert(run.id).inserted { front.append(run.id) }
            }
            return below
        }
        let runs = all.filter { run in
            (filter.before.map { run.id < $0 } ?? true) && (filter.thread.map { run.thread == $0 } ?? true)
                && (under?.contains(run.id) ?? true)
                && (filter.extra.map { wanted in
                    guard let extra = run.extra else { return false }
                    return
                        (try? JSONDocument.read(extra.bytes, isOurs: true) { json in
                            var held = false
                            json.forEachMember {
                                if String(decoding: $0, as: UTF8.self) == wanted.name { held = $1.string == wanted.value }
                            }
                            return held
                        }) ?? false
                } ?? true)
        }
        return runs.prefix(limit).map { document(of: $0, in: project) }
    }

    func projectOfRun(_ id: String) async throws(Refusal) -> Project? {
        state.withLock { state in
            state.projects.first { project in
                state.events[project.number]?.contains { if case .run = $0.event.body { $0.event.id == id } else { false } } == true
            }
        }
    }

    func conversation(_ thread: String, in project: Project) async throws(Refusal) -> JSONText? {
        guard let summary = summary(of: thread, in: project) else { return nil }
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("thread", summary)
            writer.key("items")
            writer.array { _ in }
            let runs = folded(in: project)
            writer.key("runs")
            let inThread = runs.filter { $0.thread == thread }
            writer.array(inThread) { $0.value(document(of: $1, in: project, nested: runs, isPartOfThread: true)) }
        }
        return JSONText(trusted: writer.bytes)
    }

    func threads(in project: Project, limit: Int, after cursor: String?) async throws(Refusal) -> (threads: [JSONText], next: String?) {
        let ids = state.withLock { state in state.threadNumbers.filter { $0.project == project.number }.map(\.id) }
        let live = ids.filter { summary(of: $0, in: project) != nil }
        let sorted = live.map { (lastAt(of: $0, in: project), $0) }.sorted { $0 > $1 }.map(\.1)
        let start = cursor.flatMap { sorted.firstIndex(of: $0) }.map { $0 + 1 } ?? 0
        let page = sorted[start...].prefix(limit)
        return (page.compactMap { summary(of: $0, in: project) }, start + page.count < sorted.count ? page.last : nil)
    }

    func thread(number: Int64) async throws(Refusal) -> (project: Project, id: String)? {
        state.withLock { state in
            guard number >= 1, number <= state.threadNumbers.count else { return nil }
            let entry = state.threadNumbers[Int(number) - 1]
            return state.projects.first { $0.number == entry.project }.map { ($0, entry.id) }
        }
    }

    func feedback(on target: String, in project: Project) async throws(Refusal) -> JSONText? { nil }

    func deleteProject(_ project: Project) async throws(Refusal) {}
    func events(ofType type: String, in project: Project) async throws(Refusal) -> [JSONText] {
        events(in: project).filter { $0.event.type == type }.map { event, at in
            var writer = JSONWriter()
            writer.object { writer in
                writer.field("type", type)
                writer.field("id", event.id)
                writer.field("at", at)
                try? JSONDocument.read(event.unknown?.bytes ?? [], isOurs: true) { json in
                    json.forEachMember { writer.field(String(decoding: $0, as: UTF8.self), JSONText($1)) }
                }
            }
            return JSONText(trusted: writer.bytes)
        }
    }

    private func items(of thread: String, in project: Project) -> [(event: Event, at: Timestamp)] {
        let runs = Set(folded(in: project).filter { $0.thread == thread }.map(\.id))
        return events(in: project).filter { event, _ in
            if case .run = event.body { return runs.contains(event.id) }
            return event.thread == thread
        }
    }

    private func lastAt(of thread: String, in project: Project) -> Timestamp {
        items(of: thread, in: project).map(\.at).max() ?? Timestamp(microseconds: 0)
    }

    private func summary(of thread: String, in project: Project) -> JSONText? {
        let items = items(of: thread, in: project)
        guard !items.isEmpty,
            let number = state.withLock({ $0.threadNumbers.firstIndex { $0 == (project.number, thread) } }).map({ $0 + 1 })
        else { return nil }
        var tags: [String] = []
        var status = Event.ThreadPatch.Status.active
        for item in items.sorted(by: { $0.at < $1.at }) {
            switch item.event.body {
            case .thread(let patch):
                tags.removeAll { patch.untag.contains($0) }
                tags += patch.tags.filter { !tags.contains($0) }
                status = patch.status ?? status
            case .run, .message: status = .active
            default: break
            }
        }
        if now.seconds - lastAt(of: thread, in: project).seconds > project.settings.inactiveAfterSeconds { status = .inactive }
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("id", thread)
            writer.field("number", number)
            writer.field("status", status.rawValue)
            writer.field("tags", tags)
            writer.field("messageCount", 0)
            writer.field(orNull: "firstAt", items.map(\.at).min())
            writer.field(orNull: "lastAt", items.map(\.at).max())
            writer.field("scores", scores(on: thread, in: project))
            writer.field("comments", comments(on: thread, in: project))
        }
        return JSONText(trusted: writer.bytes)
    }

    private func document(of run: Run, in project: Project, nested: [Run] = [], isPartOfThread: Bool = false) -> JSONText {
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("id", run.id)
            writer.field(orNull: "kind", run.kind?.rawValue)
            writer.field(orNull: "name", run.name)
            writer.field(orNull: "parent", run.parent)
            // In a conversation the thread is told once, not of every run.
            if !isPartOfThread { writer.field(orNull: "thread", run.thread) }
            writer.field(orNull: "input", run.input)
            writer.field(orNull: "output", run.output)
            writer.field(orNull: "model", run.model)
            writer.field(orNull: "provider", run.provider)
            writer.field(orNull: "usage", run.usage)
            writer.field(orNull: "cost", run.cost)
            writer.field(orNull: "error", run.error)
            writer.field(orNull: "startedAt", run.startedAt)
            writer.field(orNull: "endedAt", run.endedAt)
            writer.field(orNull: "metadata", run.metadata)
            writer.field("tags", run.tags)
            writer.field(orNull: "question", run.question)
            writer.field(orNull: "answer", run.answer)
            writer.field(orNull: "extra", run.extra)
            writer.field("scores", scores(on: run.id, in: project))
            writer.field("comments", comments(on: run.id, in: project))
            writer.field("createdAt", run.createdAt)
            writer.field("updatedAt", run.updatedAt)
            writer.key("runs")
            writer.array(nested.filter { $0.parent == run.id }) { $0.value(document(of: $1, in: project, nested: nested)) }
        }
        return JSONText(trusted: writer.bytes)
    }

    private func scores(on target: String, in project: Project) -> JSONText {
        var last: [String: (score: Event.Score, at: Timestamp)] = [:]
        for (event, at) in events(in: project) {
            guard case .score(let score) = event.body, score.target == target else { continue }
            let key = score.name + "\u{0}" + (score.author ?? "")
            if last[key].map({ at >= $0.at }) ?? true { last[key] = (score, at) }
        }
        var writer = JSONWriter()
        writer.array(last.sorted { $0.key < $1.key }) { writer, entry in
            let (score, at) = entry.value
            guard score.value != nil || score.category != nil else { return }
            writer.object { writer in
                writer.field("name", score.name)
                writer.field(orNull: "value", score.value)
                writer.field(orNull: "category", score.category)
                writer.field(orNull: "reason", score.reason)
                writer.field(orNull: "author", score.author)
                writer.field("judge", score.judge.rawValue)
                writer.field("at", at)
            }
        }
        return JSONText(trusted: writer.bytes)
    }

    private func comments(on target: String, in project: Project) -> JSONText {
        var texts: [(id: String, text: String?, at: Timestamp, changedAt: Timestamp?)] = []
        for (event, at) in events(in: project) {
            guard case .comment(let comment) = event.body, comment.target == target else { continue }
            if let changed = comment.changes {
                guard let index = texts.firstIndex(where: { $0.id == changed }) else { continue }
                (texts[index].text, texts[index].changedAt) = (comment.text, at)
            } else {
                texts.append((event.id, comment.text, at, nil))
            }
        }
        var writer = JSONWriter()
        writer.array(texts.filter { $0.text != nil }) { writer, comment in
            writer.object { writer in
                writer.field("id", comment.id)
                writer.field("text", comment.text!)
                writer.field("author", "admin")
                writer.field("at", comment.at)
                writer.field(orNull: "changedAt", comment.changedAt)
            }
        }
        return JSONText(trusted: writer.bytes)
    }
}
