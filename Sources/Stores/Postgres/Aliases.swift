import Conversations
import Events

/// Other names of IDs: registered when an ID is first seen, looked up when a name comes in, and where a name came first, what was
/// stored under it moves to the ID. The result is the same in either order.
struct Aliases {
    let set: WorkingSet
    private var db: Database { self.set.db }
    private var project: Int64 { self.set.project.number }

    init(_ set: WorkingSet) { self.set = set }

    static let select = """
        SELECT a.* FROM unnest($2) AS wanted(name) CROSS JOIN LATERAL (
            SELECT name, id FROM alias WHERE project = $1 AND name = wanted.name OFFSET 0) AS a
        """

    /// Those of some IDs under which anything is stored.
    static let selectStoredUnder = """
        SELECT id FROM unnest($2::text[]) AS wanted(id) WHERE
            EXISTS (SELECT 1 FROM event e WHERE e.project = $1 AND e.id = wanted.id AND e.space = ANY('{0,1}'::smallint[]))
            OR EXISTS (SELECT 1 FROM thread t WHERE t.project = $1 AND t.id = wanted.id)
            OR EXISTS (SELECT 1 FROM event e WHERE e.project = $1 AND e.target = wanted.id)
            OR EXISTS (SELECT 1 FROM run r WHERE r.project = $1 AND r.id = wanted.id)
            OR EXISTS (SELECT 1 FROM run r WHERE r.project = $1 AND r.parent = wanted.id)
            OR EXISTS (SELECT 1 FROM run r WHERE r.project = $1 AND r.fallback = wanted.id)
            OR EXISTS (SELECT 1 FROM vote v WHERE v.project = $1 AND v.target = wanted.id)
            OR EXISTS (SELECT 1 FROM score s WHERE s.project = $1 AND s.target = wanted.id)
            OR EXISTS (SELECT 1 FROM comment c WHERE c.project = $1 AND c.target = wanted.id)
            OR EXISTS (SELECT 1 FROM reply r WHERE r.project = $1 AND r.question = wanted.id)
        """

    /// What `name` stands for where it is another's name, for who only reads.
    static func id(of name: String, in project: ProjectID, db: Database) throws -> String {
        try String.fetchOne(db, sql: "SELECT id FROM alias WHERE project = $1 AND name = $2", arguments: [project.number, name]) ?? name
    }

    /// What `name` stands for; itself where it is no other's name.
    func id(of name: String) throws -> String {
        let key = set.key(name)
        if case .some(let known) = set.aliases[key] { return known ?? name }
        let found: String? = try set.ask(Self.select, [project, [name]]).first?[1]
        set.aliases[key] = .some(found)
        return found ?? name
    }

    /// Notes the names of an ID; what is stored under one of them moves.
    func register(_ ids: IDNames) throws {
        for name in ids.names where !name.hasSameBytes(as: ids.id) {
            let key = set.key(name)
            if set.aliases[key] == nil { _ = try id(of: name) }
            guard case .some(.none) = set.aliases[key] else { continue }
            set.aliases[key] = ids.id
            set.newAliases.append((name, ids.id))
            if try isStored(under: key) { try move(name, to: ids.id) }
        }
    }

    private func isStored(under name: OwnedID) throws -> Bool {
        if set.touched.contains(name) { return true }
        if let known = set.isStoredUnder[name] { return known }
        return try !set.ask(Self.selectStoredUnder, [project, [name.id]]).isEmpty
    }

    private func exists(_ sql: String, _ id: String) throws -> Bool { try db.fetchOne(sql, [project, id]) != nil }

    /// It changes rows past what is known of them: what was to be written is written first, and what was known is given up.
    private func move(_ name: String, to id: String) throws {
        try set.flush()
        set.forget()
        if try exists("SELECT 1 FROM thread WHERE project = $1 AND id = $2", name) { try moveThread(name, to: id) }
        let isStored = try exists("SELECT 1 FROM event WHERE project = $1 AND id = $2 AND space = ANY('{0,1}'::smallint[])", name)
        // A part that is there under the ID already is the same part; a message that is there stands.
        for statement in [
            """
            UPDATE event e SET id = $1 WHERE project = $2 AND id = $3 AND space = ANY('{0,1}'::smallint[]) AND NOT EXISTS (
                SELECT 1 FROM event o WHERE o.project = $2 AND o.id = $1 AND o.space = e.space AND o.part = e.part)
            """,
            "UPDATE run SET id = $1 WHERE project = $2 AND id = $3 AND NOT EXISTS (SELECT 1 FROM run o WHERE o.project = $2 AND o.id = $1)",
            "UPDATE run SET parent = $1 WHERE project = $2 AND parent = $3",
            """
            UPDATE run_trace t SET run = $1 WHERE project = $2 AND run = $3 AND NOT EXISTS (
                SELECT 1 FROM run_trace o WHERE o.project = $2 AND o.run = $1 AND o.trace = t.trace)
            """,
            """
            UPDATE message_trace t SET message = $1 WHERE project = $2 AND message = $3 AND NOT EXISTS (
                SELECT 1 FROM message_trace o WHERE o.project = $2 AND o.message = $1 AND o.trace = t.trace)
            """,
            "UPDATE run SET fallback = $1 WHERE project = $2 AND fallback = $3",
            "UPDATE comment SET target = $1 WHERE project = $2 AND target = $3",
            "UPDATE event SET target = $1 WHERE project = $2 AND target = $3",
            """
            UPDATE reply r SET question = $1 WHERE project = $2 AND question = $3 AND NOT EXISTS (
                SELECT 1 FROM reply o WHERE o.project = $2 AND o.question = $1 AND o.message = r.message)
            """,
        ] { try db.execute(statement, [id, project, name]) }
        try db.execute("DELETE FROM event WHERE project = $1 AND id = $2 AND space = ANY('{0,1}'::smallint[])", [project, name])
        if isStored { try renameExcerpts(of: name, to: id) }
        try db.execute("DELETE FROM run WHERE project = $1 AND id = $2", [project, name])
        try moveVotes(name, to: id)
        try moveScores(name, to: id)
        for id in [name, id] { set.noteMoved(id) }
        let links = RunLinks(set)
        if let message = try set.message(id) { try links.messageArrived(id, trace: nil, thread: message.thread) }
        if try set.run(id) != nil { try links.partArrived(id, name: self.id(of:)) }
    }

    /// A message has another ID now: its thread's first and last are called so too. To be called when nothing is left to be written.
    func renameExcerpts(of old: String, to new: String) throws {
        for column in ["first_message", "last_message"] {
            try db.execute(
                """
                UPDATE thread SET \(column) = $2, view = NULL WHERE \(column) = $3 AND project = $1
                    AND number = (SELECT thread FROM event WHERE project = $1 AND id = $2 AND space = 0 AND part = '')
                """, [project, new, old])
        }
        set.threads.forget()
    }

    private func moveThread(_ name: String, to id: String) throws {
        func number(_ id: String) throws -> Int64? {
            try Int64.fetchOne(db, sql: "SELECT number FROM thread WHERE project = $1 AND id = $2", arguments: [project, id])
        }
        guard let old = try number(name) else { return }
        guard let new = try number(id) else {
            try db.execute("UPDATE thread SET id = $3 WHERE project = $1 AND number = $2", [project, old, id])
            return
        }
        for table in ["event", "run", "vote", "score"] {
            try db.execute("UPDATE \(table) SET thread = $3 WHERE project = $1 AND thread = $2", [project, old, new])
        }
        try db.execute(
            """
            INSERT INTO thread_tag (project, tag, thread, at, event, off)
            SELECT project, tag, $3, at, event, off FROM thread_tag WHERE project = $1 AND thread = $2
            ON CONFLICT (project, tag, thread) DO UPDATE SET at = excluded.at, event = excluded.event, off = excluded.off
                WHERE (excluded.at, excluded.event) > (thread_tag.at, thread_tag.event)
            """, [project, old, new])
        try db.execute("DELETE FROM thread_tag WHERE project = $1 AND thread = $2", [project, old])
        for (table, own) in [("seen", "o.member = s.member"), ("reviewed", "true"), ("fact", "o.kind = s.kind AND o.subject = s.subject")] {
            try db.execute(
                """
                UPDATE \(table) s SET thread = $3 WHERE project = $1 AND thread = $2 AND NOT EXISTS (
                    SELECT 1 FROM \(table) o WHERE o.project = $1 AND o.thread = $3 AND \(own))
                """, [project, old, new])
            try db.execute("DELETE FROM \(table) WHERE project = $1 AND thread = $2", [project, old])
        }
        try set.threads.merge(old, into: new)
    }

    private func moveVotes(_ name: String, to id: String) throws {
        let rows = try db.fetchAll("SELECT \(Vote.columns), thread FROM vote WHERE project = $1 AND target = $2", [project, name])
        guard !rows.isEmpty else { return }
        for row in rows {
            var vote = Vote(row)
            vote.target = id
            let key = WorkingSet.VoteKey(target: set.key(id), voter: set.key(vote.voter))
            if let there = try set.vote(key) { vote = there.merged(with: vote) }
            set.votes[key] = vote
            set.changedVotes[key] = .some(row[8])
        }
        try set.flush()
        try db.execute("DELETE FROM vote WHERE project = $1 AND target = $2", [project, name])
    }

    private func moveScores(_ name: String, to id: String) throws {
        try db.execute(
            """
            INSERT INTO score (project, target, name, author, value, category, reason, at, event, judge, thread, noted)
            SELECT project, $3, name, author, value, category, reason, at, event, judge, thread, noted FROM score
            WHERE project = $1 AND target = $2
            ON CONFLICT (project, target, name, author) DO UPDATE SET value = excluded.value, category = excluded.category,
                reason = excluded.reason, at = excluded.at, event = excluded.event, judge = excluded.judge, noted = excluded.noted
                WHERE (excluded.at, excluded.event) > (score.at, score.event)
            """, [project, name, id])
        try db.execute("DELETE FROM score WHERE project = $1 AND target = $2", [project, name])
        // Those of a thread that is there learn it, as those of messages and turns do when these are looked at again.
        try db.execute(
            """
            UPDATE score SET thread = (SELECT number FROM thread WHERE project = $1 AND id = $2)
            WHERE project = $1 AND target = $2 AND thread IS NULL
            """, [project, id])
    }
}

extension PostgresStore {
    /// Events named in one transaction: some milliseconds.
    private static let namingChunk = 500
    /// How long after a key was noted events may still be committed that were admitted before it.
    private static let namingGrace = 5.0

    public func giveNames(ofKey id: String, _ names: @escaping @Sendable (String) -> [String]) async throws -> Bool {
        let now = clock.now()
        let end = try await pool.withoutTransaction { try LogOrder.safeEnd($0) }
        return try await pool.write { db in
            let key = try db.fetchOne(
                "SELECT project, names_from, names_since FROM key WHERE id = $1 AND names_from IS NOT NULL FOR UPDATE", [id])
            guard let key else { return true }
            let project: Int64? = key[0]
            let rows = try db.fetchAll(
                """
                SELECT e.sequence, e.project, e.id, e.space, t.id, e.type FROM event e
                LEFT JOIN thread t ON t.project = e.project AND t.number = e.thread
                WHERE e.sequence > $1 AND e.sequence <= $2 AND ($3 IS NULL OR e.project = $3) ORDER BY e.sequence LIMIT $4
                """, [key[1] as Int64, end, project, Self.namingChunk])
            var sets: [Int64: WorkingSet] = [:]
            var locks = Pipeline()
            locks.lock(rows.map { ProjectID($0[1]) })
            _ = try db.run(locks)
            var seen: Set<OwnedID> = []
            let reserve = NumberReserve()
            for row in rows {
                let owner: Int64 = row[1]
                let set = sets[owner] ?? WorkingSet(db, project: ProjectID(owner), numbers: reserve)
                sets[owner] = set
                let aliases = Aliases(set)
                var ids = (row[3] as Int) != Event.IDSpace.other.rawValue ? [row[2] as String] : []
                if let thread: String = row[4] { ids.append(thread) }
                for id in ids where seen.insert(set.key(id)).inserted {
                    // What is itself another's name needs none.
                    guard try aliases.id(of: id).hasSameBytes(as: id) else { continue }
                    try aliases.register(IDNames(id: id, names: names(id)))
                }
            }
            for set in sets.values { try set.flush() }
            if let last = rows.last {
                try db.execute("UPDATE key SET names_from = $2 WHERE id = $1", [id, last[0] as Int64])
                return false
            }
            guard now > Timestamp(microseconds: key[2]).advanced(bySeconds: Self.namingGrace) else { return false }
            try db.execute("UPDATE key SET names_from = NULL WHERE id = $1", [id])
            try ControlRows.noteChange(db)
            return true
        }
    }
}
