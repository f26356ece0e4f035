public import Conversations
public import Events

extension PostgresStore {
    public func threads(
        in project: Project, matching filter: ThreadFilter, limit: Int, after cursor: String?, now: Timestamp
    ) async throws -> Page<ThreadSummary> {
        let start = try cursor.map { try ThreadQuery.Start($0) }
        return try await pool.read { db in
            let query = ThreadQuery(filter, project: project, now: now)
            let (candidates, isPartial) = try query.candidates(db)
            if let candidates, candidates.isEmpty { return Page(items: [], next: nil, isPartial: isPartial) }
            let page = query.page(of: candidates, after: start, limit: limit + 1)
            var rows = Array(try db.fetchAll(page.sql, page.arguments))
            var next: String?
            if rows.count > limit {
                rows.removeLast()
                next = rows.last.map { "\($0[ThreadFold.lastAtColumn] as Int64)~\($0[ThreadFold.numberColumn] as Int64)" }
            }
            let reader = ConversationReader(db: db, project: project, now: now, viewer: filter.viewer)
            return Page(items: try reader.summaries(rows), next: next, isPartial: isPartial)
        }
    }
}

/// The list's SQL, put together from a filter; every value is an argument.
///
/// A filter that leaves few threads gives their numbers, which are then sorted; of several the sparsest does, and the others are asked
/// of each of them. One that leaves many is asked of each thread in the order of the list.
struct ThreadQuery {
    /// Numbers that are sorted rather than walked to: with more, a page is found sooner on the way.
    static let maximumCandidates = 10_000

    /// Where a page begins.
    struct Start: Sendable {
        var lastAt: Int64
        var number: Int64

        init(_ cursor: String) throws {
            let parts = cursor.split(separator: "~").compactMap { Int64($0) }
            guard parts.count == 2 else { throw ReadFailure.badCursor }
            (lastAt, number) = (parts[0], parts[1])
        }
    }

    /// SQL in which `$1` is the project and each `?` the next argument.
    struct Piece {
        var sql: String
        var arguments: Arguments = []

        static func += (a: inout Piece, b: Piece) { (a.sql, a.arguments) = (a.sql + b.sql, a.arguments + b.arguments) }

        /// With its arguments numbered.
        func statement(in project: ProjectID) -> (sql: String, arguments: Arguments) {
            var text = ""
            var number = 1
            for character in sql {
                if character == "?" {
                    number += 1
                    text += "$\(number)"
                } else {
                    text.append(character)
                }
            }
            precondition(number == arguments.values.count + 1, "a statement has as many arguments as places for them")
            return (text, [project.number] + arguments)
        }
    }

    private let filter: ThreadFilter
    private let project: Project
    private let now: Timestamp
    /// What is asked of each thread `t`.
    private var conditions: [Piece] = []
    /// Statements that give the numbers of all threads that one of the conditions leaves.
    private(set) var drivers: [Piece] = []

    init(_ filter: ThreadFilter, project: Project, now: Timestamp) {
        (self.filter, self.project, self.now) = (filter, project, now)
        narrow()
    }

    private mutating func add(_ condition: String, _ arguments: Arguments = []) {
        conditions.append(Piece(sql: condition, arguments: arguments))
    }

    private mutating func drive(_ sql: String, _ arguments: Arguments = []) {
        drivers.append(Piece(sql: sql, arguments: arguments))
    }

    private mutating func narrow() {
        if let user = filter.user {
            let keys = Array(Event.User.keys(of: user))
            add("t.person = ANY(?)", [keys])
            drive("SELECT number FROM thread WHERE project = $1 AND person = ANY(?) AND person IS NOT NULL", [keys])
        }
        if let tag = filter.tag {
            add(Self.exists("thread_tag g WHERE g.project = $1 AND g.tag = ? AND g.thread = t.number AND NOT g.off"), [tag])
            drive("SELECT thread FROM thread_tag WHERE project = $1 AND tag = ? AND NOT off", [tag])
        }
        if let role = filter.role { add("t.roles & ?::int2 <> 0", [ThreadFold.bit(of: role)]) }
        narrowByFeedback()
        if let from = filter.from { add("t.last_at >= ?", [from.microseconds]) }
        if let to = filter.to {
            add("t.first_at <= ?", [to.microseconds])
            drive("SELECT number FROM thread WHERE project = $1 AND first_at <= ? ORDER BY first_at", [to.microseconds])
        }
        if let status = filter.status { narrow(to: status) }
        switch filter.provenance {
        case .verified?: narrow(to: Provenance.verified)
        case .claimed?: narrow(to: Provenance.claimed)
        case .anonymous?: narrow(to: Provenance.anonymous)
        case .confirmed?: narrow(to: FactKind.confirmed)
        case .differs?: narrow(to: FactKind.differs)
        case nil: break
        }
        switch filter.hasError {
        case true?: narrow(to: FactKind.failed)
        case false?: add("NOT \(Self.fact)", [FactKind.failed.rawValue])
        case nil: break
        }
        switch filter.runs {
        case .orphan?: narrow(to: FactKind.orphan)
        case .pending?: narrow(to: FactKind.pending)
        case nil: break
        }
        narrowByMarks()
        if let score = filter.score { narrow(to: score) }
    }

    // MARK: one filter each

    /// Asked of one thread at a time: OFFSET 0 keeps the planner from making a join of it, which would read all there is of a project.
    private static func exists(_ rows: String) -> String { "EXISTS (SELECT FROM \(rows) OFFSET 0)" }

    private static let fact = exists("fact f WHERE f.project = $1 AND f.kind = ? AND f.thread = t.number")

    private mutating func narrow(to kind: FactKind) {
        add(Self.fact, [kind.rawValue])
        drive("SELECT DISTINCT thread FROM fact WHERE project = $1 AND kind = ?", [kind.rawValue])
    }

    private mutating func narrow(to provenance: Provenance) { add("t.provenances & ?::int2 <> 0", [ThreadFold.bit(of: provenance)]) }

    private mutating func narrowByFeedback() {
        func condition(_ thumb: String) -> String {
            Self.exists("vote v WHERE v.project = $1 AND v.thread = t.number AND v.thread IS NOT NULL AND v.thumb \(thumb)")
        }
        func driver(_ thumb: String) -> String {
            "SELECT thread FROM vote WHERE project = $1 AND thumb \(thumb) AND thumb IS NOT NULL AND thread IS NOT NULL"
        }
        switch filter.feedback {
        case .up?:
            add(condition("= 1"))
            drive(driver("= 1"))
        case .down?:
            add(condition("= -1"))
            drive(driver("= -1"))
        case .any?:
            add(condition("IS NOT NULL"))
            drive(driver("IN (1, -1)"))
        case .none?: add("NOT " + condition("IS NOT NULL"))
        case nil: break
        }
    }

    /// The words of `ThreadSummary.status`: closed and nothing since, opened by hand, or no activity for the time.
    private mutating func narrow(to status: Event.ThreadPatch.Status) {
        let deadline = now.advanced(bySeconds: -project.settings.inactiveAfterSeconds).microseconds
        let isActive = """
            ((t.last_at > ? OR coalesce(t.status = 'active' AND t.status_at > ?, false))
                AND NOT coalesce(t.status = 'inactive' AND t.status_at >= t.last_at, false))
            """
        add(status == .active ? isActive : "NOT " + isActive, [deadline, deadline])
        guard status == .active else { return }
        drive(
            """
            SELECT number FROM thread WHERE project = $1 AND last_at > ?
            UNION ALL SELECT number FROM thread WHERE project = $1 AND status = 'active' AND status_at > ? AND status IS NOT NULL
            """, [deadline, deadline])
    }

    private mutating func narrowByMarks() {
        if let isReviewed = filter.isReviewed {
            let condition = Self.exists("reviewed r WHERE r.project = $1 AND r.thread = t.number AND r.at >= t.last_at")
            add(isReviewed ? condition : "NOT " + condition)
            if isReviewed { drive("SELECT thread FROM reviewed WHERE project = $1") }
        }
        if let isSeen = filter.isSeen, let viewer = filter.viewer {
            let condition = Self.exists("seen s WHERE s.project = $1 AND s.member = ? AND s.thread = t.number AND s.at >= t.last_at")
            add(isSeen ? condition : "NOT " + condition, [viewer])
            if isSeen { drive("SELECT thread FROM seen WHERE project = $1 AND member = ?", [viewer]) }
        }
    }

    /// P-SCORE-4: a score counts while it stands (`Score.standing`); those on messages stand until they are taken back.
    private var standing: String {
        let there = "(s.value IS NOT NULL OR s.category IS NOT NULL)"
        let isLasting =
            "s.target <> t.id OR s.at >= CASE WHEN t.status = 'active' THEN greatest(t.status_at, t.last_at) ELSE t.last_at END"
        switch project.settings.scoring {
        case .open: return there
        case .review: return "\(there) AND (s.judge = 'program' OR \(isLasting))"
        case .strict: return "\(there) AND (\(isLasting))"
        }
    }

    private mutating func narrow(to condition: ThreadFilter.ScoreCondition) {
        func exists(_ words: String) -> String {
            Self.exists("score s WHERE s.project = $1 AND s.thread = t.number AND s.thread IS NOT NULL\(words) AND \(standing)")
        }
        func driver(_ words: String) -> String { "SELECT thread FROM score WHERE project = $1 AND thread IS NOT NULL\(words)" }
        switch condition {
        case .any:
            add(exists(""))
            drive("SELECT DISTINCT thread FROM score WHERE project = $1 AND thread IS NOT NULL")
        case .none: add("NOT " + exists(""))
        case .named(let name):
            add(exists(" AND s.name = ?"), [name])
            drive(driver(" AND name = ?"), [name])
        case .value(let name, let comparison, let value):
            add(exists(" AND s.name = ? AND s.value \(comparison.rawValue) ?"), [name, value])
            drive(driver(" AND name = ? AND value \(comparison.rawValue) ?"), [name, value])
        case .category(let name, let category):
            add(exists(" AND s.name = ? AND s.category = ?"), [name, category])
            drive(driver(" AND name = ? AND category = ? AND category IS NOT NULL"), [name, category])
        }
    }

    // MARK: the plan

    /// The threads to be sorted; nil where they are walked to. And whether words are in more messages than were looked through.
    func candidates(_ db: Database) throws -> (numbers: [Int64]?, isPartial: Bool) {
        if let words = filter.words {
            let found = try SearchReader(db: db, project: project.number).threads(with: words)
            return (found.threads, found.isPartial)
        }
        guard !drivers.isEmpty else { return (nil, false) }
        var pipeline = Pipeline()
        let places = drivers.map { driver in
            let statement = Self.bounded(driver).statement(in: project.number)
            return pipeline.add(statement.sql, statement.arguments)
        }
        let answers = try db.run(pipeline)
        let found = places.map { answers[$0][0][0] as [Int64] }
        guard let fewest = found.min(by: { $0.count < $1.count }), fewest.count <= Self.maximumCandidates else { return (nil, false) }
        return (Array(Set(fewest)), false)
    }

    static func bounded(_ driver: Piece) -> Piece {
        Piece(sql: "SELECT ARRAY(\(driver.sql) LIMIT ?)", arguments: driver.arguments + [maximumCandidates + 1])
    }

    /// The statement that gives the rows of a page, as `ThreadFold.columns` has them.
    func page(of candidates: [Int64]?, after start: Start?, limit: Int) -> (sql: String, arguments: Arguments) {
        var piece = Piece(sql: "SELECT \(ThreadFold.columns) FROM (SELECT t.number AS place, t.last_at AS placed_at FROM ")
        if let candidates {
            piece += Piece(
                sql: """
                    unnest(?::bigint[]) AS candidate CROSS JOIN LATERAL (
                        SELECT * FROM thread WHERE project = $1 AND number = candidate LIMIT 1) t WHERE true
                    """, arguments: [candidates])
        } else {
            piece += Piece(sql: "thread t WHERE t.project = $1")
        }
        if let start { piece += Piece(sql: " AND (t.last_at, t.number) < (?, ?)", arguments: [start.lastAt, start.number]) }
        for condition in conditions {
            piece += Piece(sql: " AND ")
            piece += condition
        }
        piece += Piece(
            sql: """
                 ORDER BY t.last_at DESC, t.number DESC LIMIT ?) page
                CROSS JOIN LATERAL (SELECT * FROM thread WHERE project = $1 AND number = page.place LIMIT 1) t
                ORDER BY page.placed_at DESC, page.place DESC
                """, arguments: [limit])
        return piece.statement(in: project.number)
    }
}
