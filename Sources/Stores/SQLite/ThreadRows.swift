import Conversations
import Events
import GRDB

/// Threads as their rows stand, kept from one transaction to the next: at the limit reading them is a sixth of the writer's work.
///
/// A class, so that no commit copies them: an array that the writer and a transaction both hold would be copied with the first change.
/// Unchecked: only the writer's queue changes it, in a transaction that took it out of its lock, and nobody else has it then.
final class ThreadMemory: @unchecked Sendable {
    fileprivate struct Entry {
        var name: OwnedID
        var number: Int64
        var isNew = false
        var isChanged = false
        var fold: ThreadFold
        /// What stands in the row of what few events change; nil where it was not read.
        var stored: Rest?
        /// How many tags stand in their table, once that was asked in this transaction.
        var tagCount: Int?

        /// Whether only what each message changes has: SQLite writes every index anew whose columns a statement names, changed or not.
        var isPlain: Bool {
            guard let stored, !fold.hasTurns, !stored.hasTurns else { return false }
            return fold.firstAt == stored.firstAt && fold.user?.value == stored.user && fold.status == stored.status
        }
    }

    /// What of a fold `ThreadRows.plainUpdate` leaves alone.
    fileprivate struct Rest {
        var hasTurns: Bool
        var firstAt: Timestamp?
        var user: String?
        var status: ThreadFold.Latest<Event.ThreadPatch.Status>?

        init(_ fold: ThreadFold) { (hasTurns, firstAt, user, status) = (fold.hasTurns, fold.firstAt, fold.user?.value, fold.status) }
    }

    /// Where in `entries` a thread is, by its name and by its number.
    fileprivate var slots: [OwnedID: Int] = [:]
    fileprivate var slotsByNumber: [Int64: Int] = [:]
    fileprivate var entries: [Entry] = []

    /// How many there are, those forgotten among them.
    var count: Int { entries.count }
    var isEmpty: Bool { slots.isEmpty }

    fileprivate func add(_ entry: Entry) -> Int {
        slots[entry.name] = entries.count
        slotsByNumber[entry.number] = entries.count
        entries.append(entry)
        return entries.count - 1
    }

    /// Its place stays, empty.
    fileprivate func forget(_ slot: Int) {
        slots[entries[slot].name] = nil
        slotsByNumber[entries[slot].number] = nil
        entries[slot].fold = ThreadFold()
    }
}

/// The threads that a transaction touches: read once, folded in memory, written once.
struct ThreadRows {
    private typealias Entry = ThreadMemory.Entry

    let db: Database
    private let hot: HotStatements
    private(set) var memory: ThreadMemory
    /// Those to be written, in the order of their first change; and those that have no row yet, and get none while nothing is stored in them.
    private var changed: [Int] = []
    private var new: [Int] = []
    /// The one asked for last: events of a thread mostly come one after the other.
    private var latest: Int?
    private var nextNumber: Int64?

    init(db: Database, hot: HotStatements? = nil, memory: ThreadMemory = ThreadMemory()) {
        self.db = db
        self.hot = hot ?? HotStatements(db)
        self.memory = memory
    }

    /// The place of a thread, which holds until `flush`; a new one gets its number now. A thread that nothing is stored in is not
    /// written.
    mutating func slot(of id: String, in project: ProjectID) throws -> Int {
        if let latest, memory.entries[latest].name.project == project, memory.entries[latest].name.id.hasSameBytes(as: id) { return latest }
        let slot = try find(OwnedID(project: project, id: id))
        latest = slot
        return slot
    }

    private mutating func find(_ name: OwnedID) throws -> Int {
        if let slot = memory.slots[name] { return slot }
        let read = try hot(.readThread)
        read.bind(name.project.number)
        read.bind(name.id)
        if let (number, fold) = try read.first({ ($0.integer(ThreadFold.numberColumn) ?? 0, ThreadFold($0)) }) {
            return memory.add(Entry(name: name, number: number, fold: fold, stored: .init(fold)))
        }
        // Nobody else writes during a transaction, so the next number is ours.
        let number = try nextNumber ?? (Int64.fetchOne(db, sql: "SELECT max(number) FROM thread") ?? 0) + 1
        nextNumber = number + 1
        new.append(memory.count)
        return memory.add(Entry(name: name, number: number, isNew: true, fold: ThreadFold()))
    }

    private mutating func note(changed slot: Int) {
        guard !memory.entries[slot].isChanged else { return }
        memory.entries[slot].isChanged = true
        changed.append(slot)
    }

    func number(at slot: Int) -> Int64 { memory.entries[slot].number }

    func knownNumber(of id: String, in project: ProjectID) -> Int64? {
        memory.slots[OwnedID(project: project, id: id)].map { memory.entries[$0].number }
    }

    func knownName(of number: Int64) -> String? { memory.slotsByNumber[number].map { memory.entries[$0].name.id } }

    mutating func apply(_ event: Event, at: Timestamp, from source: Source, to slot: Int) throws {
        let isTagging = try source.lane == .secret || !event.hasTags || mayTag(slot)
        memory.entries[slot].fold.apply(event, at: at, from: source.provenance(of: event.user), isTagging: isTagging)
        note(changed: slot)
    }

    private mutating func mayTag(_ slot: Int) throws -> Bool {
        if memory.entries[slot].tagCount == nil {
            let sql = "SELECT count(*) FROM thread_tag INDEXED BY thread_tag_thread WHERE project = ? AND thread = ?"
            let arguments: StatementArguments = [memory.entries[slot].name.project.number, memory.entries[slot].number]
            memory.entries[slot].tagCount =
                memory.entries[slot].isNew ? 0 : try Int.fetchOne(db.cachedStatement(sql: sql), arguments: arguments) ?? 0
        }
        return memory.entries[slot].tagCount! + memory.entries[slot].fold.tags.count < ThreadFold.mostTags
    }

    mutating func applyTurn(at: Timestamp, roles: [Event.Role], to number: Int64) throws {
        guard let slot = try memory.slotsByNumber[number] ?? slot(ofStored: number) else { return }
        memory.entries[slot].fold.applyTurn(at: at, roles: roles)
        note(changed: slot)
    }

    private mutating func slot(ofStored number: Int64) throws -> Int? {
        let row = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT \(ThreadFold.columns), project FROM thread WHERE number = ?"), arguments: [number])
        guard let row else { return nil }
        let name = OwnedID(project: ProjectID(row[ThreadFold.columnCount]), id: row[ThreadFold.idColumn])
        return memory.add(Entry(name: name, number: number, fold: ThreadFold(row)))
    }

    /// Two threads turn out to be one: the other's fold is added, and its row goes.
    mutating func merge(_ other: Int64, into number: Int64) throws {
        try flush()
        guard
            let row = try Row.fetchOne(db, sql: "SELECT \(ThreadFold.columns), project FROM thread WHERE number = ?", arguments: [number]),
            let gone = try Row.fetchOne(db, sql: "SELECT \(ThreadFold.columns) FROM thread WHERE number = ?", arguments: [other])
        else { return }
        var fold = ThreadFold(row)
        fold.merge(ThreadFold(gone))
        let name = OwnedID(project: ProjectID(row[ThreadFold.columnCount]), id: row[ThreadFold.idColumn])
        note(changed: memory.add(Entry(name: name, number: number, fold: fold)))
        try db.execute(sql: "DELETE FROM thread WHERE number = ?", arguments: [other])
        try flush()
    }

    /// Writes what has changed and forgets it, before rows are changed beside the folds.
    mutating func flush() throws {
        try write()
        memory = ThreadMemory()
        latest = nil
        nextNumber = nil
    }

    /// Writes a thread that was folded again from what is left of it.
    static func rewrite(_ fold: ThreadFold, number: Int64, id: String, project: ProjectID, db: Database) throws {
        try db.execute(sql: "DELETE FROM thread_tag WHERE project = ? AND thread = ?", arguments: [project.number, number])
        var rows = ThreadRows(db: db)
        rows.note(changed: rows.memory.add(Entry(name: OwnedID(project: project, id: id), number: number, fold: fold)))
        try rows.write()
    }

    /// Writes what has changed; a slot that was asked for holds no longer.
    mutating func write() throws {
        for slot in changed {
            let isPlain = memory.entries[slot].isPlain
            if isPlain {
                try writePlain(slot)
            } else if memory.entries[slot].isNew {
                try insert(memory.entries[slot])
            } else {
                try update(memory.entries[slot])
            }
            if !memory.entries[slot].fold.tags.isEmpty {
                try writeTags(of: memory.entries[slot])
                memory.entries[slot].fold.tags = [:]
            }
            memory.entries[slot].tagCount = nil
            memory.entries[slot].isNew = false
            memory.entries[slot].isChanged = false
            if !isPlain { memory.entries[slot].stored = .init(memory.entries[slot].fold) }
            // What is kept is bounded in bytes that way.
            if let metadata = memory.entries[slot].fold.metadata, metadata.value.bytes.count > Self.mostMetadata { memory.forget(slot) }
        }
        for slot in new where memory.entries[slot].isNew { memory.forget(slot) }
        changed = []
        new = []
        latest = nil
        nextNumber = nil
    }

    private static let mostMetadata = 512

    static let read = "SELECT \(ThreadFold.columns) FROM thread WHERE project = ? AND id = ?"

    static let plainUpdate = """
        UPDATE thread SET messages = ?, roles = ?, last_at = ?, first_message_at = ?, first_message = ?, last_message_at = ?,
            last_message = ?, active_at = ?, metadata = ?, metadata_at = ?, metadata_event = ?, person_at = ?,
            person_event = ?, provenances = ?
        WHERE number = ?
        """

    private func writePlain(_ slot: Int) throws {
        let update = try hot(.updateThread)
        update.bind(memory.entries[slot].fold.messageCount)
        update.bind(memory.entries[slot].fold.roles)
        update.bind(memory.entries[slot].fold.lastAt ?? memory.entries[slot].fold.firstAt!)
        update.bind(memory.entries[slot].fold.firstMessage)
        update.bind(memory.entries[slot].fold.lastMessage)
        update.bind(memory.entries[slot].fold.lastAt)
        update.bind(text: memory.entries[slot].fold.metadata?.value.bytes)
        update.bind(memory.entries[slot].fold.metadata?.place)
        update.bind(memory.entries[slot].fold.user?.place)
        update.bind(memory.entries[slot].fold.provenances)
        update.bind(memory.entries[slot].number)
        try update.run()
    }

    static let insert = """
        INSERT INTO thread (messages, roles, first_at, last_at, first_message_at, first_message, last_message_at, last_message,
            active_at, person, person_at, person_event, status, status_at, status_event, metadata, metadata_at, metadata_event,
            turns, provenances, number, project, id) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
        """

    static let judge = "UPDATE score SET thread = ? WHERE project = ? AND target = ?"

    private func insert(_ entry: Entry) throws {
        try run(hot(.insertThread), with: entry)
        // What was said of it before it was there.
        let judge = try hot(.judgeThread)
        judge.bind(entry.number)
        judge.bind(entry.name.project.number)
        judge.bind(entry.name.id)
        try judge.run()
    }

    private func update(_ entry: Entry) throws {
        let sql = """
            UPDATE thread SET messages = ?, roles = ?, first_at = ?, last_at = ?, first_message_at = ?, first_message = ?,
                last_message_at = ?, last_message = ?, active_at = ?, person = ?, person_at = ?, person_event = ?, status = ?,
                status_at = ?, status_event = ?, metadata = ?, metadata_at = ?, metadata_event = ?, turns = ?,
                provenances = ?, view = NULL
            WHERE number = ? AND project = ? AND id = ?
            """
        try run(HotStatement(db.cachedStatement(sql: sql)), with: entry)
    }

    /// Runs a statement that takes a thread whole.
    private func run(_ statement: HotStatement, with entry: Entry) throws {
        let fold = entry.fold
        statement.bind(fold.messageCount)
        statement.bind(fold.roles)
        statement.bind(fold.firstAt!)
        statement.bind(fold.lastAt ?? fold.firstAt!)
        statement.bind(fold.firstMessage)
        statement.bind(fold.lastMessage)
        statement.bind(fold.lastAt)
        statement.bind(fold.user?.value)
        statement.bind(fold.user?.place)
        statement.bind(fold.status?.value.rawValue)
        statement.bind(fold.status?.place)
        statement.bind(text: fold.metadata?.value.bytes)
        statement.bind(fold.metadata?.place)
        statement.bind(fold.hasTurns ? 1 : 0)
        statement.bind(fold.provenances)
        statement.bind(entry.number)
        statement.bind(entry.name.project.number)
        statement.bind(entry.name.id)
        try statement.run()
    }

    private func writeTags(of entry: Entry) throws {
        for (tag, latest) in entry.fold.tags {
            try db.cachedStatement(
                sql: """
                    INSERT INTO thread_tag (project, tag, thread, at, event, off) VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE
                    SET at = excluded.at, event = excluded.event, off = excluded.off WHERE (excluded.at, excluded.event) > (at, event)
                    """
            ).execute(arguments: [
                entry.name.project.number, tag, entry.number, latest.place.at.microseconds, latest.place.id, !latest.value,
            ])
        }
    }
}

extension ThreadFold {
    /// The columns `init(_:)` reads, in its order; reading by position is a third of the cost of reading by name.
    static let columns = """
        messages, roles, first_at, active_at, first_message_at, first_message, last_message_at, last_message,
        person, person_at, person_event, status, status_at, status_event, metadata, metadata_at, metadata_event, number, id, last_at, turns,
        provenances, view
        """
    static let numberColumn = 17
    static let idColumn = 18
    static let lastAtColumn = 19
    static let viewColumn = 22
    static let columnCount = 23

    /// When a conversation was active last, by its row: a person may have opened it again.
    static func activeAt(_ row: Row) -> Timestamp {
        let lastAt = Timestamp(microseconds: row[lastAtColumn])
        return ThreadFold(row).status.flatMap { $0.value == .active ? max($0.place.at, lastAt) : nil } ?? lastAt
    }

    /// A thread's fold as it stands in its row; tags are only ever added, so they stay in their table.
    init(_ row: some Columns) {
        self.init()
        func place(_ column: Int) -> Place? {
            guard let at = row.integer(column), let id = row.text(column + 1) else { return nil }
            return Place(at: Timestamp(microseconds: at), id: id)
        }
        hasTurns = row.integer(20) != 0
        provenances = Int(row.integer(21) ?? 0)
        messageCount = Int(row.integer(0) ?? 0)
        roles = Int(row.integer(1) ?? 0)
        firstAt = row.integer(2).map { Timestamp(microseconds: $0) }
        lastAt = row.integer(3).map { Timestamp(microseconds: $0) }
        firstMessage = place(4)
        lastMessage = place(6)
        if let name = row.text(8), let place = place(9) { user = Latest(name, place) }
        if let text = row.text(11), let value = Event.ThreadPatch.Status(rawValue: text), let place = place(12) {
            status = Latest(value, place)
        }
        if let text = row.text(14), let place = place(15) { metadata = Latest(JSONText(trusted: Array(text.utf8)), place) }
    }
}

extension HotStatement {
    /// Takes two places: when, and the event's ID.
    fileprivate func bind(_ place: ThreadFold.Place?) {
        bind(place?.at)
        bind(place?.id)
    }
}
