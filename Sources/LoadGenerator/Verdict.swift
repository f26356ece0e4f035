/// What became of one event, as the gateway said it.
enum Verdict: UInt8, CaseIterable, Codable, Sendable {
    /// Sent, and not answered (yet).
    case unanswered = 0
    case stored, duplicate, conflict, quarantined, dropped, retry
    /// Its whole request was turned away (key, origin, path): not one of the wire's verdicts, and no ledger row either.
    case refused

    /// The six of the law: received = stored + duplicate + conflict + quarantined + dropped + retry.
    static let ofTheLaw: [Verdict] = [.stored, .duplicate, .conflict, .quarantined, .dropped, .retry]

    var name: StaticString {
        switch self {
        case .unanswered: "unanswered"
        case .stored: "stored"
        case .duplicate: "duplicate"
        case .conflict: "conflict"
        case .quarantined: "quarantined"
        case .dropped: "dropped"
        case .retry: "retry"
        case .refused: "refused"
        }
    }

    /// Whether the event is, by this answer, safe in the store.
    var isKept: Bool { self == .stored || self == .duplicate }

    init?(named bytes: UnsafeRawBufferPointer) {
        guard let verdict = Verdict.ofTheLaw.first(where: { bytes.spells($0.name) }) else { return nil }
        self = verdict
    }
}
