/// Where admitted events are committed: a store, or a stream in front of one.
public protocol EventSink: Sendable {
    /// Commits deliveries together and says what became of each event, in order.
    ///
    /// P-ACK-2: it returns after commit at the sink's level, or throws and has kept nothing. Verdicts of admitted events
    /// come back per delivery, followed by those of what it set aside; its tally is booked in the same commit.
    ///
    /// A delivery that has a `position` may come again, whole and unchanged, after it was committed: a store books it once
    /// (`StreamPosition`). What it then answers of it nobody reads.
    ///
    /// A commit of no deliveries at all says whether a commit could be had: it throws as any other would.
    func append(_ deliveries: [Delivery]) async throws(SinkFailure) -> [[Verdict]]

    /// Where commits run, for whoever commits one after the other to be there already; nil where it makes no difference.
    var executor: (any TaskExecutor)? { get }

    /// How far a shard of a stream is committed here; nil where the sink keeps no marks. A shard nobody has brought yet is at 0.
    func reached(_ stream: String, shard: Int) async throws(SinkFailure) -> StreamMark?
}

extension EventSink {
    public var executor: (any TaskExecutor)? { nil }

    public func reached(_ stream: String, shard: Int) async throws(SinkFailure) -> StreamMark? { nil }
}

/// One request's or frame's worth of admitted events on the way to a sink.
public struct Delivery: Sendable {
    public var source: Source
    public var receivedAt: Timestamp
    public var events: [AdmittedEvent]
    /// What could not be admitted but is worth keeping.
    public var setAside: [SetAside]
    /// What was received and already refused; the sink adds the verdicts it reaches itself.
    public var tally: Tally
    /// When conversations of the project may be scored; nil: at any time.
    public var scoring: ScoringRule?
    /// Where it stood in a stream that carried it here; nil: it came straight from a gateway, and comes once.
    public var position: StreamPosition?

    /// What it holds in bytes, about.
    public var size: Int { events.indices.reduce(0) { $0 + events[$1].size } + setAside.reduce(0) { $0 + $1.payload.bytes.count } }

    public init(source: Source, receivedAt: Timestamp, events: [AdmittedEvent], setAside: [SetAside] = [], tally: Tally) {
        self.source = source
        self.receivedAt = receivedAt
        self.events = events
        self.setAside = setAside
        self.tally = tally
    }
}

/// Where in a stream a delivery stands, so that a store can tell one that comes again from a new one.
///
/// Events alone would need none of it: the same event again is a `duplicate`. A tally would be added up twice. So a store that
/// takes deliveries from a stream keeps, for each `stream` and `shard`, a `StreamMark` in a row of its own, and in the transaction
/// of `append`: locks that row, asks it of every delivery in the order given (`StreamMark.admit`), skips whole what it does not
/// admit (no event, nothing set aside, no tally; any verdicts), and writes it back. Drains work a shard in order and without gaps,
/// and two that overlap for a moment wait for each other at that row; what is skipped is therefore always committed.
///
/// A store may fall back behind what it once answered: a standby took over that lacks the last commits, or a backup was restored. Its
/// marks fall back with it, so it tells: it refuses a delivery that comes `after` one it does not have (`behind`), and is then brought all that
/// its mark lacks.
public struct StreamPosition: Sendable, Hashable {
    public var stream: String
    public var shard: Int
    /// Grows along the stream; not every number occurs in a shard.
    public var sequence: UInt64
    /// When the stream took it, in nanoseconds since 1970 by its servers' clocks.
    public var storedAt: Int64
    /// The last of the shard that whoever brings this one has seen committed; 0: he has seen none.
    public var after: UInt64 = 0

    public init(stream: String, shard: Int, sequence: UInt64, storedAt: Int64) {
        (self.stream, self.shard, self.sequence, self.storedAt) = (stream, shard, sequence, storedAt)
    }
}

/// How far a store has committed a shard of a stream.
public struct StreamMark: Sendable, Hashable {
    public var sequence: UInt64
    /// The latest `storedAt` of what was committed.
    public var storedAt: Int64

    public init(sequence: UInt64 = 0, storedAt: Int64 = .min) { (self.sequence, self.storedAt) = (sequence, storedAt) }

    /// Whether what came before a delivery is committed, as far as whoever brings it knows.
    public func covers(_ position: StreamPosition) -> Bool { position.after <= sequence }

    /// Whether a delivery is new, and if so moves up to it.
    ///
    /// A stream that was made anew, or that lost its end with its machine's power, counts from a lower number again. What it then
    /// takes is later than anything committed before, and is new for that.
    public mutating func admit(_ position: StreamPosition) -> Bool {
        guard position.sequence > sequence || position.storedAt > storedAt else { return false }
        self = StreamMark(sequence: position.sequence, storedAt: max(storedAt, position.storedAt))
        return true
    }
}

/// A project's policy on scores, with the time after which its conversations are inactive.
public struct ScoringRule: Sendable, Equatable {
    public var rule: Project.Scoring
    public var inactiveAfterSeconds: Double
    public init(rule: Project.Scoring, inactiveAfterSeconds: Double) {
        (self.rule, self.inactiveAfterSeconds) = (rule, inactiveAfterSeconds)
    }
}

/// An event that passed admission.
///
/// A class, since it goes through many hands: a copy of all that is in an event counts a dozen references, this one counts one.
public final class AdmittedEvent: Sendable {
    public let event: Event
    /// The event beside what a store keeps in columns, written where it was admitted: a store has one writer, and many senders.
    public let payload: JSONText
    /// When it happened by our reckoning: the sender's time, with a clock that was off corrected.
    public let at: Timestamp
    /// The fingerprint of its content.
    public let digest: ContentDigest
    /// The other names of the IDs in it, where its project has senders who use such names.
    public let names: [IDNames]
    /// Whether its own IDs may be such names.
    public let usesSchemeNames: Bool
    /// Whether a message may share its ID with one of another role: a question and its answer.
    public let pairsShareIDs: Bool

    /// What it holds in bytes, about: its text, and all else it says.
    public var size: Int {
        guard case .message(let message) = event.body, case .text(let text) = message.content else { return payload.bytes.count }
        return payload.bytes.count + text.utf8.count
    }

    public convenience init(
        event: Event, at: Timestamp, digest: ContentDigest, names: [IDNames] = [], usesSchemeNames: Bool = false,
        pairsShareIDs: Bool = false
    ) {
        let payload = event.json(.besideColumns)
        self.init(event, payload, at, digest, names, usesSchemeNames, pairsShareIDs)
    }

    private init(
        _ event: Event, _ payload: JSONText, _ at: Timestamp, _ digest: ContentDigest, _ names: [IDNames], _ usesSchemeNames: Bool,
        _ pairsShareIDs: Bool
    ) {
        (self.event, self.payload, self.at, self.digest) = (event, payload, at, digest)
        (self.names, self.usesSchemeNames, self.pairsShareIDs) = (names, usesSchemeNames, pairsShareIDs)
    }

    /// The same with another event, whose digest stays: it is of what the sender said.
    public func saying(_ event: Event) -> AdmittedEvent {
        AdmittedEvent(event: event, at: at, digest: digest, names: names, usesSchemeNames: usesSchemeNames, pairsShareIDs: pairsShareIDs)
    }

    /// The same, with what its IDs are called.
    public func named(_ names: [IDNames], usesSchemeNames: Bool, pairsShareIDs: Bool) -> AdmittedEvent {
        AdmittedEvent(event, payload, at, digest, names, usesSchemeNames, pairsShareIDs)
    }
}

/// An ID and what else it is called (`IDScheme`).
public struct IDNames: Sendable, Equatable {
    public var id: String
    public var names: [String]
    public init(id: String, names: [String]) { (self.id, self.names) = (id, names) }
}

/// Something kept in quarantine: whole, with its reason.
public struct SetAside: Sendable {
    public var id: String?
    public var type: String?
    public var refusal: Refusal
    public var payload: JSONText

    public init(id: String?, type: String?, refusal: Refusal, payload: JSONText) {
        (self.id, self.type, self.refusal, self.payload) = (id, type, refusal, payload)
    }
}

/// A sink could not commit. Nothing of the deliveries was kept.
public struct SinkFailure: Error, Sendable {
    /// `behind`: the store lacks what came before in a stream, and was told that it has it.
    public enum Cause: Sendable { case unavailable, diskFull, overloaded, draining, behind }
    public var cause: Cause
    public var description: String
    public init(_ cause: Cause, _ description: String) { (self.cause, self.description) = (cause, description) }

    public var refusal: Refusal {
        switch cause {
        case .unavailable, .behind: Refusal(.storeUnavailable)
        case .overloaded: Refusal(.overloaded)
        case .draining: Refusal(.draining)
        case .diskFull: Refusal(.diskFull, retryAfterMilliseconds: 5000)
        }
    }
}
