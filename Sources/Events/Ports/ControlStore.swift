/// Projects and keys at rest. Several processes may write it; readers ask for the revision to see that it changed.
public protocol ControlStore: Sendable {
    /// A number that grows with every change of a project or key, by any process.
    func controlRevision() async throws -> Int64

    func projects() async throws -> [Project]
    /// Throws `ControlFailure.nameTaken` when there is one of that name.
    func createProject(named name: String, settings: Project.Settings) async throws -> Project
    func update(_ project: Project) async throws
    /// Takes a project away: its keys at once, then all that was recorded in it, a stretch at a time.
    func deleteProject(_ number: ProjectID) async throws

    func keys() async throws -> [KeyRecord]
    func insert(_ key: KeyRecord) async throws
    /// Keeps a key's sealed text, and notes that what is stored owes it names.
    func keep(sealed: [UInt8], ofKey id: String) async throws
    /// Gives a stretch of what is stored the names that a key's holder uses; answers whether all of it has them now.
    func giveNames(ofKey id: String, _ names: @escaping @Sendable (String) -> [String]) async throws -> Bool
    /// Answers whether a live key of that ID was there.
    func revokeKey(_ id: String, at time: Timestamp) async throws -> Bool
}

public enum ControlFailure: Error, Sendable, Equatable { case nameTaken(String) }
