public import Events

/// What a list of threads is narrowed to; nil means no matter.
public struct ThreadFilter: Sendable, Equatable {
    public enum FeedbackKind: String, Sendable { case up, down, any, none }
    /// Words that all stand in one message's text.
    public var words: String?
    public var user: String?
    public var tag: String?
    public var role: Event.Role?
    public var feedback: FeedbackKind?
    public var from: Timestamp?
    public var to: Timestamp?
    public var status: Event.ThreadPatch.Status?
    public var score: ScoreCondition?
    public var provenance: ProvenanceKind?
    /// Whether a run of it failed.
    public var hasError: Bool?
    public var runs: RunState?
    /// Whether somebody reviewed it since its last activity.
    public var isReviewed: Bool?
    /// Whether the viewer has seen its last activity.
    public var isSeen: Bool?
    /// The member whose marks the answer carries.
    public var viewer: String?
    public init() {}

    /// Threads with a message that came this way, or whose words a run confirms or contradicts.
    public enum ProvenanceKind: String, Sendable, CaseIterable { case verified, claimed, anonymous, confirmed, differs }
    /// Threads with a run that hangs under no message, or whose parent has not arrived.
    public enum RunState: String, Sendable, CaseIterable { case orphan, pending }

    /// A score that stands on the conversation or on a message of it.
    public enum ScoreCondition: Sendable, Equatable {
        case any, none
        case named(String)
        case value(String, Comparison, Double)
        case category(String, String)
    }
    public enum Comparison: String, Sendable, CaseIterable {
        case atLeast = ">=", atMost = "<=", above = ">", below = "<", equal = "="
    }
}

public struct Page<Item: Sendable>: Sendable {
    public var items: [Item]
    /// An opaque cursor to the next page; nil at the end.
    public var next: String?
    /// Whether there may be more than can be found: a word that is in very many messages is looked up in the newest of them.
    public var isPartial: Bool
    public init(items: [Item], next: String?, isPartial: Bool = false) {
        (self.items, self.next, self.isPartial) = (items, next, isPartial)
    }
}

/// An event as it was stored, in the order of commit; what export and tail carry.
public struct StoredEvent: Sendable {
    public var sequence: Int64
    public var project: ProjectID
    public var event: Event
    public var at: Timestamp
    public var receivedAt: Timestamp
    public var source: Source
    public init(sequence: Int64, project: ProjectID, event: Event, at: Timestamp, receivedAt: Timestamp, source: Source) {
        self.sequence = sequence
        self.project = project
        self.event = event
        self.at = at
        self.receivedAt = receivedAt
        self.source = source
    }
}

/// Reads conversations back; a read after a verdict sees what the verdict was about. Search alone follows a little behind.
public protocol ConversationStore: Sendable {
    /// Newest activity first. Throws `ReadFailure.badCursor` for a cursor no page gave out.
    func threads(in project: Project, matching filter: ThreadFilter, limit: Int, after cursor: String?, now: Timestamp) async throws
        -> Page<ThreadSummary>
    /// Items in order of time. nil when there is no such thread.
    func conversation(_ thread: String, in project: Project, limit: Int, after cursor: String?, now: Timestamp) async throws
        -> Conversation?
    func message(_ id: String, in project: ProjectID) async throws -> ConversationItem?
    /// A run with all below it, and the message at its root where there is one.
    func run(_ id: String, in project: ProjectID) async throws -> (node: RunNode, message: String?)?
    /// Runs without those below them, the greatest ID first.
    func runs(in project: ProjectID, matching filter: RunFilter, limit: Int) async throws -> [RunNode]
    /// The projects that have a run of that ID.
    func projectOfRun(_ id: String) async throws -> [ProjectID]
    /// The thread of that number.
    func thread(number: Int64) async throws -> (project: ProjectID, id: String)?
    /// nil where neither a message nor a run nor a vote of that ID is there.
    func feedback(on target: String, in project: ProjectID) async throws -> FeedbackSummary?
    /// Events of one type in the order of commit: of a project's own types, which are few.
    func events(ofType type: String, in project: ProjectID) async throws -> [StoredEvent]
    /// Stored events after a sequence number, in the order of commit; of one project or of all.
    func events(after sequence: Int64, in project: ProjectID?, limit: Int) async throws -> [StoredEvent]
    func lastSequence() async throws -> Int64
    /// Links that wait for their other end, counted.
    func pendingLinks(in project: ProjectID) async throws -> Int
}

public enum ReadFailure: Error, Sendable, Equatable { case badCursor }

/// Something in quarantine, with what it was refused for.
public struct QuarantineItem: Sendable {
    public struct Difference: Sendable, Equatable {
        public var field: String
        public var stored: JSONText?
        public var received: JSONText?
        public init(field: String, stored: JSONText?, received: JSONText?) {
            (self.field, self.stored, self.received) = (field, stored, received)
        }
    }
    public var id: String
    public var reason: Reason
    public var field: String?
    public var message: String
    public var eventID: String?
    public var type: String?
    public var receivedAt: Timestamp
    public var source: Source
    public var payload: JSONText
    /// For a conflict: what the original says otherwise.
    public var differs: [Difference]
    public init(
        id: String, reason: Reason, field: String?, message: String, eventID: String?, type: String?, receivedAt: Timestamp, source: Source,
        payload: JSONText, differs: [Difference]
    ) {
        self.id = id
        self.reason = reason
        self.field = field
        self.message = message
        self.eventID = eventID
        self.type = type
        self.receivedAt = receivedAt
        self.source = source
        self.payload = payload
        self.differs = differs
    }
}

/// Why things are in quarantine; nil means no matter.
public struct QuarantineCause: Sendable, Equatable {
    public var reason: Reason?
    /// Of these two, an empty text means those that have none.
    public var field: String?
    public var type: String?
    public init(reason: Reason? = nil, field: String? = nil, type: String? = nil) {
        (self.reason, self.field, self.type) = (reason, field, type)
    }
}

public protocol QuarantineStore: Sendable {
    /// Newest first.
    func quarantine(in project: ProjectID, of cause: QuarantineCause, limit: Int, after cursor: String?) async throws
        -> Page<QuarantineItem>
    func quarantineCounts(in project: ProjectID) async throws -> [Reason: Int]
    func quarantineItems(_ ids: [String], in project: ProjectID) async throws -> [QuarantineItem]
    func removeQuarantineItems(_ ids: [String], in project: ProjectID) async throws
}

/// One key's minute in the outcome ledger.
public struct OutcomeRow: Sendable, Equatable {
    public var key: String
    public var minute: Timestamp
    public var tally: Tally
    public init(key: String, minute: Timestamp, tally: Tally) { (self.key, self.minute, self.tally) = (key, minute, tally) }
}

public protocol OutcomeLedger: Sendable {
    func outcomes(in project: ProjectID, from: Timestamp?, to: Timestamp?) async throws -> [OutcomeRow]
}

/// All that a store does for the rest of the house.
public protocol Store: EventSink, ControlStore, ConversationStore, QuarantineStore, OutcomeLedger, MemberStore, ReviewStore {}
