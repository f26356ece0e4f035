import Conversations
import Events

/// Reads a thread and what hangs on it within one snapshot.
struct ConversationReader {
    /// Runs read for one page; a page with more shows the first ones.
    static let maximumRuns = 5000
    /// Items read for a thread whose turns have to be put among them; one with more shows the first ones.
    static let maximumWholeItems = 5000

    let db: Database
    let project: Project
    let now: Timestamp
    /// The member whose marks are read.
    var viewer: String?

    init(db: Database, project: Project, now: Timestamp, viewer: String? = nil) {
        (self.db, self.project, self.now, self.viewer) = (db, project, now, viewer)
    }

    /// For what depends on neither the project's settings nor the time.
    init(db: Database, project: ProjectID) {
        self.init(db: db, project: Project(number: project, id: "", name: ""), now: Timestamp(microseconds: 0))
    }

    var number: Int64 { project.number.number }

    // MARK: a page

    func conversation(_ thread: String, limit: Int, after: ItemCursor?) throws -> Conversation? {
        guard let row = try row(of: thread) else { return nil }
        if ThreadFold(row).hasTurns {
            guard let summary = try summaries([row], withTurns: false).first else { return nil }
            return try wholeConversation(summary).page(limit: limit, after: after)
        }
        let place: Int64 = row[ThreadFold.numberColumn]
        var (found, rows, runs) = try db.ask { pipeline in
            let summary = try summaryParts(of: [row], &pipeline)
            let items = self.items(of: place, limit: limit + 1, after: after, &pipeline)
            let runs = after == nil ? looseTree(of: place, &pipeline) : Pipeline.Question { _ in [] }
            return Pipeline.Question { (try summary.read($0), try items.read($0), try runs.read($0)) }
        }
        guard let summary = try summaries([row], found, withTurns: false).first else { return nil }
        var next: String?
        if rows.count > limit {
            rows.removeLast()
            next = rows.last.map { ItemCursor(at: $0.at, id: $0.event.id).text }
        }
        let thread = try withRemovedScores(summary, of: row, scores: found.scores[summary.id] ?? [])
        return Conversation(thread: thread, items: try dressed(rows), looseRuns: try loose(runs), next: next)
    }

    func items(of thread: Int64, limit: Int, after: ItemCursor?, _ pipeline: inout Pipeline) -> Pipeline.Question<[EventRows.Item]> {
        pipeline.ask(Self.items, [number, thread, after?.at.microseconds ?? -1, after?.id ?? "", limit]) { try $0.map(EventRows.item) }
    }

    static let items = """
        SELECT \(EventRows.columns) \(EventRows.joins(
            from: """
            (SELECT * FROM event e WHERE e.project = $1 AND e.thread = $2 AND e.thread IS NOT NULL AND \(EventRows.isItem("e."))
                AND e.type NOT IN ('comment', 'trace', 'queue') AND e.at >= $3 AND (e.at > $3 OR e.id > $4)
                ORDER BY e.at, e.id, e.sequence LIMIT $5) e
            """))
        ORDER BY e.at, e.id, e.sequence
        """

    // MARK: runs under no message

    /// The runs of a thread and all below them.
    private func looseTree(of thread: Int64, _ pipeline: inout Pipeline) -> Pipeline.Question<[String]> {
        pipeline.ask(Self.treeOfThread, [number, thread, Self.maximumRuns]) { $0.map { $0[0] } }
    }

    private func loose(_ runs: [String]) throws -> [RunNode] {
        guard !runs.isEmpty else { return [] }
        let (nodes, messages) = try db.ask { pipeline in
            let nodes = self.nodes(runs: runs, &pipeline)
            let messages = pipeline.ask(Self.messagesAmong, [number, runs]) { Set($0.map { $0[0] as String }) }
            return Pipeline.Question { (try nodes.read($0), try messages.read($0)) }
        }
        return RunForest(nodes).loose(besides: messages)
    }

    static let messagesAmong = "SELECT id FROM event WHERE project = $1 AND space = 0 AND part = '' AND id = ANY($2)"

    // MARK: turns

    /// A thread whole, with what its turns say where no message does.
    func wholeConversation(_ summary: ThreadSummary) throws -> Conversation {
        let (rows, runs, row, scores) = try db.ask { pipeline in
            let items = self.items(of: summary.number, limit: Self.maximumWholeItems, after: nil, &pipeline)
            let runs = looseTree(of: summary.number, &pipeline)
            let row = pipeline.ask("SELECT \(ThreadFold.columns) FROM thread WHERE project = $1 AND number = $2", [number, summary.number])
            {
                $0.first
            }
            let scores = self.scores(on: [summary.id], &pipeline)
            return Pipeline.Question { (try items.read($0), try runs.read($0), try row.read($0), try scores.read($0)) }
        }
        var folded = TurnFold.fold(try dressed(rows), loose: try loose(runs))
        let derived = folded.items.filter { $0.derivedFrom != nil }.map(\.event.id)
        let said = try db.ask { self.said(on: derived, &$0) }
        for index in folded.items.indices where folded.items[index].derivedFrom != nil {
            let id = folded.items[index].event.id
            folded.items[index].feedback = FeedbackSummary(votes: said.votes[id] ?? [])
            folded.items[index].scores = said.scores[id] ?? []
            folded.items[index].comments = said.comments[id] ?? []
        }
        try Confirmation.settle(&folded.items, isOthers: isOthers(_:question:besides:))
        var thread = try row.map { try withRemovedScores(summary, of: $0, scores: scores[summary.id] ?? []) } ?? summary
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
        let name = try String.fetchOne(db, sql: Self.threadOfRun, arguments: [number, TurnFold.run(ofAnswer: id)])
        guard let name, let (_, summary) = try summary(of: name) else { return nil }
        return try wholeConversation(summary).items.first { $0.event.id == id && $0.derivedFrom != nil }
    }

    static let threadOfRun = """
        SELECT (SELECT t.id FROM thread t WHERE t.project = $1 AND t.number = r.thread) FROM run r WHERE r.project = $1 AND r.id = $2
        """

    /// A message as its thread's turns let it read; nil where its thread has none.
    func itemOfTurns(_ item: EventRows.Item) throws -> ConversationItem? {
        guard item.isAnswer, let thread = item.event.thread, let row = try row(of: thread), ThreadFold(row).hasTurns,
            let summary = try summaries([row], withTurns: false).first
        else { return nil }
        return try wholeConversation(summary).items.first { $0.event.id == item.event.id }
    }

    // MARK: messages

    /// Items with their feedback, scores and runs; a stretch of a thread in order.
    func dressed(_ items: [EventRows.Item]) throws -> [ConversationItem] {
        let messages = items.filter { $0.event.idSpace == .message }.map(\.event.id)
        // What the first of them answers may be on the page before, and what one replies to anywhere.
        let (before, said) = try db.ask { pipeline in
            let before = self.questions(before: items.first(where: \.isSaid).flatMap { $0.isAnswer ? [$0] : nil } ?? [], &pipeline)
            let said = self.said(on: messages, &pipeline)
            return Pipeline.Question { (try before.read($0).values.first, try said.read($0)) }
        }
        let named = items.compactMap { $0.isAnswer ? $0.replyTo : nil }
        let roots = Array(Set(messages + named + [before].compactMap(\.self)))
        let forest = RunForest(try nodes(runs: descendants(of: roots, and: roots)))
        var dressed = items.map { item in
            guard item.event.idSpace == .message else {
                return ConversationItem(event: item.event, at: item.at, receivedAt: item.receivedAt, provenance: item.provenance)
            }
            let id = item.event.id
            return ConversationItem(
                event: item.event, at: item.at, receivedAt: item.receivedAt, provenance: item.provenance,
                feedback: FeedbackSummary(votes: said.votes[id] ?? []), scores: said.scores[id] ?? [], comments: said.comments[id] ?? [],
                runs: forest.runs(under: id))
        }
        let questions = Dictionary(named.map { ($0, forest.runs(under: $0)) }, uniquingKeysWith: { first, _ in first })
        try Confirmation.settle(
            &dressed, after: before.map { forest.runs(under: $0) } ?? [], of: questions, isOthers: isOthers(_:question:besides:))
        return dressed
    }

    /// The same of answers that stand anywhere.
    func confirmations(of answers: [EventRows.Item]) throws -> [String: Confirmation] {
        var questions = try self.questions(before: answers.filter { $0.replyTo == nil })
        for answer in answers { if let question = answer.replyTo { questions[answer.event.id] = question } }
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
        try String.fetchAll(db, sql: Self.otherAnswers, arguments: [number, question, id]).contains { Confirmation.areSame($0, words) }
    }

    static let otherAnswers = """
        SELECT e.content FROM reply r CROSS JOIN LATERAL (
            SELECT e.content FROM event e WHERE e.project = $1 AND e.id = r.message AND e.space = 0 AND e.part = '' LIMIT 1) e
        WHERE r.project = $1 AND r.question = $2 AND r.message <> $3 AND e.content IS NOT NULL ORDER BY r.message LIMIT 100
        """

    /// Of each answer, what a user or assistant said before it.
    static let predecessors = """
        SELECT answer.id, said.id, said.role
        FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS answer(id, thread, at) CROSS JOIN LATERAL (
            SELECT e.id, e.role FROM event e WHERE e.project = $1 AND e.thread = answer.thread AND e.thread IS NOT NULL
                AND e.type = 'message' AND \(EventRows.isItem("e.")) AND e.role IN (0, 1)
                AND e.at <= answer.at AND (e.at < answer.at OR e.id < answer.id) ORDER BY e.at DESC, e.id DESC LIMIT 1) said
        """

    /// The user's message before each answer, where no other answer stands between.
    private func questions(before answers: [EventRows.Item]) throws -> [String: String] {
        try db.ask { questions(before: answers, &$0) }
    }

    private func questions(before answers: [EventRows.Item], _ pipeline: inout Pipeline) -> Pipeline.Question<[String: String]> {
        let placed = answers.filter { $0.thread != nil }
        guard !placed.isEmpty else { return Pipeline.Question { _ in [:] } }
        let arguments: Arguments = [number, placed.map(\.event.id), placed.map { $0.thread! }, placed.map(\.at.microseconds)]
        return pipeline.ask(Self.predecessors, arguments) { rows in
            var questions: [String: String] = [:]
            for row in rows where row[2] as Int == 0 { questions[row[0]] = row[1] }
            return questions
        }
    }

    func thread(ofMessage id: String) throws -> String? {
        try String.fetchOne(db, sql: Self.threadOfMessage, arguments: [number, id])
    }

    static let threadOfMessage = """
        SELECT (SELECT t.id FROM thread t WHERE t.project = $1 AND t.number = e.thread) FROM event e
        WHERE e.project = $1 AND e.id = $2 AND e.space = 0 AND e.part = ''
        """
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
