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
    private let watch: (@Sendable (ParcelReport) -> Void)?

    /// - Parameters:
    ///   - schemes: the other names that dialects give to IDs.
    ///   - watch: told of each parcel that a key sent, once it is answered.
    public init(keys: KeyRing, commits: GroupCommit, schemes: [IDScheme] = [], watch: (@Sendable (ParcelReport) -> Void)? = nil) {
        self.keys = keys
        self.commits = commits
        self.schemes = schemes
        self.watch = watch
    }

    /// How full the queue in front of the store is, 0...1; credits shrink above one half.
    public var pressure: Double { commits.pressure }

    /// What the group commit did since the start, and what waits for it.
    public var commitFigures: CommitFigures { commits.figures }

    /// What became of a parcel: one verdict an item, in order.
    public struct Answer: Sendable {
        public var verdicts: [Verdict]
        /// Where they were asked for, one an item: of what is stored.
        public var receipts: [String?] = []
        /// When admission was done, where somebody watches.
        var admittedAt: ContinuousClock.Instant?
        /// What was kept, for whoever reads the answer to let go of: where it was made, and not on the one thread that commits.
        var kept: [AdmittedEvent] = []

        public init(verdicts: [Verdict], receipts: [String?] = []) { (self.verdicts, self.receipts) = (verdicts, receipts) }
    }

    /// How much was taken out of texts since the start, by what it was (`ScrubbingRule.What.names`).
    public var scrubbedByKind: [String: Int] { scrubbed.counts }

    /// Admits and commits a parcel; one verdict an item, in order, after commit.
    /// - Parameter scheme: the door's own, where it has one.
    public func accept(
        _ parcel: Parcel, through scheme: IDScheme? = nil, from access: Access, over transport: Transport, receivedAt: Timestamp
    ) async -> [Verdict] {
        await answer(to: parcel, through: scheme, from: access, over: transport, receivedAt: receivedAt).verdicts
    }

    /// The same with receipts.
    public func answer(
        to parcel: Parcel, through scheme: IDScheme? = nil, from access: Access, over transport: Transport, receivedAt: Timestamp
    ) async -> Answer {
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
        completion: @escaping @Sendable (Answer) -> Void
    ) {
        guard !parcel.items.isEmpty else { return completion(Answer(verdicts: [])) }
        let completion = watched(completion, transport, access.lane, receivedAt: receivedAt)
        let source = access.source(over: transport)
        var overlooked = access.overlooked
        switch keys.spend(parcel.items.count, bytes: parcel.size, by: access) {
        case .fits: break
        case .overlooked(let reason): overlooked.append(reason)
        case .refused(let refusal):
            let verdicts = [Verdict](repeating: .retry(refusal), count: parcel.items.count)
            book(verdicts, from: source, receivedAt: receivedAt)
            return completion(Answer(verdicts: verdicts))
        }
        var terms = Terms(
            lane: access.lane, project: access.project, schema: keys.mode(of: .schema, in: access.project),
            attribution: Attribution(
                mode: keys.mode(of: .identity, in: access.project), lane: access.lane, proof: access.proof, at: receivedAt),
            overlooked: overlooked,
            scoring: ScoringRule(rule: access.project.settings.scoring, inactiveAfterSeconds: access.project.settings.inactiveAfterSeconds))
        if keys.limitsThreads(access) { terms.slowed = slowed(parcel, by: access) }
        terms.pressure = pressure
        deliver(parcel, from: source, on: terms, receivedAt: receivedAt, completion: completion)
    }

    private func watched(
        _ completion: @escaping @Sendable (Answer) -> Void, _ transport: Transport, _ lane: Lane, receivedAt: Timestamp
    ) -> @Sendable (Answer) -> Void {
        guard let watch else { return completion }
        let began = ContinuousClock.now
        return { answer in
            completion(answer)
            var verdicts: [Verdict.Name: Int] = [:]
            for verdict in answer.verdicts { verdicts[verdict.name, default: 0] += 1 }
            watch(
                ParcelReport(
                    transport: transport, lane: lane, events: answer.verdicts.count, verdicts: verdicts, receivedAt: receivedAt,
                    admission: answer.admittedAt.map { $0 - began }, total: ContinuousClock.now - began))
        }
    }

    /// What quotas say of the threads in a parcel, where they say something.
    private func slowed(_ parcel: Parcel, by access: Access) -> [String: KeyRing.Spending] {
        var wanted: [String: (events: Int, bytes: Int)] = [:]
        for case .event(let event) in parcel.items {
            guard let thread = event.thread else { continue }
            let so = wanted[thread] ?? (0, 0)
            wanted[thread] = (so.events + 1, so.bytes + event.size)
        }
        return wanted.compactMapValues { $0 }.reduce(into: [:]) { slowed, thread in
            let spending = keys.spend(thread.value.events, bytes: thread.value.bytes, in: thread.key, by: access)
            if spending != .fits { slowed[thread.key] = spending }
        }
    }

    /// On which terms a parcel is taken.
    private struct Terms {
        var lane: Lane
        /// nil where what comes was taken before.
        var project: Project?
        var schema = Project.CheckMode.enforce
        var attribution: Attribution?
        /// What a dry run let pass before.
        var overlooked: [Reason] = []
        var scoring: ScoringRule?
        /// Threads whose quota is used up, and what follows from it.
        var slowed: [String: KeyRing.Spending] = [:]
        /// How full the queue in front of the store is.
        var pressure = 0.0

        /// What keeps an event out for now: its thread's quota, or too much that waits already.
        func delay(of item: Parcel.Item) -> KeyRing.Spending {
            guard pressure >= Shedding.extras || !slowed.isEmpty, case .event(let event) = item else { return .fits }
            if let refusal = Shedding.refusal(of: event, lane: lane, pressure: pressure) { return .refused(refusal) }
            return event.thread.flatMap { slowed[$0] } ?? .fits
        }
    }

    /// Sends quarantined items through admission and commit again, with the times and the source they came with.
    /// - Parameter lane: the lane whose rules apply: an operator may vouch for what a public key was not allowed to say.
    public func replay(_ items: [Parcel.Item], from source: Source, lane: Lane, receivedAt: Timestamp) async -> [Verdict] {
        var source = source
        source.transport = .replay
        source.lane = lane
        return await withCheckedContinuation { continuation in
            deliver(Parcel(items: items), from: source, on: Terms(lane: lane), receivedAt: receivedAt) {
                continuation.resume(returning: $0.verdicts)
            }
        }
    }

    /// Admits and commits what a signed-in person says of a conversation, under the rules of the backend's lane; no quota of a key
    /// counts it.
    /// - Parameter author: the name of record that stands where other events have their key's.
    public func accept(_ events: [Event], from author: String, in project: Project, receivedAt: Timestamp) async -> [Verdict] {
        let source = Source(project: project.number, key: author, lane: .secret, transport: .review)
        let scoring = ScoringRule(rule: project.settings.scoring, inactiveAfterSeconds: project.settings.inactiveAfterSeconds)
        return await withCheckedContinuation { continuation in
            let terms = Terms(lane: .secret, scoring: scoring)
            deliver(Parcel(items: events.map { .event($0) }), from: source, on: terms, receivedAt: receivedAt) {
                continuation.resume(returning: $0.verdicts)
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
        _ parcel: Parcel, from source: Source, on terms: Terms, receivedAt: Timestamp,
        completion: @escaping @Sendable (Answer) -> Void
    ) {
        let scrubber: Scrubber?
        do {
            scrubber = try keys.scrubber(of: source.project)
        } catch {
            let verdicts = [Verdict](repeating: .retry(error), count: parcel.items.count)
            book(verdicts, from: source, receivedAt: receivedAt)
            return completion(Answer(verdicts: verdicts))
        }
        var attribution = terms.attribution
        if let scrubber { attribution = attribution?.scrubbed(with: scrubber) }
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
        for reason in terms.overlooked { tally.overlooked[reason, default: 0] += parcel.items.count }
        let naming = schemes.isEmpty ? [] : keys.namingKeys(in: source.project)
        for position in parcel.items.indices {
            switch terms.delay(of: parcel.items[position]) {
            case .fits: break
            case .overlooked(let reason): tally.overlooked[reason, default: 0] += 1
            case .refused(let refusal):
                tally.count(.retry(refusal))
                verdicts.append(.retry(refusal))
                continue
            }
            var decision = admission.decide(
                parcel.items[position], position: position, lane: terms.lane, schema: terms.schema, sentAt: parcel.sentAt,
                receivedAt: receivedAt)
            if let attribution, !attribution.isIdle { decision = admission.attribute(decision, by: attribution) }
            decision = admission.check(decision) { receipt, parent in
                guard let project = terms.project ?? keys.project(source.project) else { return false }
                return keys.receipts?.read(receipt, for: parent, in: project) != nil
            }
            switch decision {
            case .admitted(let event, let overlooked):
                for reason in overlooked { tally.overlooked[reason, default: 0] += 1 }
                if naming.isEmpty, !parcel.pairsShareIDs {
                    admitted.append(event)
                } else {
                    let names = naming.isEmpty ? [] : names(in: event.event, whole: !parcel.usesSchemeNames, naming: naming)
                    admitted.append(
                        event.named(
                            names, usesSchemeNames: !naming.isEmpty && parcel.usesSchemeNames, pairsShareIDs: parcel.pairsShareIDs))
                }
                verdicts.append(nil)
            case .refused(let verdict, let aside):
                // The sink counts what it sets aside, since only it knows whether quarantine had room.
                if let aside { setAside.append(aside) } else { tally.count(verdict) }
                verdicts.append(verdict)
            }
        }
        var delivery = Delivery(source: source, receivedAt: receivedAt, events: admitted, setAside: setAside, tally: tally)
        delivery.tally.add(unbooked.take(source))
        delivery.scoring = terms.scoring
        let decided = verdicts
        let owed = delivery.tally
        let signing = parcel.wantsReceipts ? terms.project.flatMap { project in keys.receipts.map { (project, $0) } } : nil
        let admittedAt = watch.map { _ in ContinuousClock.now }
        commits.submit(delivery) { [unbooked, admitted] result in
            switch result {
            case .success(let reached):
                var answer = Answer(verdicts: Self.merge(decided, with: reached))
                answer.admittedAt = admittedAt
                answer.kept = admitted
                if let (project, receipts) = signing {
                    var events = admitted.makeIterator()
                    answer.receipts = zip(decided, answer.verdicts).map { decided, verdict in
                        guard decided == nil, let event = events.next(), verdict.refusal == nil else { return nil }
                        return receipts.receipt(for: event.event.id, event.digest, in: project, at: receivedAt)
                    }
                }
                completion(answer)
            case .failure(let failure):
                // Nothing was kept: everything that was not plainly dropped may come again.
                let refusal = failure.refusal
                let answers = decided.map { verdict -> Verdict in
                    if case .dropped(let why)? = verdict { .dropped(why) } else { .retry(refusal) }
                }
                var tally = owed
                for case .retry(let why) in answers { tally.count(.retry(why)) }
                unbooked.add(tally, of: source)
                var answer = Answer(verdicts: answers)
                answer.admittedAt = admittedAt
                completion(answer)
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
        tally.count(verdicts)
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
