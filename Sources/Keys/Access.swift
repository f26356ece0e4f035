public import Events

/// What a request brings to the door: a key, and what the server saw of its sender.
public struct Knock: Sendable {
    public enum Origin: Sendable, Equatable {
        case missing
        /// The literal `null` of an opaque origin (Fetch standard, 3.2).
        case null
        case named(String)

        public init(header: String?) {
            switch header {
            case nil: self = .missing
            case "null"?: self = .null
            case let text?: self = .named(text)
            }
        }
    }

    public var key: String?
    public var origin: Origin
    /// The client's address: the peer's, or what a trusted proxy says.
    public var address: String
    /// The project a workspace key asks for, by name or ID.
    public var project: String?
    /// Whether a public key may do without an Origin here, since SDKs in backends send none.
    public var mayLackOrigin: Bool

    public init(key: String?, origin: Origin, address: String, project: String? = nil, mayLackOrigin: Bool = false) {
        self.key = key
        self.origin = origin
        self.address = address
        self.project = project
        self.mayLackOrigin = mayLackOrigin
    }
}

/// What a key opened, before a project was chosen: a key of one project has chosen, a workspace key may leave it to the body.
public struct Passage: Sendable {
    public var key: KeyRecord
    /// The key's text as it was sent; never logged or stored.
    public var text: String
    /// The key's project, or the one the knock names.
    public var project: Project?
    var knockedFrom: Knock.Origin
    var mayLackOrigin: Bool
    public var address: AddressBlock
    /// What only a dry run let pass.
    var overlooked: [Reason] = []
    /// The proof of a user that came along, found out by `KeyRing.prove`.
    public var proof = Proof.none

    public var lane: Lane { key.lane }
    public var opensSeveral: Bool { key.project == nil }

    /// The access to the project that is chosen; nil while it is left to the body.
    public var ownAccess: Access? { project.map { access(to: $0) } }

    func access(to project: Project, text: String? = nil) -> Access {
        var origin: String?
        if case .named(let name) = knockedFrom { origin = name }
        return Access(
            project: project, key: key, text: text ?? self.text, origin: origin, knockedFrom: knockedFrom, mayLackOrigin: mayLackOrigin,
            address: address, overlooked: overlooked, proof: proof)
    }
}

/// What a key opened: a project and a lane.
public struct Access: Sendable {
    public var project: Project
    public var key: KeyRecord
    /// The text of the key that the sender's IDs may be named with; never logged or stored.
    public var text: String
    public var origin: String?
    /// The Origin header as it came, for checking it again.
    var knockedFrom: Knock.Origin
    var mayLackOrigin: Bool
    public var address: AddressBlock
    /// What only a dry run let pass: each event that comes this way counts as one that enforcement would have refused.
    public var overlooked: [Reason]
    public var proof: Proof
    /// What tells one socket from others, for its quotas; nil outside of sockets.
    public var session: String?

    public var lane: Lane { key.lane }

    public func source(over transport: Transport) -> Source {
        Source(project: project.number, key: key.id, lane: key.lane, origin: origin, transport: transport)
    }
}
