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
            guard let (fold, found) = try reader.summary(of: thread) else { return nil }
            let (number, summary) = (found.number, found)
            if fold.hasTurns { return try reader.wholeConversation(summary).page(limit: limit, after: after) }
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
            if let row {
                let item = try EventRows.item(row)
                return try reader.itemOfTurns(item) ?? reader.dressed([item]).first
            }
            return try reader.derivedMessage(id)
        }
    }

    public func run(_ id: String, in project: ProjectID) async throws -> (node: RunNode, message: String?)? {
        try await pool.read { db in
            let reader = ConversationReader(db: db, project: Project(number: project, id: "", name: ""), now: Timestamp(microseconds: 0))
            let nodes = try reader.nodes(runs: reader.descendants(of: [], and: [id]))
            guard var own = nodes.first(where: { $0.run.id == id }) else { return nil }
            let message = try reader.rootMessage(of: id)
            if message == id { own = own.underItsMessage }
            // A run that names no thread is in its message's.
            if own.run.thread == nil, let message { own.run.thread = try reader.thread(ofMessage: message) }
            return (RunForest(nodes).tree(of: own), message)
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

    public func runs(in project: ProjectID, matching filter: RunFilter, limit: Int) async throws -> [RunNode] {
        try await pool.read { db in
            let reader = ConversationReader(db: db, project: Project(number: project, id: "", name: ""), now: Timestamp(microseconds: 0))
            return try reader.runs(matching: filter, limit: limit)
        }
    }

    public func projectOfRun(_ id: String) async throws -> [ProjectID] {
        try await pool.read { db in
            // Runs are few a project, and the question is asked by people and by end-to-end checks, not by streams.
            try Int64.fetchAll(db, sql: "SELECT p.number FROM project p JOIN run r ON r.project = p.number AND r.id = ?", arguments: [id])
                .map { ProjectID($0) }
        }
    }

    public func thread(number: Int64) async throws -> (project: ProjectID, id: String)? {
        try await pool.read { db in
            try Row.fetchOne(db, sql: "SELECT project, id FROM thread WHERE number = ?", arguments: [number])
                .map { (ProjectID($0[0]), $0[1]) }
        }
    }

    public func feedback(on target: String, in project: ProjectID) async throws -> FeedbackSummary? {
        try await pool.read { db in
            let reader = ConversationReader(db: db, project: Project(number: project, id: "", name: ""), now: Timestamp(microseconds: 0))
            let id = try Aliases(db: db, project: project).id(of: target)
            if let votes = try reader.votes(on: [id])[id] { return FeedbackSummary(votes: votes) }
            let isThere = try Int.fetchOne(
                db, sql: "SELECT 1 FROM event WHERE project = ? AND id = ? AND space IN (0, 1)", arguments: [project.number, id])
            return isThere == nil ? nil : FeedbackSummary()
        }
    }

    public func events(ofType type: String, in project: ProjectID) async throws -> [StoredEvent] {
        try await pool.read { db in
            // Spelled out where there is an index for it.
            let condition = type == "queue" ? "e.type = 'queue'" : "e.type = ?"
            let rows = try Row.fetchAll(
                db,
                sql: "SELECT \(EventRows.columns) \(EventRows.joins) WHERE e.project = ? AND \(condition) ORDER BY e.sequence LIMIT 10000",
                arguments: type == "queue" ? [project.number] : [project.number, type])
            return try rows.map { row in
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
            try Int.fetchOne(
                db, sql: "SELECT count(*) FROM run WHERE project = ? AND link = 1 AND fallback IS NULL", arguments: [project.number]) ?? 0
        }
    }
}

/// Reads a thread and what hangs on it within one snapshot.
struct ConversationReader {
    /// Runs read for one page; a page with more shows the first ones.
    static let maximumRuns = 5000

    let db: Database
    let project: Project
    let now: Timestamp
    /// The member whose marks are read.
    var viewer: String?

    func items(of thread: Int64, limit: Int, after: ItemCursor?) throws -> [EventRows.Item] {
        let statement = try db.cachedStatement(
            sql: """
                SELECT \(EventRows.columns) \(EventRows.joins)
                WHERE e.project = ? AND e.thread = ? AND \(EventRows.isItem("e."))
                    AND e.type NOT IN ('comment', 'trace', 'queue') AND (e.at > ? OR (e.at = ? AND e.id > ?))
                ORDER BY e.at, e.id LIMIT ?
                """)
        let at = after?.at.microseconds ?? -1
        return try Row.fetchAll(statement, arguments: [project.number.number, thread, at, at, after?.id ?? "", limit]).map(EventRows.item)
    }

    func conversation(
        _ summary: ThreadSummary, number: Int64, items: [EventRows.Item], isFirstPage: Bool, next: String?
    ) throws -> Conversation {
        Conversation(
            thread: try withRemovedScores(summary), items: try dressed(items), looseRuns: isFirstPage ? try looseRuns(of: number) : [],
            next: next)
    }

    private func looseRuns(of thread: Int64) throws -> [RunNode] {
        let own = try String.fetchAll(
            db.cachedStatement(sql: "SELECT id FROM run WHERE project = ? AND thread = ? LIMIT ?"),
            arguments: [project.number.number, thread, Self.maximumRuns])
        let nodes = try nodes(runs: descendants(of: [], and: own))
        let messages = try String.fetchSet(
            db.cachedStatement(
                sql: "SELECT id FROM event WHERE project = ? AND space = 0 AND part = x'' AND id IN (SELECT value FROM json_each(?))"),
            arguments: [project.number.number, EventRows.list(nodes.map(\.run.id))])
        return RunForest(nodes).loose(besides: messages)
    }

    // MARK: turns

    /// Items read for a thread whose turns have to be put among them; one with more shows the first ones.
    static let maximumWholeItems = 5000

    /// A thread whole, with what its turns say where no message does.
    func wholeConversation(_ summary: ThreadSummary) throws -> Conversation {
        let items = try dressed(try items(of: summary.number, limit: Self.maximumWholeItems, after: nil))
        let loose = try looseRuns(of: summary.number)
        var folded = TurnFold.fold(items, loose: loose)
        let derived = folded.items.filter { $0.derivedFrom != nil }.map(\.event.id)
        let (votes, scores, comments) = (try votes(on: derived), try scores(on: derived), try comments(on: derived))
        for index in folded.items.indices where folded.items[index].derivedFrom != nil {
            let id = folded.items[index].event.id
            folded.items[index].feedback = FeedbackSummary(votes: votes[id] ?? [])
            folded.items[index].scores = scores[id] ?? []
            folded.items[index].comments = comments[id] ?? []
        }
        try Confirmation.settle(&folded.items, isOthers: isOthers(_:question:besides:))
        var thread = try withRemovedScores(summary)
        let messages = folded.items.filter { $0.event.idSpace == .message }
        thread.messageCount = messages.count
        thread.first = messages.first.map(excerpt)
        thread.last = messages.last.map(excerpt)
        return Conversation(thread: thread, items: folded.items, looseRuns: folded.loose, next: nil)
    }

    private func excerpt(_ item: ConversationItem) -> ThreadSummary.Excerpt {
        guard case .message(let message) = item.event.body else { preconditionFailure("an excerpt is a message's") }
        return ThreadSummary.Excerpt(
            id: item.event.id, role: message.role, text: String(message.plainText.prefix(Self.excerptLength)), at: item.at)
    }

    /// A message that a turn makes.
    func derivedMessage(_ id: String) throws -> ConversationItem? {
        let run = TurnFold.run(ofAnswer: id)
        let name = try String.fetchOne(
            db,
            sql: "SELECT t.id FROM run r JOIN thread t ON t.number = r.thread WHERE r.project = ? AND r.id = ?",
            arguments: [project.number.number, run])
        guard let name, let (_, summary) = try summary(of: name) else { return nil }
        return try wholeConversation(summary).items.first { $0.event.id == id && $0.derivedFrom != nil }
    }

    /// Items with their feedback, scores and runs; a stretch of a thread in order.
    func dressed(_ items: [EventRows.Item]) throws -> [ConversationItem] {
        let messages = items.filter { $0.event.idSpace == .message }.map(\.event.id)
        // What the first of them answers may be on the page before, and what one replies to anywhere.
        let before = try items.first(where: \.isSaid).flatMap { try $0.isAnswer ? question(before: $0) : nil }
        let named = items.compactMap { $0.isAnswer ? $0.replyTo : nil }
        let roots = Set(messages + named + [before].compactMap(\.self))
        let forest = RunForest(try nodes(runs: descendants(of: Array(roots), and: Array(roots))))
        let votes = try votes(on: messages)
        let scores = try scores(on: messages)
        let comments = try comments(on: messages)
        var dressed = items.map { item in
            guard item.event.idSpace == .message else {
                return ConversationItem(event: item.event, at: item.at, receivedAt: item.receivedAt, provenance: item.provenance)
            }
            let id = item.event.id
            return ConversationItem(
                event: item.event, at: item.at, receivedAt: item.receivedAt, provenance: item.provenance,
                feedback: FeedbackSummary(votes: votes[id] ?? []), scores: scores[id] ?? [], comments: comments[id] ?? [],
                runs: forest.runs(under: id))
        }
        let questions = Dictionary(named.map { ($0, forest.runs(under: $0)) }, uniquingKeysWith: { first, _ in first })
        try Confirmation.settle(
            &dressed, after: before.map { forest.runs(under: $0) } ?? [], of: questions, isOthers: isOthers(_:question:besides:))
        return dressed
    }

    /// The same of answers that stand anywhere.
    func confirmations(of answers: [EventRows.Item]) throws -> [String: Confirmation] {
        var questions: [String: String] = [:]
        for answer in answers { questions[answer.event.id] = try answer.replyTo ?? question(before: answer) }
        let roots = Array(Set(answers.map(\.event.id)).union(questions.values))
        let runs = try descendants(of: roots, and: roots)
        guard !runs.isEmpty else { return [:] }
        let forest = RunForest(try nodes(runs: runs))
        var found: [String: Confirmation] = [:]
        for answer in answers {
            guard case .message(let message) = answer.event.body else { continue }
            let id = answer.event.id
            found[id] = try Confirmation.compare(
                message, own: forest.runs(under: id), ofQuestion: questions[id].map { forest.runs(under: $0) } ?? []
            ) { words in try message.replyTo.map { try isOthers(words, question: $0, besides: id) } ?? false }
        }
        return found
    }

    /// Whether another answer to a question has these words; of very many tries the first hundred are looked at.
    private func isOthers(_ words: String, question: String, besides id: String) throws -> Bool {
        try String.fetchAll(
            db.cachedStatement(
                sql: """
                    SELECT e.content FROM reply r CROSS JOIN event e
                    WHERE r.project = ?1 AND r.question = ?2 AND r.message <> ?3 AND e.project = ?1 AND e.id = r.message AND e.space = 0
                        AND e.part = x'' AND e.content IS NOT NULL LIMIT 100
                    """), arguments: [project.number.number, question, id]
        ).contains { Confirmation.areSame($0, words) }
    }

    /// What a user or assistant said before.
    static let predecessor = """
        SELECT id, role FROM event INDEXED BY event_item WHERE project = ?1 AND thread = ?2 AND thread IS NOT NULL AND type = 'message'
            AND \(EventRows.isItem()) AND role IN (0, 1)
            AND at <= ?3 AND (at < ?3 OR id < ?4) ORDER BY at DESC, id DESC LIMIT 1
        """

    /// The user's message before an answer, where no other answer stands between.
    private func question(before answer: EventRows.Item) throws -> String? {
        guard let thread = answer.thread else { return nil }
        let row = try Row.fetchOne(
            db.cachedStatement(sql: Self.predecessor),
            arguments: [project.number.number, thread, answer.at.microseconds, answer.event.id])
        return row.flatMap { ($0[1] as Int) == 0 ? $0[0] : nil }
    }

    /// A message as its thread's turns let it read; nil where its thread has none.
    func itemOfTurns(_ item: EventRows.Item) throws -> ConversationItem? {
        guard item.isAnswer, let thread = item.event.thread, let (fold, summary) = try summary(of: thread), fold.hasTurns else {
            return nil
        }
        return try wholeConversation(summary).items.first { $0.event.id == item.event.id }
    }

    // MARK: runs

    /// The runs that name one of `parents`, those of `ids` themselves, and all below them.
    func descendants(of parents: [String], and ids: [String]) throws -> [String] {
        try String.fetchAll(
            db.cachedStatement(sql: Self.tree),
            arguments: [
                "project": project.number.number, "parents": EventRows.list(parents), "ids": EventRows.list(ids),
                "limit": Self.maximumRuns,
            ])
    }

    static let tree = """
        WITH RECURSIVE tree(id) AS (
            SELECT id FROM run WHERE project = :project AND parent IN (SELECT value FROM json_each(:parents))
            UNION SELECT id FROM run WHERE project = :project AND fallback IN (SELECT value FROM json_each(:parents))
            UNION SELECT id FROM run WHERE project = :project AND id IN (SELECT value FROM json_each(:ids))
            UNION SELECT run.id FROM tree JOIN run ON run.project = :project AND run.parent = tree.id)
        SELECT id FROM tree LIMIT :limit
        """

    func nodes(runs ids: [String]) throws -> [RunNode] {
        guard !ids.isEmpty else { return [] }
        let links = try Row.fetchAll(
            db.cachedStatement(
                sql: "SELECT id, link, parent, fallback FROM run WHERE project = ? AND id IN (SELECT value FROM json_each(?))"),
            arguments: [project.number.number, EventRows.list(ids)])
        let votes = try votes(on: ids)
        let scores = try scores(on: ids)
        let comments = try comments(on: ids)
        let parts = Dictionary(grouping: try EventRows.fetch(db, project: project.number, runs: ids), by: \.event.id)
        return links.compactMap { row in
            let id: String = row[0]
            guard var run = Run(folding: (parts[id] ?? []).map { .init(event: $0.event, at: $0.at, digest: $0.digest) }) else { return nil }
            var link = ParentLink(rawValue: row[1]) ?? .none
            var via: RunNode.Via? = link == .bound ? .parent : nil
            // What it names may be another name of something, and stands in its row as that.
            run.parent = row[2]
            if link != .bound, link != .refused, let fallback: String = row[3] { (run.parent, link, via) = (fallback, .bound, .trace) }
            return RunNode(
                run: run, link: link, via: via, feedback: FeedbackSummary(votes: votes[id] ?? []), scores: scores[id] ?? [],
                comments: comments[id] ?? [])
        }
    }

    func thread(ofMessage id: String) throws -> String? {
        try String.fetchOne(
            db.cachedStatement(
                sql: """
                    SELECT t.id FROM event e JOIN thread t ON t.number = e.thread
                    WHERE e.project = ? AND e.id = ? AND e.space = 0 AND e.part = x''
                    """), arguments: [project.number.number, id])
    }

    /// The message a run hangs under, over however many runs between.
    func rootMessage(of id: String) throws -> String? {
        var current: String? = id
        for _ in 0..<ParentLinks.maximumDepth {
            guard let id = current else { return nil }
            let row = try Row.fetchOne(
                db.cachedStatement(
                    sql: """
                        SELECT CASE WHEN link = 2 THEN parent ELSE coalesce(fallback, parent) END,
                            CASE WHEN fallback IS NULL THEN link ELSE 2 END FROM run WHERE project = ? AND id = ?
                        """),
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

    func votes(on targets: [String]) throws -> [String: [Vote]] {
        let rows = try Row.fetchAll(
            db.cachedStatement(
                sql: """
                    SELECT \(Vote.columns) FROM vote WHERE project = ? AND target IN (SELECT value FROM json_each(?))
                    """), arguments: [project.number.number, EventRows.list(targets)])
        return Dictionary(grouping: rows.map { Vote($0) }, by: \.target)
    }

    func scores(on targets: [String]) throws -> [String: [Score]] {
        let rows = try Row.fetchAll(
            db.cachedStatement(
                sql: """
                    SELECT target, name, value, category, reason, author, at, event, judge FROM score
                    WHERE project = ? AND NOT (value IS NULL AND category IS NULL) AND target IN (SELECT value FROM json_each(?)) ORDER BY name, author
                    """), arguments: [project.number.number, EventRows.list(targets)])
        return Dictionary(
            grouping: rows.map { row in
                Score(
                    target: row[0], name: row[1], value: row[2], category: row[3], reason: row[4], author: row[5],
                    judge: Event.Score.Judge(rawValue: row[8]) ?? .program, at: Timestamp(microseconds: row[6]), event: row[7])
            }, by: \.target)
    }

    /// - Parameter withReplies: remarks on remarks are read one level deep.
    func comments(on targets: [String], withReplies: Bool = true) throws -> [String: [Comment]] {
        let rows = try Row.fetchAll(
            db.cachedStatement(
                sql: Self.commentsOnTargets), arguments: [project.number.number, EventRows.list(targets)])
        var comments = rows.map { row in
            Comment(
                id: row[0], target: row[1], text: row[2], author: row[3], at: Timestamp(microseconds: row[4]),
                changedAt: Timestamp(microseconds: row[5]))
        }
        if withReplies, !comments.isEmpty {
            let replies = try self.comments(on: comments.map(\.id), withReplies: false)
            for index in comments.indices { comments[index].replies = replies[comments[index].id] ?? [] }
        }
        return Dictionary(grouping: comments, by: \.target)
    }

    static let commentsOnTargets = """
        SELECT id, target, text, author, at, changed_at FROM comment INDEXED BY comment_target
        WHERE project = ? AND text IS NOT NULL AND target IN (SELECT value FROM json_each(?)) ORDER BY at, id
        """

    // MARK: runs by themselves

    /// Runs without those below them, the greatest ID first.
    func runs(matching filter: RunFilter, limit: Int) throws -> [RunNode] {
        var below = filter.before
        var found: [RunNode] = []
        let under = try filter.under.map { try descendants(of: [], and: [$0]).filter { $0 != filter.under }.sorted(by: >) }
        while found.count < limit {
            let ids: [String]
            if let under {
                ids = found.isEmpty && below == filter.before ? under : []
            } else {
                ids = try String.fetchAll(
                    db.cachedStatement(
                        sql: """
                            SELECT r.id FROM run r LEFT JOIN thread t ON t.number = r.thread WHERE r.project = ? AND (? IS NULL OR r.id < ?)
                                AND (? IS NULL OR t.id = ?) ORDER BY r.id DESC LIMIT 500
                            """), arguments: [project.number.number, below, below, filter.thread, filter.thread])
            }
            guard let last = ids.last else { break }
            below = last
            let nodes = try nodes(runs: ids).sorted { $0.run.id > $1.run.id }
            found += nodes.filter { node in
                if let before = filter.before, node.run.id >= before { return false }
                guard let wanted = filter.extra else { return true }
                return node.run.extra.map { text in
                    (try? JSONDocument.read(text.bytes, isOurs: true) { $0.member(wanted.name)?.string == wanted.value }) ?? false
                } ?? false
            }
        }
        return Array(found.prefix(limit))
    }
}

extension EventRows.Item {
    /// Whether a user or an assistant said it.
    fileprivate var isSaid: Bool {
        guard case .message(let message) = event.body else { return false }
        return message.role == .user || message.role == .assistant
    }

    fileprivate var isAnswer: Bool {
        guard case .message(let message) = event.body else { return false }
        return message.role == .assistant
    }

    fileprivate var replyTo: String? {
        guard case .message(let message) = event.body else { return nil }
        return message.replyTo
    }
}
