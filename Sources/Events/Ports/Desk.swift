/// Where a door asks: what is stored in the projects its key opens, in the documents of the read API, and what changes there.
///
/// A document is JSON as the read API answers it; its members are described in `protocol/openapi.json`. What a door needs
/// beyond them it finds in `extra`, which is a run's own and kept as it was sent.
public protocol Desk: Sendable {
    var now: Timestamp { get }

    /// The projects the key opens.
    func projects() async throws(Refusal) -> [Project]
    /// The project of that name or ID. A key of one project has that one, whatever the name; nil is a workspace key's first.
    /// Throws `project_unknown` unless it may be made.
    func project(_ name: String?, creating: Bool) async throws(Refusal) -> Project

    /// Takes a project away with all that was recorded in it; only for a key that opens several.
    func deleteProject(_ project: Project) async throws(Refusal)

    /// Admits and commits; one verdict an item, in order. Refused as a whole like any other parcel of the key.
    func write(_ items: [Parcel.Item], to project: Project) async -> [Verdict]

    /// `{"thread":{…},"items":[…],"runs":[…]}`: a conversation whole, as `GET /v1/threads/{id}`.
    func conversation(_ thread: String, in project: Project) async throws(Refusal) -> JSONText?
    /// Thread summaries as in `GET /v1/threads`, newest activity first.
    func threads(in project: Project, limit: Int, after cursor: String?) async throws(Refusal) -> (threads: [JSONText], next: String?)
    /// The thread with that `number`, a member of its documents that never changes.
    func thread(number: Int64) async throws(Refusal) -> (project: Project, id: String)?

    /// A run with all below it, as in `GET /v1/runs/{id}`.
    func run(_ id: String, in project: Project) async throws(Refusal) -> JSONText?
    /// Runs without those below them, the greatest ID first.
    func runs(in project: Project, matching filter: RunFilter, limit: Int) async throws(Refusal) -> [JSONText]
    /// The project of a run that the key may read.
    func projectOfRun(_ id: String) async throws(Refusal) -> Project?
    /// `{"up","down","votes":[…]}`; nil where neither a message nor a run nor a vote of that ID is there.
    func feedback(on target: String, in project: Project) async throws(Refusal) -> JSONText?

    /// The events of one of the project's own types (`queue`), whole, in the order of commit.
    func events(ofType type: String, in project: Project) async throws(Refusal) -> [JSONText]
}

/// Which runs to read; nil means no matter.
public struct RunFilter: Sendable {
    /// IDs below this one only.
    public var before: String?
    public var thread: String?
    /// Those under this run, at any depth.
    public var under: String?
    /// Those whose `extra` has this text under this name.
    public var extra: (name: String, value: String)?
    public init(before: String? = nil, thread: String? = nil, under: String? = nil, extra: (name: String, value: String)? = nil) {
        self.before = before
        self.thread = thread
        self.under = under
        self.extra = extra
    }
}

/// A desk with nobody behind it: for entrances without a key, and for gateways that only write.
public struct NoDesk: Desk {
    public init() {}
    public var now: Timestamp { Timestamp(microseconds: 0) }
    public func projects() async throws(Refusal) -> [Project] { [] }
    public func project(_ name: String?, creating: Bool) async throws(Refusal) -> Project { throw Refusal(.missingKey) }
    public func deleteProject(_ project: Project) async throws(Refusal) { throw Refusal(.missingKey) }
    public func write(_ items: [Parcel.Item], to project: Project) async -> [Verdict] {
        [Verdict](repeating: .dropped(Refusal(.missingKey)), count: items.count)
    }
    public func conversation(_ thread: String, in project: Project) async throws(Refusal) -> JSONText? { nil }
    public func threads(in project: Project, limit: Int, after cursor: String?) async throws(Refusal) -> (
        threads: [JSONText], next: String?
    ) {
        ([], nil)
    }
    public func thread(number: Int64) async throws(Refusal) -> (project: Project, id: String)? { nil }
    public func run(_ id: String, in project: Project) async throws(Refusal) -> JSONText? { nil }
    public func runs(in project: Project, matching filter: RunFilter, limit: Int) async throws(Refusal) -> [JSONText] { [] }
    public func projectOfRun(_ id: String) async throws(Refusal) -> Project? { nil }
    public func feedback(on target: String, in project: Project) async throws(Refusal) -> JSONText? { nil }
    public func events(ofType type: String, in project: Project) async throws(Refusal) -> [JSONText] { [] }
}
