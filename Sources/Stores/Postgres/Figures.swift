import Conversations
import Events

/// The rows of the figures of a project, and of what each run or thread has added to them.
struct FigureRows {
    let project: ProjectID
    /// What each of some subjects has added.
    private var counted: [OwnedID: [FigureFold.Place: Int]] = [:]
    private var changed: Set<OwnedID> = []
    private(set) var changes = FigureFold()

    init(_ project: ProjectID) { self.project = project }

    mutating func add(_ name: FigureFold.Name, _ count: Int, at time: Timestamp) { changes.add(name, count, at: time) }

    static let countedOf = "SELECT subject, tally FROM counted WHERE project = $1 AND subject = ANY($2)"

    /// Notes what runs or threads add now, and takes off what they added before; each of them once.
    mutating func replace(_ tallies: [(subject: String, tally: [FigureFold.Place: Int])], _ db: Database) throws {
        for row in try db.fetchAll(Self.countedOf, [project.number, tallies.map(\.subject)]) {
            counted[OwnedID(project: project, id: row[0])] = FigureFold.tally(stored: row[1])
        }
        for (subject, tally) in tallies {
            let key = OwnedID(project: project, id: subject)
            let before = counted[key] ?? [:]
            guard before != tally else { continue }
            changes.replace(before, with: tally)
            counted[key] = tally
            changed.insert(key)
        }
    }

    func write(_ pipeline: inout Pipeline) {
        let kept = changed.filter { counted[$0]?.isEmpty == false }
        let gone = changed.subtracting(kept)
        if !gone.isEmpty {
            pipeline.add("DELETE FROM counted WHERE project = $1 AND subject = ANY($2)", [project.number, gone.map(\.id)])
        }
        if !kept.isEmpty {
            let kept = Array(kept)
            pipeline.add(
                """
                INSERT INTO counted (project, subject, tally) SELECT $1, * FROM unnest($2::text[], $3::text[])
                ON CONFLICT (project, subject) DO UPDATE SET tally = excluded.tally
                """, [project.number, kept.map(\.id), kept.map { FigureFold.stored(counted[$0]!) }])
        }
        let counts = changes.values.filter { $0.value != 0 }
        guard !counts.isEmpty else { return }
        pipeline.add(
            """
            INSERT INTO figure (project, slot, name, value) SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[])
            ON CONFLICT (project, slot, name) DO UPDATE SET value = figure.value + excluded.value
            """, [project.number, counts.map(\.key.slot), counts.map(\.key.name), counts.map(\.value)])
    }
}
