public import Conversations
public import Events
import GRDB

extension SQLiteStore {
    public func conversation(
        _ thread: String, in project: Project, limit: Int, after cursor: String?, now: Timestamp
    ) async throws -> Conversation? {
        let after = try cursor.map { try ItemCursor(reading: $0) }
        return try await pool.read { db in
            let reader = ConversationReader(db: db, project: project, now: now)
            guard let (number, summary) = try reader.summary(of: thread) else { return nil }
            var items = try reader.items(of: number, limit: limit + 1, after: after)
            var next: String?
            if items.count > limit {
                items.removeLast()
                next = items.last.map { ItemCursor(at: $0.at, id: $0.event.id).text }
            }
            return try reader.conversation(summary, number: number, items: items, isFirstPage: after == nil, next: next)
        }
    }

    public func message(_ id: String, in project: ProjectID) async throws -> ConversationItem? {
        try await pool.read { db in
            let reader = ConversationReader(db: db, project: Project(number: project, id: "", name: ""), now: Timestamp(microseconds: 0))
            let row = try Row.fetchOne(
                db.cachedStatement(
                    sql: "SELECT \(EventRows.columns) \(EventRows.joins) WHERE e.project = ? AND e.id = ? AND e.space = 0 AND e.part = x''"),
                arguments: [project.number, id])
            guard let row else { return nil }
            return try reader.dressed([EventRows.item(row)]).first
        }
    }

    public func run(_ id: String, in project: ProjectID) async throws -> (node: RunNode, message: String?)? {
        try await pool.read { db in
            let reader = ConversationReader(db: db, project: Project(number: project, id: "", name: ""), now: Timestamp(microseconds: 0))
            let nodes = try reader.nodes(runs: reader.descendants(of: [], and: [id]))
            guard let own = nodes.first(where: { $0.run.id == id }) else { return nil }
            return (RunForest(nodes).tree(of: own), try reader.rootMessage(of: id))
        }
    }

    public func events(after sequence: Int64, in project: ProjectID?, limit: Int) async throws -> [StoredEvent] {
        try await pool.read { db in
            let statement = try db.cachedStatement(
                sql: """
                    SELECT \(EventRows.columns) \(EventRows.joins) WHERE e.sequence > ? AND (? IS NULL OR e.project = ?) ORDER BY e.sequence LIMIT ?
                    """)
            return try Row.fetchAll(statement, arguments: [sequence, project?.number, project?.number, limit]).map { row in
                let item = try EventRows.item(row)
                return StoredEvent(
                    sequence: item.sequence, project: item.project, event: item.event, at: item.at, receivedAt: item.receivedAt,
                    source: item.source)
            }
        }
    }

    public func lastSequence() async throws -> Int64 {
        try await pool.read { try Int64.fetchOne($0, sql: "SELECT max(sequence) FROM event") ?? 0 }
    }

    public func pendingLinks(in project: ProjectID) async throws -> Int {
        try await pool.read { db in
            try Int.fetchOne(db, sql: "SELECT count(*) FROM run WHERE project = ? AND link = 1", arguments: [project.number]) ?? 0
        }
    }
}

/// A place among a thread's items.
struct ItemCursor {
    var at: Timestamp
    var id: String

    var text: String { "\(at.microseconds)~\(id)" }

    init(at: Timestamp, id: String) { (self.at, self.id) = (at, id) }

    init(reading text: String) throws {
        let parts = text.split(separator: "~", maxSplits: 1)
        guard parts.count == 2, let at = Int64(parts[0]) else { throw ReadFailure.badCursor }
        self.init(at: Timestamp(microseconds: at), id: String(parts[1]))
    }
}

/// Reads a thread and what hangs on it within one snapshot.
struct ConversationReader {
    /// Runs read for one page; a page with more shows the first ones.
    static let maximumRuns = 5000

    let db: Database
    let project: Project
    let now: Timestamp

    func items(of thread: Int64, limit: Int, after: ItemCursor?) throws -> [EventRows.Item] {
        let statement = try db.cachedStatement(
            sql: """
                SELECT \(EventRows.columns) \(EventRows.joins)
                WHERE e.project = ? AND e.thread = ? AND e.type NOT IN ('run', 'feedback', 'score', 'thread', 'identify', 'client_report')
                    AND (e.at > ? OR (e.at = ? AND e.id > ?))
                ORDER BY e.at, e.id LIMIT ?
                """)
        let at = after?.at.microseconds ?? -1
        return try Row.fetchAll(statement, arguments: [project.number.number, thread, at, at, after?.id ?? "", limit]).map(EventRows.item)
    }

    func conversation(
        _ summary: ThreadSummary, number: Int64, items: [EventRows.Item], isFirstPage: Bool, next: String?
    ) throws -> Conversation {
        var loose: [RunNode] = []
        if isFirstPage {
            let own = try String.fetchAll(
                db.cachedStatement(sql: "SELECT id FROM run WHERE project = ? AND thread = ? LIMIT ?"),
                arguments: [project.number.number, number, Self.maximumRuns])
            let nodes = try nodes(runs: descendants(of: [], and: own))
            let messages = try String.fetchSet(
                db.cachedStatement(
                    sql: "SELECT id FROM event WHERE project = ? AND space = 0 AND part = x'' AND id IN (SELECT value FROM json_each(?))"),
                arguments: [project.number.number, EventRows.list(nodes.map(\.run.id))])
            loose = RunForest(nodes).loose(besides: messages)
        }
        return Conversation(thread: summary, items: try dressed(items), looseRuns: loose, next: next)
    }

    /// Items with their feedback, scores and runs.
    func dressed(_ items: [EventRows.Item]) throws -> [ConversationItem] {
        let messages = items.filter { $0.event.idSpace == .message }.map(\.event.id)
        let forest = RunForest(try nodes(runs: descendants(of: messages, and: messages)))
        let votes = try votes(on: messages)
        let scores = try scores(on: messages)
        return items.map { item in
            guard item.event.idSpace == .message else {
                return ConversationItem(event: item.event, at: item.at, receivedAt: item.receivedAt, provenance: item.provenance)
            }
            let id = item.event.id
            return ConversationItem(
                event: item.event, at: item.at, receivedAt: item.receivedAt, provenance: item.provenance,
                feedback: FeedbackSummary(votes: votes[id] ?? []), scores: scores[id] ?? [], runs: forest.runs(under: id))
        }
    }

    // MARK: runs

    /// The runs that name one of `parents`, those of `ids` themselves, and all below them.
    func descendants(of parents: [String], and ids: [String]) throws -> [String] {
        let statement = try db.cachedStatement(
            sql: """
                WITH RECURSIVE tree(id) AS (
                    SELECT id FROM run WHERE project = :project AND parent IN (SELECT value FROM json_each(:parents))
                    UNION SELECT id FROM run WHERE project = :project AND id IN (SELECT value FROM json_each(:ids))
                    UNION SELECT run.id FROM tree JOIN run ON run.project = :project AND run.parent = tree.id)
                SELECT id FROM tree LIMIT \(Self.maximumRuns)
                """)
        return try String.fetchAll(
            statement, arguments: ["project": project.number.number, "parents": EventRows.list(parents), "ids": EventRows.list(ids)])
    }

    func nodes(runs ids: [String]) throws -> [RunNode] {
        guard !ids.isEmpty else { return [] }
        let links = try Row.fetchAll(
            db.cachedStatement(sql: "SELECT id, link FROM run WHERE project = ? AND id IN (SELECT value FROM json_each(?))"),
            arguments: [project.number.number, EventRows.list(ids)])
        let votes = try votes(on: ids)
        let scores = try scores(on: ids)
        let parts = Dictionary(grouping: try EventRows.fetch(db, project: project.number, runs: ids), by: \.event.id)
        return links.compactMap { row in
            let id: String = row[0]
            guard let run = Run(folding: (parts[id] ?? []).map { .init(event: $0.event, at: $0.at, digest: $0.digest) }) else { return nil }
            return RunNode(
                run: run, link: ParentLink(rawValue: row[1]) ?? .none, feedback: FeedbackSummary(votes: votes[id] ?? []),
                scores: scores[id] ?? [])
        }
    }

    /// The message a run hangs under, over however many runs between.
    func rootMessage(of id: String) throws -> String? {
        var current: String? = id
        for _ in 0..<ParentLinks.maximumDepth {
            guard let id = current else { return nil }
            let row = try Row.fetchOne(
                db.cachedStatement(sql: "SELECT parent, link FROM run WHERE project = ? AND id = ?"),
                arguments: [project.number.number, id])
            let isMessage =
                try Int.fetchOne(
                    db.cachedStatement(sql: "SELECT 1 FROM event WHERE project = ? AND id = ? AND space = 0 AND part = x''"),
                    arguments: [project.number.number, id]) != nil
            guard let row else { return isMessage ? id : nil }
            let parent: String? = row[0]
            if isMessage, parent == nil || parent == id { return id }
            current = (row[1] as Int) == ParentLink.bound.rawValue ? parent : nil
        }
        return nil
    }

    // MARK: feedback and scores

    private func votes(on targets: [String]) throws -> [String: [Vote]] {
        let rows = try Row.fetchAll(
            db.cachedStatement(
                sql: """
                    SELECT target, voter, thumb, comment, at, event FROM vote WHERE project = ? AND target IN (SELECT value FROM json_each(?))
                    """), arguments: [project.number.number, EventRows.list(targets)])
        return Dictionary(
            grouping: rows.map { row in
                Vote(
                    target: row[0], voter: row[1], thumb: (row[2] as Int?).map { $0 > 0 ? .up : .down }, comment: row[3],
                    at: Timestamp(microseconds: row[4]), event: row[5])
            }, by: \.target)
    }

    func scores(on targets: [String]) throws -> [String: [Score]] {
        let rows = try Row.fetchAll(
            db.cachedStatement(
                sql: """
                    SELECT target, name, value, category, reason, author, at, event FROM score
                    WHERE project = ? AND target IN (SELECT value FROM json_each(?)) ORDER BY name, author
                    """), arguments: [project.number.number, EventRows.list(targets)])
        return Dictionary(
            grouping: rows.map { row in
                Score(
                    target: row[0], name: row[1], value: row[2], category: row[3], reason: row[4], author: row[5],
                    at: Timestamp(microseconds: row[6]), event: row[7])
            }, by: \.target)
    }
}
