import ArgumentParser
import Events

/// Which project a command is about.
struct ProjectOption: ParsableArguments {
    @Option(help: ArgumentHelp("The project, by name or ID; may be left out where there is only one.", valueName: "name"))
    var project: String?

    func choose(from store: some ControlStore) async throws -> Project { try await ProjectChoice(store).project(project) }
}

/// Finds projects by what a person calls them.
struct ProjectChoice {
    let projects: [Project]

    init(_ store: some ControlStore) async throws { projects = try await store.projects() }

    /// The project of that name or ID, or without one the only project there is.
    func project(_ wanted: String?) throws -> Project {
        guard let wanted else {
            if projects.count == 1 { return projects[0] }
            guard !projects.isEmpty else { throw Complaint("There is no project yet: make one with `parley project create NAME`.") }
            throw Complaint("There are several projects; say which: --project \(projects.map(\.name).sorted().joined(separator: "|")).")
        }
        if let found = projects.first(where: { $0.name == wanted || $0.id == wanted }) { return found }
        let near = projects.map(\.name).min { $0.distance(to: wanted) < $1.distance(to: wanted) }
        // Two letters, or a third of them, are a slip; more is another word.
        if let near, near.distance(to: wanted) <= max(2, wanted.count / 3) {
            throw Complaint("There is no project \(wanted.forTerminal()): did you mean \(near)?")
        }
        throw Complaint("There is no project \(wanted.forTerminal()): see `parley project list`, or make it with `parley project create`.")
    }

    func name(of number: ProjectID?) -> String {
        guard let number else { return "(workspace)" }
        return projects.first { $0.number == number }?.name ?? number.description
    }
}

extension String {
    /// How many letters have to be changed, added or left out to get the other (Levenshtein), case aside.
    func distance(to other: String) -> Int {
        let letters = Array(lowercased())
        let others = Array(other.lowercased())
        var row = Array(0...others.count)
        for (i, letter) in letters.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, candidate) in others.enumerated() {
                let above = row[j + 1]
                row[j + 1] = Swift.min(above + 1, row[j] + 1, diagonal + (letter == candidate ? 0 : 1))
                diagonal = above
            }
        }
        return row[others.count]
    }
}
