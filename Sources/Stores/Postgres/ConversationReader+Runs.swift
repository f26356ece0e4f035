import Conversations
import Events

extension ConversationReader {
    /// What voters, judges and remarks say of things, by what they speak of.
    struct Said {
        var votes: [String: [Vote]] = [:]
        var scores: [String: [Score]] = [:]
        var comments: [String: [Comment]] = [:]
    }

    func said(on targets: [String], _ pipeline: inout Pipeline) -> Pipeline.Question<Said> {
        guard !targets.isEmpty else { return Pipeline.Question { _ in Said() } }
        let votes = pipeline.ask(Self.votesOnTargets, [number, targets]) { Dictionary(grouping: $0.map { Vote($0) }, by: \.target) }
        let scores = self.scores(on: targets, &pipeline)
        let comments = self.comments(on: targets, &pipeline)
        return Pipeline.Question { Said(votes: try votes.read($0), scores: try scores.read($0), comments: try comments.read($0)) }
    }

    static let votesOnTargets = "SELECT \(Vote.columns) FROM vote WHERE project = $1 AND target = ANY($2)"

    func scores(on targets: [String], _ pipeline: inout Pipeline) -> Pipeline.Question<[String: [Score]]> {
        pipeline.ask(Self.scoresOnTargets, [number, targets]) { rows in
            Dictionary(
                grouping: rows.map { row in
                    Score(
                        target: row[0], name: row[1], value: row[2], category: row[3], reason: row[4], author: row[5],
                        judge: Event.Score.Judge(rawValue: row[8]) ?? .program, at: Timestamp(microseconds: row[6]), event: row[7])
                }, by: \.target)
        }
    }

    static let scoresOnTargets = """
        SELECT target, name, value, category, reason, author, at, event, judge FROM score
        WHERE project = $1 AND NOT (value IS NULL AND category IS NULL) AND target = ANY($2) ORDER BY name, author
        """

    /// Remarks on remarks are read one level deep.
    func comments(on targets: [String], _ pipeline: inout Pipeline) -> Pipeline.Question<[String: [Comment]]> {
        pipeline.ask(Self.commentsOnTargets, [number, targets]) { rows in
            var (comments, replies): ([Comment], [Comment]) = ([], [])
            for row in rows {
                let comment = Comment(
                    id: row[0], target: row[1], text: row[2], author: row[3], at: Timestamp(microseconds: row[4]),
                    changedAt: Timestamp(microseconds: row[5]))
                if row[6] as Bool { replies.append(comment) } else { comments.append(comment) }
            }
            let repliesTo = Dictionary(grouping: replies, by: \.target)
            for index in comments.indices { comments[index].replies = repliesTo[comments[index].id] ?? [] }
            return Dictionary(grouping: comments, by: \.target)
        }
    }

    static let commentsOnTargets = """
        WITH own AS MATERIALIZED (
            SELECT id, target, text, author, at, changed_at FROM comment WHERE project = $1 AND target = ANY($2) AND text IS NOT NULL)
        SELECT id, target, text, author, at, changed_at, false FROM own
        UNION ALL SELECT r.id, r.target, r.text, r.author, r.at, r.changed_at, true FROM (SELECT DISTINCT id FROM own) own
        CROSS JOIN LATERAL (SELECT * FROM comment WHERE project = $1 AND target = own.id AND text IS NOT NULL OFFSET 0) r
        ORDER BY at, id
        """

    // MARK: runs

    /// The runs that name one of `parents`, those of `ids` themselves, and all below them.
    func descendants(of parents: [String], and ids: [String]) throws -> [String] {
        guard !parents.isEmpty || !ids.isEmpty else { return [] }
        return try String.fetchAll(db, sql: Self.tree, arguments: [number, parents, ids, Self.maximumRuns])
    }

    static let tree = tree(
        from: """
            (SELECT id FROM run WHERE project = $1 AND parent = ANY($2) AND parent IS NOT NULL
                UNION SELECT id FROM run WHERE project = $1 AND fallback = ANY($2) AND fallback IS NOT NULL
                UNION SELECT id FROM run WHERE project = $1 AND id = ANY($3))
            """, limit: "$4")
    static let treeOfThread = tree(
        from: "(SELECT id FROM run WHERE project = $1 AND thread = $2 AND thread IS NOT NULL LIMIT $3)", limit: "$3")

    /// UNION, so that a circle comes to an end; OFFSET 0, so that children are found by their key one parent at a time, however many
    /// the planner expects.
    private static func tree(from roots: String, limit: String) -> String {
        """
        WITH RECURSIVE tree(id) AS (
            \(roots)
            UNION SELECT r.id FROM tree CROSS JOIN LATERAL (
                SELECT run.id FROM run WHERE run.project = $1 AND run.parent = tree.id AND run.parent IS NOT NULL OFFSET 0) r)
        SELECT id FROM tree LIMIT \(limit)
        """
    }

    func nodes(runs ids: [String]) throws -> [RunNode] { try db.ask { self.nodes(runs: ids, &$0) } }

    func nodes(runs ids: [String], _ pipeline: inout Pipeline) -> Pipeline.Question<[RunNode]> {
        guard !ids.isEmpty else { return Pipeline.Question { _ in [] } }
        let links = pipeline.add(Self.links, [number, ids])
        let parts = pipeline.ask(EventRows.ofRuns, [number, ids]) { Dictionary(grouping: try $0.map(EventRows.item), by: \.event.id) }
        let said = self.said(on: ids, &pipeline)
        return Pipeline.Question { answers in
            let (parts, said) = (try parts.read(answers), try said.read(answers))
            return answers[links].compactMap { row in
                let id: String = row[0]
                guard var run = Run(folding: (parts[id] ?? []).map { .init(event: $0.event, at: $0.at, digest: $0.digest) }) else {
                    return nil
                }
                var link = ParentLink(rawValue: row[1]) ?? .none
                var via: RunNode.Via? = link == .bound ? .parent : nil
                // What it names may be another name of something, and stands in its row as that.
                run.parent = row[2]
                if link != .bound, link != .refused, let fallback: String = row[3] { (run.parent, link, via) = (fallback, .bound, .trace) }
                return RunNode(
                    run: run, link: link, via: via, feedback: FeedbackSummary(votes: said.votes[id] ?? []), scores: said.scores[id] ?? [],
                    comments: said.comments[id] ?? [])
            }
        }
    }

    static let links = "SELECT id, link, parent, fallback FROM run WHERE project = $1 AND id = ANY($2) ORDER BY id"

    /// The message a run hangs under, over however many runs between.
    func rootMessage(of id: String) throws -> String? {
        // All that is above it, in one go.
        struct Step {
            /// nil: no such run.
            var link: ParentLink?
            var parent: String?
            var fallback: String?
            var isMessage: Bool
        }
        var steps: [String: Step] = [:]
        for row in try db.fetchAll(Self.ancestry, [number, id, ParentLinks.maximumDepth]) {
            steps[row[0]] = Step(
                link: (row[1] as Int?).map { ParentLink(rawValue: $0) ?? .none }, parent: row[2], fallback: row[3], isMessage: row[4])
        }
        var current = id
        for _ in 0..<ParentLinks.maximumDepth {
            guard let step = steps[current] else { return nil }
            guard let link = step.link else { return step.isMessage ? current : nil }
            let parent = link == .bound ? step.parent : step.fallback ?? step.parent
            if step.isMessage, parent == nil || parent == current { return current }
            guard link == .bound || step.fallback != nil, let parent else { return nil }
            current = parent
        }
        return nil
    }

    /// An ID and all above it: its run's link, parent and fallback, and whether there is a message of that ID.
    static let ancestry = """
        WITH RECURSIVE above(id, depth) AS (
            SELECT $2::text COLLATE "C", 0::bigint
            UNION SELECT r.next, above.depth + 1 FROM above CROSS JOIN LATERAL (
                SELECT CASE WHEN link = 2 THEN parent ELSE fallback END AS next FROM run WHERE project = $1 AND id = above.id LIMIT 1) r
            WHERE r.next IS NOT NULL AND r.next <> above.id AND above.depth < $3)
        SELECT above.id, r.link, r.parent, r.fallback,
            EXISTS (SELECT FROM event e WHERE e.project = $1 AND e.id = above.id AND e.space = 0 AND e.part = '' OFFSET 0)
        FROM above LEFT JOIN LATERAL (SELECT link, parent, fallback FROM run WHERE project = $1 AND id = above.id LIMIT 1) r ON true
        """

    // MARK: runs by themselves

    /// Runs looked through at a time for those that have something.
    private static let stretch = 500

    /// Runs without those below them, the greatest ID first.
    func runs(matching filter: RunFilter, limit: Int) throws -> [RunNode] {
        func matches(_ node: RunNode) -> Bool {
            if let before = filter.before, node.run.id >= before { return false }
            guard let wanted = filter.extra else { return true }
            return node.run.extra.map { text in
                (try? JSONDocument.read(text.bytes, isOurs: true) { $0.member(wanted.name)?.string == wanted.value }) ?? false
            } ?? false
        }
        if let root = filter.under {
            let under = try descendants(of: [], and: [root]).filter { $0 != root }
            return Array(try nodes(runs: under).sorted { $0.run.id > $1.run.id }.filter(matches).prefix(limit))
        }
        var below = filter.before
        var found: [RunNode] = []
        while found.count < limit {
            let size = filter.extra == nil ? min(Self.stretch, limit - found.count) : Self.stretch
            var arguments: Arguments = [number, size]
            if let below { arguments.append(below) }
            if let thread = filter.thread { arguments.append(thread) }
            let sql = Self.runs(isBelow: below != nil, isOfThread: filter.thread != nil)
            let ids = try String.fetchAll(db, sql: sql, arguments: arguments)
            guard let last = ids.last else { break }
            below = last
            found += try nodes(runs: ids).sorted { $0.run.id > $1.run.id }.filter(matches)
        }
        return Array(found.prefix(limit))
    }

    static func runs(isBelow: Bool, isOfThread: Bool) -> String {
        let thread = "(SELECT number FROM thread t WHERE t.project = $1 AND t.id = $\(isBelow ? 4 : 3))"
        return """
            SELECT id FROM run WHERE project = $1\(isBelow ? " AND id < $3" : "")
                \(isOfThread ? "AND thread = \(thread) AND thread IS NOT NULL" : "") ORDER BY id DESC LIMIT $2
            """
    }
}
