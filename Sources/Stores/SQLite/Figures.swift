import Conversations
import Events
import GRDB

/// The rows of the figures, and of what each run or thread has added to them.
struct FigureRows {
    let db: Database
    let project: ProjectID

    /// Notes what a run or thread adds now, and takes off what it added before.
    func replace(_ subject: String, with tally: [FigureFold.Place: Int], in changes: inout FigureFold) throws {
        let stored = try String.fetchOne(
            db.cachedStatement(sql: "SELECT tally FROM counted WHERE project = ? AND subject = ?"), arguments: [project.number, subject])
        let before = stored.map(FigureFold.tally(stored:)) ?? [:]
        guard before != tally else { return }
        changes.replace(before, with: tally)
        if tally.isEmpty {
            try db.cachedStatement(sql: "DELETE FROM counted WHERE project = ? AND subject = ?")
                .execute(arguments: [project.number, subject])
        } else {
            try db.cachedStatement(sql: "INSERT OR REPLACE INTO counted VALUES (?,?,?)")
                .execute(arguments: [project.number, subject, FigureFold.stored(tally)])
        }
    }

    func write(_ changes: FigureFold) throws {
        for (place, count) in changes.values where count != 0 {
            try db.cachedStatement(sql: "INSERT INTO figure VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET value = value + excluded.value")
                .execute(arguments: [project.number, place.slot, place.name, count])
        }
    }
}
