import Conversations
import Events

/// What a transaction knows of one project and is to write there: asked for a whole batch at once, changed in memory, written at once.
///
/// Events are folded one by one, as they came; each finds here what those before it left. What was not asked ahead is asked when it is
/// needed, after what is to be written was written (`flush`), so that the database's answer has it too. The project's lock is held:
/// nobody else changes what was read.
final class WorkingSet {
    /// What is asked of an event that has the wanted ID.
    struct Identity {
        var digest: [UInt8]
        var role: Int?
        var thread: Int64?
    }

    /// A run's row in the table of links.
    struct RunRow: Equatable {
        var parent: String?
        var link: ParentLink
        var thread: Int64?
        var fallback: String?
    }

    let db: Database
    let project: ProjectID
    let numbers: NumberReserve
    /// Whether what was known was given up since the last `prefetch`.
    var isForgotten = true

    // What is known; a value of nil: that it is not there.
    var messages = Known<Identity?>(nothing: nil)
    var others = Known<Identity?>(nothing: nil)
    var parts: [OwnedID: [Run.Part]] = [:]
    var runs: [OwnedID: RunRow?] = [:]
    var children = Known<Set<OwnedID>>(nothing: [])
    /// Whether there are votes or scores on something.
    var isVotedOn = Known(nothing: false)
    var isScored = Known(nothing: false)
    var tracesOfMessage = Known<Set<String>>(nothing: [])
    var messagesOfTrace = Known<Set<String>>(nothing: [])
    var runsOfTrace = Known<Set<OwnedID>>(nothing: [])
    var tracesOfRun: [OwnedID: [(rank: Int, trace: String)]] = [:]
    var votes: [VoteKey: Vote?] = [:]
    var people: [OwnedID: Person?] = [:]
    var sources: [Source: Int64] = [:]
    var aliases: [OwnedID: String?] = [:]
    /// Whether something is stored under an ID, whatever it is; and where events of this transaction may use other names, IDs that they
    /// named.
    var isStoredUnder: [OwnedID: Bool] = [:]
    var mayHaveNames = false
    var touched: Set<OwnedID> = []
    /// nil: nobody asked; `.some(nil)`: nothing was ever erased in the project.
    var tombstones: Tombstones??

    // What is to be written.
    var newEvents: [EventRow] = []
    var changedRuns: Set<OwnedID> = []
    var changedVotes: [VoteKey: Int64?] = [:]
    var changedPeople: Set<OwnedID> = []
    var newMessageTraces: [(trace: String, message: String)] = []
    var newRunTraces: [(trace: String, run: String, rank: Int)] = []
    var newAliases: [(name: String, id: String)] = []
    var moved: Set<OwnedID> = []
    /// Statements that need no answer, to be run after all rows were written.
    var later = Pipeline()
    private(set) lazy var threads = ThreadRows(self)

    struct VoteKey: Hashable {
        var target: OwnedID
        var voter: OwnedID
    }

    struct Person {
        var number: Int64
        var props: String?
        /// Props that came in, folded once, when they are written.
        var changes: [(props: JSONText, place: ThreadFold.Place, lane: Lane)] = []
    }

    struct EventRow {
        var admitted: AdmittedEvent
        var thread: Int64?
        var person: Int64?
        var source: Int64
        var receivedAt: Timestamp
    }

    init(_ db: Database, project: ProjectID, numbers: NumberReserve) {
        (self.db, self.project, self.numbers) = (db, project, numbers)
    }

    func key(_ id: String) -> OwnedID { OwnedID(project: project, id: id) }

    // MARK: asking

    /// Asks what nobody asked ahead, once what is to be written was written.
    func ask(_ sql: String, _ arguments: Arguments) throws -> Rows {
        try flush()
        return try db.fetchAll(sql, arguments)
    }

    func message(_ id: String) throws -> Identity? {
        let key = key(id)
        if let known = messages[key] { return known }
        let found = try ask(Self.selectIdentities, [project.number, [id]]).first { $0[1] as Int == Event.IDSpace.message.rawValue }
        let identity = found.map(Self.identity)
        messages[key] = .some(identity)
        return identity
    }

    /// An event that is neither a message nor a run's part.
    func other(_ id: String) throws -> Identity? {
        let key = key(id)
        if let known = others[key] { return known }
        let found = try ask(Self.selectIdentities, [project.number, [id]]).first { $0[1] as Int == Event.IDSpace.other.rawValue }
        let identity = found.map(Self.identity)
        others[key] = .some(identity)
        return identity
    }

    /// All parts of a run, also those that are still to be written.
    func parts(of run: String) throws -> [Run.Part] {
        let key = key(run)
        if let known = parts[key] { return known }
        let found = try ask(EventRows.ofRuns, [project.number, [run]]).map { Self.part(try EventRows.item($0)) }
        parts[key] = found
        return found
    }

    /// nil: no such run.
    func run(_ id: String) throws -> RunRow? {
        let key = key(id)
        if let known = runs[key] { return known }
        // With all above it, since these are asked next.
        keepAncestry(of: [id], try ask(Self.selectAncestry, [project.number, [id]]))
        return runs[key]!
    }

    func children(of parent: String) throws -> Set<OwnedID> {
        let key = key(parent)
        if let known = children[key] { return known }
        let rows = try ask(Self.selectChildren, [project.number, [parent]])
        children.note(asked: [key])
        keepChildren(rows)
        return children[key]!
    }

    func traces(ofMessage id: String) throws -> Set<String> {
        let key = key(id)
        if let known = tracesOfMessage[key] { return known }
        let found = Set(try ask(Self.selectTracesOfMessages, [project.number, [id]]).map { $0[1] as String })
        tracesOfMessage[key] = found
        return found
    }

    func messages(ofTrace trace: String) throws -> Set<String> {
        let key = key(trace)
        if let known = messagesOfTrace[key] { return known }
        let found = Set(try ask(Self.selectMessagesOfTraces, [project.number, [trace]]).map { $0[1] as String })
        messagesOfTrace[key] = found
        return found
    }

    func runs(ofTrace trace: String) throws -> Set<OwnedID> {
        let key = key(trace)
        if let known = runsOfTrace[key] { return known }
        let found = Set(try ask(Self.selectRunsOfTraces, [project.number, [trace]]).map { self.key($0[1]) })
        runsOfTrace[key] = found
        return found
    }

    func traces(ofRun id: String) throws -> [(rank: Int, trace: String)] {
        let key = key(id)
        if let known = tracesOfRun[key] { return known }
        let named = try ask(Self.selectTracesOfRuns, [project.number, [id]]).map { (rank: $0[2] as Int, trace: $0[1] as String) }
        let found = Self.ownTrace(ofRun: id) + named
        tracesOfRun[key] = found
        return found
    }

    func hasVotes(on target: String) throws -> Bool {
        let key = key(target)
        if let known = isVotedOn[key] { return known }
        let found = try !ask(Self.selectVotedOn, [project.number, [target]]).isEmpty
        isVotedOn[key] = found
        return found
    }

    func hasScores(on target: String) throws -> Bool {
        let key = key(target)
        if let known = isScored[key] { return known }
        let found = try !ask(Self.selectScored, [project.number, [target]]).isEmpty
        isScored[key] = found
        return found
    }

    func vote(_ vote: VoteKey) throws -> Vote? {
        if let known = votes[vote] { return known }
        let row = try ask(
            "SELECT \(Vote.columns) FROM vote WHERE project = $1 AND target = $2 AND voter = $3",
            [project.number, vote.target.id, vote.voter.id]
        ).first
        let found = row.map { Vote($0) }
        votes[vote] = .some(found)
        return found
    }

    /// The number of a user; a new one's is given now.
    func person(_ name: String) throws -> Int64 {
        let key = key(name)
        if case .some(let known) = people[key] {
            if let known { return known.number }
        } else if let row = try ask(Self.selectPeople, [project.number, [name]]).first {
            people[key] = Person(number: row[1], props: row[2])
            return row[1]
        }
        let number = try numbers.next(.person, db)
        people[key] = Person(number: number)
        changedPeople.insert(key)
        return number
    }

    func source(_ source: Source) throws -> Int64 {
        if let known = sources[source] { return known }
        let identity = SourceIdentity.of(source)
        let row = try ask(
            """
            WITH new AS (
                INSERT INTO source (project, identity, key, lane, origin, transport) VALUES ($1, $2, $3, $4, $5, $6)
                ON CONFLICT DO NOTHING RETURNING number)
            SELECT number FROM new UNION ALL SELECT number FROM source WHERE project = $1 AND identity = $2
            """,
            [project.number, identity, source.key, source.lane.rawValue, source.origin ?? "", source.transport.rawValue])[0]
        sources[source] = row[0]
        return row[0]
    }

    // MARK: changing

    func setRun(_ id: String, _ row: RunRow) {
        let key = key(id)
        let before = runs[key] ?? nil
        guard before != row else { return }
        runs[key] = .some(row)
        changedRuns.insert(key)
        guard before?.parent != row.parent else { return }
        if let parent = before?.parent { children[self.key(parent)]?.remove(key) }
        if let parent = row.parent { children[self.key(parent)]?.insert(key) }
    }

    func add(trace: String, ofMessage id: String) throws {
        guard try !messages(ofTrace: trace).contains(where: { $0.hasSameBytes(as: id) }) else { return }
        messagesOfTrace[key(trace)]!.insert(id)
        tracesOfMessage[key(id)]?.insert(trace)
        newMessageTraces.append((trace, id))
    }

    func add(trace: String, ofRun id: String, rank: Int) throws {
        runsOfTrace[key(trace)]?.insert(key(id))
        guard try !traces(ofRun: id).contains(where: { $0.trace.hasSameBytes(as: trace) }) else { return }
        let place = tracesOfRun[key(id)]!.firstIndex { ($0.rank, $0.trace) > (rank, trace) } ?? tracesOfRun[key(id)]!.endIndex
        tracesOfRun[key(id)]!.insert((rank, trace), at: place)
        newRunTraces.append((trace, id, rank))
    }

    /// Notes the IDs that an event names.
    func touch(_ event: Event) {
        touched.insert(key(event.id))
        _ = event.renaming { id in
            touched.insert(key(id))
            return id
        }
    }

    /// What stood under an ID stands elsewhere now: the follower looks at it again.
    func noteMoved(_ id: String) { moved.insert(key(id)) }

    /// Gives up what is known, after rows were changed past it.
    func forget() {
        messages.forget()
        others.forget()
        parts = [:]
        runs = [:]
        children.forget()
        isVotedOn.forget()
        isScored.forget()
        tracesOfMessage.forget()
        messagesOfTrace.forget()
        runsOfTrace.forget()
        tracesOfRun = [:]
        votes = [:]
        isStoredUnder = [:]
        threads.forget()
        isForgotten = true
    }

    // MARK: rows

    /// The trace that a run's ID says comes first, and has no row (P-BIND-6).
    static func ownTrace(ofRun id: String) -> [(rank: Int, trace: String)] { TraceID(ofRun: id).map { [(-1, $0.text)] } ?? [] }

    static func identity(_ row: Row) -> Identity { Identity(digest: (row[3] as Blob).bytes, role: row[2], thread: row[4]) }

    static func part(_ item: EventRows.Item) -> Run.Part { Run.Part(event: item.event, at: item.at, digest: item.digest) }

    /// Rows of `selectAncestry` for runs of these IDs.
    func keepAncestry(of ids: [String], _ rows: Rows) {
        var above: [String] = ids
        for row in rows {
            let key = key(row[0])
            if runs[key] == nil { runs[key] = .some(Self.runRow(row)) }
            if let parent: String = row[1] { above.append(parent) }
        }
        // All that is above them was asked for: what is not among the rows is not there.
        for id in above where runs[key(id)] == nil { runs[key(id)] = .some(nil) }
    }

    /// Rows of `selectChildren`, for IDs that were noted to be asked about.
    func keepChildren(_ rows: Rows) {
        for row in rows {
            let (child, parent) = (key(row[0]), key(row[1]))
            if runs[child] == nil { runs[child] = .some(Self.runRow(row)) }
            children[parent]!.insert(child)
        }
    }

    private static func runRow(_ row: Row) -> RunRow {
        RunRow(parent: row[1], link: ParentLink(rawValue: row[2]) ?? .none, thread: row[3], fallback: row[4])
    }

    // Where a whole key is sought, each ID is looked up by itself: `= ANY` is reckoned as ten look-ups, and for a table that is still
    // small the planner would rather read all of the project. OFFSET 0 keeps it from turning this back.
    static let selectIdentities = """
        SELECT e.* FROM unnest($2) AS wanted(id) CROSS JOIN (VALUES (0::smallint), (2::smallint)) AS wanted_space(number)
        CROSS JOIN LATERAL (
            SELECT id, space, role, digest, thread FROM event
            WHERE project = $1 AND id = wanted.id AND space = wanted_space.number AND part = '' OFFSET 0) AS e
        """
    /// UNION, so that a circle comes to an end.
    static let selectAncestry = """
        WITH RECURSIVE above AS (
            SELECT r.* FROM unnest($2) AS wanted(id) CROSS JOIN LATERAL (
                SELECT id, parent, link, thread, fallback FROM run WHERE project = $1 AND id = wanted.id OFFSET 0) AS r
            UNION SELECT r.id, r.parent, r.link, r.thread, r.fallback FROM above JOIN run r ON r.project = $1 AND r.id = above.parent)
        SELECT id, parent, link, thread, fallback FROM above
        """
    static let selectChildren = "SELECT id, parent, link, thread, fallback FROM run WHERE project = $1 AND parent = ANY($2)"
    static let selectTracesOfMessages = "SELECT message, trace FROM message_trace WHERE project = $1 AND message = ANY($2)"
    static let selectMessagesOfTraces = "SELECT trace, message FROM message_trace WHERE project = $1 AND trace = ANY($2)"
    /// Those whose IDs say it have no row (`TraceID.runIDs`).
    static let selectRunsOfTraces = """
        SELECT trace, run FROM run_trace WHERE project = $1 AND trace = ANY($2)
        UNION ALL SELECT wanted.trace, r.id FROM unnest($2) AS wanted(trace) CROSS JOIN LATERAL (
            SELECT id FROM run WHERE project = $1 AND id > wanted.trace || '-' AND id < wanted.trace || '.' OFFSET 0) AS r
        """
    static let selectTracesOfRuns = "SELECT run, trace, rank FROM run_trace WHERE project = $1 AND run = ANY($2) ORDER BY rank, trace"
    static let selectVotedOn = "SELECT DISTINCT target FROM vote WHERE project = $1 AND target = ANY($2)"
    static let selectScored = "SELECT DISTINCT target FROM score WHERE project = $1 AND target = ANY($2)"
    static let selectPeople = """
        SELECT p.* FROM unnest($2) AS wanted(id) CROSS JOIN LATERAL (
            SELECT id, number, props FROM person WHERE project = $1 AND id = wanted.id OFFSET 0) AS p
        """
}
