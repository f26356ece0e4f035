public import Events

/// One voter's standing word on a target: of the thumb and of the comment the last counts, the history stays in the events.
public struct Vote: Sendable, Equatable {
    public var target: String
    public var voter: String
    /// nil: taken back.
    public var thumb: Event.Thumb?
    public var comment: String?
    /// When the thumb was set or taken back, and by which event, which settles two of the same moment.
    public var at: Timestamp
    public var event: String
    /// The same of the comment.
    public var commentAt: Timestamp
    public var commentEvent: String

    public init(
        target: String, voter: String, thumb: Event.Thumb?, comment: String?, at: Timestamp, event: String, commentAt: Timestamp? = nil,
        commentEvent: String? = nil
    ) {
        self.target = target
        self.voter = voter
        self.thumb = thumb
        self.comment = comment
        self.at = at
        self.event = event
        self.commentAt = commentAt ?? at
        self.commentEvent = commentEvent ?? event
    }

    /// P-FB-2: who votes is the reviewer or the named user; without a name it is the thread, which belongs to one visitor.
    public init?(_ event: Event, at: Timestamp) {
        guard case .feedback(let feedback) = event.body else { return nil }
        let voter =
            feedback.author.map { "reviewer:" + $0 } ?? event.user.map { "user:" + $0.key } ?? event.thread.map { "thread:" + $0 }
            ?? "anonymous"
        self.init(target: feedback.target, voter: voter, thumb: feedback.thumb, comment: feedback.comment, at: at, event: event.id)
        // What it leaves as it was it said at no time.
        let never = Timestamp(microseconds: 0)
        switch feedback.leaves {
        case .thumb: (thumb, self.at, self.event) = (nil, never, "")
        case .comment: (comment, commentAt, commentEvent) = (nil, never, "")
        case nil: break
        }
    }

    /// The two together, whichever came first.
    public func merged(with other: Vote) -> Vote {
        var vote = self
        if (other.at, other.event) > (at, event) { (vote.thumb, vote.at, vote.event) = (other.thumb, other.at, other.event) }
        if (other.commentAt, other.commentEvent) > (commentAt, commentEvent) {
            (vote.comment, vote.commentAt, vote.commentEvent) = (other.comment, other.commentAt, other.commentEvent)
        }
        return vote
    }

    /// When it was last changed.
    public var changedAt: Timestamp { max(at, commentAt) }
}

/// The votes on one target, summed up.
public struct FeedbackSummary: Sendable, Equatable {
    public var votes: [Vote]

    public init(votes: [Vote] = []) { self.votes = votes.sorted { ($0.changedAt, $0.voter) < ($1.changedAt, $1.voter) } }

    public var up: Int { votes.count { $0.thumb == .up } }
    public var down: Int { votes.count { $0.thumb == .down } }
}

/// A named judgement of a thread, message or run; the last of one name and author counts.
public struct Score: Sendable, Equatable {
    public var target: String
    public var name: String
    public var value: Double?
    public var category: String?
    public var reason: String?
    public var author: String
    public var judge: Event.Score.Judge
    public var at: Timestamp
    public var event: String
    /// Whether the conversation went on since.
    public var isStale = false

    public init(
        target: String, name: String, value: Double?, category: String?, reason: String?, author: String,
        judge: Event.Score.Judge = .program, at: Timestamp, event: String
    ) {
        self.judge = judge
        self.target = target
        self.name = name
        self.value = value
        self.category = category
        self.reason = reason
        self.author = author
        self.at = at
        self.event = event
    }

    public init?(_ event: Event, at: Timestamp) {
        guard case .score(let score) = event.body else { return nil }
        self.init(
            target: score.target, name: score.name, value: score.value, category: score.category, reason: score.reason,
            author: score.author ?? "sdk", judge: score.judge, at: at, event: event.id)
    }

    public func supersedes(_ other: Score) -> Bool { (at, event) > (other.at, other.event) }

    /// Whether it was taken back; kept so that an earlier one that comes later does not stand.
    public var isRemoved: Bool { value == nil && category == nil }

    /// The scores on a conversation as its project's policy lets them stand, once it was active last at `activeAt`.
    public static func standing(_ scores: [Score], activeAt: Timestamp, under policy: Project.Scoring) -> [Score] {
        scores.compactMap { score in
            guard !score.isRemoved else { return nil }
            guard policy != .open, score.at < activeAt else { return score }
            guard policy == .review, score.judge == .program else { return nil }
            var stale = score
            stale.isStale = true
            return stale
        }
    }
}

extension Score {
    /// The scores on a conversation that its project's policy took off, once it was active last at `activeAt`.
    public static func removed(_ scores: [Score], activeAt: Timestamp, under policy: Project.Scoring) -> [Score] {
        scores.filter { !$0.isRemoved && $0.at < activeAt && (policy == .strict || (policy == .review && $0.judge == .person)) }
    }
}

/// A remark on a thread, message or run, as it reads now.
public struct Comment: Sendable, Equatable {
    public var id: String
    public var target: String
    public var text: String
    public var author: String?
    public var at: Timestamp
    public var changedAt: Timestamp
    /// Remarks on this one, oldest first.
    public var replies: [Comment] = []

    public init(id: String, target: String, text: String, author: String?, at: Timestamp, changedAt: Timestamp) {
        self.id = id
        self.target = target
        self.text = text
        self.author = author
        self.at = at
        self.changedAt = changedAt
    }
}
