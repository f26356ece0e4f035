/// One dialect: bytes in, events out; verdicts in, that dialect's reply out. Pure, no I/O.
public protocol Door: Sendable {
    /// The addresses this door answers, each with its bounds.
    var entrances: [Entrance] { get }

    /// The other names this dialect gives to IDs; nil where it uses them as they are.
    var idScheme: IDScheme? { get }

    /// Reads a body. What is wrong with one event is that item's refusal; only a body that can't be read at all throws.
    func decode(_ request: DoorRequest) throws(Refusal) -> Parcel

    /// The answer to a parcel, one verdict an item, in order.
    func reply(to verdicts: [Verdict], of parcel: Parcel, for request: DoorRequest) -> Reply

    /// The answer to a request that was refused as a whole; `contentType` is the request's.
    func reply(to refusal: Refusal, at entrance: Entrance, contentType: String?) -> Reply
}

extension Door {
    public var idScheme: IDScheme? { nil }
}

/// A door whose dialect also asks: its entrances marked `asks` are answered here instead.
public protocol AskingDoor: Door {
    /// Answers a question, or a change that has to look first. What it throws is answered by `reply(to:at:contentType:)`.
    func answer(_ request: DoorRequest, at desk: any Desk) async throws(Refusal) -> Reply
}

/// A door that also speaks over a WebSocket, in frames of its own.
public protocol SocketDoor: Door {
    /// The subprotocol it answers to (RFC 6455, section 1.9).
    var subprotocol: String { get }
    var socketPath: String { get }
    func decode(frame: [UInt8], lane: Lane) -> ClientFrame
    func encode(_ frame: ServerFrame) -> [UInt8]
}

/// An address of a door.
public struct Entrance: Sendable, Hashable {
    public enum Method: String, Sendable, Hashable { case get = "GET", post = "POST", put = "PUT", patch = "PATCH", delete = "DELETE" }

    /// Where a request carries its key.
    public enum KeyPlace: Sendable, Hashable {
        /// `Authorization: Bearer KEY`.
        case bearer
        /// `Authorization: KEY`, without a scheme.
        case bareAuthorization
        case header(String)
        /// `?key=KEY`.
        case query
    }

    public var method: Method
    /// Segments; `{name}` stands for one of them.
    public var path: String
    /// Whether other segments may stand in front, as in a base address with a path of its own.
    public var underAnyPrefix: Bool
    public var transport: Transport
    /// Looked at in this order; the first that is there counts.
    public var keyPlaces: [KeyPlace]
    /// Whether it is answered without a key.
    public var isOpen: Bool
    /// Whether a public key may come without an Origin: SDKs that run in backends use theirs.
    public var servesBackends: Bool
    /// Whether `AskingDoor.answer` answers it, rather than `decode` and `reply`.
    public var asks: Bool
    /// The largest body after decompression, in bytes, by lane.
    public var publicBodyLimit: Int
    public var secretBodyLimit: Int

    public init(
        _ method: Method = .post, path: String, underAnyPrefix: Bool = false, transport: Transport,
        keyPlaces: [KeyPlace] = [.bearer, .header("X-API-Key"), .query], isOpen: Bool = false, servesBackends: Bool = false,
        asks: Bool = false, publicBodyLimit: Int, secretBodyLimit: Int
    ) {
        self.method = method
        self.path = path
        self.underAnyPrefix = underAnyPrefix
        self.transport = transport
        self.keyPlaces = keyPlaces
        self.isOpen = isOpen
        self.servesBackends = servesBackends
        self.asks = asks
        self.publicBodyLimit = publicBodyLimit
        self.secretBodyLimit = secretBodyLimit
    }

    public func bodyLimit(for lane: Lane) -> Int { lane == .public ? publicBodyLimit : secretBodyLimit }
}

/// A request at an entrance, once its key is known and its body is whole and inflated.
public struct DoorRequest: Sendable {
    public var entrance: Entrance
    public var lane: Lane
    /// The name of the only project the key opens; nil where it opens several.
    public var project: String?
    /// The segments that stand for `{name}` in the entrance's path, percent-decoded.
    public var parameters: [String: String]
    /// The query's values, decoded, of two with one name the first; empty where the entrance does not ask.
    public var query: [String: String]
    public var contentType: String?
    public var body: [UInt8]
    public var receivedAt: Timestamp

    public init(
        entrance: Entrance, lane: Lane, project: String? = nil, parameters: [String: String] = [:], query: [String: String] = [:],
        contentType: String? = nil, body: [UInt8] = [], receivedAt: Timestamp
    ) {
        self.entrance = entrance
        self.lane = lane
        self.project = project
        self.parameters = parameters
        self.query = query
        self.contentType = contentType
        self.body = body
        self.receivedAt = receivedAt
    }
}

/// Other names that a dialect gives to an ID before it sends it.
public struct IDScheme: Sendable {
    /// The names of `id` for a sender who holds `key`.
    public var names: @Sendable (_ id: String, _ key: String) -> [String]
    public init(names: @escaping @Sendable (_ id: String, _ key: String) -> [String]) { self.names = names }
}

/// What a body held, in the order it held it.
public struct Parcel: Sendable {
    /// The project an item is meant for.
    public enum Destination: Sendable, Hashable {
        /// The key's own, or the one the request names.
        case own
        /// Named in the body: heeded where the key opens several, and made on first use.
        case named(String)
        /// The project of another key in the body: heeded where this key may write there too.
        case ofKey(String)
    }

    public var items: [Item]
    /// The sender's clock when it sent this; tells how far off it is.
    public var sentAt: Timestamp?
    /// The proof of the user whose events these are, where the body has it (P-AUTH-2); never kept.
    public var token: String?
    /// Whether the sender wants receipts of what is stored.
    public var wantsReceipts = false
    /// They, one an item, put in before the reply; nil where there is nothing to prove.
    public var receipts: [String?] = []
    /// One an item; empty: all of them go to `own`.
    public var destinations: [Destination] = []
    /// Whether the IDs in it are names that the door's `idScheme` made with the key it came with.
    public var usesSchemeNames = false
    /// Whether the dialect gives a question and its answer one ID.
    public var pairsShareIDs = false

    public init(items: [Item], sentAt: Timestamp? = nil) { (self.items, self.sentAt) = (items, sentAt) }

    // By index: a loop over the items would make a copy of each, with all that hangs on an event.

    /// What the items are called, in order.
    public var itemIDs: [String?] { items.indices.map { items[$0].id } }

    /// What they say in bytes, about.
    public var size: Int { items.indices.reduce(0) { $0 + items[$1].size } }

    /// Each in a box: an item goes through several hands, and a copy of all that is in an event counts a dozen references.
    public indirect enum Item: Sendable {
        case event(Event)
        case refused(RefusedItem)

        public var id: String? {
            switch self {
            case .event(let event): event.id
            case .refused(let item): item.id
            }
        }

        /// What it says in bytes, about.
        public var size: Int {
            switch self {
            case .event(let event): event.size
            case .refused(let item): item.payload?.bytes.count ?? 0
            }
        }
    }
}

/// Something that was meant as an event and can't be one as it is.
public struct RefusedItem: Sendable {
    public var id: String?
    public var type: String?
    public var refusal: Refusal
    /// What was sent, kept when the refusal is one that quarantine can mend; nil when it is not kept.
    public var payload: JSONText?

    public init(id: String?, type: String?, refusal: Refusal, payload: JSONText?) {
        self.id = id
        self.type = type
        self.refusal = refusal
        self.payload = payload
    }
}

/// An answer over HTTP.
public struct Reply: Sendable, Equatable {
    public var status: Int
    public var contentType: String
    public var body: [UInt8]
    /// Seconds for `Retry-After`, where trying again makes sense.
    public var retryAfterSeconds: Int?
    /// More headers, by name.
    public var headers: [String: String]
    /// Whether pages of other origins may read it. Without, `fetch` fails in the page as for a lost connection.
    public var isReadableByPages: Bool

    public init(
        status: Int, contentType: String = "application/json", body: [UInt8] = [], retryAfterSeconds: Int? = nil,
        headers: [String: String] = [:], isReadableByPages: Bool = true
    ) {
        self.status = status
        self.contentType = contentType
        self.body = body
        self.retryAfterSeconds = retryAfterSeconds
        self.headers = headers
        self.isReadableByPages = isReadableByPages
    }
}

/// What a client says on a socket.
public enum ClientFrame: Sendable {
    case hello(client: String?, token: String?, wantsReceipts: Bool = false)
    case batch(number: Int64, Parcel)
    case heartbeat
    case auth(token: String)
    case unknown(type: String)
    case malformed(Refusal)
}

/// What the server says on a socket.
public enum ServerFrame: Sendable, Equatable {
    case welcome(session: String, time: Timestamp, limits: SocketLimits, credits: Int, heartbeatMilliseconds: Int64)
    /// `results` names only the events that were not stored, with their position in the batch.
    case ack(batch: Int64, credits: Int, results: [Result])
    case credits(Int)
    case heartbeat(time: Timestamp)
    case auth(identity: Provenance, reason: String?)
    case error(code: Int, name: String, refusal: Refusal)
    case goodbye(code: Int, reason: String, afterMilliseconds: Int64)

    public struct Result: Sendable, Equatable {
        public var index: Int
        public var id: String?
        public var verdict: Verdict
        public var receipt: String?
        public init(index: Int, id: String?, verdict: Verdict, receipt: String? = nil) {
            (self.index, self.id, self.verdict, self.receipt) = (index, id, verdict, receipt)
        }
    }
}

public struct SocketLimits: Sendable, Equatable {
    public var eventBytes: Int
    public var batchBytes: Int
    public var batchEvents: Int
    public init(eventBytes: Int, batchBytes: Int, batchEvents: Int) {
        (self.eventBytes, self.batchBytes, self.batchEvents) = (eventBytes, batchBytes, batchEvents)
    }
}
