import Events

/// Projects and keys in memory, with a switch that makes every read fail.
actor MemoryControlStore: ControlStore {
    struct Unavailable: Error {}

    private var revision: Int64 = 0
    private var byNumber: [ProjectID: Project] = [:]
    private var records: [KeyRecord] = []
    private(set) var reads = 0
    private var isAvailable = true

    func fail(_ fails: Bool) { isAvailable = !fails }

    /// As a standby that takes over without the last change, a key.
    func fallBack() {
        revision -= 1
        records.removeLast()
    }

    func controlRevision() throws -> Int64 {
        guard isAvailable else { throw Unavailable() }
        return revision
    }

    func projects() throws -> [Project] {
        guard isAvailable else { throw Unavailable() }
        reads += 1
        return Array(byNumber.values)
    }

    func createProject(named name: String, settings: Project.Settings) throws -> Project {
        guard !byNumber.values.contains(where: { $0.name == name }) else { throw ControlFailure.nameTaken(name) }
        let project = Project(number: ProjectID(Int64(byNumber.count + 1)), id: "prj_\(byNumber.count + 1)", name: name, settings: settings)
        update(project)
        return project
    }

    func update(_ project: Project) {
        byNumber[project.number] = project
        revision += 1
    }

    func keys() throws -> [KeyRecord] {
        guard isAvailable else { throw Unavailable() }
        return records
    }

    func insert(_ key: KeyRecord) {
        records.append(key)
        revision += 1
    }

    func deleteProject(_ number: ProjectID) {
        byNumber[number] = nil
        records.removeAll { $0.project == number }
        revision += 1
    }

    func revokeKey(_ id: String, at time: Timestamp) -> Bool {
        guard let index = records.firstIndex(where: { $0.id == id && $0.revokedAt == nil }) else { return false }
        records[index].revokedAt = time
        revision += 1
        return true
    }

    func keep(sealed: [UInt8], ofKey id: String) {
        guard let index = records.firstIndex(where: { $0.id == id }) else { return }
        records[index].sealed = sealed
        revision += 1
    }

    func giveNames(ofKey id: String, _ names: @escaping @Sendable (String) -> [String]) -> Bool { true }

}
