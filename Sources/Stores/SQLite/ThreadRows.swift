import Conversations
import Events
import GRDB

/// The threads that a transaction touches: read once, folded in memory, written once.
struct ThreadRows {
    struct Name: Hashable {
        var project: ProjectID
        var id: String
    }

    private struct Entry {
        var number: Int64
        var isNew: Bool
        var isChanged = false
        var fold: ThreadFold
        /// What stands in the row, where it was read in this transaction.
        var stored: ThreadFold?

        /// Whether only what each message changes has: SQLite writes every index anew whose columns a statement names, changed or not.
        var isPlain: Bool {
            guard let stored, !fold.hasTurns, !stored.hasTurns else { return false }
            return fold.firstAt == stored.firstAt && fold.user?.value == stored.user?.value && fold.status == stored.status
        }
    }

    let db: Database
    private var entries: [Name: Entry] = [:]
    private var names: [Int64: Name] = [:]
    private var nextNumber: Int64?

    init(db: Database) { self.db = db }

    /// The number of a thread, given now if it is new. A thread that nothing is stored in is not written.
    mutating func number(of id: String, in project: ProjectID) throws -> Int64 {
        let name = Name(project: project, id: id)
        if let entry = entries[name] { return entry.number }
        if let row = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT \(ThreadFold.columns) FROM thread WHERE project = ? AND id = ?"),
            arguments: [project.number, id])
        {
            let number: Int64 = row[ThreadFold.numberColumn]
            let fold = ThreadFold(row)
            entries[name] = Entry(number: number, isNew: false, fold: fold, stored: fold)
            names[number] = name
            return number
        }
        // Nobody else writes during a transaction, so the next number is ours.
        let number = try nextNumber ?? (Int64.fetchOne(db, sql: "SELECT max(number) FROM thread") ?? 0) + 1
        nextNumber = number + 1
        entries[name] = Entry(number: number, isNew: true, fold: ThreadFold())
        names[number] = name
        return number
    }

    func knownNumber(of id: String, in project: ProjectID) -> Int64? { entries[Name(project: project, id: id)]?.number }

    func knownName(of number: Int64) -> String? { names[number]?.id }

    mutating func apply(_ event: Event, at: Timestamp, from provenance: Provenance, to id: String, in project: ProjectID) {
        entries[Name(project: project, id: id)]!.fold.apply(event, at: at, from: provenance)
        entries[Name(project: project, id: id)]!.isChanged = true
    }

    mutating func applyTurn(at: Timestamp, roles: [Event.Role], to number: Int64) throws {
        if names[number] == nil {
            guard
                let row = try Row.fetchOne(
                    db.cachedStatement(sql: "SELECT \(ThreadFold.columns), project FROM thread WHERE number = ?"), arguments: [number])
            else { return }
            let name = Name(project: ProjectID(row[ThreadFold.columnCount]), id: row[ThreadFold.idColumn])
            entries[name] = Entry(number: number, isNew: false, fold: ThreadFold(row))
            names[number] = name
        }
        guard let name = names[number] else { return }
        entries[name]!.fold.applyTurn(at: at, roles: roles)
        entries[name]!.isChanged = true
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
        let name = Name(project: ProjectID(row[ThreadFold.columnCount]), id: row[ThreadFold.idColumn])
        entries[name] = Entry(number: number, isNew: false, isChanged: true, fold: fold)
        names[number] = name
        try db.execute(sql: "DELETE FROM thread WHERE number = ?", arguments: [other])
        try flush()
    }

    /// Writes what has changed and forgets it, before rows are changed beside the folds.
    mutating func flush() throws {
        try write()
        entries = [:]
        names = [:]
        nextNumber = nil
    }

    /// Writes a thread that was folded again from what is left of it.
    static func rewrite(_ fold: ThreadFold, number: Int64, id: String, project: ProjectID, db: Database) throws {
        try db.execute(sql: "DELETE FROM thread_tag WHERE project = ? AND thread = ?", arguments: [project.number, number])
        var rows = ThreadRows(db: db)
        rows.entries[Name(project: project, id: id)] = Entry(number: number, isNew: false, isChanged: true, fold: fold)
        try rows.write()
    }

    func write() throws {
        for (name, entry) in entries where entry.isChanged {
            let fold = entry.fold
            if entry.isPlain {
                try db.cachedStatement(sql: Self.plainUpdate).execute(arguments: [
                    fold.messageCount, fold.roles, (fold.lastAt ?? fold.firstAt!).microseconds,
                    fold.firstMessage?.at.microseconds, fold.firstMessage?.id, fold.lastMessage?.at.microseconds, fold.lastMessage?.id,
                    fold.lastAt?.microseconds, fold.metadata?.value.string, fold.metadata?.place.at.microseconds, fold.metadata?.place.id,
                    fold.user?.place.at.microseconds, fold.user?.place.id, fold.provenances, entry.number,
                ])
                try writeTags(of: entry, in: name.project)
                continue
            }
            let sql =
                entry.isNew
                ? """
                INSERT INTO thread (messages, roles, first_at, last_at, first_message_at, first_message, last_message_at, last_message,
                    active_at, person, person_at, person_event, status, status_at, status_event, metadata, metadata_at, metadata_event,
                    turns, provenances, number, project, id) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
                """
                : """
                UPDATE thread SET messages = ?, roles = ?, first_at = ?, last_at = ?, first_message_at = ?, first_message = ?,
                    last_message_at = ?, last_message = ?, active_at = ?, person = ?, person_at = ?, person_event = ?, status = ?,
                    status_at = ?, status_event = ?, metadata = ?, metadata_at = ?, metadata_event = ?, turns = ?,
                    provenances = ?, view = NULL
                WHERE number = ? AND project = ? AND id = ?
                """
            try db.cachedStatement(sql: sql).execute(arguments: [
                fold.messageCount, fold.roles, fold.firstAt!.microseconds, (fold.lastAt ?? fold.firstAt!).microseconds,
                fold.firstMessage?.at.microseconds, fold.firstMessage?.id, fold.lastMessage?.at.microseconds, fold.lastMessage?.id,
                fold.lastAt?.microseconds, fold.user?.value, fold.user?.place.at.microseconds, fold.user?.place.id,
                fold.status?.value.rawValue, fold.status?.place.at.microseconds, fold.status?.place.id,
                fold.metadata?.value.string, fold.metadata?.place.at.microseconds, fold.metadata?.place.id,
                fold.hasTurns, fold.provenances, entry.number, name.project.number, name.id,
            ])
            if entry.isNew {
                // What was said of it before it was there.
                try db.cachedStatement(sql: "UPDATE score SET thread = ? WHERE project = ? AND target = ?")
                    .execute(arguments: [entry.number, name.project.number, name.id])
            }
            try writeTags(of: entry, in: name.project)
        }
    }

    private static let plainUpdate = """
        UPDATE thread SET messages = ?, roles = ?, last_at = ?, first_message_at = ?, first_message = ?, last_message_at = ?,
            last_message = ?, active_at = ?, metadata = ?, metadata_at = ?, metadata_event = ?, person_at = ?,
            person_event = ?, provenances = ?
        WHERE number = ?
        """

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
    init(_ row: Row) {
        self.init()
        func place(_ column: Int) -> Place? {
            guard let at: Int64 = row[column], let id: String = row[column + 1] else { return nil }
            return Place(at: Timestamp(microseconds: at), id: id)
        }
        hasTurns = row[20]
        provenances = row[21]
        messageCount = row[0]
        roles = row[1]
        firstAt = Timestamp(microseconds: row[2])
        lastAt = (row[3] as Int64?).map { Timestamp(microseconds: $0) }
        firstMessage = place(4)
        lastMessage = place(6)
        if let name: String = row[8], let place = place(9) { user = Latest(name, place) }
        if let text: String = row[11], let value = Event.ThreadPatch.Status(rawValue: text), let place = place(12) {
            status = Latest(value, place)
        }
        if let text: String = row[14], let place = place(15) { metadata = Latest(JSONText(trusted: Array(text.utf8)), place) }
    }
}
