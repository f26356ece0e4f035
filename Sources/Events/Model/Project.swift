/// A project: whose events these are, and what its keys may do.
public struct Project: Sendable, Equatable {
    public var number: ProjectID
    /// The name of record, made once: `prj_…`.
    public var id: String
    public var name: String
    public var settings: Settings

    public init(number: ProjectID, id: String, name: String, settings: Settings = Settings()) {
        self.number = number
        self.id = id
        self.name = name
        self.settings = settings
    }

    public struct Settings: Sendable, Equatable {
        /// Exact origins (`https://shop.example`) or with a left-most wildcard (`https://*.shop.example`); `:*` stands
        /// for any port. An empty list refuses browsers.
        public var origins: [String] = []
        public var allowsMissingOrigin = false
        public var allowsNullOrigin = false
        /// How much may come with public keys.
        public var quotas = Quotas()
        /// A thread is active until this many seconds pass without a new item. A project that keeps the standard follows what the
        /// installation sets for all.
        public var inactiveAfterSeconds = Self.standardInactiveAfterSeconds
        public static let standardInactiveAfterSeconds: Double = 15 * 60
        public var scoring = Scoring.review
        /// Conversations without activity for this many days are erased; nil: kept.
        public var retentionDays: Int?
        public var checks = Checks()
        /// What proofs of users are signed with: two may be live, so that one can replace the other.
        public var identityKeys: [IdentityKey] = []
        /// What is taken out of texts before they are stored, in the order in which rules win.
        public var scrubbing: [ScrubbingRule] = []
        public init() {}
    }

    /// How much a check has to say.
    public enum CheckMode: String, Sendable, CaseIterable {
        /// Nothing is looked at.
        case off
        /// Everything passes; what `enforce` would refuse is counted.
        case dryRun = "dry_run"
        case enforce
    }

    /// What is checked of a sender, each in a mode of its own.
    public struct Checks: Sendable, Equatable {
        public enum Name: String, Sendable, CaseIterable { case key, origin, identity, quota, schema }

        private var modes: [Name: CheckMode] = [:]

        public init() {}

        /// Off: revoked and expired keys still open (`key`), any page may use a public key (`origin`), nobody proves who they are
        /// (`identity`), nobody is slowed down (`quota`), and what an event says beside what it needs may break its rules (`schema`).
        public subscript(name: Name) -> CheckMode {
            get { modes[name] ?? (name == .identity ? .off : .enforce) }
            set { modes[name] = newValue }
        }

        public static func == (a: Self, b: Self) -> Bool { Name.allCases.allSatisfy { a[$0] == b[$0] } }
    }

    /// What proofs of users are signed with (RFC 7518, section 3; RFC 8037): a secret that is shared, or the public half of a pair.
    public struct IdentityKey: Sendable, Equatable {
        /// Pinned: a token of another algorithm is refused, whatever it says of itself.
        public enum Algorithm: String, Sendable, CaseIterable { case hs256 = "HS256", es256 = "ES256", edDSA = "EdDSA" }

        /// How many may be live at once.
        public static let most = 2

        /// `idk_…`; a token may name it as `kid`.
        public var id: String
        public var algorithm: Algorithm
        /// The secret of HS256, sealed.
        public var sealed: [UInt8]?
        /// The public key of the others, as PEM.
        public var pem: String?
        public var createdAt: Timestamp

        public init(id: String, algorithm: Algorithm, sealed: [UInt8]? = nil, pem: String? = nil, createdAt: Timestamp) {
            self.id = id
            self.algorithm = algorithm
            self.sealed = sealed
            self.pem = pem
            self.createdAt = createdAt
        }
    }

    /// Who may score a conversation when, and what becomes of scores when it goes on.
    public enum Scoring: String, Sendable, CaseIterable {
        /// People score an inactive conversation, and their scores are taken off when it goes on; those of programs come at
        /// any time and are then stale.
        case review
        /// Anybody at any time; scores stay.
        case open
        /// Nobody scores an active conversation, and all scores are taken off when it goes on.
        case strict
    }

    /// So much a second, and the burst above it.
    public struct Quota: Sendable, Equatable {
        public var perSecond: Double
        public var burst: Double
        public init(perSecond: Double, burst: Double) { (self.perSecond, self.burst) = (perSecond, burst) }
    }

    /// The quotas of all whose events can be told apart, in events and in bytes of what they say.
    public struct Quotas: Sendable, Equatable {
        public enum Owner: String, Sendable, CaseIterable {
            /// A public key.
            case key
            /// An IPv4 address, or the /56 that an IPv6 customer has.
            case address
            /// One socket, as long as it is open.
            case session
            /// A conversation, whoever writes in it; what goes beyond costs nothing else in its batch.
            case thread
            /// All public keys of the project together.
            case project
        }
        public enum Unit: String, Sendable, CaseIterable { case events, bytes }

        private var quotas: [Quota?]

        /// The standard: an office behind one address chats undisturbed, and a loop that went mad does not.
        public init() {
            quotas = Self.none.quotas
            self[.key, .events] = Quota(perSecond: 2000, burst: 20_000)
            self[.address, .events] = Quota(perSecond: 50, burst: 1000)
            self[.address, .bytes] = Quota(perSecond: 1e6, burst: 64e6)
        }

        private init(quotas: [Quota?]) { self.quotas = quotas }

        public static let none = Quotas(quotas: [Quota?](repeating: nil, count: Owner.allCases.count * Unit.allCases.count))

        /// nil: no limit.
        public subscript(owner: Owner, unit: Unit) -> Quota? {
            get { quotas[Self.place(owner, unit)] }
            set { quotas[Self.place(owner, unit)] = newValue }
        }

        private static func place(_ owner: Owner, _ unit: Unit) -> Int {
            let owner =
                switch owner {
                case .key: 0;
                case .address: 1;
                case .session: 2;
                case .thread: 3;
                case .project: 4
                }
            return 2 * owner + (unit == .events ? 0 : 1)
        }
    }
}

/// A key as the store keeps it: what it opens, never the secret text.
public struct KeyRecord: Sendable, Equatable {
    public enum Scope: String, Sendable { case project, workspace }

    /// The public name of the key, shown in lists and kept beside events: `key_…`.
    public var id: String
    public var lane: Lane
    public var scope: Scope
    /// nil for a workspace key.
    public var project: ProjectID?
    /// SHA-256 of the key's text.
    public var digest: [UInt8]
    /// The text itself for a public key (it is in every page), else the first characters for people to tell keys apart.
    public var shown: String
    public var label: String?
    public var createdAt: Timestamp
    public var expiresAt: Timestamp?
    public var revokedAt: Timestamp?
    /// The text, encrypted, once a sender has named its IDs with it: messages that come later must be found by those names.
    public var sealed: [UInt8]?
    /// Whether what was stored before that still has to be given those names.
    public var owesNames: Bool

    public init(
        id: String, lane: Lane, scope: Scope, project: ProjectID?, digest: [UInt8], shown: String, label: String? = nil,
        createdAt: Timestamp, expiresAt: Timestamp? = nil, revokedAt: Timestamp? = nil, sealed: [UInt8]? = nil, owesNames: Bool = false
    ) {
        self.sealed = sealed
        self.owesNames = owesNames
        self.id = id
        self.lane = lane
        self.scope = scope
        self.project = project
        self.digest = digest
        self.shown = shown
        self.label = label
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.revokedAt = revokedAt
    }
}
