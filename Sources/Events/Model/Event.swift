/// Something that happened in a chat or behind it, in our own words; past a door only these exist.
public struct Event: Sendable, Equatable {
    /// The message's or run's own ID, or for any other type the event's: opaque, case kept, unique within its project.
    public var id: String
    public var thread: String?
    /// When it happened, by the sender's clock; nil when the sender did not say.
    public var at: Timestamp?
    public var user: User?
    public var metadata: JSONText?
    public var body: Body
    /// An object of the fields this version does not know; kept, never fatal.
    public var unknown: JSONText?

    public init(
        id: String, thread: String? = nil, at: Timestamp? = nil, user: User? = nil, metadata: JSONText? = nil, body: Body,
        unknown: JSONText? = nil
    ) {
        self.id = id
        self.thread = thread
        self.at = at
        self.user = user
        self.metadata = metadata
        self.body = body
        self.unknown = unknown
    }

    public enum Body: Sendable, Equatable {
        case thread(ThreadPatch)
        case message(Message)
        case event(name: String)
        case feedback(Feedback)
        case identify
        /// What the sender itself had to drop: an object of counts by reason.
        case clientReport(reasons: JSONText)
        /// In a box: it has five times as many fields as any other, and room for them would be in every event.
        indirect case run(RunPart)
        case score(Score)
        case comment(Comment)
        /// Which W3C trace a message went with (Trace Context, section 3.2.2.3), noted after the message was sent.
        case trace(target: String, trace: String)
        /// A type from a later version; its fields are in `Event.unknown`.
        case other(type: String)
    }

    public struct User: Sendable, Equatable {
        public var id: String
        public var props: JSONText?
        /// Whether a token or a backend vouched for it (P-AUTH-1); set by the server, no payload can say it.
        public var isProven: Bool

        public init(id: String, props: JSONText? = nil, isProven: Bool = false) {
            (self.id, self.props, self.isProven) = (id, props, isProven)
        }
    }

    public struct ThreadPatch: Sendable, Equatable {
        public enum Status: String, Sendable { case active, inactive }
        public var tags: [String]
        /// Tags taken off again; one that a later event sets is back.
        public var untag: [String]
        public var status: Status?
        public init(tags: [String] = [], untag: [String] = [], status: Status? = nil) {
            (self.tags, self.untag, self.status) = (tags, untag, status)
        }
    }

    public enum Role: String, Sendable, CaseIterable { case user, assistant, system, tool }

    public struct Message: Sendable, Equatable {
        public enum Content: Sendable, Equatable {
            case text(String)
            /// An array of content blocks, as the sender shaped them.
            case blocks(JSONText)
        }
        public var role: Role
        public var content: Content
        public var replyTo: String?
        public var retryOf: String?
        public var tags: [String]
        /// The W3C trace id the page or its APM used for this message (Trace Context, section 3.2.2.3).
        public var trace: String?
        public init(role: Role, content: Content, replyTo: String? = nil, retryOf: String? = nil, tags: [String] = [], trace: String? = nil)
        {
            self.role = role
            self.content = content
            self.replyTo = replyTo
            self.retryOf = retryOf
            self.tags = tags
            self.trace = trace
        }
    }

    public enum Thumb: String, Sendable { case up, down }

    public struct Feedback: Sendable, Equatable {
        /// A message or run ID, seen or not.
        public var target: String
        /// nil takes the vote back.
        public var thumb: Thumb?
        public var comment: String?
        /// What this says nothing of, so that the voter's earlier word on it stands.
        public var leaves: Part?
        public enum Part: String, Sendable { case thumb, comment }
        /// Who votes as a reviewer of the conversation; nil: whoever chats.
        public var author: String?
        public init(target: String, thumb: Thumb?, comment: String? = nil, leaves: Part? = nil, author: String? = nil) {
            (self.target, self.thumb, self.comment, self.leaves, self.author) = (target, thumb, comment, leaves, author)
        }
    }

    public enum RunKind: String, Sendable, CaseIterable { case llm, agent, tool, chain, retriever, embedding }

    /// A start, an end or a patch of a run; parts that share an ID fold into one run, field by field.
    public struct RunPart: Sendable, Equatable {
        public var kind: RunKind?
        public var name: String?
        public var parent: String?
        /// The proof that `parent` was stored when it was named (P-RCPT-2).
        public var receipt: String?
        public var input: JSONText?
        public var output: JSONText?
        public var model: String?
        public var provider: String?
        /// An object of token counts.
        public var usage: JSONText?
        /// In the currency the sender reckons in; US dollars by custom.
        public var cost: Double?
        public var success: Bool?
        public var error: JSONText?
        public var startedAt: Timestamp?
        public var endedAt: Timestamp?
        public var tags: [String] = []
        /// Where the run is a whole turn of its thread: what the user said and what was answered, as text.
        public var question: String?
        public var answer: String?
        /// The run it is a step of, where `parent` names the message behind both.
        public var within: String?
        /// The W3C trace it is part of, 32 lower-case hex digits (Trace Context, section 3.2.2.3); it hangs under the message of
        /// that ID or trace as long as `parent` names nothing that is there.
        public var trace: String?
        /// Traces it links to, looked up likewise.
        public var linkedTraces: [String] = []
        /// An object of what the sender said besides, in its own words; folded member by member.
        public var extra: JSONText?
        public init() {}
    }

    /// A remark on a thread, message or run; the event's ID is the remark's.
    public struct Comment: Sendable, Equatable {
        public var target: String
        /// The remark this changes; nil: a new one.
        public var changes: String?
        /// nil takes it back.
        public var text: String?
        public var author: String?
        public init(target: String, changes: String? = nil, text: String?, author: String? = nil) {
            (self.target, self.changes, self.text, self.author) = (target, changes, text, author)
        }
    }

    public struct Score: Sendable, Equatable {
        public enum Judge: String, Sendable { case person, program }
        /// A thread, message or run ID.
        public var target: String
        public var name: String
        /// Neither a value nor a category: the score is taken back.
        public var value: Double?
        public var category: String?
        public var reason: String?
        public var author: String?
        public var judge: Judge
        public init(
            target: String, name: String, value: Double? = nil, category: String? = nil, reason: String? = nil, author: String? = nil,
            judge: Judge = .program
        ) {
            self.judge = judge
            self.target = target
            self.name = name
            self.value = value
            self.category = category
            self.reason = reason
            self.author = author
        }
    }
}

extension Event {
    /// The name on the wire.
    public var type: String {
        switch body {
        case .thread: "thread"
        case .message: "message"
        case .event: "event"
        case .feedback: "feedback"
        case .identify: "identify"
        case .clientReport: "client_report"
        case .run: "run"
        case .score: "score"
        case .comment: "comment"
        case .trace: "trace"
        case .other(let type): type
        }
    }

    /// IDs are unique within a project and one of these: a message and the run that answers it may share theirs
    /// (a trace whose ID is the message's), and neither can be squatted by an event of another type.
    public enum IDSpace: Int, Sendable { case message = 0, run = 1, other = 2 }

    /// What it says in bytes, about: its texts, and a little for the rest.
    public var size: Int {
        var size = 200 + (metadata?.bytes.count ?? 0) + (unknown?.bytes.count ?? 0) + (user?.props?.bytes.count ?? 0)
        switch body {
        case .message(let message):
            switch message.content {
            case .text(let text): size += text.utf8.count
            case .blocks(let blocks): size += blocks.bytes.count
            }
        case .run(let part):
            for text in [part.input, part.output, part.usage, part.error, part.extra] { size += text?.bytes.count ?? 0 }
            size += (part.question?.utf8.count ?? 0) + (part.answer?.utf8.count ?? 0)
        case .feedback(let feedback): size += feedback.comment?.utf8.count ?? 0
        case .comment(let comment): size += comment.text?.utf8.count ?? 0
        default: break
        }
        return size
    }

    /// Whether it sets tags or takes some off its thread.
    public var hasTags: Bool {
        switch body {
        case .message(let message): !message.tags.isEmpty
        case .thread(let patch): !patch.tags.isEmpty || !patch.untag.isEmpty
        default: false
        }
    }

    public var idSpace: IDSpace {
        switch body {
        case .message: .message
        case .run: .run
        default: .other
        }
    }
}

extension Event {
    /// The receipt that a run came with, and the parent it named.
    public var receipt: (text: String, parent: String?)? {
        guard case .run(let part) = body, let receipt = part.receipt else { return nil }
        return (receipt, part.parent)
    }

    /// The IDs of other things that it names: its thread, its target, its parent.
    public var namedIDs: [String] {
        var ids: [String] = []
        if let thread { ids.append(thread) }
        switch body {
        case .message(let message): ids += [message.replyTo, message.retryOf].compactMap(\.self)
        case .feedback(let feedback): ids.append(feedback.target)
        case .run(let part): if let parent = part.parent { ids.append(parent) }
        case .score(let score): ids.append(score.target)
        case .comment(let comment): ids.append(comment.target)
        case .trace(let target, _): ids.append(target)
        default: break
        }
        return ids
    }

    /// The same event with the IDs of things replaced; its own only where that is a message's or a run's.
    public func renaming(_ name: (String) throws -> String) rethrows -> Event {
        var event = self
        if idSpace != .other { event.id = try name(id) }
        event.thread = try thread.map(name)
        switch body {
        case .message(var message):
            message.replyTo = try message.replyTo.map(name)
            message.retryOf = try message.retryOf.map(name)
            event.body = .message(message)
        case .feedback(var feedback):
            feedback.target = try name(feedback.target)
            event.body = .feedback(feedback)
        case .run(var part):
            part.parent = try part.parent.map(name)
            part.within = try part.within.map(name)
            event.body = .run(part)
        case .score(var score):
            score.target = try name(score.target)
            event.body = .score(score)
        case .comment(var comment):
            comment.target = try name(comment.target)
            event.body = .comment(comment)
        case .trace(let target, let trace): event.body = .trace(target: try name(target), trace: trace)
        default: break
        }
        return event
    }
}
