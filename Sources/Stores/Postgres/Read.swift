public import Conversations
public import Events

extension PostgresStore {
    public func conversation(
        _ thread: String, in project: Project, limit: Int, after cursor: String?, now: Timestamp
    ) async throws -> Conversation? {
        let after = try cursor.map { try ItemCursor(reading: $0) }
        return try await pool.read { db in
            try ConversationReader(db: db, project: project, now: now).conversation(thread, limit: limit, after: after)
        }
    }

    public func message(_ id: String, in project: ProjectID) async throws -> ConversationItem? {
        try await pool.read { db in
            let reader = ConversationReader(db: db, project: project)
            guard let row = try db.fetchOne(EventRows.ofMessage, [project.number, id]) else { return try reader.derivedMessage(id) }
            let item = try EventRows.item(row)
            return try reader.itemOfTurns(item) ?? reader.dressed([item]).first
        }
    }

    public func run(_ id: String, in project: ProjectID) async throws -> (node: RunNode, message: String?)? {
        try await pool.read { db in
            let reader = ConversationReader(db: db, project: project)
            let nodes = try reader.nodes(runs: reader.descendants(of: [], and: [id]))
            guard var own = nodes.first(where: { $0.run.id == id }) else { return nil }
            let message = try reader.rootMessage(of: id)
            if message == id { own = own.underItsMessage }
            // A run that names no thread is in its message's.
            if own.run.thread == nil, let message { own.run.thread = try reader.thread(ofMessage: message) }
            return (RunForest(nodes).tree(of: own), message)
        }
    }

    public func runs(in project: ProjectID, matching filter: RunFilter, limit: Int) async throws -> [RunNode] {
        try await pool.read { try ConversationReader(db: $0, project: project).runs(matching: filter, limit: limit) }
    }

    public func projectOfRun(_ id: String) async throws -> [ProjectID] {
        try await pool.read { db in
            // Runs are few a project, and the question is asked by people and by end-to-end checks, not by streams.
            try Int64.fetchAll(db, sql: Self.projectsOfRun, arguments: [id]).map { ProjectID($0) }
        }
    }

    /// By each project's key of its own: what is a project's is found by the project alone.
    static let projectsOfRun = """
        SELECT p.number FROM project p CROSS JOIN LATERAL (SELECT FROM run r WHERE r.project = p.number AND r.id = $1 LIMIT 1) r
        ORDER BY p.number
        """

    public func thread(number: Int64) async throws -> (project: ProjectID, id: String)? {
        try await pool.read { db in
            try db.fetchOne(Self.threadByNumber, [number]).map { (ProjectID($0[0]), $0[1]) }
        }
    }

    static let threadByNumber = """
        SELECT p.number, t.id FROM project p
        CROSS JOIN LATERAL (SELECT t.id FROM thread t WHERE t.project = p.number AND t.number = $1 LIMIT 1) t LIMIT 1
        """

    public func feedback(on target: String, in project: ProjectID) async throws -> FeedbackSummary? {
        let id = "coalesce((SELECT a.id FROM alias a WHERE a.project = $1 AND a.name = $2), $2)"
        let (votes, isThere) = try await pool.read { db in
            try db.ask { pipeline in
                let votes = pipeline.ask(
                    "SELECT \(Vote.columns) FROM vote WHERE project = $1 AND target = \(id)", [project.number, target]
                ) { $0.map { Vote($0) } }
                let isThere = pipeline.ask(
                    "SELECT FROM event WHERE project = $1 AND id = \(id) AND space = ANY('{0,1}'::smallint[]) LIMIT 1",
                    [project.number, target]
                ) { !$0.isEmpty }
                return Pipeline.Question { (try votes.read($0), try isThere.read($0)) }
            }
        }
        return votes.isEmpty && !isThere ? nil : FeedbackSummary(votes: votes)
    }

    // MARK: the log

    public func events(after sequence: Int64, in project: ProjectID?, limit: Int) async throws -> [StoredEvent] {
        try await readLog { db, end in
            let rows =
                if let project {
                    try db.fetchAll(Self.logOfProject, [project.number, sequence, end, limit])
                } else {
                    try db.fetchAll(Self.log, [sequence, end, limit])
                }
            return try rows.map { StoredEvent(try EventRows.item($0)) }
        }
    }

    static let log = """
        SELECT \(EventRows.columns(of: "e.project"))
        \(EventRows.joins(from: "(SELECT * FROM event WHERE sequence > $1 AND sequence <= $2 ORDER BY sequence LIMIT $3) e"))
        ORDER BY e.sequence
        """
    static let logOfProject = """
        SELECT \(EventRows.columns)
        \(EventRows.joins(
            from: "(SELECT * FROM event WHERE project = $1 AND sequence > $2 AND sequence <= $3 ORDER BY sequence LIMIT $4) e"))
        ORDER BY e.sequence
        """

    public func events(ofType type: String, in project: ProjectID) async throws -> [StoredEvent] {
        try await pool.read { db in
            // Spelled out where there is an index for it.
            let rows =
                type == "queue"
                ? try db.fetchAll(Self.ofType("type = 'queue'"), [project.number])
                : try db.fetchAll(Self.ofType("type = $2"), [project.number, type])
            return try rows.map { StoredEvent(try EventRows.item($0)) }
        }
    }

    static func ofType(_ condition: String) -> String {
        """
        SELECT \(EventRows.columns)
        \(EventRows.joins(from: "(SELECT * FROM event WHERE project = $1 AND \(condition) ORDER BY sequence LIMIT 10000) e"))
        ORDER BY e.sequence
        """
    }

    /// The last that can be read now: nothing up to it appears later.
    public func lastSequence() async throws -> Int64 { try await pool.withoutTransaction { try LogOrder.safeEnd($0) } }

    public func pendingLinks(in project: ProjectID) async throws -> Int {
        try await pool.read { try Int.fetchOne($0, sql: Self.pendingLinks, arguments: [project.number]) ?? 0 }
    }

    static let pendingLinks = "SELECT count(*) FROM run WHERE project = $1 AND link = 1 AND fallback IS NULL"

    // MARK: names

    public func scoreNames(in project: ProjectID) async throws -> [(name: String, count: Int)] {
        try await pool.read { db in
            try db.fetchAll(
                """
                SELECT name, count(*) FROM score WHERE project = $1 AND (value IS NOT NULL OR category IS NOT NULL)
                GROUP BY name ORDER BY 2 DESC, 1 LIMIT 100
                """, [project.number]
            ).map { ($0[0], $0[1]) }
        }
    }

    public func tags(in project: ProjectID) async throws -> [(tag: String, count: Int)] {
        try await pool.read { db in
            try db.fetchAll(
                "SELECT tag, count(*) FROM thread_tag WHERE project = $1 AND NOT off GROUP BY tag ORDER BY 2 DESC, 1 LIMIT 500",
                [project.number]
            ).map { ($0[0], $0[1]) }
        }
    }

    public func authorOfComment(_ id: String, in project: ProjectID) async throws -> String?? {
        try await pool.read { db in
            try db.fetchOne("SELECT author FROM comment WHERE project = $1 AND id = $2 AND text IS NOT NULL", [project.number, id])
                .map { .some($0[0] as String?) } ?? nil
        }
    }

    public func threadOf(target: String, in project: ProjectID) async throws -> String? {
        try await pool.read { db in try Targets(db: db, project: project).threadName(of: target) }
    }
}

extension EventRows {
    static let ofMessage = "SELECT \(columns) \(joins) WHERE e.project = $1 AND e.id = $2 AND e.space = 0 AND e.part = ''"
}

extension StoredEvent {
    fileprivate init(_ item: EventRows.Item) {
        self.init(
            sequence: item.sequence, project: item.project, event: item.event, at: item.at, receivedAt: item.receivedAt, source: item.source
        )
    }
}
