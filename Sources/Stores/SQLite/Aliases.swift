import Conversations
import Events
import GRDB

/// Other names of IDs: registered when an ID is first seen, looked up when a name comes in, and where a name came first, what was
/// stored under it moves to the ID. The result is the same in either order.
struct Aliases {
    let db: Database
    let project: ProjectID

    /// What `name` stands for; itself where it is no other's name.
    func id(of name: String) throws -> String {
        try String.fetchOne(
            db.cachedStatement(sql: "SELECT id FROM alias WHERE project = ? AND name = ?"), arguments: [project.number, name]) ?? name
    }

    /// Notes the names of an ID. Answers whether something was stored under one of them, and has moved.
    func register(_ ids: IDNames, threads: inout ThreadRows) throws {
        for name in ids.names where name != ids.id {
            try db.cachedStatement(sql: "INSERT INTO alias VALUES (?,?,?) ON CONFLICT DO NOTHING")
                .execute(arguments: [project.number, name, ids.id])
            guard db.changesCount > 0 else { continue }
            try move(name, to: ids.id, threads: &threads)
        }
    }

    private func exists(_ sql: String, _ id: String) throws -> Bool {
        try Int.fetchOne(db.cachedStatement(sql: sql), arguments: [project.number, id]) != nil
    }

    private func move(_ name: String, to id: String, threads: inout ThreadRows) throws {
        let number = project.number
        if try threads.knownNumber(of: name, in: project) != nil || exists("SELECT 1 FROM thread WHERE project = ? AND id = ?", name) {
            try threads.flush()
            try moveThread(name, to: id, threads: &threads)
        }
        let isStored = try exists("SELECT 1 FROM event WHERE project = ? AND id = ? AND space IN (0, 1)", name)
        if isStored { try threads.flush() }
        // A part that is there under the ID already is the same part; a message that is there stands.
        for statement in [
            "UPDATE OR IGNORE event SET id = ? WHERE project = ? AND id = ? AND space IN (0, 1)",
            "UPDATE OR IGNORE run SET id = ? WHERE project = ? AND id = ?",
            "UPDATE run SET parent = ? WHERE project = ? AND parent = ?",
            "UPDATE OR IGNORE run_trace SET run = ? WHERE project = ? AND run = ?",
            "UPDATE OR IGNORE message_trace SET message = ? WHERE project = ? AND message = ?",
            "UPDATE run SET fallback = ? WHERE project = ? AND fallback = ?",
            "UPDATE comment SET target = ? WHERE project = ? AND target = ?",
            "UPDATE event SET target = ? WHERE project = ? AND target = ?",
            "UPDATE OR IGNORE reply SET question = ? WHERE project = ? AND question = ?",
        ] { try db.cachedStatement(sql: statement).execute(arguments: [id, number, name]) }
        try db.cachedStatement(sql: "DELETE FROM event WHERE project = ? AND id = ? AND space IN (0, 1)").execute(arguments: [number, name])
        if isStored { try renameExcerpts(of: name, to: id) }
        try db.cachedStatement(sql: "DELETE FROM run WHERE project = ? AND id = ?").execute(arguments: [number, name])
        try moveVotes(name, to: id)
        try moveScores(name, to: id)
        let links = RunLinks(db: db, project: project)
        for id in [name, id] { try links.noteMoved(id) }
        if let row = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT thread FROM event WHERE project = ? AND id = ? AND space = 0 AND part = x''"),
            arguments: [number, id])
        {
            try links.messageArrived(id, trace: nil, thread: row[0])
        }
        if try exists("SELECT 1 FROM run WHERE project = ? AND id = ?", id) {
            try links.partArrived(id, threads: &threads, name: self.id(of:))
        }
    }

    /// A message has another ID now: its thread's first and last are called so too.
    func renameExcerpts(of old: String, to new: String) throws {
        for column in ["first_message", "last_message"] {
            try db.cachedStatement(
                sql: """
                    UPDATE thread SET \(column) = ?2, view = NULL WHERE \(column) = ?3
                        AND number = (SELECT thread FROM event WHERE project = ?1 AND id = ?2 AND space = 0 AND part = x'')
                    """
            ).execute(arguments: [project.number, new, old])
        }
    }

    private func moveThread(_ name: String, to id: String, threads: inout ThreadRows) throws {
        func row(_ id: String) throws -> Int64? {
            try Int64.fetchOne(db, sql: "SELECT number FROM thread WHERE project = ? AND id = ?", arguments: [project.number, id])
        }
        guard let old = try row(name) else { return }
        guard let new = try row(id) else {
            return try db.execute(sql: "UPDATE thread SET id = ? WHERE number = ?", arguments: [id, old])
        }
        for table in ["event", "run", "vote", "score"] {
            try db.execute(sql: "UPDATE \(table) SET thread = ? WHERE project = ? AND thread = ?", arguments: [new, project.number, old])
        }
        try db.execute(
            sql: """
                INSERT INTO thread_tag (project, tag, thread, at, event, off)
                SELECT project, tag, ?, at, event, off FROM thread_tag WHERE project = ? AND thread = ? ON CONFLICT DO UPDATE
                SET at = excluded.at, event = excluded.event, off = excluded.off WHERE (excluded.at, excluded.event) > (at, event)
                """, arguments: [new, project.number, old])
        try db.execute(sql: "DELETE FROM thread_tag WHERE project = ? AND thread = ?", arguments: [project.number, old])
        for table in ["seen", "reviewed", "fact"] {
            let kinds = table == "fact" ? " AND kind IN (\(FactKind.allCases.map { String($0.rawValue) }.joined(separator: ",")))" : ""
            try db.execute(
                sql: "UPDATE OR IGNORE \(table) SET thread = ? WHERE project = ? AND thread = ?\(kinds)",
                arguments: [new, project.number, old])
            try db.execute(
                sql: "DELETE FROM \(table) WHERE project = ? AND thread = ?\(kinds)", arguments: [project.number, old])
        }
        try threads.merge(old, into: new)
    }

    private func moveVotes(_ name: String, to id: String) throws {
        let rows = try Row.fetchAll(
            db, sql: "SELECT \(Vote.columns), thread FROM vote WHERE project = ? AND target = ?", arguments: [project.number, name])
        for row in rows {
            var vote = Vote(row)
            vote.target = id
            let there = try Row.fetchOne(
                db, sql: "SELECT \(Vote.columns) FROM vote WHERE project = ? AND target = ? AND voter = ?",
                arguments: [project.number, id, vote.voter])
            if let there { vote = Vote(there).merged(with: vote) }
            try db.execute(
                sql: "INSERT OR REPLACE INTO vote (project, \(Vote.columns), thread) VALUES (?,?,?,?,?,?,?,?,?,?)",
                arguments: [
                    project.number, id, vote.voter, vote.thumb.map { $0 == .up ? 1 : -1 }, vote.comment, vote.at.microseconds, vote.event,
                    vote.commentAt.microseconds, vote.commentEvent, row[8] as Int64?,
                ])
        }
        try db.execute(sql: "DELETE FROM vote WHERE project = ? AND target = ?", arguments: [project.number, name])
    }

    private func moveScores(_ name: String, to id: String) throws {
        try db.execute(
            sql: """
                INSERT INTO score (project, target, name, author, value, category, reason, at, event, judge, thread, noted)
                SELECT project, ?, name, author, value, category, reason, at, event, judge, thread, noted FROM score WHERE project = ? AND target = ?
                ON CONFLICT DO UPDATE SET value = excluded.value, category = excluded.category, reason = excluded.reason,
                    at = excluded.at, event = excluded.event, judge = excluded.judge, noted = excluded.noted WHERE (excluded.at, excluded.event) > (at, event)
                """, arguments: [id, project.number, name])
        try db.execute(sql: "DELETE FROM score WHERE project = ? AND target = ?", arguments: [project.number, name])
        // Those of a thread that is there learn it, as those of messages and turns do when these are looked at again.
        try db.execute(
            sql: """
                UPDATE score SET thread = (SELECT number FROM thread WHERE project = ?1 AND id = ?2)
                WHERE project = ?1 AND target = ?2 AND thread IS NULL
                """, arguments: [project.number, id])
    }
}

extension SQLiteStore {
    /// Events named in one transaction: some milliseconds.
    private static let namingChunk = 500
    /// How long after a key was noted events may still be committed that were admitted before it.
    private static let namingGrace = 5.0

    public func giveNames(ofKey id: String, _ names: @escaping @Sendable (String) -> [String]) async throws -> Bool {
        let now = clock.now()
        return try await write { db in
            guard
                let key = try Row.fetchOne(
                    db, sql: "SELECT project, names_from, names_since FROM key WHERE id = ? AND names_from IS NOT NULL", arguments: [id])
            else { return true }
            let project: Int64? = key[0]
            let rows = try Row.fetchAll(
                db.cachedStatement(
                    sql: """
                        SELECT e.sequence, e.project, e.id, e.space, t.id, e.type FROM event e LEFT JOIN thread t ON t.number = e.thread
                        WHERE e.sequence > ? AND (? IS NULL OR e.project = ?) ORDER BY e.sequence LIMIT ?
                        """), arguments: [key[1] as Int64, project, project, Self.namingChunk])
            var threads = ThreadRows(db: db)
            var seen: Set<String> = []
            for row in rows {
                let aliases = Aliases(db: db, project: ProjectID(row[1]))
                var ids = (row[3] as Int) != Event.IDSpace.other.rawValue ? [row[2] as String] : []
                if let thread: String = row[4] { ids.append(thread) }
                for id in ids where seen.insert(id).inserted {
                    // What is itself another's name needs none.
                    guard try aliases.id(of: id) == id else { continue }
                    try aliases.register(IDNames(id: id, names: names(id)), threads: &threads)
                }
            }
            try threads.write()
            if let last = rows.last {
                try db.execute(sql: "UPDATE key SET names_from = ? WHERE id = ?", arguments: [last[0] as Int64, id])
                return false
            }
            guard now > Timestamp(microseconds: key[2]).advanced(bySeconds: Self.namingGrace) else { return false }
            try db.execute(sql: "UPDATE key SET names_from = NULL WHERE id = ?", arguments: [id])
            try db.execute(sql: "UPDATE control SET revision = revision + 1")
            return true
        }
    }
}
