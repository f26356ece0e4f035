/// What became of one event. Said after commit, and the same for the same event sent again.
///
/// What went wrong stands in a box, since lists of verdicts are made for each parcel and nearly always say that all went well.
public indirect enum Verdict: Sendable, Equatable {
    /// Committed at the store's level.
    case stored
    /// The same ID with the same content was stored before: success.
    case duplicate
    /// The ID is taken by other content; this one is kept in quarantine beside it.
    case conflict(Refusal)
    /// Kept aside with its reason; it can be replayed once the cause is gone.
    case quarantined(Refusal)
    /// Not kept.
    case dropped(Refusal)
    /// Not kept, and may succeed when sent again.
    case retry(Refusal)

    public enum Name: String, Sendable, CaseIterable, Hashable { case stored, duplicate, conflict, quarantined, dropped, retry }

    public var name: Name {
        switch self {
        case .stored: .stored
        case .duplicate: .duplicate
        case .conflict: .conflict
        case .quarantined: .quarantined
        case .dropped: .dropped
        case .retry: .retry
        }
    }

    public var refusal: Refusal? {
        switch self {
        case .stored, .duplicate: nil
        case .conflict(let refusal), .quarantined(let refusal), .dropped(let refusal), .retry(let refusal): refusal
        }
    }
}

/// Why, where and by which rule something was refused.
public struct Refusal: Error, Sendable, Equatable {
    public var reason: Reason
    /// The path of the field, as the sender wrote it (`user.id`), where one is to blame.
    public var field: String?
    /// One sentence for the person who sent it.
    public var message: String
    /// How long to wait before trying again, in milliseconds.
    public var retryAfterMilliseconds: Int64?

    public init(_ reason: Reason, field: String? = nil, _ message: String? = nil, retryAfterMilliseconds: Int64? = nil) {
        self.reason = reason
        self.field = field
        self.message = message ?? reason.explanation.meaning
        self.retryAfterMilliseconds = retryAfterMilliseconds ?? (reason.isTemporary ? 1000 : nil)
    }
}

/// The verdicts of a stretch of events, counted; what the outcome ledger adds up.
///
/// The law: `received` is counted where bytes become events, the verdicts where they are said, and the two agree.
public struct Tally: Sendable, Equatable {
    public var received = 0
    public var verdicts: [Verdict.Name: Int] = [:]
    public var reasons: [Reason: Int] = [:]
    /// What passed because a check is in dry run, by the reason it would have been refused for. Not a part of the law.
    public var overlooked: [Reason: Int] = [:]

    public init() {}

    public mutating func count(_ verdict: Verdict) {
        verdicts[verdict.name, default: 0] += 1
        if let reason = verdict.refusal?.reason { reasons[reason, default: 0] += 1 }
    }

    public mutating func count(_ verdicts: [Verdict]) {
        // Most are stored.
        let stored = verdicts.count { $0 == .stored }
        if stored > 0 { self.verdicts[.stored, default: 0] += stored }
        if stored < verdicts.count { for verdict in verdicts where verdict != .stored { count(verdict) } }
    }

    public mutating func add(_ other: Tally) {
        received += other.received
        verdicts.merge(other.verdicts, uniquingKeysWith: +)
        reasons.merge(other.reasons, uniquingKeysWith: +)
        overlooked.merge(other.overlooked, uniquingKeysWith: +)
    }

    public var isEmpty: Bool { received == 0 && verdicts.isEmpty && overlooked.isEmpty }
    public var holds: Bool { received == verdicts.values.reduce(0, +) }
}
