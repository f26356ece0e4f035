/// One dialect: bytes in, events out; verdicts in, that dialect's reply out. Pure, no I/O.
public protocol Door: Sendable {
    /// The addresses this door answers, each with its bounds.
    var entrances: [Entrance] { get }

    /// Reads a body. What is wrong with one event is that item's refusal; only a body that can't be read at all throws.
    func decode(_ body: [UInt8], contentType: String?, at entrance: Entrance, lane: Lane) throws(Refusal) -> Parcel

    /// The answer to a parcel, one verdict an item, in order.
    func reply(to verdicts: [Verdict], of parcel: Parcel) -> Reply

    /// The answer to a request that was refused as a whole.
    func reply(to refusal: Refusal) -> Reply
}

/// A door that also speaks over a WebSocket, in frames of its own.
public protocol SocketDoor: Door {
    /// The subprotocol it answers to (RFC 6455, section 1.9).
    var subprotocol: String { get }
    var socketPath: String { get }
    func decode(frame: [UInt8], lane: Lane) -> ClientFrame
    func encode(_ frame: ServerFrame) -> [UInt8]
}

public struct Entrance: Sendable, Hashable {
    public var path: String
    public var transport: Transport
    /// The largest body after decompression, in bytes, by lane.
    public var publicBodyLimit: Int
    public var secretBodyLimit: Int

    public init(path: String, transport: Transport, publicBodyLimit: Int, secretBodyLimit: Int) {
        self.path = path
        self.transport = transport
        self.publicBodyLimit = publicBodyLimit
        self.secretBodyLimit = secretBodyLimit
    }

    public func bodyLimit(for lane: Lane) -> Int { lane == .public ? publicBodyLimit : secretBodyLimit }
}

/// What a body held, in the order it held it.
public struct Parcel: Sendable {
    public var items: [Item]
    /// The sender's clock when it sent this; tells how far off it is.
    public var sentAt: Timestamp?

    public init(items: [Item], sentAt: Timestamp? = nil) { (self.items, self.sentAt) = (items, sentAt) }

    public enum Item: Sendable {
        case event(Event)
        case refused(RefusedItem)

        public var id: String? {
            switch self {
            case .event(let event): event.id
            case .refused(let item): item.id
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

    public init(status: Int, contentType: String = "application/json", body: [UInt8], retryAfterSeconds: Int? = nil) {
        self.status = status
        self.contentType = contentType
        self.body = body
        self.retryAfterSeconds = retryAfterSeconds
    }
}

/// What a client says on a socket.
public enum ClientFrame: Sendable {
    case hello(client: String?, token: String?)
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
        public init(index: Int, id: String?, verdict: Verdict) { (self.index, self.id, self.verdict) = (index, id, verdict) }
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
