import Conversations
public import Events
import Logging
import Synchronization

extension PostgresStore {
    /// Commits deliveries in one transaction, in two or three round trips for most.
    ///
    /// Appends that touch the same project wait for each other, wherever they come from; the first to come decides who was first.
    public func append(_ deliveries: [Delivery]) async throws(SinkFailure) -> [[Verdict]] {
        do {
            let verdicts = try await commit(deliveries)
            for project in statistics.add(deliveries) {
                do {
                    try await pool.write { try Statistics.make(for: project, $0) }
                } catch {
                    // The events are committed all the same; autovacuum will see to it.
                    logger.debug("a young project's tables could not be analyzed", metadata: ["error": "\(error)"])
                }
            }
            return verdicts
        } catch let error as DatabaseError {
            throw error.sinkFailure
        } catch let behind as StreamMarks.Behind {
            throw SinkFailure(.behind, "\(behind)")
        } catch {
            throw SinkFailure(.unavailable, "\(error)")
        }
    }

    public func reached(_ stream: String, shard: Int) async throws(SinkFailure) -> StreamMark? {
        do {
            return try await pool.read { try StreamMarks.reached(stream, shard: shard, $0) }
        } catch let error as DatabaseError {
            throw error.sinkFailure
        } catch {
            throw SinkFailure(.unavailable, "\(error)")
        }
    }

    /// How often a batch is tried in which an ID was taken past the lock: by hand, or by a restore.
    private static let attempts = 3

    private func commit(_ deliveries: [Delivery]) async throws -> [[Verdict]] {
        var attempt = 1
        while true {
            do {
                return try await pool.write { [self] db in
                    // P-ID-3: what one attempt took is not given to the next, but for numbers it did not come to use.
                    let numbers = NumberReserve(reserve.withLock { $0.take() })
                    var transaction = AppendTransaction(db: db, configuration: configuration, numbers: numbers)
                    let verdicts = try transaction.run(deliveries)
                    reserve.withLock { $0.give(back: numbers.numbers) }
                    return verdicts
                }
            } catch let error as DatabaseError where error.cause == .server("23505") && attempt < Self.attempts {
                attempt += 1
            }
        }
    }
}

/// One transaction of appends: inserts events and keeps their folds.
struct AppendTransaction {
    let db: Database
    let configuration: PostgresStore.Configuration
    private let numbers: NumberReserve
    private var sets: [ProjectID: WorkingSet] = [:]
    private var outcomes: [OutcomeKey: Int] = [:]
    private var quarantine: QuarantineKeeper

    private struct OutcomeKey: Hashable {
        var project: Int64
        var minute: Int64
        var key: String
        var name: String
    }

    init(db: Database, configuration: PostgresStore.Configuration, numbers: NumberReserve) {
        self.db = db
        self.configuration = configuration
        self.numbers = numbers
        quarantine = QuarantineKeeper(db: db, configuration: configuration)
    }

    /// Appends and commits.
    mutating func run(_ deliveries: [Delivery]) throws -> [[Verdict]] {
        var marks = StreamMarks(db)
        let isNew = try marks.admit(deliveries)
        let fresh = zip(deliveries, isNew).filter(\.1).map(\.0)
        guard !fresh.isEmpty else {
            // All of it was committed before; or there is nothing, and the question is whether a commit could be had.
            if deliveries.isEmpty { try db.execute("SELECT pg_current_xact_id()") }
            return deliveries.map { _ in [] }
        }
        try prepare(fresh)
        var verdicts: [[Verdict]] = []
        for (delivery, isNew) in zip(deliveries, isNew) { verdicts.append(isNew ? try append(delivery) : []) }
        var last = Pipeline()
        marks.write(into: &last)
        for set in sets.values { try set.write(into: &last) }
        writeOutcomes(&last)
        // P-ACK-2: the verdicts leave after commit.
        try db.commit(with: last)
        return verdicts
    }

    // MARK: asking ahead

    /// Locks the projects and asks what the events will ask, in one round trip for most batches.
    private mutating func prepare(_ deliveries: [Delivery]) throws {
        let projects = Set(deliveries.map(\.source.project)).sorted()
        for project in projects { sets[project] = WorkingSet(db, project: project, numbers: numbers) }
        let byProject = Dictionary(grouping: deliveries, by: \.source.project)
        var pipeline = Pipeline()
        pipeline.lock(projects)
        pipeline.add(LogOrder.announce)
        var taking: [WorkingSet.Taking] = []
        let events = deliveries.lazy.flatMap(\.events)
        let expected: [(NumberReserve.Kind, Int)] = [
            (.thread, Set(events.compactMap(\.event.thread)).count), (.person, Set(events.compactMap(\.event.user?.key)).count),
        ]
        for (kind, count) in expected {
            guard let place = numbers.fill(kind, for: count, &pipeline) else { continue }
            taking.append { [numbers] in numbers.keep(kind, $0[place]) }
        }
        var later: [ProjectID] = []
        for project in projects {
            guard let set = sets[project], let own = byProject[project] else { continue }
            let erased = pipeline.add(Tombstones.any, [project.number])
            taking.append { if $0[erased].isEmpty { set.tombstones = .some(nil) } }
            let sources = Set(own.map(\.source))
            let identities = pipeline.add(
                "SELECT number, identity FROM source WHERE project = $1 AND identity = ANY($2)",
                [project.number, sources.map { SourceIdentity.of($0) }])
            taking.append { answers in
                for row in answers[identities] {
                    if let source = sources.first(where: { SourceIdentity.of($0) == row[1] }) { set.sources[source] = row[0] }
                }
            }
            let admitted = own.flatMap(\.events)
            if admitted.contains(where: { $0.usesSchemeNames || !$0.names.isEmpty }) {
                // Their IDs are known once their names are.
                set.mayHaveNames = true
                taking += set.prefetchNames(admitted, &pipeline)
                later.append(project)
            } else {
                taking += try prefetch(own, set, &pipeline)
            }
        }
        try answer(pipeline, taking)
        guard !later.isEmpty else { return }
        pipeline = Pipeline()
        taking = []
        for project in later { taking += try prefetch(byProject[project]!, sets[project]!, &pipeline) }
        try answer(pipeline, taking)
    }

    private func prefetch(_ deliveries: some Sequence<Delivery>, _ set: WorkingSet, _ pipeline: inout Pipeline) throws
        -> [WorkingSet.Taking]
    {
        set.isForgotten = false
        let aliases = Aliases(set)
        // Names that are registered on the way.
        var own: [OwnedID: String] = [:]
        for delivery in deliveries {
            for ids in delivery.events.lazy.flatMap(\.names) {
                for name in ids.names where own[set.key(name)] == nil { own[set.key(name)] = ids.id }
            }
        }
        let events = try deliveries.flatMap { delivery in
            try delivery.events.map { admitted -> (event: Event, lane: Lane) in
                guard admitted.usesSchemeNames || !admitted.names.isEmpty else { return (admitted.event, delivery.source.lane) }
                let renamed = try admitted.event.renaming { try own[set.key($0)] ?? aliases.id(of: $0) }
                return (renamed, delivery.source.lane)
            }
        }
        return set.prefetch(events, &pipeline)
    }

    private func answer(_ pipeline: Pipeline, _ taking: [WorkingSet.Taking]) throws {
        let answers = try db.run(pipeline)
        for take in taking { try take(answers) }
    }

    // MARK: events

    private mutating func append(_ delivery: Delivery) throws -> [Verdict] {
        var tally = delivery.tally
        var verdicts: [Verdict] = []
        verdicts.reserveCapacity(delivery.events.count + delivery.setAside.count)
        if !delivery.events.isEmpty || !delivery.setAside.isEmpty {
            let set = sets[delivery.source.project]!
            let source = try set.source(delivery.source)
            let tombstones = try tombstones(of: set)
            try tombstones?.prefetch(delivery)
            for (place, event) in delivery.events.enumerated() {
                // P-ERASE-1: what was erased does not come back.
                if let refusal = try tombstones?.refusal(of: event.event) {
                    verdicts.append(.dropped(refusal))
                    continue
                }
                if set.isForgotten { try prefetchRest(of: delivery, from: place, set) }
                verdicts.append(try append(event, of: delivery, source: source, set))
            }
            for aside in delivery.setAside {
                if let tombstones, try tombstones.covers(aside.payload, id: aside.id) {
                    verdicts.append(.dropped(Refusal(.erased, field: "id")))
                    continue
                }
                verdicts.append(try quarantine.setAside(aside, of: delivery, source: source) { .quarantined($0) })
            }
        }
        for verdict in verdicts { tally.count(verdict) }
        book(tally, of: delivery)
        return verdicts
    }

    /// What was known was given up: the rest of a delivery is asked ahead again.
    private func prefetchRest(of delivery: Delivery, from place: Int, _ set: WorkingSet) throws {
        var rest = delivery
        rest.events = Array(delivery.events[place...])
        var pipeline = Pipeline()
        try set.flush()
        let taking = try prefetch([rest], set, &pipeline)
        try answer(pipeline, taking)
    }

    private func tombstones(of set: WorkingSet) throws -> Tombstones? {
        if let known = set.tombstones { return known }
        let found = try Tombstones.ofProject(set.project, db: db)
        set.tombstones = .some(found)
        return found
    }

    private mutating func append(_ admitted: AdmittedEvent, of delivery: Delivery, source: Int64, _ set: WorkingSet) throws -> Verdict {
        var admitted = admitted
        if admitted.usesSchemeNames || !admitted.names.isEmpty {
            // P-NAME-2: IDs are stored as they were first given, whatever else a sender calls them.
            let aliases = Aliases(set)
            for ids in admitted.names { try aliases.register(ids) }
            let renamed = try admitted.event.renaming(aliases.id(of:))
            if renamed != admitted.event { admitted = admitted.saying(renamed) }
        }
        if let verdict = try verdictOnScore(admitted, of: delivery, set) { return verdict }
        if try insert(admitted, of: delivery, source: source, set) { return .stored }
        if admitted.pairsShareIDs, case .message(let message) = admitted.event.body {
            return try appendPair(admitted, role: message.role, of: delivery, source: source, set)
        }
        return try verdictOnRepetition(of: admitted, delivery: delivery, source: source, set)
    }

    /// Whether an event's identity is taken.
    private func isTaken(_ admitted: AdmittedEvent, _ set: WorkingSet) throws -> Bool {
        let event = admitted.event
        switch event.idSpace {
        case .message: return try set.message(event.id) != nil
        case .other: return try set.other(event.id) != nil
        case .run:
            return try set.parts(of: event.id).contains { $0.digest == admitted.digest }
        }
    }

    /// Inserts an event and keeps its folds; false where its identity is taken.
    private mutating func insert(_ admitted: AdmittedEvent, of delivery: Delivery, source: Int64, _ set: WorkingSet) throws -> Bool {
        guard try !isTaken(admitted, set) else { return false }
        let event = admitted.event
        let key = set.key(event.id)
        let slot = try event.thread.map { try set.threads.slot(of: $0) }
        let thread = slot.map { set.threads.number(at: $0) }
        let person = try event.user.map { try set.person($0.key) }
        let role: Int? =
            if case .message(let message) = event.body { Event.Role.allCases.firstIndex(of: message.role) } else { nil }
        if let slot { try set.threads.apply(event, at: admitted.at, from: delivery.source, to: slot) }
        if let props = event.user?.props, let user = event.user {
            let place = ThreadFold.Place(at: admitted.at, id: event.id)
            set.people[set.key(user.key)]!!.changes.append((props, place, delivery.source.lane))
            set.changedPeople.insert(set.key(user.key))
        }
        let identity = WorkingSet.Identity(digest: admitted.digest.bytes, role: role, thread: thread)
        switch event.idSpace {
        case .message: set.messages[key] = identity
        case .other: set.others[key] = identity
        case .run: set.parts[key]!.append(Run.Part(event: event, at: admitted.at, digest: admitted.digest))
        }
        set.newEvents.append(
            .init(admitted: admitted, thread: thread, person: person, source: source, receivedAt: delivery.receivedAt))
        if set.mayHaveNames { set.touch(event) }
        switch event.body {
        case .message(let message): try RunLinks(set).messageArrived(event.id, trace: message.trace, thread: thread)
        case .run:
            let aliases = Aliases(set)
            let mayHaveNames = admitted.usesSchemeNames || !admitted.names.isEmpty
            let part = Run.Part(event: event, at: admitted.at, digest: admitted.digest)
            try RunLinks(set).partArrived(event.id, part) { mayHaveNames ? try aliases.id(of: $0) : $0 }
        case .feedback: try keep(Vote(event, at: admitted.at)!, thread: thread, set)
        case .score: try keep(Score(event, at: admitted.at)!, set)
        case .trace(let target, let trace): try RunLinks(set).traceNoted(trace, of: target)
        case .comment(let comment): keep(comment, id: event.id, at: admitted.at, set)
        default: break
        }
        return true
    }

    /// P-NAME-3: where a dialect gives a question and its answer one ID, the question keeps it, and the other's role is added to its.
    private mutating func appendPair(
        _ admitted: AdmittedEvent, role: Event.Role, of delivery: Delivery, source: Int64, _ set: WorkingSet
    ) throws -> Verdict {
        guard let there = try set.message(admitted.event.id), let number = there.role, Event.Role.allCases[number] != role else {
            return try verdictOnRepetition(of: admitted, delivery: delivery, source: source, set)
        }
        if role == .user {
            // The answer was first: it makes room.
            let id = admitted.event.id
            let other = "\(id):\(Event.Role.allCases[number].rawValue)"
            try set.flush()
            if try set.message(other) == nil {
                try db.execute(
                    "UPDATE event SET id = $3 WHERE project = $1 AND id = $2 AND space = 0 AND part = ''", [set.project.number, id, other])
                (set.messages[set.key(id)], set.messages[set.key(other)]) = (.some(nil), there)
            }
            try Aliases(set).renameExcerpts(of: id, to: other)
            // What waits for it by that ID may have come before.
            try RunLinks(set).messageArrived(other, trace: nil, thread: set.message(other)?.thread)
            return try insert(admitted, of: delivery, source: source, set)
                ? .stored : verdictOnRepetition(of: admitted, delivery: delivery, source: source, set)
        }
        var event = admitted.event
        event.id += ":\(role.rawValue)"
        let other = admitted.saying(event)
        return try insert(other, of: delivery, source: source, set)
            ? .stored : verdictOnRepetition(of: other, delivery: delivery, source: source, set)
    }

    /// P-SCORE-2: whether a conversation may be scored now is its project's to say.
    private func verdictOnScore(_ admitted: AdmittedEvent, of delivery: Delivery, _ set: WorkingSet) throws -> Verdict? {
        guard case .score(let score) = admitted.event.body, let policy = delivery.scoring, policy.rule != .open,
            score.value != nil || score.category != nil, policy.rule == .strict || score.judge == .person,
            let fold = try set.threads.fold(of: score.target), let lastAt = fold.lastAt ?? fold.firstAt
        else { return nil }
        let status = ThreadSummary.status(
            set: fold.status.map { ($0.value, $0.place.at) }, lastAt: lastAt, now: delivery.receivedAt,
            inactiveAfterSeconds: policy.inactiveAfterSeconds)
        guard status == .active else { return nil }
        return .dropped(
            Refusal(
                .conversationActive, field: "target", "The conversation is active; close it or wait until it is inactive, then score it."))
    }

    /// P-ID-4: same ID and same content is a duplicate; other content is a conflict, and the original stands.
    private mutating func verdictOnRepetition(of admitted: AdmittedEvent, delivery: Delivery, source: Int64, _ set: WorkingSet) throws
        -> Verdict
    {
        let event = admitted.event
        if event.idSpace == .run { return .duplicate }
        let original = event.idSpace == .message ? try set.message(event.id) : try set.other(event.id)
        if let original, original.digest == admitted.digest.bytes { return .duplicate }
        let refusal = Refusal(
            .idConflict, field: "id", "The id \(event.id) was stored before with other content; that one stands.")
        let aside = SetAside(id: event.id, type: event.type, refusal: refusal, payload: event.json())
        // The verdict is conflict even where quarantine has no room for the newcomer.
        _ = try quarantine.setAside(aside, of: delivery, source: source) { .conflict($0) }
        return .conflict(refusal)
    }

    // MARK: folds

    private func keep(_ new: Vote, thread hint: Int64?, _ set: WorkingSet) throws {
        let key = WorkingSet.VoteKey(target: set.key(new.target), voter: set.key(new.voter))
        let vote = try set.vote(key).map { $0.merged(with: new) } ?? new
        var thread = try set.message(vote.target)?.thread ?? hint
        if thread == nil {
            try set.flush()
            thread = try Targets(db: db, project: set.project).thread(ofJudged: vote.target)
        }
        set.votes[key] = vote
        set.changedVotes[key] = .some(thread)
        set.isVotedOn[key.target] = true
    }

    private func keep(_ score: Score, _ set: WorkingSet) throws {
        var thread = try set.threads.number(of: score.target) ?? set.message(score.target)?.thread
        if thread == nil {
            try set.flush()
            thread = try Targets(db: db, project: set.project).thread(ofJudged: score.target)
        }
        set.isScored[set.key(score.target)] = true
        // One that comes later stands only where it is later.
        set.later.add(
            """
            INSERT INTO score (project, target, name, author, value, category, reason, at, event, judge, thread)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
            ON CONFLICT (project, target, name, author) DO UPDATE SET value = excluded.value, category = excluded.category,
                reason = excluded.reason, at = excluded.at, event = excluded.event, judge = excluded.judge, thread = excluded.thread,
                noted = false
                WHERE (excluded.at, excluded.event) > (score.at, score.event)
            """,
            [
                set.project.number, score.target, score.name, score.author, score.value, score.category, score.reason,
                score.at.microseconds, score.event, score.judge.rawValue, thread,
            ])
    }

    /// A remark and what changes it may come in any order; the last word counts.
    private func keep(_ comment: Event.Comment, id: String, at: Timestamp, _ set: WorkingSet) {
        set.later.add(
            """
            INSERT INTO comment (project, id, target, text, author, at, changed_at, event) VALUES ($1, $2, $3, $4, $5, $6, $6, $7)
            ON CONFLICT (project, id) DO UPDATE SET at = least(comment.at, excluded.at),
                author = CASE WHEN excluded.at < comment.at THEN coalesce(excluded.author, comment.author)
                    ELSE coalesce(comment.author, excluded.author) END,
                text = CASE WHEN (excluded.changed_at, excluded.event) > (comment.changed_at, comment.event) THEN excluded.text ELSE comment.text END,
                event = CASE WHEN (excluded.changed_at, excluded.event) > (comment.changed_at, comment.event) THEN excluded.event
                    ELSE comment.event END,
                changed_at = greatest(comment.changed_at, excluded.changed_at)
            """,
            [set.project.number, comment.changes ?? id, comment.target, comment.text, comment.author, at.microseconds, id])
    }

    // MARK: the ledger

    private func writeOutcomes(_ pipeline: inout Pipeline) {
        guard !outcomes.isEmpty else { return }
        let rows = Array(outcomes)
        pipeline.add(
            """
            INSERT INTO outcome (project, minute, key, name, count)
            SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[])
            ON CONFLICT (project, minute, key, name) DO UPDATE SET count = outcome.count + excluded.count
            """, [rows.map(\.key.project), rows.map(\.key.minute), rows.map(\.key.key), rows.map(\.key.name), rows.map(\.value)])
    }

    private mutating func book(_ tally: Tally, of delivery: Delivery) {
        let minute = delivery.receivedAt.microseconds / 60_000_000 * 60_000_000
        func add(_ name: String, _ count: Int) {
            guard count > 0 else { return }
            outcomes[
                OutcomeKey(project: delivery.source.project.number, minute: minute, key: delivery.source.key, name: name), default: 0] +=
                count
        }
        add("received", tally.received)
        for (name, count) in tally.verdicts { add(name.rawValue, count) }
        for (reason, count) in tally.reasons { add("reason:" + reason.rawValue, count) }
        for (reason, count) in tally.overlooked { add("overlooked:" + reason.rawValue, count) }
    }
}
