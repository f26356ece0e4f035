import Conversations
import Events
import GRDB

/// Keeps the links between runs and what they name, as both ends arrive in any order.
struct RunLinks {
    let db: Database
    let project: ProjectID

    /// P-BIND-2: a message binds the runs that were waiting for it, and the votes on it learn their thread.
    func messageArrived(_ id: String, thread: Int64?) throws {
        // A run that names its own ID was refused until a message of that ID came (P-BIND-3).
        try db.cachedStatement(sql: "UPDATE run SET link = 2 WHERE project = ? AND parent = ? AND (link = 1 OR id = parent)")
            .execute(arguments: [project.number, id])
        try db.cachedStatement(sql: "UPDATE vote SET thread = ? WHERE project = ? AND target = ? AND thread IS NOT ?")
            .execute(arguments: [thread, project.number, id, thread])
    }

    /// Folds the run again from its parts and settles every link that this may change.
    func partArrived(_ id: String, threadNumber: (String) -> Int64?) throws {
        let parts = try EventRows.fetch(db, project: project, runs: [id]).map { Run.Part(event: $0.event, at: $0.at, digest: $0.digest) }
        guard let run = Run(folding: parts) else { return }
        let before = try self.parent(of: id)
        let thread = try run.thread.flatMap { name in
            try threadNumber(name)
                ?? Int64.fetchOne(
                    db.cachedStatement(sql: "SELECT number FROM thread WHERE project = ? AND id = ?"), arguments: [project.number, name])
        }
        try db.cachedStatement(
            sql: """
                INSERT INTO run VALUES (?,?,?,0,?) ON CONFLICT DO UPDATE SET parent = excluded.parent, thread = excluded.thread
                """
        ).execute(arguments: [project.number, id, run.parent, thread])
        if let before, before == run.parent {
            return try settle(id)  // A later part that names the same parent, or none, moves no other link.
        }
        var affected: Set<String> = [id]
        affected.formUnion(
            try String.fetchAll(
                db.cachedStatement(sql: "SELECT id FROM run WHERE project = ? AND parent = ?"), arguments: [project.number, id]))
        try collectAncestors(of: run.parent, into: &affected)
        try collectAncestors(of: before ?? nil, into: &affected)
        for run in affected { try settle(run) }
    }

    private func settle(_ id: String) throws {
        guard case .some(let parent) = try parent(of: id) else { return }
        let link = try ParentLinks.link(of: id, naming: parent, messageExists: messageExists, parentOfRun: self.parent(of:))
        try db.cachedStatement(sql: "UPDATE run SET link = ? WHERE project = ? AND id = ? AND link <> ?")
            .execute(arguments: [link.rawValue, project.number, id, link.rawValue])
    }

    private func collectAncestors(of parent: String?, into found: inout Set<String>) throws {
        var current = parent
        while let id = current, found.count < ParentLinks.maximumDepth, found.insert(id).inserted {
            current = try self.parent(of: id) ?? nil
        }
    }

    /// nil: no such run. `.some(nil)`: it names no parent.
    private func parent(of id: String) throws -> String?? {
        guard
            let row = try Row.fetchOne(
                db.cachedStatement(sql: "SELECT parent FROM run WHERE project = ? AND id = ?"), arguments: [project.number, id])
        else { return nil }
        return .some(row[0])
    }

    private func messageExists(_ id: String) throws -> Bool {
        try Int.fetchOne(
            db.cachedStatement(sql: "SELECT 1 FROM event WHERE project = ? AND id = ? AND space = 0 AND part = x''"),
            arguments: [project.number, id]) != nil
    }
}
