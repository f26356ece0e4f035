public import Events
import Keys

/// Now, by both clocks: the steady one for time-outs, the wall's for what we say.
struct Moment: Sendable {
    /// Milliseconds of a clock that nobody sets.
    var uptime: Int64
    var time: Timestamp
}

/// What a session wants done, in order.
enum SessionAction: Sendable {
    case send(ServerFrame)
    /// Admit and commit; the answer comes back through `committed`.
    case ingest(batch: Int64, Parcel)
    /// Find out whom a token proves; the answer comes back through `proved`.
    case prove(token: String)
    /// Write down that so many events came which could not be taken; a frame that can't be read counts as one.
    case book(Refusal, events: Int)
    /// Send a close frame; nothing is sent behind it.
    case close(CloseCode)
    /// The connection has had its time.
    case disconnect
}

/// The protocol of one socket: welcome, hello, numbered batches, acks in their order, credits, heartbeat, goodbye.
///
/// Knows no channel, no clock and no store; it is told what happened and says what to do.
public struct Session: Sendable {
    public struct Configuration: Sendable {
        /// Events a client may have sent that were not acked yet (P-CREDIT-1).
        public var credits = 1000
        public var limits = SocketLimits(eventBytes: 65_536, batchBytes: 262_144, batchEvents: 500)
        public var heartbeatMilliseconds: Int64 = 25_000
        public var helloTimeoutMilliseconds: Int64 = 10_000
        /// Batches in a row beyond the credits before the socket is closed.
        public var overCreditBatches = 3
        /// Bytes of batches that wait for their commit before the socket is read no further: with many sockets, this
        /// times their number is what they can hold.
        public var maximumUncommittedBytes = 1024 * 1024
        /// How long a socket may go on once the proof of its user has run out.
        public var tokenGraceMilliseconds: Int64 = 30_000
        /// How long the acks of what was taken may keep a socket open that is to be closed.
        public var settleTimeoutMilliseconds: Int64 = 10_000
        /// How long the peer has to answer a close frame.
        public var closeTimeoutMilliseconds: Int64 = 2000

        /// A batch, and a little for the envelope around it.
        public var maximumFrameBytes: Int { limits.batchBytes + 4096 }

        public init() {}
    }

    private enum Phase {
        case helloAwaited(since: Int64)
        case open
        /// Hears nothing more, and closes when everything it took is acked.
        case settling(CloseCode, Refusal, since: Int64)
        case closing(CloseCode, since: Int64)
    }

    private enum Departure {
        case goodbyeDue(at: Int64, afterMilliseconds: Int64, deadline: Int64)
        case goodbyeSaid(closeAt: Int64, deadline: Int64)
    }

    /// A batch whose ack has not been sent.
    private struct Pending {
        var number: Int64
        var ids: [String?]
        var bytes: Int
        var isCharged: Bool
        var verdicts: [Verdict]?
        var receipts: [String?] = []
    }

    let id: String
    private let configuration: Configuration
    private var phase: Phase
    private var departure: Departure?
    private var lastHeard: Int64
    private var nextBatch: Int64 = 1
    private var pending: [Pending] = []
    private var ledger: CreditLedger
    private var overCreditsInARow = 0
    private var uncommittedBytes = 0
    /// Whether acks name what was stored, with a receipt (P-RCPT-1).
    private var wantsReceipts = false
    /// When the proof of the user runs out, and since when it has, in milliseconds of uptime.
    private var proofEnd: Int64?
    private var unproven: Int64?

    init(id: String, configuration: Configuration, at now: Moment) {
        self.id = id
        self.configuration = configuration
        phase = .helloAwaited(since: now.uptime)
        lastHeard = now.uptime
        ledger = CreditLedger(total: configuration.credits)
    }

    // MARK: what happens

    /// P-SOCK-1: the server speaks first.
    mutating func opened(pressure: Double, at now: Moment) -> [SessionAction] {
        [
            .send(
                .welcome(
                    session: id, time: now.time, limits: configuration.limits, credits: ledger.grant(pressure: pressure),
                    heartbeatMilliseconds: configuration.heartbeatMilliseconds))
        ]
    }

    /// - Parameter bytes: the size of the frame, for the bound on what waits.
    mutating func received(_ frame: ClientFrame, bytes: Int, pressure: Double, at now: Moment) -> [SessionAction] {
        guard isListening else { return [] }
        lastHeard = now.uptime
        switch frame {
        case .hello(_, let token, let wantsReceipts):
            self.wantsReceipts = wantsReceipts
            return hello(token, at: now)
        case .batch(let number, let parcel): return batch(number, parcel, bytes: bytes, pressure: pressure, at: now)
        case .heartbeat: return [.send(.heartbeat(time: now.time))]
        case .auth(let token): return [.prove(token: token)]
        case .unknown(let type):
            return [.send(.error(code: 0, name: "unknown_frame", refusal: Refusal(.badRequest, field: "type", Self.unknownFrame(type))))]
        case .malformed(let refusal): return [.book(refusal, events: 1)] + end(with: CloseCode(endingFor: refusal.reason), refusal, at: now)
        }
    }

    /// Any frame counts as a sign of life, pings and pongs too.
    mutating func heard(at now: Moment) { lastHeard = now.uptime }

    /// P-SOCK-8: a token is answered, whatever it proves.
    /// - Parameter proof: `none` where the project does not look at proofs.
    mutating func proved(_ proof: Proof, at now: Moment) -> [SessionAction] {
        guard !isClosing else { return [] }
        (proofEnd, unproven) = (nil, nil)
        switch proof {
        case .none: return [.send(.auth(identity: .claimed, reason: "identity_off"))]
        case .failed(let refusal): return [.send(.auth(identity: .claimed, reason: refusal.reason.rawValue))]
        case .user(let user):
            proofEnd = now.uptime + max(0, (user.expiresAt.microseconds - now.time.microseconds) / 1000)
            return [.send(.auth(identity: .verified, reason: nil))]
        }
    }

    mutating func committed(
        _ batch: Int64, _ verdicts: [Verdict], receipts: [String?] = [], pressure: Double, at now: Moment
    ) -> [SessionAction] {
        guard let first = pending.first else { return [] }
        // Batches are numbered without gaps, so the place of one follows from its number.
        let index = Int(batch - first.number)
        guard pending.indices.contains(index) else { return [] }
        pending[index].verdicts = verdicts
        pending[index].receipts = receipts
        return isClosing ? [] : acks(pressure: pressure) + settled(at: now)
    }

    /// Called about once a second.
    /// - Parameter lost: why the key or the origin holds no longer, if so.
    mutating func tick(pressure: Double, lost: Refusal?, at now: Moment) -> [SessionAction] {
        if case .closing(_, let since) = phase {
            return now.uptime - since >= configuration.closeTimeoutMilliseconds ? [.disconnect] : []
        }
        if let lost { return accessLost(lost, at: now) }
        if case .settling = phase { return settled(at: now) }
        if departure != nil { return depart(at: now) }
        if case .helloAwaited(let since) = phase, now.uptime - since >= configuration.helloTimeoutMilliseconds {
            return end(
                with: .helloTimeout, Refusal(.bodyTimeout, "No hello came within \(configuration.helloTimeoutMilliseconds) ms."), at: now)
        }
        if let actions = proofActions(at: now) { return actions }
        // While we read no further, silence is ours.
        if isSaturated { lastHeard = now.uptime }
        // P-BEAT-2: two and a half heartbeats of silence.
        if (now.uptime - lastHeard) * 2 > configuration.heartbeatMilliseconds * 5 {
            return end(with: .heartbeatLost, Refusal(.bodyTimeout, "Nothing was heard for two and a half heartbeats."), at: now)
        }
        let returned = ledger.grant(pressure: pressure)
        return returned > 0 ? [.send(.credits(returned))] : []
    }

    /// P-AUTH-6: a page is told that its proof has run out, and has a while to bring another. One that doesn't comes back with a new one
    /// or none, so that what it goes on to say is not taken for a claim by mistake.
    private mutating func proofActions(at now: Moment) -> [SessionAction]? {
        if let end = proofEnd, now.uptime >= end {
            (proofEnd, unproven) = (nil, now.uptime)
            return [.send(.auth(identity: .claimed, reason: Reason.expiredToken.rawValue))]
        }
        guard let since = unproven, now.uptime - since >= configuration.tokenGraceMilliseconds else { return nil }
        return end(with: .tokenExpired, Refusal(.expiredToken, field: "token"), at: now)
    }

    /// P-KEY-4: a key that is revoked stops on open sockets too.
    mutating func accessLost(_ refusal: Refusal, at now: Moment) -> [SessionAction] {
        end(with: CloseCode(endingFor: refusal.reason), refusal, at: now)
    }

    /// Ends the socket for a fault of the peer or of the way to it.
    mutating func end(with code: CloseCode, _ refusal: Refusal, at now: Moment) -> [SessionAction] {
        guard !isClosing else { return [] }
        phase = .closing(code, since: now.uptime)
        let name = code.speaksForItself ? code.name : refusal.reason.rawValue
        return [.send(.error(code: Int(code.rawValue), name: name, refusal: refusal)), .close(code)]
    }

    /// Ends the socket once what it took before is acked, or has had its time.
    private mutating func settle(with code: CloseCode, _ refusal: Refusal, at now: Moment) -> [SessionAction] {
        phase = .settling(code, refusal, since: now.uptime)
        return settled(at: now)
    }

    private mutating func settled(at now: Moment) -> [SessionAction] {
        guard case .settling(let code, let refusal, let since) = phase,
            pending.isEmpty || now.uptime - since >= configuration.settleTimeoutMilliseconds
        else { return [] }
        return end(with: code, refusal, at: now)
    }

    /// The peer sent a close frame, or its answer to ours.
    mutating func peerClosed(at now: Moment) -> [SessionAction] {
        guard !isClosing else { return [.disconnect] }
        phase = .closing(.normal, since: now.uptime)
        return [.close(.normal), .disconnect]
    }

    /// Sets when this socket says goodbye; until it closes, batches are taken and acked as ever.
    /// - Parameters:
    ///   - goodbyeAt: spread over all sockets, so that they do not come back as one wave.
    ///   - afterMilliseconds: how much later it closes, which spreads the clients' return.
    ///   - deadline: when it closes even with acks outstanding.
    mutating func drain(goodbyeAt: Int64, afterMilliseconds: Int64, deadline: Int64) {
        guard departure == nil else { return }
        departure = .goodbyeDue(at: goodbyeAt, afterMilliseconds: afterMilliseconds, deadline: deadline)
    }

    /// Whether to read no further until something was committed.
    var isSaturated: Bool { uncommittedBytes >= configuration.maximumUncommittedBytes }

    var isClosing: Bool { closeCode != nil }

    /// Whether frames of the peer's still count.
    var isListening: Bool {
        switch phase {
        case .helloAwaited, .open: true
        case .settling, .closing: false
        }
    }

    var closeCode: CloseCode? {
        if case .closing(let code, _) = phase { code } else { nil }
    }

    // MARK: frames

    private mutating func hello(_ token: String?, at now: Moment) -> [SessionAction] {
        guard case .helloAwaited = phase else { return malformed("A second hello came; one session has one.", at: now) }
        phase = .open
        return token.map { [.prove(token: $0)] } ?? []
    }

    private mutating func batch(_ number: Int64, _ parcel: Parcel, bytes: Int, pressure: Double, at now: Moment) -> [SessionAction] {
        if case .helloAwaited = phase { return malformed("A batch came before hello.", at: now) }
        guard number == nextBatch else { return malformed("Batch \(number) came where \(nextBatch) was due.", field: "batch", at: now) }
        let count = parcel.items.count
        guard count <= configuration.limits.batchEvents else {
            let refusal = Refusal(.batchTooLarge, "A batch may have \(configuration.limits.batchEvents) events.")
            return [.book(refusal, events: 1)] + end(with: .frameTooLarge, refusal, at: now)
        }
        nextBatch += 1
        var entry = Pending(number: number, ids: parcel.itemIDs, bytes: bytes, isCharged: true, verdicts: nil)
        guard ledger.charge(count) else {
            // P-CREDIT-3: what was sent without credits costs none and is to be sent again.
            let refusal = Refusal(.overCredits)
            entry.isCharged = false
            entry.bytes = 0
            entry.verdicts = Array(repeating: .retry(refusal), count: count)
            pending.append(entry)
            overCreditsInARow += 1
            let actions = [.book(refusal, events: count)] + acks(pressure: pressure)
            guard overCreditsInARow >= configuration.overCreditBatches else { return actions }
            return actions + settle(with: .rateLimited, refusal, at: now)
        }
        overCreditsInARow = 0
        uncommittedBytes += bytes
        pending.append(entry)
        var parcel = parcel
        parcel.wantsReceipts = wantsReceipts
        return [.ingest(batch: number, parcel)]
    }

    /// P-ACK-3: in the order of the batches, whatever order they were committed in.
    private mutating func acks(pressure: Double) -> [SessionAction] {
        let ready = pending.prefix { $0.verdicts != nil }
        guard !ready.isEmpty else { return [] }
        pending.removeFirst(ready.count)
        return ready.map { batch in
            uncommittedBytes -= batch.bytes
            var credits = batch.ids.count
            if batch.isCharged {
                ledger.settle(batch.ids.count)
                credits = ledger.grant(pressure: pressure)
            }
            return .send(.ack(batch: batch.number, credits: credits, results: Self.results(of: batch)))
        }
    }

    private static func results(of batch: Pending) -> [ServerFrame.Result] {
        var results: [ServerFrame.Result] = []
        for (index, verdict) in (batch.verdicts ?? []).enumerated() {
            let receipt = batch.receipts.isEmpty ? nil : batch.receipts[index]
            guard verdict != .stored || receipt != nil else { continue }
            results.append(.init(index: index, id: index < batch.ids.count ? batch.ids[index] : nil, verdict: verdict, receipt: receipt))
        }
        return results
    }

    private mutating func depart(at now: Moment) -> [SessionAction] {
        switch departure {
        case .goodbyeDue(let at, let afterMilliseconds, let deadline) where now.uptime >= at:
            departure = .goodbyeSaid(closeAt: now.uptime + afterMilliseconds, deadline: deadline)
            return [.send(.goodbye(code: Int(CloseCode.draining.rawValue), reason: "draining", afterMilliseconds: afterMilliseconds))]
        // P-CLOSE-4: not before the time it was told.
        case .goodbyeSaid(let closeAt, let deadline) where now.uptime >= closeAt && pending.isEmpty || now.uptime >= deadline:
            phase = .closing(.draining, since: now.uptime)
            return [.close(.draining)]
        default:
            return []
        }
    }

    private mutating func malformed(_ message: String, field: String? = nil, at now: Moment) -> [SessionAction] {
        let refusal = Refusal(.badRequest, field: field, message)
        return [.book(refusal, events: 1)] + end(with: .malformedFrame, refusal, at: now)
    }

    /// The type is the client's own text: no more of it is said back than a person needs.
    private static func unknownFrame(_ type: String) -> String { "There is no frame of type \"\(type.prefix(64))\"; it was left aside." }
}

extension CloseCode {
    /// Whether the code says more than the refusal's reason does: the fault is the session's, not the key's.
    fileprivate var speaksForItself: Bool {
        switch self {
        case .unknownKey, .revokedKey, .originForbidden, .secretKeyInBrowser, .rateLimited, .overloaded, .storeUnavailable: false
        default: true
        }
    }
}
