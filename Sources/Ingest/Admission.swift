public import Events

/// Which events a lane may write, under which IDs, and when they happened. Pure: no clock, no store.
public struct Admission: Sendable {
    /// A sender's clock is corrected when it is further off than this; less may be the way here.
    static let clockTolerance = 5.0

    public init() {}

    public enum Decision: Sendable {
        /// - Parameter overlooked: what only a dry run let pass.
        case admitted(AdmittedEvent, overlooked: [Reason] = [])
        case refused(Verdict, SetAside?)
    }

    /// - Parameter position: the item's place in its parcel; events that say no time keep the order they were sent in.
    /// - Parameter schema: whether what breaks a rule but can be stored is refused, counted or let pass.
    public func decide(
        _ item: Parcel.Item, position: Int = 0, lane: Lane, schema: Project.CheckMode = .enforce, sentAt: Timestamp?, receivedAt: Timestamp
    ) -> Decision {
        switch item {
        case .refused(let refused):
            guard let payload = refused.payload else { return .refused(.dropped(refused.refusal), nil) }
            if schema != .enforce, let event = Event(lenient: payload) {
                let reason = refused.refusal.reason
                return decide(event, position, lane, schema, [reason], sentAt, receivedAt)
            }
            return aside(refused.refusal, id: refused.id, type: refused.type, payload: payload)
        case .event(let event): return decide(event, position, lane, schema, [], sentAt, receivedAt)
        }
    }

    private func decide(
        _ event: consuming Event, _ position: Int, _ lane: Lane, _ schema: Project.CheckMode, _ found: [Reason], _ sentAt: Timestamp?,
        _ receivedAt: Timestamp
    ) -> Decision {
        var overlooked = found
        if event.user?.id.first == Event.User.mark {
            let refusal = Refusal(.invalidField, field: "user.id", "user.id must not begin with U+0001.")
            return aside(refusal, id: event.id, type: event.type, payload: event.json())
        }
        if let refusal = refusal(of: event, lane: lane) {
            guard schema != .enforce, refusal.reason == .weakID else {
                return aside(refusal, id: event.id, type: event.type, payload: event.json())
            }
            overlooked.append(refusal.reason)
        }
        let at = Self.time(of: event, position: position, sentAt: sentAt, receivedAt: receivedAt)
        let digest = ContentDigest(event)
        return .admitted(AdmittedEvent(event: event, at: at, digest: digest), overlooked: schema == .dryRun ? overlooked : [])
    }

    /// P-RCPT-2: a receipt that a run comes with must be its parent's.
    /// - Parameter holds: whether a receipt is one of that ID.
    func check(_ decision: Decision, _ holds: (_ receipt: String, _ parent: String) -> Bool) -> Decision {
        guard case .admitted(let admitted, _) = decision, let (receipt, named) = admitted.event.receipt else { return decision }
        if let named, holds(receipt, named) { return decision }
        let event = admitted.event
        return aside(Refusal(.invalidReceipt, field: "receipt"), id: event.id, type: event.type, payload: event.json())
    }

    /// Says in an admitted event whose words it is. The digest stays: it is of what the sender said.
    func attribute(_ decision: Decision, by attribution: Attribution) -> Decision {
        guard case .admitted(let admitted, var overlooked) = decision else { return decision }
        var event = admitted.event
        switch attribution.attribute(&event) {
        case .fine: break
        case .overlooked(let reason): overlooked.append(reason)
        case .retry(let refusal): return .refused(.retry(refusal), nil)
        case .refused(let refusal): return aside(refusal, id: event.id, type: event.type, payload: event.json())
        }
        // Nothing else of it is changed, and what a store keeps is written anew with it.
        return .admitted(event.user == admitted.event.user ? admitted : admitted.saying(event), overlooked: overlooked)
    }

    private func aside(_ refusal: Refusal, id: String?, type: String?, payload: JSONText) -> Decision {
        .refused(.quarantined(refusal), SetAside(id: id, type: type, refusal: refusal, payload: payload))
    }

    private func refusal(of event: Event, lane: Lane) -> Refusal? {
        guard lane == .public else { return nil }
        // P-LANE-2: what only a backend may say.
        switch event.body {
        case .run:
            return Refusal(.laneForbidden, field: "type", "A public key may not write runs; send them from a backend with the secret key.")
        case .score:
            return Refusal(
                .laneForbidden, field: "type", "A public key may not write scores; send them from a backend with the secret key.")
        case .thread(let patch) where patch.status != nil:
            return Refusal(.laneForbidden, field: "status", "A public key may not set a thread's status.")
        case .thread(let patch) where !patch.untag.isEmpty:
            return Refusal(.laneForbidden, field: "untag", "A public key may not take tags off a thread.")
        case .comment:
            return Refusal(
                .laneForbidden, field: "type", "A public key may not write remarks; send them from a backend with the secret key.")
        case .feedback(let feedback) where feedback.author != nil:
            return Refusal(.laneForbidden, field: "author", "A public key may not vote in a reviewer's name.")
        case .other(type: "queue"):
            return Refusal(
                .laneForbidden, field: "type", "A public key may not change queues; send it from a backend with the secret key.")
        default: break
        }
        // P-ID-3: an ID from a page must be hard to guess.
        return WeakID.refusal(of: event.id)
    }

    /// P-TIME-3: the sender's time, moved by what its clock was off when it sent, and never in the future.
    static func time(of event: Event, position: Int = 0, sentAt: Timestamp?, receivedAt: Timestamp) -> Timestamp {
        var claimed = event.at
        if claimed == nil, case .run(let part) = event.body { claimed = part.endedAt ?? part.startedAt }
        guard var at = claimed else { return Timestamp(microseconds: receivedAt.microseconds + Int64(position)) }
        if let sentAt {
            let off = receivedAt.microseconds - sentAt.microseconds
            if abs(off) > Int64(clockTolerance * 1_000_000) { at.microseconds += off }
        }
        return max(Timestamp(microseconds: 0), min(at, receivedAt.advanced(bySeconds: clockTolerance)))
    }
}

/// IDs that others could guess, or that a bug makes for everybody.
enum WeakID {
    /// The famous accidents, lower-cased.
    private static let accidents: Set<String> = [
        "null", "undefined", "nan", "[object object]", "0", "none", "nil", "true", "false", "id", "uuid",
        "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "undefined-undefined-undefined",
    ]

    static func refusal(of id: String) -> Refusal? {
        let bits = bits(of: id)
        // Those of more than 29 characters are one symbol over and over.
        guard id.utf8.count > 29 && bits > 0 || !accidents.contains(id.lowercased()) else {
            return Refusal(.weakID, field: "id", "This id is one that many programs make by accident; use a UUID.")
        }
        guard bits >= 64 else {
            return Refusal(
                .weakID, field: "id",
                "An id from a page needs 64 bits or more: 20 digits, 16 hex digits or 11 letters and digits; a UUID has them.")
        }
        return nil
    }

    /// The most an ID of this length and alphabet can hold, in bits; 64 or some more where that is enough to know.
    private static func bits(of id: String) -> Double {
        var id = id
        return id.withUTF8 { bits(of: $0) }
    }

    private static func bits(of id: UnsafeBufferPointer<UInt8>) -> Double {
        var isDigits = true
        var isHex = true
        var first: UInt8?
        var second: UInt8?
        var hasThird = false
        var symbols = 0
        for byte in id where byte != UInt8(ascii: "-") && byte != UInt8(ascii: "_") {
            symbols += 1
            if first == nil {
                first = byte
            } else if byte != first {
                if second == nil { second = byte } else if byte != second { hasThird = true }
            }
            if !(48...57).contains(byte) {
                isDigits = false
                if !(97...102).contains(byte | 0x20) { isHex = false }
            }
            // So many digits are enough, and anything else is more.
            if symbols >= 20, hasThird { return Double(symbols) * 3.32 }
        }
        // Two symbols over and over are a pattern, not chance.
        return hasThird ? Double(symbols) * (isDigits ? 3.32 : isHex ? 4 : 5.95) : 0
    }
}
