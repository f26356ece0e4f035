public import Events
import Conversations
import GRDB
import Synchronization

extension SQLiteStore {
    /// Commits deliveries in one transaction: one fsync for all of them.
    public func append(_ deliveries: [Delivery]) async throws(SinkFailure) -> [[Verdict]] {
        try await withTaskExecutorPreference(commits) { () async throws(SinkFailure) in try commit(deliveries) }
    }

    /// Where commits run: on a thread that may wait for the disk.
    public var executor: (any TaskExecutor)? { commits }

    private func commit(_ deliveries: [Delivery]) throws(SinkFailure) -> [[Verdict]] {
        traffic.began()
        defer { traffic.ended() }
        appended.add(deliveries.reduce(1) { $0 + $1.events.count }, ordering: .relaxed)
        commitsMade.add(1, ordering: .relaxed)
        do {
            return try pool.writeWithoutTransaction { db in
                try self.restoreFull(db)
                let (verdicts, learned) = try self.turnstile.transaction(db) { try self.append(deliveries, in: db) }
                // P-ID-3: not by an observer of the commit. One that fails at the sync leaves such an observer behind, and the next commit
                // would call it: numbers nobody was given would then be somebody else's.
                self.numbers.withLock { $0 = learned }
                return verdicts
            }
        } catch let error as DatabaseError where error.resultCode == .SQLITE_FULL {
            throw SinkFailure(.diskFull, "\(error)")
        } catch {
            throw SinkFailure(.unavailable, "\(error)")
        }
    }

    /// The verdicts, and what the writer knows once they are committed.
    private func append(_ deliveries: [Delivery], in db: Database) throws -> ([[Verdict]], NumberCache) {
        // The cache leaves its box for the transaction: should the commit fail, what it learned is forgotten.
        var cache = numbers.withLock { box in
            let cache = box
            box = NumberCache()
            return cache
        }
        cache.trim()
        let revision = try Int64.fetchOne(db.cachedStatement(sql: "SELECT revision FROM control")) ?? 0
        if cache.revision != revision { cache = NumberCache(revision: revision) }
        if try cache.stamp != ChangeStamp(db) {
            cache.threads = ThreadMemory()
            cache.awaiting = [:]
        }
        var transaction = AppendTransaction(db: db, configuration: configuration, numbers: cache)
        let verdicts = try deliveries.map { try transaction.append($0) }
        try transaction.finish()
        var learned = transaction.numbers
        learned.threads = transaction.threads.memory
        learned.stamp = try ChangeStamp(db)
        return (verdicts, learned)
    }
}

/// One transaction of appends: inserts events and keeps their folds.
struct AppendTransaction {
    let db: Database
    let configuration: SQLiteStore.Configuration
    var numbers: NumberCache
    private let hot: HotStatements
    private let latestRun = RunLinks.Latest()
    private(set) var threads: ThreadRows
    private var outcomes: [OutcomeKey: Int] = [:]
    /// Props that came in, folded once a user and transaction.
    private var props: [Int64: [(JSONText, ThreadFold.Place, Lane)]] = [:]
    /// What was erased of each project; nil of most.
    private var tombstones: [ProjectID: Tombstones?] = [:]

    private struct OutcomeKey: Hashable {
        var project: Int64
        var minute: Int64
        var key: String
        var name: String
    }

    init(
        db: Database, configuration: SQLiteStore.Configuration, numbers: NumberCache
    ) {
        self.db = db
        self.configuration = configuration
        self.numbers = numbers
        hot = HotStatements(db)
        self.threads = ThreadRows(db: db, hot: hot, memory: numbers.threads)
    }

    mutating func append(_ delivery: Delivery) throws -> [Verdict] {
        var tally = delivery.tally
        var verdicts: [Verdict] = []
        verdicts.reserveCapacity(delivery.events.count + delivery.setAside.count)
        if !delivery.events.isEmpty || !delivery.setAside.isEmpty {
            let source = try number(of: delivery.source)
            let tombstones = try self.tombstones(of: delivery.source.project)
            for event in delivery.events {
                // P-ERASE-1: what was erased does not come back.
                if let tombstones, let refusal = try tombstones.refusal(of: event.event) {
                    verdicts.append(.dropped(refusal))
                    continue
                }
                let settled =
                    event.usesSchemeNames || !event.names.isEmpty ? try settlingNames(of: event, in: delivery.source.project) : event
                verdicts.append(try append(settled, of: delivery, source: source))
            }
            for aside in delivery.setAside {
                if let tombstones, try tombstones.covers(aside.payload, id: aside.id) {
                    verdicts.append(.dropped(Refusal(.erased, field: "id")))
                    continue
                }
                verdicts.append(try setAside(aside, of: delivery, source: source, as: { .quarantined($0) }))
            }
        }
        tally.count(verdicts)
        book(tally, of: delivery)
        return verdicts
    }

    private mutating func tombstones(of project: ProjectID) throws -> Tombstones? {
        if let known = tombstones[project] { return known }
        let found = try Tombstones.ofProject(project, db: db)
        tombstones[project] = .some(found)
        return found
    }

    private mutating func append(_ admitted: AdmittedEvent, of delivery: Delivery, source: Int64) throws -> Verdict {
        if admitted.event.idSpace != .run { latestRun.forget() }
        if delivery.scoring != nil, let verdict = try verdictOnScore(admitted, of: delivery) { return verdict }
        if try insert(admitted, of: delivery, source: source) { return .stored }
        if admitted.pairsShareIDs, case .message(let message) = admitted.event.body {
            return try appendPair(admitted, role: message.role, of: delivery, source: source)
        }
        return try verdictOnRepetition(of: admitted, delivery: delivery, source: source)
    }

    /// P-NAME-2: IDs are stored as they were first given, whatever else a sender calls them.
    private mutating func settlingNames(of admitted: AdmittedEvent, in project: ProjectID) throws -> AdmittedEvent {
        let aliases = Aliases(db: db, project: project)
        for ids in admitted.names {
            let seen = OwnedID(project: project, id: ids.id + "\0" + ids.names.joined())
            guard !numbers.named.contains(seen) else { continue }
            try aliases.register(ids, threads: &threads)
            latestRun.forget()
            numbers.named.insert(seen)
        }
        let renamed = try admitted.event.renaming(aliases.id(of:))
        return renamed == admitted.event ? admitted : admitted.saying(renamed)
    }

    static let insertEvent = """
        INSERT INTO event (project, id, space, part, type, thread, at, received, source, person, role, digest, content, payload, target)
        VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING
        """

    /// Inserts an event and keeps its folds; false where its identity is taken.
    private mutating func insert(_ admitted: AdmittedEvent, of delivery: Delivery, source: Int64) throws -> Bool {
        let project = delivery.source.project
        let event = admitted.event
        let space = event.idSpace
        let slot = try event.thread.map { try threads.slot(of: $0, in: project) }
        let thread = slot.map { threads.number(at: $0) }
        let person = try event.user.map { try number(of: $0.key, in: project) }
        var role: Int?
        var text: String?
        if case .message(let message) = event.body {
            role = Event.Role.allCases.firstIndex(of: message.role)
            if case .text(let content) = message.content, !content.hasNUL { text = content }
        }
        let insert = try hot(.insertEvent)
        let isNew = try event.id.withBytes { id in
            try admitted.digest.withUnsafeBytes { digest in
                try (text ?? "").withBytes { content in
                    try admitted.payload.bytes.withUnsafeBufferPointer { payload in
                        insert.bind(project.number)
                        insert.bind(held: id)
                        insert.bind(space.rawValue)
                        insert.bind(held: space == .run ? digest : UnsafeRawBufferPointer(start: nil, count: 0))
                        insert.bind(event.type)
                        insert.bind(thread)
                        insert.bind(admitted.at)
                        insert.bind(delivery.receivedAt)
                        insert.bind(source)
                        insert.bind(person)
                        insert.bind(role)
                        insert.bind(held: digest)
                        insert.bind(held: text == nil ? nil : content)
                        insert.bind(held: payload.count > 2 ? payload : nil)
                        insert.bind(event.target)
                        return try insert.run() > 0
                    }
                }
            }
        }
        guard isNew else { return false }
        if let slot {
            try threads.apply(event, at: admitted.at, from: delivery.source, to: slot)
        }
        if let props = event.user?.props, let person {
            self.props[person, default: []].append((props, ThreadFold.Place(at: admitted.at, id: event.id), delivery.source.lane))
        }
        switch event.body {
        case .message(let message):
            try RunLinks(db: db, project: project, hot: hot).messageArrived(
                event.id, trace: message.trace, thread: thread, awaiting: awaiting(in: project))
            if message.trace != nil { try note(.noted, in: project) }
        case .run:
            let aliases = Aliases(db: db, project: project)
            let mayHaveNames = admitted.usesSchemeNames || !admitted.names.isEmpty
            let part = Run.Part(event: event, at: admitted.at, digest: admitted.digest)
            try RunLinks(db: db, project: project, hot: hot, latest: latestRun).partArrived(event.id, part, threads: &threads) {
                mayHaveNames ? try aliases.id(of: $0) : $0
            }
            try note([.runs, .traces], in: project)
        case .feedback:
            try keep(Vote(event, at: admitted.at)!, thread: thread, project: project)
            try note(.votes, in: project)
        case .score:
            try keep(Score(event, at: admitted.at)!, project: project)
            try note(.scores, in: project)
        case .trace(let target, let trace):
            try RunLinks(db: db, project: project).traceNoted(trace, of: target)
            try note(.noted, in: project)
        case .comment(let comment): try keep(comment, id: event.id, at: admitted.at, project: project)
        default: break
        }
        return true
    }

    /// What messages may find in a project.
    private mutating func awaiting(in project: ProjectID) throws -> RunLinks.Awaiting {
        if let known = numbers.awaiting[project] { return known }
        let found = try RunLinks(db: db, project: project, hot: hot).awaiting()
        numbers.awaiting[project] = found
        return found
    }

    /// There is something now that messages may find.
    private mutating func note(_ new: RunLinks.Awaiting, in project: ProjectID) throws {
        numbers.awaiting[project] = try awaiting(in: project).union(new)
    }

    /// P-NAME-3: where a dialect gives a question and its answer one ID, the question keeps it, and the other's role is added to its.
    private mutating func appendPair(
        _ admitted: AdmittedEvent, role: Event.Role, of delivery: Delivery, source: Int64
    ) throws -> Verdict {
        let project = delivery.source.project
        let row = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT role, digest FROM event WHERE project = ? AND id = ? AND space = 0 AND part = x''"),
            arguments: [project.number, admitted.event.id])
        guard let row, let number = row[0] as Int?, Event.Role.allCases[number] != role else {
            return try verdictOnRepetition(of: admitted, delivery: delivery, source: source)
        }
        if role == .user {
            // The answer was first: it makes room.
            let other = "\(admitted.event.id):\(Event.Role.allCases[number].rawValue)"
            try db.cachedStatement(sql: "UPDATE OR IGNORE event SET id = ? WHERE project = ? AND id = ? AND space = 0 AND part = x''")
                .execute(arguments: [other, project.number, admitted.event.id])
            try threads.flush()
            try Aliases(db: db, project: project).renameExcerpts(of: admitted.event.id, to: other)
            // What waits for it by that ID may have come before.
            let thread = try Int64.fetchOne(
                db.cachedStatement(sql: "SELECT thread FROM event WHERE project = ? AND id = ? AND space = 0 AND part = x''"),
                arguments: [project.number, other])
            try RunLinks(db: db, project: project, hot: hot).messageArrived(
                other, trace: nil, thread: thread, awaiting: awaiting(in: project))
            return try insert(admitted, of: delivery, source: source)
                ? .stored : verdictOnRepetition(of: admitted, delivery: delivery, source: source)
        }
        var event = admitted.event
        event.id += ":\(role.rawValue)"
        let other = admitted.saying(event)
        return try insert(other, of: delivery, source: source)
            ? .stored : verdictOnRepetition(of: other, delivery: delivery, source: source)
    }

    /// P-SCORE-2: whether a conversation may be scored now is its project's to say.
    private func verdictOnScore(_ admitted: AdmittedEvent, of delivery: Delivery) throws -> Verdict? {
        guard case .score(let score) = admitted.event.body, let policy = delivery.scoring, policy.rule != .open,
            score.value != nil || score.category != nil, policy.rule == .strict || score.judge == .person
        else { return nil }
        let row = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT \(ThreadFold.columns) FROM thread WHERE project = ? AND id = ?"),
            arguments: [delivery.source.project.number, score.target])
        guard let row else { return nil }
        let fold = ThreadFold(row)
        let status = ThreadSummary.status(
            set: fold.status.map { ($0.value, $0.place.at) }, lastAt: Timestamp(microseconds: row[ThreadFold.lastAtColumn]),
            now: delivery.receivedAt, inactiveAfterSeconds: policy.inactiveAfterSeconds)
        guard status == .active else { return nil }
        return .dropped(
            Refusal(
                .conversationActive, field: "target", "The conversation is active; close it or wait until it is inactive, then score it."))
    }

    /// P-ID-4: same ID and same content is a duplicate; other content is a conflict, and the original stands.
    private mutating func verdictOnRepetition(of admitted: AdmittedEvent, delivery: Delivery, source: Int64) throws -> Verdict {
        let space = admitted.event.idSpace
        if space == .run { return .duplicate }
        let original = try db.cachedStatement(sql: "SELECT digest FROM event WHERE project = ? AND id = ? AND space = ? AND part = x''")
        original.arguments = [delivery.source.project.number, admitted.event.id, space.rawValue]
        if let digest = try Blob.fetchOne(original), digest.bytes == admitted.digest.bytes { return .duplicate }
        let refusal = Refusal(
            .idConflict, field: "id", "The id \(admitted.event.id) was stored before with other content; that one stands.")
        let aside = SetAside(id: admitted.event.id, type: admitted.event.type, refusal: refusal, payload: admitted.event.json())
        // The verdict is conflict even where quarantine has no room for the newcomer.
        _ = try setAside(aside, of: delivery, source: source, as: { .conflict($0) })
        return .conflict(refusal)
    }

    // MARK: folds and the ledger

    /// Writes the folds and the ledger; called once, before the commit.
    mutating func finish() throws {
        try threads.write()
        for (person, changes) in props {
            let stored = try String.fetchOne(db.cachedStatement(sql: "SELECT props FROM person WHERE number = ?"), arguments: [person])
            var fold = stored.map { PropsFold(stored: Array($0.utf8)) } ?? PropsFold()
            for (props, place, lane) in changes { fold.apply(props, at: place, from: lane) }
            try db.cachedStatement(sql: "UPDATE person SET props = ? WHERE number = ?").execute(arguments: [fold.stored.string, person])
        }
        for (key, count) in outcomes {
            try db.cachedStatement(
                sql: """
                    INSERT INTO outcome VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET count = count + excluded.count
                    """
            ).execute(arguments: [key.project, key.minute, key.key, key.name, count])
        }
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

    // MARK: numbers

    private mutating func number(of source: Source) throws -> Int64 {
        if let number = numbers.sources[source] { return number }
        let arguments: StatementArguments = [
            source.project.number, source.key, source.lane.rawValue, source.origin ?? "", source.transport.rawValue,
        ]
        try db.execute(
            sql: "INSERT INTO source (project, key, lane, origin, transport) VALUES (?,?,?,?,?) ON CONFLICT DO NOTHING",
            arguments: arguments)
        let number = try Int64.fetchOne(
            db, sql: "SELECT number FROM source WHERE project = ? AND key = ? AND lane = ? AND origin = ? AND transport = ?",
            arguments: arguments)!
        numbers.sources[source] = number
        return number
    }

    private mutating func number(of user: String, in project: ProjectID) throws -> Int64 {
        let person = OwnedID(project: project, id: user)
        if let number = numbers.people[person] { return number }
        try db.execute(sql: "INSERT INTO person (project, id) VALUES (?,?) ON CONFLICT DO NOTHING", arguments: [project.number, user])
        let number = try Int64.fetchOne(
            db, sql: "SELECT number FROM person WHERE project = ? AND id = ?", arguments: [project.number, user])!
        numbers.people[person] = number
        return number
    }
}

/// Bytes for a BLOB column, without Foundation's Data.
struct Blob: DatabaseValueConvertible {
    var bytes: [UInt8]
    init(_ bytes: [UInt8]) { self.bytes = bytes }
    var databaseValue: DatabaseValue { Data(bytes).databaseValue }
    static func fromDatabaseValue(_ value: DatabaseValue) -> Blob? { Data.fromDatabaseValue(value).map { Blob(Array($0)) } }
}

import struct Foundation.Data
