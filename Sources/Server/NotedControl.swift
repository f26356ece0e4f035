import Conversations
import Events

/// The projects and keys as the key ring sees them: a project that a workspace's key makes on first use is in the audit log too.
struct NotedControl: ControlStore {
    let store: any ControlStore & ReviewStore

    /// Which of the workspace's keys it was is told by the sources of what is in the project.
    private static let name = "workspace key"

    func createProject(named name: String, settings: Project.Settings) async throws -> Project {
        let project = try await store.createProject(named: name, settings: settings)
        try await store.note("project.create", by: Self.name, in: project.number, subject: project.id) { $0.field("name", project.name) }
        return project
    }

    func controlRevision() async throws -> Int64 { try await store.controlRevision() }
    func projects() async throws -> [Project] { try await store.projects() }
    func update(_ project: Project) async throws { try await store.update(project) }
    func deleteProject(_ number: ProjectID) async throws { try await store.deleteProject(number) }
    func keys() async throws -> [KeyRecord] { try await store.keys() }
    func insert(_ key: KeyRecord) async throws { try await store.insert(key) }
    func keep(sealed: [UInt8], ofKey id: String) async throws { try await store.keep(sealed: sealed, ofKey: id) }
    func giveNames(ofKey id: String, _ names: @escaping @Sendable (String) -> [String]) async throws -> Bool {
        try await store.giveNames(ofKey: id, names)
    }
    func revokeKey(_ id: String, at time: Timestamp) async throws -> Bool { try await store.revokeKey(id, at: time) }
}
