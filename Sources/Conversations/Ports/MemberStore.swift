public import Events

/// Somebody who may sign in to the review page.
public struct Member: Sendable, Equatable {
    /// What somebody may do; each may do what the ones before it may.
    public enum Role: String, Sendable, CaseIterable, Comparable {
        /// Reads and exports.
        case reader
        /// Judges: thumbs, scores, comments, tags, status.
        case reviewer
        /// Sets up projects, keys and people, replays quarantine, erases.
        case admin

        public static func < (a: Role, b: Role) -> Bool { allCases.firstIndex(of: a)! < allCases.firstIndex(of: b)! }
    }

    /// The name of record, made once: `mem_…`.
    public var id: String
    /// Unique in the installation: scores and comments carry it.
    public var name: String
    public var role: Role
    /// The IDs of the projects they see; nil: all of them. An admin sees all.
    public var projects: [String]?
    /// A derived key with its parameters (`PasswordDigest`); nil: signs in by link only.
    public var password: String?
    public var createdAt: Timestamp
    public var lastSeenAt: Timestamp?

    public init(
        id: String, name: String, role: Role, projects: [String]? = nil, password: String? = nil, createdAt: Timestamp,
        lastSeenAt: Timestamp? = nil
    ) {
        self.id = id
        self.name = name
        self.role = role
        self.projects = projects
        self.password = password
        self.createdAt = createdAt
        self.lastSeenAt = lastSeenAt
    }
}

/// Who may sign in, their one-time links and their sessions; secrets come and stay as digests.
public protocol MemberStore: Sendable {
    /// Oldest first.
    func members() async throws -> [Member]
    /// Throws `ControlFailure.nameTaken` when there is one of that name, whatever its case.
    func insert(_ member: Member) async throws
    /// Throws `ControlFailure.nameTaken`. Does nothing where there is no member of that ID.
    func update(_ member: Member) async throws
    /// Takes somebody away with their links, sessions, marks and unshared views; answers whether they were there.
    func removeMember(_ id: String) async throws -> Bool

    /// One-time sign-in links.
    func insertSignIn(_ digest: [UInt8], of member: String, expiresAt: Timestamp) async throws
    /// Uses a link up; answers whose it was, nil where it is too old, used or unknown.
    func useSignIn(_ digest: [UInt8], at time: Timestamp) async throws -> Member?
    func insertSession(_ digest: [UInt8], of member: String, expiresAt: Timestamp) async throws
    /// Who a session belongs to, and that they were seen (noted at most once a minute).
    func member(ofSession digest: [UInt8], at time: Timestamp) async throws -> Member?
    func removeSession(_ digest: [UInt8]) async throws
    /// Ends all sessions and links of somebody but one session.
    func endSessions(of member: String, except digest: [UInt8]?) async throws
}
