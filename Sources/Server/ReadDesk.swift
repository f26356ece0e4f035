import Conversations
import Events
import Ingest
import Keys
import Review

/// The desk at which doors ask: answers out of the store, in the documents of the read API, for what one key opens.
struct ReadDesk: Desk {
    /// Items of a conversation a door gets at most.
    private static let maximumItems = 5000

    let passage: Passage
    let transport: Transport
    let keys: KeyRing
    let ingest: Ingest
    let schemes: [IDScheme]
    let store: any ConversationStore & ReviewStore
    let clock: WallClock

    var now: Timestamp { clock.now() }

    func projects() async throws(Refusal) -> [Project] { keys.projects(of: passage) }

    func project(_ name: String?, creating: Bool) async throws(Refusal) -> Project {
        if let project = passage.project { return project }
        if let name { return try await keys.project(named: name, creating: creating) }
        guard let first = keys.projects(of: passage).first else { throw Refusal(.projectRequired, field: "project") }
        return first
    }

    func deleteProject(_ project: Project) async throws(Refusal) {
        try await keys.delete(project, by: passage)
        do {
            try await store.note("project.delete", by: passage.key.id, subject: project.id) { $0.field("name", project.name) }
        } catch {
            throw Refusal(.storeUnavailable)
        }
    }

    func write(_ items: [Parcel.Item], to project: Project) async -> [Verdict] {
        guard let access = keys.access(by: passage, in: project) else {
            return [Verdict](repeating: .dropped(Refusal(.projectUnknown)), count: items.count)
        }
        return await ingest.accept(Parcel(items: items), from: access, over: transport, receivedAt: clock.now())
    }

    func conversation(_ thread: String, in project: Project) async throws(Refusal) -> JSONText? {
        try await read { store, now in
            try await store.conversation(thread, in: project, limit: Self.maximumItems, after: nil, now: now)
                .map { conversation in document { $0.members(of: conversation) } }
        }
    }

    func threads(in project: Project, limit: Int, after cursor: String?) async throws(Refusal) -> (threads: [JSONText], next: String?) {
        try await read { store, now in
            let page = try await store.threads(in: project, matching: ThreadFilter(), limit: limit, after: cursor, now: now)
            let threads = page.items.map { thread in
                var writer = JSONWriter()
                writer.summary(thread)
                return JSONText(trusted: writer.bytes)
            }
            return (threads, page.next)
        }
    }

    func thread(number: Int64) async throws(Refusal) -> (project: Project, id: String)? {
        let found = try await read { store, _ in try await store.thread(number: number) }
        guard let found, let project = keys.projects(of: passage).first(where: { $0.number == found.project }) else { return nil }
        return (project, found.id)
    }

    func run(_ id: String, in project: Project) async throws(Refusal) -> JSONText? {
        try await read { store, _ in
            try await store.run(id, in: project.number).map { node, message in
                document { writer in
                    writer.members(of: node)
                    writer.field(orNull: "message", message)
                }
            }
        }
    }

    func runs(in project: Project, matching filter: RunFilter, limit: Int) async throws(Refusal) -> [JSONText] {
        try await read { store, _ in
            try await store.runs(in: project.number, matching: filter, limit: limit).map { node in
                document { writer in
                    writer.members(of: node)
                }
            }
        }
    }

    func projectOfRun(_ id: String) async throws(Refusal) -> Project? {
        let numbers = try await read { store, _ in try await store.projectOfRun(id) }
        return keys.projects(of: passage).first { numbers.contains($0.number) }
    }

    func feedback(on target: String, in project: Project) async throws(Refusal) -> JSONText? {
        // What was stored by a sender who names IDs, and asked for by one who doesn't, is there under a name.
        let names = keys.namingKeys(in: project.number).flatMap { key in schemes.flatMap { $0.names(target, key) } }
        return try await read { store, _ in
            for id in [target] + names {
                if let feedback = try await store.feedback(on: id, in: project.number) { return document { $0.members(of: feedback) } }
            }
            return nil
        }
    }

    func events(ofType type: String, in project: Project) async throws(Refusal) -> [JSONText] {
        try await read { store, _ in try await store.events(ofType: type, in: project.number).map { $0.event.json() } }
    }

    private func read<Answer>(_ read: (any ConversationStore, Timestamp) async throws -> Answer) async throws(Refusal) -> Answer {
        do {
            return try await read(store, clock.now())
        } catch ReadFailure.badCursor {
            throw Refusal(.invalidField, field: "cursor", "The cursor is none that was given out.")
        } catch {
            throw Refusal(.storeUnavailable)
        }
    }
}

/// An object as a text of its own.
private func document(_ members: (inout JSONWriter) -> Void) -> JSONText {
    var writer = JSONWriter()
    writer.object(members)
    return JSONText(trusted: writer.bytes)
}
