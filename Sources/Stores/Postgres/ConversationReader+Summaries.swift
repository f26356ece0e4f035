import Conversations
import Events

extension ConversationReader {
    /// Characters of a message that a list shows.
    static let excerptLength = 300

    /// A thread's row, as `ThreadFold.columns` has it, by its name or another name of it.
    func row(of thread: String) throws -> Row? { try db.fetchOne(Self.threadOfName, [number, thread]) }

    static let threadOfName = """
        SELECT \(ThreadFold.columns) FROM thread
        WHERE project = $1 AND id = coalesce((SELECT a.id FROM alias a WHERE a.project = $1 AND a.name = $2), $2)
        """

    func summary(of thread: String) throws -> (fold: ThreadFold, summary: ThreadSummary)? {
        guard let row = try row(of: thread) else { return nil }
        return try summaries([row], withTurns: false).first.map { (ThreadFold(row), $0) }
    }

    /// - Parameter withTurns: whether what turns say is counted and shown too, for which their threads are read whole.
    func summaries(_ rows: [Row], withTurns: Bool = true) throws -> [ThreadSummary] {
        guard !rows.isEmpty else { return [] }
        return try summaries(rows, try db.ask { try summaryParts(of: rows, &$0) }, withTurns: withTurns)
    }

    /// What summaries say of threads besides their rows.
    struct SummaryParts {
        var excerpts: [String: ThreadSummary.Excerpt] = [:]
        var scores: [String: [Score]] = [:]
        var comments: [String: [Comment]] = [:]
        var votes: [Int64: (up: Int, down: Int)] = [:]
        var tags: [Int64: [String]] = [:]
        var props: [String: JSONText] = [:]
        var facts: [Int64: (errors: Int, findings: Int)] = [:]
        var reviewed: [Int64: ThreadSummary.Reviewed] = [:]
        var seen: [Int64: Timestamp] = [:]
    }

    func summaryParts(of rows: [Row], _ pipeline: inout Pipeline) throws -> Pipeline.Question<SummaryParts> {
        let folds = rows.map { ThreadFold($0) }
        let messages = folds.flatMap { [$0.firstMessage?.id, $0.lastMessage?.id].compactMap(\.self) }
        let names = rows.map { $0[ThreadFold.idColumn] as String }
        let numbers = rows.map { $0[ThreadFold.numberColumn] as Int64 }
        let people = Array(Set(folds.compactMap(\.user?.value)))

        let excerpts = pipeline.add(Self.excerpts, [number, messages])
        let scores = self.scores(on: names, &pipeline)
        let comments = self.comments(on: names, &pipeline)
        let votes = pipeline.add(Self.votesInThreads, [number, numbers])
        let tags = pipeline.add(Self.tagsOfThreads, [number, numbers])
        let props = pipeline.add(Self.propsOfPeople, [number, people])
        let facts = pipeline.add(Self.factsInThreads, [number, numbers, FactKind.failed.rawValue, FactKind.differs.rawValue])
        let reviewed = pipeline.add(Self.reviewsOfThreads, [number, numbers])
        let seen = viewer.map { pipeline.add(Self.sightsOfThreads, [number, numbers, $0]) }
        return Pipeline.Question { answers in
            var parts = SummaryParts(scores: try scores.read(answers), comments: try comments.read(answers))
            for row in answers[excerpts] {
                let text = (row[3] as String?) ?? (row[4] as String?).map { SearchText.words(ofPayload: $0) } ?? ""
                parts.excerpts[row[0]] = ThreadSummary.Excerpt(
                    id: row[0], role: Event.Role.allCases[row[1]], text: String(text.prefix(Self.excerptLength)),
                    at: Timestamp(microseconds: row[2]))
            }
            for row in answers[votes] { parts.votes[row[0]] = (row[1], row[2]) }
            for row in answers[tags] { parts.tags[row[0], default: []].append(row[1]) }
            for row in answers[props] {
                parts.props[row[0]] = (row[1] as TextBytes?).flatMap { PropsFold(stored: $0.bytes).props }
            }
            for row in answers[facts] { parts.facts[row[0]] = (row[1], row[2]) }
            for row in answers[reviewed] { parts.reviewed[row[0]] = .init(by: row[1], at: Timestamp(microseconds: row[2])) }
            if let seen { for row in answers[seen] { parts.seen[row[0]] = Timestamp(microseconds: row[1]) } }
            return parts
        }
    }

    static let excerpts = """
        SELECT id, role, at, substr(content, 1, \(excerptLength)), CASE WHEN content IS NULL THEN payload END FROM event
        WHERE project = $1 AND space = 0 AND part = '' AND id = ANY($2)
        """
    static let votesInThreads = """
        SELECT thread, count(*) FILTER (WHERE thumb = 1), count(*) FILTER (WHERE thumb = -1) FROM vote
        WHERE project = $1 AND thread = ANY($2) AND thread IS NOT NULL GROUP BY thread
        """
    static let tagsOfThreads = "SELECT thread, tag FROM thread_tag WHERE project = $1 AND thread = ANY($2) AND NOT off ORDER BY thread, tag"
    static let propsOfPeople = "SELECT id, props FROM person WHERE project = $1 AND id = ANY($2)"
    static let factsInThreads = """
        SELECT thread, count(*) FILTER (WHERE kind = $3), count(*) FILTER (WHERE kind = $4) FROM fact
        WHERE project = $1 AND kind IN ($3, $4) AND thread = ANY($2) GROUP BY thread
        """
    static let reviewsOfThreads = "SELECT thread, by, at FROM reviewed WHERE project = $1 AND thread = ANY($2)"
    static let sightsOfThreads = "SELECT thread, at FROM seen WHERE project = $1 AND member = $3 AND thread = ANY($2)"

    func summaries(_ rows: [Row], _ parts: SummaryParts, withTurns: Bool) throws -> [ThreadSummary] {
        try rows.map { row in
            let number: Int64 = row[ThreadFold.numberColumn]
            let fold = ThreadFold(row)
            let lastAt = Timestamp(microseconds: row[ThreadFold.lastAtColumn])
            let id: String = row[ThreadFold.idColumn]
            var summary = ThreadSummary(
                id: id, number: number,
                status: ThreadSummary.status(
                    set: fold.status.map { ($0.value, $0.place.at) }, lastAt: lastAt, now: now,
                    inactiveAfterSeconds: project.settings.inactiveAfterSeconds),
                user: fold.user.map { Event.User(key: $0.value, props: parts.props[$0.value]) }, tags: parts.tags[number] ?? [],
                metadata: fold.metadata?.value, messageCount: fold.messageCount, firstAt: Timestamp(microseconds: row[2]),
                lastAt: lastAt, first: fold.firstMessage.flatMap { parts.excerpts[$0.id] },
                last: fold.lastMessage.flatMap { parts.excerpts[$0.id] }, up: parts.votes[number]?.up ?? 0,
                down: parts.votes[number]?.down ?? 0,
                scores: Score.standing(parts.scores[id] ?? [], activeAt: ThreadFold.activeAt(row), under: project.settings.scoring),
                comments: parts.comments[id] ?? [])
            (summary.errors, summary.findings) = parts.facts[number] ?? (0, 0)
            summary.reviewed = parts.reviewed[number].flatMap { $0.at >= lastAt ? $0 : nil }
            if viewer != nil { summary.isSeen = parts.seen[number].map { $0 >= lastAt } ?? false }
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

    /// The scores that the policy took off, with what took them off: the first item after them.
    /// - Parameters:
    ///   - row: the thread's, as `ThreadFold.columns` has it.
    ///   - scores: all that were ever given to it and not taken back.
    func withRemovedScores(_ summary: ThreadSummary, of row: Row, scores: [Score]) throws -> ThreadSummary {
        let activeAt = ThreadFold.activeAt(row)
        let removed = Score.removed(scores, activeAt: activeAt, under: project.settings.scoring)
        guard !removed.isEmpty else { return summary }
        var summary = summary
        var pipeline = Pipeline()
        let places = removed.map { pipeline.add(Self.nextItem, [number, summary.number, $0.at.microseconds]) }
        let answers = try db.run(pipeline)
        summary.removedScores = zip(removed, places).map { score, place in
            let next: Int64? = answers[place].first?[0]
            return .init(score: score, removedAt: next.map { min(Timestamp(microseconds: $0), activeAt) } ?? activeAt)
        }
        return summary
    }

    static let nextItem = """
        SELECT at FROM event WHERE project = $1 AND thread = $2 AND thread IS NOT NULL AND \(EventRows.isItem())
            AND type NOT IN ('comment', 'trace', 'queue') AND at > $3 ORDER BY at LIMIT 1
        """
}
