public import Events

/// A thread as a list shows it.
public struct ThreadSummary: Sendable, Equatable {
    public struct Excerpt: Sendable, Equatable {
        public var id: String
        public var role: Event.Role
        /// The first characters of the text.
        public var text: String
        public var at: Timestamp
        public init(id: String, role: Event.Role, text: String, at: Timestamp) {
            (self.id, self.role, self.text, self.at) = (id, role, text, at)
        }
    }

    public var id: String
    /// Its number in the store, which stays though the ID may turn out to be another name of it.
    public var number: Int64
    public var status: Event.ThreadPatch.Status
    public var user: Event.User?
    public var tags: [String]
    public var metadata: JSONText?
    public var messageCount: Int
    public var firstAt: Timestamp
    public var lastAt: Timestamp
    public var first: Excerpt?
    public var last: Excerpt?
    public var up: Int
    public var down: Int
    public var scores: [Score]
    public var comments: [Comment]
    /// Who reviewed it since its last activity, and when.
    public var reviewed: Reviewed?
    /// Whether the one who asked has seen its last activity; nil where nobody in particular asked.
    public var isSeen: Bool?
    /// Runs that failed, and messages whose words differ from what their run produced.
    public var errors = 0
    public var findings = 0
    /// Scores that were taken off when the conversation went on; only where a conversation is read, not in lists.
    public var removedScores: [RemovedScore] = []
    /// When it becomes inactive by itself; nil where it is or was closed.
    public var closesAt: Timestamp?

    public struct Reviewed: Sendable, Equatable {
        public var by: String
        public var at: Timestamp
        public init(by: String, at: Timestamp) { (self.by, self.at) = (by, at) }
    }

    /// A score that no longer stands, and the activity that took it off.
    public struct RemovedScore: Sendable, Equatable {
        public var score: Score
        public var removedAt: Timestamp
        public init(score: Score, removedAt: Timestamp) { (self.score, self.removedAt) = (score, removedAt) }
    }

    public init(
        id: String, number: Int64 = 0, status: Event.ThreadPatch.Status, user: Event.User?, tags: [String], metadata: JSONText?,
        messageCount: Int, firstAt: Timestamp, lastAt: Timestamp, first: Excerpt?, last: Excerpt?, up: Int, down: Int, scores: [Score],
        comments: [Comment] = []
    ) {
        self.number = number
        self.comments = comments
        self.id = id
        self.status = status
        self.user = user
        self.tags = tags
        self.metadata = metadata
        self.messageCount = messageCount
        self.firstAt = firstAt
        self.lastAt = lastAt
        self.first = first
        self.last = last
        self.up = up
        self.down = down
        self.scores = scores
    }

    /// The status of a thread, computed when it is read: what a person set last counts until something new arrives;
    /// without that, a thread is active until the project's time passes without a new item.
    public static func status(
        set: (status: Event.ThreadPatch.Status, at: Timestamp)?, lastAt: Timestamp, now: Timestamp, inactiveAfterSeconds: Double
    ) -> Event.ThreadPatch.Status {
        if let set, set.at >= lastAt {
            if set.status == .inactive { return .inactive }
            return now < set.at.advanced(bySeconds: inactiveAfterSeconds) ? .active : .inactive
        }
        return now < lastAt.advanced(bySeconds: inactiveAfterSeconds) ? .active : .inactive
    }
}

/// A message or a custom event in its place in a conversation, with all that hangs on it.
public struct ConversationItem: Sendable, Equatable {
    public var event: Event
    public var at: Timestamp
    public var receivedAt: Timestamp
    public var provenance: Provenance
    public var feedback: FeedbackSummary
    public var scores: [Score]
    public var comments: [Comment]
    public var runs: [RunNode]
    /// The run whose words these are, where no message with them was sent.
    public var derivedFrom: String?
    /// Whether what the page displayed is what its run produced; nil where nothing can be said.
    public var confirmation: Confirmation?

    public init(
        event: Event, at: Timestamp, receivedAt: Timestamp, provenance: Provenance, feedback: FeedbackSummary = FeedbackSummary(),
        scores: [Score] = [], comments: [Comment] = [], runs: [RunNode] = [], derivedFrom: String? = nil
    ) {
        self.comments = comments
        self.derivedFrom = derivedFrom
        self.event = event
        self.at = at
        self.receivedAt = receivedAt
        self.provenance = provenance
        self.feedback = feedback
        self.scores = scores
        self.runs = runs
    }
}

/// A run with the runs below it.
public struct RunNode: Sendable, Equatable {
    /// How it was found out what the run hangs under.
    public enum Via: String, Sendable { case parent, trace, inferred }

    public var run: Run
    public var link: ParentLink
    public var via: Via?
    public var feedback: FeedbackSummary
    public var scores: [Score]
    public var comments: [Comment]
    public var children: [RunNode]

    public init(
        run: Run, link: ParentLink, via: Via? = nil, feedback: FeedbackSummary = FeedbackSummary(), scores: [Score] = [],
        comments: [Comment] = [], children: [RunNode] = []
    ) {
        self.via = via
        self.comments = comments
        self.run = run
        self.link = link
        self.feedback = feedback
        self.scores = scores
        self.children = children
    }
}

extension RunNode {
    /// P-BIND-5: a run that carries a message's ID and names no parent, under that message.
    public var underItsMessage: RunNode {
        guard run.parent == nil else { return self }
        var node = self
        (node.run.parent, node.link, node.via) = (run.id, .bound, .parent)
        return node
    }
}

/// A stretch of a thread, read back as one conversation.
public struct Conversation: Sendable, Equatable {
    public var thread: ThreadSummary
    public var items: [ConversationItem]
    /// Runs of the thread that hang under no message.
    public var looseRuns: [RunNode]
    /// Where to go on; nil at the end.
    public var next: String?

    public init(thread: ThreadSummary, items: [ConversationItem], looseRuns: [RunNode], next: String?) {
        self.thread = thread
        self.items = items
        self.looseRuns = looseRuns
        self.next = next
    }
}

/// Hangs runs under what they name.
public struct RunForest: Sendable {
    private var children: [String: [RunNode]] = [:]
    /// The runs that are there, by ID.
    private var known: Set<String> = []
    private var roots: [RunNode] = []

    /// - Parameter nodes: runs without their children, each once.
    public init(_ nodes: [RunNode]) {
        known = Set(nodes.map(\.run.id))
        let ordered = Self.nested(nodes).sorted { a, b in
            (a.run.startedAt ?? a.run.endedAt ?? Timestamp(microseconds: 0), a.run.id)
                < (b.run.startedAt ?? b.run.endedAt ?? Timestamp(microseconds: 0), b.run.id)
        }
        for node in ordered {
            if node.link == .bound, let parent = node.run.parent { children[parent, default: []].append(node) } else { roots.append(node) }
        }
    }

    /// P-BIND-7: a run that names its message and the run it is a step of hangs under that run, where both have the same message.
    private static func nested(_ nodes: [RunNode]) -> [RunNode] {
        guard nodes.contains(where: { $0.run.within != nil }) else { return nodes }
        var parents = Dictionary(nodes.map { ($0.run.id, $0.run.parent) }, uniquingKeysWith: { first, _ in first })
        let named = parents
        func message(of id: String) -> String? {
            var current = id
            for _ in 0..<ParentLinks.maximumDepth {
                guard let parent = named[current] else { return current }
                guard let parent else { return nil }
                current = parent
            }
            return nil
        }
        /// Whether `id` is found again on the way up from `start`.
        func leadsBack(from start: String, to id: String) -> Bool {
            var current: String? = start
            for _ in 0..<ParentLinks.maximumDepth {
                guard let step = current else { return false }
                if step == id { return true }
                current = parents[step] ?? nil
            }
            return true
        }
        return nodes.sorted { $0.run.id < $1.run.id }.map { node in
            guard let outer = node.run.within, node.link == .bound, let parent = node.run.parent, named[outer] != nil,
                message(of: outer) == parent, !leadsBack(from: outer, to: node.run.id)
            else { return node }
            parents[node.run.id] = outer
            var node = node
            node.run.parent = outer
            return node
        }
    }

    /// P-BIND-5: a run that carries a message's ID and names no other parent hangs under that message, and what names
    /// that ID hangs under the run.
    public func runs(under message: String) -> [RunNode] {
        if known.contains(message) {
            let own =
                (children[message] ?? []).filter { $0.run.id == message }
                + roots.filter { $0.run.id == message && $0.run.parent == nil }.map { $0.underItsMessage }
            return own.map { grown($0, depth: 0) }
        }
        return (children[message] ?? []).map { grown($0, depth: 0) }
    }

    /// One run with all below it.
    public func tree(of run: RunNode) -> RunNode { grown(run, depth: 0) }

    /// The roots that hang under none of these messages.
    public func loose(besides messages: Set<String>) -> [RunNode] {
        roots.filter { !(messages.contains($0.run.id) && $0.run.parent == nil) }.map { grown($0, depth: 0) }
    }

    private func grown(_ node: RunNode, depth: Int) -> RunNode {
        var node = node
        guard depth < ParentLinks.maximumDepth else { return node }
        node.children = (children[node.run.id] ?? []).filter { $0.run.id != node.run.id }.map { grown($0, depth: depth + 1) }
        return node
    }
}
