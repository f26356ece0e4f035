import Conversations
import Events
import GRDB

/// The threads that a transaction touches: read once, folded in memory, written once.
struct ThreadRows {
    private struct Entry {
        var name: OwnedID
        var number: Int64
        var isNew = false
        var isChanged = false
        var fold: ThreadFold
        /// What stands in the row, where it was read in this transaction.
        var stored: ThreadFold?
        /// How many tags stand in their table, once that was asked.
        var tagCount: Int?

        /// Whether only what each message changes has: SQLite writes every index anew whose columns a statement names, changed or not.
        var isPlain: Bool {
            guard let stored, !fold.hasTurns, !stored.hasTurns else { return false }
            return fold.firstAt == stored.firstAt && fold.user?.value == stored.user?.value && fold.status == stored.status
        }
    }

    /// A thread's row, but for its tags.
    struct Known {
        var number: Int64
        var fold: ThreadFold
    }

    let db: Database
    private let hot: HotStatements
    /// Rows as they stand, from earlier transactions too: at the limit reading them is a sixth of the writer's work.
    private(set) var known: [OwnedID: Known]
    private var entries: [Entry] = []
    /// Where in `entries` a thread is, by its name and by its number.
    private var slots: [OwnedID: Int] = [:]
    private var slotsByNumber: [Int64: Int] = [:]
    private var nextNumber: Int64?

    init(db: Database, hot: HotStatements? = nil, known: [OwnedID: Known] = [:]) {
        self.db = db
        self.hot = hot ?? HotStatements(db)
        self.known = known
    }

    /// The place of a thread, which holds until `flush`; a new one gets its number now. A thread that nothing is stored in is not
    /// written.
    mutating func slot(of id: String, in project: ProjectID) throws -> Int {
        let name = OwnedID(project: project, id: id)
        if let slot = slots[name] { return slot }
        if let row = known[name] { return add(Entry(name: name, number: row.number, fold: row.fold, stored: row.fold)) }
        let read = try hot(.readThread)
        read.bind(project.number)
        read.bind(id)
        if let (number, fold) = try read.first({ ($0.integer(ThreadFold.numberColumn) ?? 0, ThreadFold($0)) }) {
            keep(fold, of: name, number)
            return add(Entry(name: name, number: number, fold: fold, stored: fold))
        }
        // Nobody else writes during a transaction, so the next number is ours.
        let number = try nextNumber ?? (Int64.fetchOne(db, sql: "SELECT max(number) FROM thread") ?? 0) + 1
        nextNumber = number + 1
        return add(Entry(name: name, number: number, isNew: true, fold: ThreadFold()))
    }

    private mutating func add(_ entry: Entry) -> Int {
        slots[entry.name] = entries.count
        slotsByNumber[entry.number] = entries.count
        entries.append(entry)
        return entries.count - 1
    }

    func number(at slot: Int) -> Int64 { entries[slot].number }

    func knownNumber(of id: String, in project: ProjectID) -> Int64? {
        slots[OwnedID(project: project, id: id)].map { entries[$0].number }
    }

    func knownName(of number: Int64) -> String? { slotsByNumber[number].map { entries[$0].name.id } }

    mutating func apply(_ event: Event, at: Timestamp, from source: Source, to slot: Int) throws {
        let isTagging = try source.lane == .secret || !event.hasTags || mayTag(slot)
        entries[slot].fold.apply(event, at: at, from: source.provenance(of: event.user), isTagging: isTagging)
        entries[slot].isChanged = true
    }

    private mutating func mayTag(_ slot: Int) throws -> Bool {
        if entries[slot].tagCount == nil {
            let sql = "SELECT count(*) FROM thread_tag INDEXED BY thread_tag_thread WHERE project = ? AND thread = ?"
            let arguments: StatementArguments = [entries[slot].name.project.number, entries[slot].number]
            entries[slot].tagCount =
                entries[slot].isNew ? 0 : try Int.fetchOne(db.cachedStatement(sql: sql), arguments: arguments) ?? 0
        }
        return entries[slot].tagCount! + entries[slot].fold.tags.count < ThreadFold.mostTags
    }

    mutating func applyTurn(at: Timestamp, roles: [Event.Role], to number: Int64) throws {
        guard let slot = try slotsByNumber[number] ?? slot(ofStored: number) else { return }
        entries[slot].fold.applyTurn(at: at, roles: roles)
        entries[slot].isChanged = true
    }

    private mutating func slot(ofStored number: Int64) throws -> Int? {
        let row = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT \(ThreadFold.columns), project FROM thread WHERE number = ?"), arguments: [number])
        guard let row else { return nil }
        let name = OwnedID(project: ProjectID(row[ThreadFold.columnCount]), id: row[ThreadFold.idColumn])
        return add(Entry(name: name, number: number, fold: ThreadFold(row)))
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
        _ = add(Entry(name: name, number: number, isChanged: true, fold: fold))
        try db.execute(sql: "DELETE FROM thread WHERE number = ?", arguments: [other])
        try flush()
    }

    /// Writes what has changed and forgets it, before rows are changed beside the folds.
    mutating func flush() throws {
        try write()
        known = [:]
        entries = []
        slots = [:]
        slotsByNumber = [:]
        nextNumber = nil
    }

    /// Writes a thread that was folded again from what is left of it.
    static func rewrite(_ fold: ThreadFold, number: Int64, id: String, project: ProjectID, db: Database) throws {
        try db.execute(sql: "DELETE FROM thread_tag WHERE project = ? AND thread = ?", arguments: [project.number, number])
        var rows = ThreadRows(db: db)
        _ = rows.add(Entry(name: OwnedID(project: project, id: id), number: number, isChanged: true, fold: fold))
        try rows.write()
    }

    mutating func write() throws {
        for entry in entries where entry.isChanged {
            if entry.isPlain {
                try writePlain(entry)
            } else if entry.isNew {
                try insert(entry)
            } else {
                try update(entry)
            }
            if !entry.fold.tags.isEmpty { try writeTags(of: entry, in: entry.name.project) }
            keep(entry.fold, of: entry.name, entry.number)
        }
    }

    /// Keeps a row as it stands, but one with much in it: what is kept is bounded in bytes that way.
    private mutating func keep(_ fold: ThreadFold, of name: OwnedID, _ number: Int64) {
        guard (fold.metadata?.value.bytes.count ?? 0) <= Self.mostMetadata else {
            known[name] = nil
            return
        }
        var fold = fold
        fold.tags = [:]
        known[name] = Known(number: number, fold: fold)
    }

    private static let mostMetadata = 512

    static let read = "SELECT \(ThreadFold.columns) FROM thread WHERE project = ? AND id = ?"

    static let plainUpdate = """
        UPDATE thread SET messages = ?, roles = ?, last_at = ?, first_message_at = ?, first_message = ?, last_message_at = ?,
            last_message = ?, active_at = ?, metadata = ?, metadata_at = ?, metadata_event = ?, person_at = ?,
            person_event = ?, provenances = ?
        WHERE number = ?
        """

    private func writePlain(_ entry: Entry) throws {
        let fold = entry.fold
        let update = try hot(.updateThread)
        update.bind(fold.messageCount)
        update.bind(fold.roles)
        update.bind(fold.lastAt ?? fold.firstAt!)
        update.bind(fold.firstMessage)
        update.bind(fold.lastMessage)
        update.bind(fold.lastAt)
        update.bind(text: fold.metadata?.value.bytes)
        update.bind(fold.metadata?.place)
        update.bind(fold.user?.place)
        update.bind(fold.provenances)
        update.bind(entry.number)
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

    private func writeTags(of entry: Entry, in project: ProjectID) throws {
        for (tag, latest) in entry.fold.tags {
            try db.cachedStatement(
                sql: """
                    INSERT INTO thread_tag (project, tag, thread, at, event, off) VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE
                    SET at = excluded.at, event = excluded.event, off = excluded.off WHERE (excluded.at, excluded.event) > (at, event)
                    """
            ).execute(arguments: [
                project.number, tag, entry.number, latest.place.at.microseconds, latest.place.id, !latest.value,
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
