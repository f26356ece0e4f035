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
        case run(RunPart)
        case score(Score)
        /// A type from a later version; its fields are in `Event.unknown`.
        case other(type: String)
    }

    public struct User: Sendable, Equatable {
        public var id: String
        public var props: JSONText?
        public init(id: String, props: JSONText? = nil) { (self.id, self.props) = (id, props) }
    }

    public struct ThreadPatch: Sendable, Equatable {
        public enum Status: String, Sendable { case active, inactive }
        public var tags: [String]
        public var status: Status?
        public init(tags: [String] = [], status: Status? = nil) { (self.tags, self.status) = (tags, status) }
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
        public init(target: String, thumb: Thumb?, comment: String? = nil) {
            (self.target, self.thumb, self.comment) = (target, thumb, comment)
        }
    }

    public enum RunKind: String, Sendable, CaseIterable { case llm, agent, tool, chain, retriever, embedding }

    /// A start, an end or a patch of a run; parts that share an ID fold into one run, field by field.
    public struct RunPart: Sendable, Equatable {
        public var kind: RunKind?
        public var name: String?
        public var parent: String?
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
        public init() {}
    }

    public struct Score: Sendable, Equatable {
        /// A thread, message or run ID.
        public var target: String
        public var name: String
        public var value: Double?
        public var category: String?
        public var reason: String?
        public var author: String?
        public init(
            target: String, name: String, value: Double? = nil, category: String? = nil, reason: String? = nil, author: String? = nil
        ) {
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
        case .other(let type): type
        }
    }

    /// IDs are unique within a project and one of these: a message and the run that answers it may share theirs
    /// (a trace whose ID is the message's), and neither can be squatted by an event of another type.
    public enum IDSpace: Int, Sendable { case message = 0, run = 1, other = 2 }

    public var idSpace: IDSpace {
        switch body {
        case .message: .message
        case .run: .run
        default: .other
        }
    }
}
