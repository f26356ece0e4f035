/// Which kind of key an event came with: what everyone can read, or what only a backend has.
public enum Lane: String, Sendable, CaseIterable, Hashable { case `public`, secret }

/// What carried an event, by the door's own word where it has one.
public struct Transport: RawRepresentable, Sendable, Hashable {
    public var rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public static let http = Transport(rawValue: "http")
    public static let beacon = Transport(rawValue: "beacon")
    public static let socket = Transport(rawValue: "socket")
    public static let replay = Transport(rawValue: "replay")
    /// The review page.
    public static let review = Transport(rawValue: "review")
}

/// How far the sender is known.
public enum Provenance: String, Sendable, Hashable { case verified, claimed, anonymous }

/// A project by its number in the store; every key, index and cache entry starts with it.
public struct ProjectID: Sendable, Hashable, Comparable, CustomStringConvertible {
    public let number: Int64
    public init(_ number: Int64) { self.number = number }
    public static func < (a: ProjectID, b: ProjectID) -> Bool { a.number < b.number }
    public var description: String { String(number) }
}

/// Where an event came from, as the server saw it; no payload can reach these fields.
public struct Source: Sendable, Hashable {
    public var project: ProjectID
    /// The key's public name (never the secret itself).
    public var key: String
    public var lane: Lane
    public var origin: String?
    public var transport: Transport

    public init(project: ProjectID, key: String, lane: Lane, origin: String? = nil, transport: Transport) {
        self.project = project
        self.key = key
        self.lane = lane
        self.origin = origin
        self.transport = transport
    }

    /// How an event of this source shows where it came from: the secret lane vouches, a page only claims what no token
    /// proves.
    public func provenance(of user: Event.User?) -> Provenance {
        switch lane {
        case .secret: .verified
        case .public: user.map { $0.isProven ? .verified : .claimed } ?? .anonymous
        }
    }
}
