public import Conversations
public import Events
import GRDB

extension SQLiteStore {
    public func threads(
        in project: Project, matching filter: ThreadFilter, limit: Int, after cursor: String?, now: Timestamp
    ) async throws -> Page<ThreadSummary> {
        let start = try cursor.map { try ThreadQuery.Start($0) }
        return try await pool.read { db in
            var query = ThreadQuery(filter, project: project, now: now)
            guard let (sql, arguments) = try query.plan(db, after: start, limit: limit + 1) else {
                return Page(items: [], next: nil, isPartial: query.isPartial)
            }
            var places = try Row.fetchAll(db, sql: sql, arguments: arguments)
            var next: String?
            if places.count > limit {
                places.removeLast()
                next = places.last.map { "\($0[1] as Int64)~\($0[0] as Int64)" }
            }
            let numbers = places.map { $0[0] as Int64 }
            let rows = Dictionary(
                try Row.fetchAll(
                    db.cachedStatement(
                        sql: "SELECT \(ThreadFold.columns) FROM thread WHERE number IN (SELECT value FROM json_each(?))"),
                    arguments: [ThreadQuery.list(numbers)]
                ).map { ($0[ThreadFold.numberColumn] as Int64, $0) }, uniquingKeysWith: { first, _ in first })
            let reader = ConversationReader(db: db, project: project, now: now, viewer: filter.viewer)
            return Page(items: try reader.summaries(numbers.compactMap { rows[$0] }), next: next, isPartial: query.isPartial)
        }
    }
}

/// The list's SQL, put together from a filter; every value is an argument.
///
/// A filter that leaves few threads gives their numbers, which are then sorted; of several the sparsest does, and the others are asked
/// of each of them. One that leaves many is asked of each thread in the order of the list, in an index alone as far as that goes.
struct ThreadQuery {
    /// Numbers that are sorted rather than walked to: with more, a page is found sooner on the way.
    static let maximumCandidates = 10_000
    /// Messages in which words are looked up, the newest.
    static let maximumMatches = 2000

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

    struct Piece {
        var sql: String
        var arguments: StatementArguments
    }

    private let filter: ThreadFilter
    private let project: Project
    private let now: Timestamp
    /// What is asked of each thread `t`.
    private var conditions: [Piece] = []
    /// Statements that give the numbers of all threads that one of the conditions leaves.
    private(set) var drivers: [Piece] = []
    /// Whether words are in more messages than were looked through.
    private(set) var isPartial = false

    init(_ filter: ThreadFilter, project: Project, now: Timestamp) {
        (self.filter, self.project, self.now) = (filter, project, now)
        narrow()
    }

    static func list(_ numbers: [Int64]) -> String { "[" + numbers.map(String.init).joined(separator: ",") + "]" }

    private mutating func add(_ condition: String, _ arguments: StatementArguments = []) {
        conditions.append(Piece(sql: condition, arguments: arguments))
    }

    private mutating func drive(_ sql: String, _ arguments: StatementArguments) {
        drivers.append(Piece(sql: sql, arguments: arguments))
    }

    private mutating func narrow() {
        let number = project.number.number
        if let user = filter.user {
            let keys = Event.User.keys(of: user)
            add("t.person IN (?, ?)", StatementArguments(keys))
            drive(
                "SELECT number FROM thread INDEXED BY thread_person WHERE project = ? AND person IN (?, ?) AND person IS NOT NULL",
                [number] + StatementArguments(keys))
        }
        if let tag = filter.tag {
            add(
                "EXISTS (SELECT 1 FROM thread_tag g WHERE g.project = ? AND g.tag = ? AND g.thread = t.number AND g.off = 0)",
                [number, tag])
            drive("SELECT thread FROM thread_tag WHERE project = ? AND tag = ? AND off = 0", [number, tag])
        }
        if let role = filter.role { add("t.roles & ? <> 0", [ThreadFold.bit(of: role)]) }
        narrowByFeedback()
        if let from = filter.from { add("t.last_at >= ?", [from.microseconds]) }
        if let to = filter.to {
            add("t.first_at <= ?", [to.microseconds])
            drive("SELECT number FROM thread INDEXED BY thread_first WHERE project = ? AND first_at <= ?", [number, to.microseconds])
        }
        if let status = filter.status { narrow(to: status) }
        switch filter.provenance {
        case .verified?: add("t.provenances & ? <> 0", [ThreadFold.bit(of: .verified)])
        case .claimed?: add("t.provenances & ? <> 0", [ThreadFold.bit(of: .claimed)])
        case .anonymous?: add("t.provenances & ? <> 0", [ThreadFold.bit(of: .anonymous)])
        case .confirmed?: narrow(to: .confirmed)
        case .differs?: narrow(to: .differs)
        case nil: break
        }
        switch filter.hasError {
        case true?: narrow(to: .failed)
        case false?: add("NOT \(Self.fact)", [number, FactKind.failed.rawValue])
        case nil: break
        }
        switch filter.runs {
        case .orphan?: narrow(to: .orphan)
        case .pending?: narrow(to: .pending)
        case nil: break
        }
        narrowByMarks()
        if let score = filter.score { narrow(to: score) }
    }

    // MARK: one filter each

    private static let fact = "EXISTS (SELECT 1 FROM fact f WHERE f.project = ? AND f.kind = ? AND f.thread = t.number)"

    private mutating func narrow(to kind: FactKind) {
        let arguments: StatementArguments = [project.number.number, kind.rawValue]
        add(Self.fact, arguments)
        drive("SELECT DISTINCT thread FROM fact WHERE project = ? AND kind = ?", arguments)
    }

    private mutating func narrowByFeedback() {
        let number = project.number.number
        func condition(_ thumb: String) -> String {
            "EXISTS (SELECT 1 FROM vote v INDEXED BY vote_thread WHERE v.project = ? AND v.thread = t.number AND v.thread IS NOT NULL AND v.thumb \(thumb))"
        }
        func driver(_ thumb: String) -> String {
            "SELECT thread FROM vote INDEXED BY vote_thumb WHERE project = ? AND thumb \(thumb) AND thumb IS NOT NULL AND thread IS NOT NULL"
        }
        switch filter.feedback {
        case .up?:
            add(condition("= 1"), [number])
            drive(driver("= 1"), [number])
        case .down?:
            add(condition("= -1"), [number])
            drive(driver("= -1"), [number])
        case .any?:
            add(condition("IS NOT NULL"), [number])
            drive(driver("IN (1, -1)"), [number])
        case .none?: add("NOT " + condition("IS NOT NULL"), [number])
        case nil: break
        }
    }

    /// The words of `ThreadSummary.status` for indexes: closed and nothing since, opened by hand, or no activity for the time.
    private mutating func narrow(to status: Event.ThreadPatch.Status) {
        let number = project.number.number
        let deadline = now.advanced(bySeconds: -project.settings.inactiveAfterSeconds).microseconds
        let opened =
            "SELECT s.number FROM thread s INDEXED BY thread_status WHERE s.project = ? AND s.status = 'active' AND s.status_at > ?"
        let isActive = """
            ((t.last_at > ? OR t.number IN (\(opened)))
                AND NOT (coalesce(t.status = 'inactive', 0) AND coalesce(t.status_at >= t.last_at, 0)))
            """
        add(status == .active ? isActive : "NOT " + isActive, [deadline, number, deadline])
        guard status == .active else { return }
        drive(
            "SELECT number FROM thread INDEXED BY thread_activity WHERE project = ? AND last_at > ? UNION \(opened)",
            [number, deadline, number, deadline])
    }

    private mutating func narrowByMarks() {
        let number = project.number.number
        if let isReviewed = filter.isReviewed {
            let condition = "EXISTS (SELECT 1 FROM reviewed r WHERE r.project = ? AND r.thread = t.number AND r.at >= t.last_at)"
            add(isReviewed ? condition : "NOT " + condition, [number])
            if isReviewed { drive("SELECT thread FROM reviewed WHERE project = ?", [number]) }
        }
        if let isSeen = filter.isSeen, let viewer = filter.viewer {
            let condition =
                "EXISTS (SELECT 1 FROM seen s WHERE s.project = ? AND s.member = ? AND s.thread = t.number AND s.at >= t.last_at)"
            add(isSeen ? condition : "NOT " + condition, [number, viewer])
            if isSeen { drive("SELECT thread FROM seen WHERE project = ? AND member = ?", [number, viewer]) }
        }
    }

    /// P-SCORE-4: a score counts while it stands (`Score.standing`); those on messages stand until they are taken back.
    private var standing: String {
        let there = "(s.value IS NOT NULL OR s.category IS NOT NULL)"
        let isLasting = "s.target <> t.id OR s.at >= CASE WHEN t.status = 'active' THEN max(t.status_at, t.last_at) ELSE t.last_at END"
        switch project.settings.scoring {
        case .open: return there
        case .review: return "\(there) AND (s.judge = 'program' OR \(isLasting))"
        case .strict: return "\(there) AND (\(isLasting))"
        }
    }

    private mutating func narrow(to condition: ThreadFilter.ScoreCondition) {
        let number = project.number.number
        func exists(_ words: String) -> String {
            """
            EXISTS (SELECT 1 FROM score s INDEXED BY score_thread
                WHERE s.project = ? AND s.thread = t.number AND s.thread IS NOT NULL\(words) AND \(standing))
            """
        }
        func driver(_ index: String, _ words: String) -> String {
            "SELECT thread FROM score INDEXED BY \(index) WHERE project = ? AND thread IS NOT NULL\(words)"
        }
        switch condition {
        case .any:
            add(exists(""), [number])
            drive("SELECT DISTINCT thread FROM score INDEXED BY score_thread WHERE project = ? AND thread IS NOT NULL", [number])
        case .none: add("NOT " + exists(""), [number])
        case .named(let name):
            add(exists(" AND s.name = ?"), [number, name])
            drive(driver("score_name", " AND name = ?"), [number, name])
        case .value(let name, let comparison, let value):
            add(exists(" AND s.name = ? AND s.value \(comparison.rawValue) ?"), [number, name, value])
            drive(driver("score_name", " AND name = ? AND value \(comparison.rawValue) ?"), [number, name, value])
        case .category(let name, let category):
            add(exists(" AND s.name = ? AND s.category = ?"), [number, name, category])
            drive(driver("score_category", " AND name = ? AND category = ? AND category IS NOT NULL"), [number, name, category])
        }
    }

    // MARK: the plan

    /// The statement that gives numbers and times of a page; nil where the filter leaves nothing.
    mutating func plan(_ db: Database, after start: Start?, limit: Int) throws -> (sql: String, arguments: StatementArguments)? {
        if let words = filter.words {
            let found = try Self.threads(with: words, in: project.number, db)
            isPartial = found.isPartial
            return found.threads.isEmpty
                ? nil
                : statement(
                    from: Piece(sql: "SELECT value FROM json_each(?)", arguments: [Self.list(found.threads)]), after: start, limit: limit)
        }
        var best: (count: Int, driver: Piece)?
        for driver in drivers {
            let bound = min(best?.count ?? .max, Self.maximumCandidates + 1)
            let count = try Int.fetchOne(
                db.cachedStatement(sql: "SELECT count(*) FROM (\(driver.sql) LIMIT ?)"), arguments: driver.arguments + [bound])!
            if count == 0 { return nil }
            if count < bound { best = (count, driver) }
        }
        return statement(from: best?.driver, after: start, limit: limit)
    }

    func statement(from driver: Piece?, after start: Start?, limit: Int) -> (sql: String, arguments: StatementArguments) {
        // Left to itself SQLite may walk all threads in order rather than sort a few.
        var sql =
            "SELECT t.number, t.last_at FROM thread t \(driver == nil ? "INDEXED BY thread_activity" : "NOT INDEXED") WHERE t.project = ?"
        var arguments: StatementArguments = [project.number.number]
        if let driver {
            sql += " AND t.number IN (\(driver.sql))"
            arguments += driver.arguments
        }
        if let start {
            sql += " AND t.last_at <= ? AND (t.last_at < ? OR t.number < ?)"
            arguments += [start.lastAt, start.lastAt, start.number]
        }
        for condition in conditions {
            sql += " AND " + condition.sql
            arguments += condition.arguments
        }
        return (sql + " ORDER BY t.last_at DESC, t.number DESC LIMIT ?", arguments + [limit])
    }

    private static let threadOfMatch =
        "coalesce(e.thread, (SELECT r.thread FROM run r WHERE r.project = e.project AND r.id = e.id AND e.space = 1))"
    private static let newestMatches = """
        FROM (SELECT rowid AS hit FROM search WHERE search MATCH ? ORDER BY rowid DESC LIMIT \(maximumMatches + 1)) m
        CROSS JOIN event e ON e.sequence = m.hit WHERE e.project = ?
        """
    static let matches = "SELECT DISTINCT \(threadOfMatch), count(*) OVER () \(newestMatches)"
    /// With the texts, for words that must stand in a row.
    static let matchesWithTexts = "SELECT \(SearchText.columns), \(threadOfMatch) \(newestMatches)"

    /// The threads of the newest messages with these words.
    private static func threads(with words: String, in project: ProjectID, _ db: Database) throws -> (threads: [Int64], isPartial: Bool) {
        let sought = SoughtWords(words)
        func find(asBeginning: Bool) throws -> (threads: [Int64], isPartial: Bool) {
            let arguments: StatementArguments = [sought.query(in: project, asBeginning: asBeginning), project.number]
            guard !sought.phrases.isEmpty else {
                let rows = try Row.fetchAll(db.cachedStatement(sql: matches), arguments: arguments)
                return (rows.compactMap { $0[0] as Int64? }, (rows.first?[1] as Int? ?? 0) > maximumMatches)
            }
            var found: Set<Int64> = []
            var count = 0
            let rows = try Row.fetchCursor(db.cachedStatement(sql: matchesWithTexts), arguments: arguments)
            while let row = try rows.next() {
                count += 1
                if sought.phrasesOccur(in: SearchText.words(of: row)), let thread = row[row.count - 1] as Int64? { found.insert(thread) }
            }
            return (Array(found), count > maximumMatches)
        }
        do {
            // Where the words as they stand are in more messages than are looked at, what they begin is not asked for.
            let found = try find(asBeginning: false)
            return found.isPartial || !sought.isBeginning ? found : try find(asBeginning: true)
        } catch let error as DatabaseError where error.message?.contains("phrase queries are not supported") == true {
            // A letter that SQLite's tables of Unicode don't have yet: it is in no word of the index either.
            return ([], false)
        }
    }
}

extension ConversationReader {
    /// Characters of a message that a list shows.
    static let excerptLength = 300

    func summary(of thread: String) throws -> (fold: ThreadFold, summary: ThreadSummary)? {
        let row = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT \(ThreadFold.columns) FROM thread WHERE project = ? AND id = ?"),
            arguments: [project.number.number, Aliases(db: db, project: project.number).id(of: thread)])
        guard let row else { return nil }
        return try summaries([row], withTurns: false).first.map { (ThreadFold(row), $0) }
    }

    /// - Parameter withTurns: whether what turns say is counted and shown too, for which their threads are read whole.
    func summaries(_ rows: [Row], withTurns: Bool = true) throws -> [ThreadSummary] {
        let ids = rows.flatMap { row in
            let fold = ThreadFold(row)
            return [fold.firstMessage?.id, fold.lastMessage?.id].compactMap(\.self)
        }
        let excerpts = try excerpts(of: ids)
        let scores = try scores(on: rows.map { $0[ThreadFold.idColumn] })
        let comments = try comments(on: rows.map { $0[ThreadFold.idColumn] })
        let marks = try marks(on: rows.map { $0[ThreadFold.numberColumn] })
        return try rows.map { row in
            let number: Int64 = row[ThreadFold.numberColumn]
            let fold = ThreadFold(row)
            let votes = try Row.fetchOne(
                db.cachedStatement(
                    sql: """
                        SELECT count(*) FILTER (WHERE thumb = 1), count(*) FILTER (WHERE thumb = -1) FROM vote WHERE project = ? AND thread = ?
                        """), arguments: [project.number.number, number])!
            let tags = try String.fetchAll(
                db.cachedStatement(sql: Self.tagsOfThread),
                arguments: [project.number.number, number])
            let lastAt = Timestamp(microseconds: row[ThreadFold.lastAtColumn])
            let id: String = row[ThreadFold.idColumn]
            var summary = ThreadSummary(
                id: id, number: number,
                status: ThreadSummary.status(
                    set: fold.status.map { ($0.value, $0.place.at) }, lastAt: lastAt, now: now,
                    inactiveAfterSeconds: project.settings.inactiveAfterSeconds),
                user: try fold.user.map { Event.User(key: $0.value, props: try props(of: $0.value)) }, tags: tags,
                metadata: fold.metadata?.value, messageCount: fold.messageCount, firstAt: Timestamp(microseconds: row[2]),
                lastAt: lastAt, first: fold.firstMessage.flatMap { excerpts[$0.id] }, last: fold.lastMessage.flatMap { excerpts[$0.id] },
                up: votes[0], down: votes[1],
                scores: Score.standing(scores[id] ?? [], activeAt: ThreadFold.activeAt(row), under: project.settings.scoring),
                comments: comments[id] ?? [])
            (summary.errors, summary.findings) = (marks.errors[number] ?? 0, marks.findings[number] ?? 0)
            summary.reviewed = marks.reviewed[number].flatMap { $0.at >= lastAt ? $0 : nil }
            if viewer != nil { summary.isSeen = marks.seen[number].map { $0 >= lastAt } ?? false }
            if summary.status == .active {
                let since = fold.status.map { $0.place.at >= lastAt ? $0.place.at : lastAt } ?? lastAt
                summary.closesAt = since.advanced(bySeconds: project.settings.inactiveAfterSeconds)
            }
            guard withTurns, fold.hasTurns else { return summary }
            guard let view = (row[ThreadFold.viewColumn] as String?).flatMap({ TurnView(stored: $0) }) else {
                var whole = try wholeConversation(summary).thread
                whole.removedScores = []
                return whole
            }
            (summary.messageCount, summary.first, summary.last) = (view.messages, view.first, view.last)
            return summary
        }
    }

    private struct Marks {
        var errors: [Int64: Int] = [:]
        var findings: [Int64: Int] = [:]
        var reviewed: [Int64: ThreadSummary.Reviewed] = [:]
        var seen: [Int64: Timestamp] = [:]
    }

    private func marks(on threads: [Int64]) throws -> Marks {
        var marks = Marks()
        let list = ThreadQuery.list(threads)
        let facts = try Row.fetchAll(
            db.cachedStatement(
                sql: """
                    SELECT kind, thread, count(*) FROM fact WHERE project = ? AND kind IN (?, ?)
                        AND thread IN (SELECT value FROM json_each(?)) GROUP BY kind, thread
                    """), arguments: [project.number.number, FactKind.failed.rawValue, FactKind.differs.rawValue, list])
        for row in facts {
            if row[0] as Int == FactKind.failed.rawValue { marks.errors[row[1]] = row[2] } else { marks.findings[row[1]] = row[2] }
        }
        let reviewed = try Row.fetchAll(
            db.cachedStatement(sql: "SELECT thread, by, at FROM reviewed WHERE project = ? AND thread IN (SELECT value FROM json_each(?))"),
            arguments: [project.number.number, list])
        for row in reviewed { marks.reviewed[row[0]] = .init(by: row[1], at: Timestamp(microseconds: row[2])) }
        if let viewer {
            let seen = try Row.fetchAll(
                db.cachedStatement(
                    sql: "SELECT thread, at FROM seen WHERE project = ? AND member = ? AND thread IN (SELECT value FROM json_each(?))"),
                arguments: [project.number.number, viewer, list])
            for row in seen { marks.seen[row[0]] = Timestamp(microseconds: row[1]) }
        }
        return marks
    }

    /// The scores that the policy took off, with what took them off: the first item after them.
    func withRemovedScores(_ summary: ThreadSummary) throws -> ThreadSummary {
        guard
            let row = try Row.fetchOne(
                db.cachedStatement(sql: "SELECT \(ThreadFold.columns) FROM thread WHERE number = ?"), arguments: [summary.number])
        else { return summary }
        let scores = try scores(on: [summary.id])[summary.id] ?? []
        let activeAt = ThreadFold.activeAt(row)
        var summary = summary
        summary.removedScores = try Score.removed(scores, activeAt: activeAt, under: project.settings.scoring).map { score in
            let next = try Int64.fetchOne(
                db.cachedStatement(sql: Self.nextItem), arguments: [project.number.number, summary.number, score.at.microseconds])
            return .init(score: score, removedAt: next.map { min(Timestamp(microseconds: $0), activeAt) } ?? activeAt)
        }
        return summary
    }

    // Without statistics SQLite takes the primary key for its order: all tags of the project.
    static let tagsOfThread =
        "SELECT tag FROM thread_tag INDEXED BY thread_tag_thread WHERE project = ? AND thread = ? AND off = 0 ORDER BY tag"

    static let nextItem = """
        SELECT at FROM event INDEXED BY event_item WHERE project = ? AND thread = ? AND thread IS NOT NULL
            AND \(EventRows.isItem())
            AND type NOT IN ('comment', 'trace', 'queue') AND at > ? ORDER BY at LIMIT 1
        """

    /// - Parameter user: `Event.User.key`.
    private func props(of user: String) throws -> JSONText? {
        let stored = try String.fetchOne(
            db.cachedStatement(sql: "SELECT props FROM person WHERE project = ? AND id = ?"), arguments: [project.number.number, user])
        return stored.flatMap { PropsFold(stored: Array($0.utf8)).props }
    }

    private func excerpts(of ids: [String]) throws -> [String: ThreadSummary.Excerpt] {
        let rows = try Row.fetchAll(
            db.cachedStatement(
                sql: """
                    SELECT id, role, at, substr(content, 1, \(Self.excerptLength)), CASE WHEN content IS NULL THEN payload END FROM event
                    WHERE project = ? AND space = 0 AND part = x'' AND id IN (SELECT value FROM json_each(?))
                    """), arguments: [project.number.number, EventRows.list(ids)])
        var excerpts: [String: ThreadSummary.Excerpt] = [:]
        for row in rows {
            let text = (row[3] as String?) ?? (row[4] as String?).map { SearchText.words(ofPayload: $0) } ?? ""
            excerpts[row[0]] = ThreadSummary.Excerpt(
                id: row[0], role: Event.Role.allCases[row[1]], text: String(text.prefix(Self.excerptLength)),
                at: Timestamp(microseconds: row[2]))
        }
        return excerpts
    }
}
