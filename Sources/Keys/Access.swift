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

    public init(key: String?, origin: Origin, address: String, project: String? = nil) {
        self.key = key
        self.origin = origin
        self.address = address
        self.project = project
    }
}

/// What a key opened: a project and a lane.
public struct Access: Sendable {
    public var project: Project
    public var key: KeyRecord
    public var origin: String?
    /// The Origin header as it came, for checking it again.
    var knockedFrom: Knock.Origin
    public var address: AddressBlock

    public var lane: Lane { key.lane }

    public func source(over transport: Transport) -> Source {
        Source(project: project.number, key: key.id, lane: key.lane, origin: origin, transport: transport)
    }
}
