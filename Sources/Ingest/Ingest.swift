public import Events
public import Keys
import Scrubbing
import Synchronization

/// The way of an event once its door has read it: quota → scrubbing → admission → group commit → verdict.
public struct Ingest: Sendable {
    private let keys: KeyRing
    private let commits: GroupCommit
    private let admission = Admission()
    private let unbooked = Unbooked()
    private let scrubbed = ScrubbedCount()
    private let schemes: [IDScheme]

    /// - Parameter schemes: the other names that dialects give to IDs.
    public init(keys: KeyRing, commits: GroupCommit, schemes: [IDScheme] = []) {
        self.keys = keys
        self.commits = commits
        self.schemes = schemes
    }

    /// How full the queue in front of the store is, 0...1; credits shrink above one half.
    public var pressure: Double { commits.pressure }

    /// How much was taken out of texts since the start, by what it was (`ScrubbingRule.What.names`).
    public var scrubbedByKind: [String: Int] { scrubbed.counts }

    /// Admits and commits a parcel; one verdict an item, in order, after commit.
    /// - Parameter scheme: the door's own, where it has one.
    public func accept(
        _ parcel: Parcel, through scheme: IDScheme? = nil, from access: Access, over transport: Transport, receivedAt: Timestamp
    ) async -> [Verdict] {
        // P-NAME-1: known before the first of such events is committed, so that no message can come in between unnamed.
        if scheme != nil, parcel.usesSchemeNames { await keys.noteNaming(with: access.text) }
        return await withCheckedContinuation { continuation in
            accept(parcel, from: access, over: transport, receivedAt: receivedAt) { continuation.resume(returning: $0) }
        }
    }

    /// The same for callers that live on an event loop: `completion` is called once, on any thread. Calls from one
    /// thread keep their order into the store.
    public func accept(
        _ parcel: Parcel, from access: Access, over transport: Transport, receivedAt: Timestamp,
        completion: @escaping @Sendable ([Verdict]) -> Void
    ) {
        guard !parcel.items.isEmpty else { return completion([]) }
        let source = access.source(over: transport)
        if let refusal = keys.spend(parcel.items.count, by: access) {
            let verdicts = [Verdict](repeating: .retry(refusal), count: parcel.items.count)
            book(verdicts, from: source, receivedAt: receivedAt)
            return completion(verdicts)
        }
        deliver(
            parcel, from: source, lane: access.lane,
            scoring: ScoringRule(rule: access.project.settings.scoring, inactiveAfterSeconds: access.project.settings.inactiveAfterSeconds),
            receivedAt: receivedAt, completion: completion)
    }

    /// Sends quarantined items through admission and commit again, with the times and the source they came with.
    /// - Parameter lane: the lane whose rules apply: an operator may vouch for what a public key was not allowed to say.
    public func replay(_ items: [Parcel.Item], from source: Source, lane: Lane, receivedAt: Timestamp) async -> [Verdict] {
        var source = source
        source.transport = .replay
        source.lane = lane
        return await withCheckedContinuation { continuation in
            deliver(Parcel(items: items), from: source, lane: lane, receivedAt: receivedAt) { continuation.resume(returning: $0) }
        }
    }

    /// Admits and commits what a signed-in person says of a conversation, under the rules of the backend's lane; no quota of a key
    /// counts it.
    /// - Parameter author: the name of record that stands where other events have their key's.
    public func accept(_ events: [Event], from author: String, in project: Project, receivedAt: Timestamp) async -> [Verdict] {
        let source = Source(project: project.number, key: author, lane: .secret, transport: .review)
        let scoring = ScoringRule(rule: project.settings.scoring, inactiveAfterSeconds: project.settings.inactiveAfterSeconds)
        return await withCheckedContinuation { continuation in
            deliver(Parcel(items: events.map { .event($0) }), from: source, lane: .secret, scoring: scoring, receivedAt: receivedAt) {
                continuation.resume(returning: $0)
            }
        }
    }

    /// What the IDs in an event are called by those who name them with a key. Where the sender does so itself, only a message's own
    /// ID may be one as it was given.
    private func names(in event: Event, whole: Bool, naming keys: [String]) -> [IDNames] {
        var ids: [String] = []
        if event.idSpace == .message || (whole && event.idSpace == .run) { ids.append(event.id) }
        if whole { ids += event.namedIDs }
        return ids.map { id in IDNames(id: id, names: keys.flatMap { key in schemes.flatMap { $0.names(id, key) } }) }
    }

    private func deliver(
        _ parcel: Parcel, from source: Source, lane: Lane, scoring: ScoringRule? = nil, receivedAt: Timestamp,
        completion: @escaping @Sendable ([Verdict]) -> Void
    ) {
        let scrubber: Scrubber?
        do {
            scrubber = try keys.scrubber(of: source.project)
        } catch {
            let verdicts = [Verdict](repeating: .retry(error), count: parcel.items.count)
            book(verdicts, from: source, receivedAt: receivedAt)
            return completion(verdicts)
        }
        // P-PRIV-1: before anything looks at them to keep them, quarantine included.
        let parcel = scrubber.map { scrubbed.scrub(parcel, with: $0) } ?? parcel
        // Verdicts in the order of the items; those of admitted events are filled in after commit.
        var verdicts: [Verdict?] = []
        verdicts.reserveCapacity(parcel.items.count)
        var tally = Tally()
        tally.received = parcel.items.count
        var admitted: [AdmittedEvent] = []
        admitted.reserveCapacity(parcel.items.count)
        var setAside: [SetAside] = []
        let naming = schemes.isEmpty ? [] : keys.namingKeys(in: source.project)
        for (position, item) in parcel.items.enumerated() {
            switch admission.decide(item, position: position, lane: lane, sentAt: parcel.sentAt, receivedAt: receivedAt) {
            case .admitted(var event):
                if !naming.isEmpty {
                    event.usesSchemeNames = parcel.usesSchemeNames
                    event.names = names(in: event.event, whole: !parcel.usesSchemeNames, naming: naming)
                }
                event.pairsShareIDs = parcel.pairsShareIDs
                admitted.append(event)
                verdicts.append(nil)
            case .refused(let verdict, let aside):
                // The sink counts what it sets aside, since only it knows whether quarantine had room.
                if let aside { setAside.append(aside) } else { tally.count(verdict) }
                verdicts.append(verdict)
            }
        }
        var delivery = Delivery(source: source, receivedAt: receivedAt, events: admitted, setAside: setAside, tally: tally)
        delivery.tally.add(unbooked.take(source))
        delivery.scoring = scoring
        let decided = verdicts
        let owed = delivery.tally
        commits.submit(delivery) { [unbooked] result in
            switch result {
            case .success(let reached):
                completion(Self.merge(decided, with: reached))
            case .failure(let failure):
                // Nothing was kept: everything that was not plainly dropped may come again.
                let refusal = failure.refusal
                let answers = decided.map { verdict -> Verdict in
                    if case .dropped(let why)? = verdict { .dropped(why) } else { .retry(refusal) }
                }
                var tally = owed
                for case .retry(let why) in answers { tally.count(.retry(why)) }
                unbooked.add(tally, of: source)
                completion(answers)
            }
        }
    }

    /// Puts the sink's verdicts (admitted events first, then what was set aside) into the places of their items.
    private static func merge(_ decided: [Verdict?], with reached: [Verdict]) -> [Verdict] {
        let admittedCount = decided.count { $0 == nil }
        var admitted = reached[..<min(admittedCount, reached.count)].makeIterator()
        var aside = reached[min(admittedCount, reached.count)...].makeIterator()
        return decided.map { verdict in
            switch verdict {
            case nil: admitted.next() ?? .retry(Refusal(.internal))
            case .quarantined?: aside.next() ?? .retry(Refusal(.internal))
            case let verdict?: verdict
            }
        }
    }

    /// Books what never became a parcel: a body that could not be read counts as one received and not kept.
    public func book(_ refusal: Refusal, events: Int = 1, from access: Access, over transport: Transport, receivedAt: Timestamp) {
        let mayComeAgain = refusal.reason.isTemporary && refusal.reason != .bodyIncomplete && refusal.reason != .bodyTimeout
        book(
            [Verdict](repeating: mayComeAgain ? .retry(refusal) : .dropped(refusal), count: events),
            from: access.source(over: transport), receivedAt: receivedAt)
    }

    private func book(_ verdicts: [Verdict], from source: Source, receivedAt: Timestamp) {
        var tally = Tally()
        tally.received = verdicts.count
        for verdict in verdicts { tally.count(verdict) }
        tally.add(unbooked.take(source))
        let owed = tally
        commits.submit(Delivery(source: source, receivedAt: receivedAt, events: [], tally: tally)) { [unbooked] result in
            if case .failure = result { unbooked.add(owed, of: source) }
        }
    }
}

/// Scrubs parcels, and counts what was found by its kind: names out of a closed list.
private final class ScrubbedCount: Sendable {
    private let total = Mutex<[String: Int]>([:])

    var counts: [String: Int] { total.withLock { $0 } }

    func scrub(_ parcel: Parcel, with scrubber: Scrubber) -> Parcel {
        var parcel = parcel
        var findings = Findings()
        for index in parcel.items.indices { findings.add(scrubber.scrub(&parcel.items[index])) }
        if !findings.isEmpty {
            total.withLock { total in
                for (rule, count) in findings.counts { total[scrubber.source[rule].what.name, default: 0] += count }
            }
        }
        return parcel
    }
}

/// Tallies of deliveries that could not be committed, kept until one of the same source can. At most one a source;
/// they are lost with the process, together with the fact that anything was received.
private final class Unbooked: Sendable {
    private static let maximumSources = 1000
    private let tallies = Mutex<[Source: Tally]>([:])

    func add(_ tally: Tally, of source: Source) {
        tallies.withLock { tallies in
            if tallies[source] != nil || tallies.count < Self.maximumSources { tallies[source, default: Tally()].add(tally) }
        }
    }

    func take(_ source: Source) -> Tally { tallies.withLock { $0.isEmpty ? nil : $0.removeValue(forKey: source) } ?? Tally() }
}
