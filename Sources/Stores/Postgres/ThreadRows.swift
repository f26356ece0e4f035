import Conversations
import Events

/// The threads that a transaction touches: read once, folded in memory, written once.
final class ThreadRows {
    private struct Entry {
        var id: String
        var number: Int64
        var isChanged = false
        /// Whether no row of it was there.
        var isNew = false
        var fold: ThreadFold
        /// How many tags stand in their table, once that was asked.
        var tagCount: Int?
    }

    private unowned let set: WorkingSet
    private var entries: [Entry] = []
    /// Where in `entries` a thread is, by its name and by its number; -1: there is none of that name.
    private var slots: [OwnedID: Int] = [:]
    private var slotsByNumber: [Int64: Int] = [:]

    private static let none = -1

    init(_ set: WorkingSet) { self.set = set }

    static let select = """
        SELECT \(ThreadFold.columns), CASE WHEN $3 THEN
            (SELECT count(*) FROM thread_tag g WHERE g.project = t.project AND g.thread = t.number) END
        FROM unnest($2) AS wanted(wanted_id) CROSS JOIN LATERAL (SELECT * FROM thread WHERE project = $1 AND id = wanted_id OFFSET 0) AS t
        """

    /// The threads that runs are in.
    static let selectOfRuns = """
        SELECT \(ThreadFold.columns), NULL::bigint FROM thread t WHERE t.project = $1
            AND t.number = ANY(ARRAY(SELECT r.thread FROM run r WHERE r.project = $1 AND r.id = ANY($2) AND r.thread IS NOT NULL))
        """

    /// Rows of `select` for threads of these names.
    func keep(_ names: [String], _ rows: Rows) {
        for row in rows { add(row) }
        for name in names where slots[set.key(name)] == nil { slots[set.key(name)] = Self.none }
    }

    private func add(_ row: Row) {
        let id: String = row[ThreadFold.idColumn]
        // What is known has more in it than the row.
        guard slots[set.key(id)].map({ $0 == Self.none }) ?? true else { return }
        _ = add(Entry(id: id, number: row[ThreadFold.numberColumn], fold: ThreadFold(row), tagCount: row[ThreadFold.columnCount]))
    }

    private func add(_ entry: Entry) -> Int {
        slots[set.key(entry.id)] = entries.count
        slotsByNumber[entry.number] = entries.count
        entries.append(entry)
        return entries.count - 1
    }

    private func find(_ name: String) throws -> Int? {
        let key = set.key(name)
        if slots[key] == nil { keep([name], try set.ask(Self.select, [set.project.number, [name], false])) }
        return slots[key] == Self.none ? nil : slots[key]
    }

    /// The place of a thread, which holds until `forget`; a new one gets its number now.
    func slot(of name: String) throws -> Int {
        if let slot = try find(name) { return slot }
        return add(Entry(id: name, number: try set.numbers.next(.thread, set.db), isNew: true, fold: ThreadFold(), tagCount: 0))
    }

    func number(at slot: Int) -> Int64 { entries[slot].number }

    /// nil: no such thread.
    func number(of name: String) throws -> Int64? { try find(name).map { entries[$0].number } }

    /// What the thread's events add up to, so far; nil: no such thread.
    func fold(of name: String) throws -> ThreadFold? { try find(name).map { entries[$0].fold } }

    func apply(_ event: Event, at: Timestamp, from source: Source, to slot: Int) throws {
        let isTagging = try source.lane == .secret || !event.hasTags || mayTag(slot)
        entries[slot].fold.apply(event, at: at, from: source.provenance(of: event.user), isTagging: isTagging)
        entries[slot].isChanged = true
    }

    private func mayTag(_ slot: Int) throws -> Bool {
        if entries[slot].tagCount == nil {
            let rows = try set.ask(
                "SELECT count(*) FROM thread_tag WHERE project = $1 AND thread = $2", [set.project.number, entries[slot].number])
            entries[slot].tagCount = rows[0][0]
        }
        return entries[slot].tagCount! + entries[slot].fold.tags.count < ThreadFold.mostTags
    }

    func applyTurn(at: Timestamp, roles: [Event.Role], to number: Int64) throws {
        if slotsByNumber[number] == nil {
            let rows = try set.ask(
                "SELECT \(ThreadFold.columns), NULL::bigint FROM thread WHERE project = $1 AND number = $2", [set.project.number, number])
            for row in rows { add(row) }
        }
        guard let slot = slotsByNumber[number] else { return }
        entries[slot].fold.applyTurn(at: at, roles: roles)
        entries[slot].isChanged = true
    }

    /// Two threads turn out to be one: the other's fold is added, and its row goes. What was known is given up.
    func merge(_ other: Int64, into number: Int64) throws {
        try set.flush()
        let select = "SELECT \(ThreadFold.columns) FROM thread WHERE project = $1 AND number = $2"
        guard let row = try set.db.fetchOne(select, [set.project.number, number]),
            let gone = try set.db.fetchOne(select, [set.project.number, other])
        else { return }
        var fold = ThreadFold(row)
        fold.merge(ThreadFold(gone))
        set.forget()
        _ = add(Entry(id: row[ThreadFold.idColumn], number: number, isChanged: true, fold: fold))
        try set.db.execute("DELETE FROM thread WHERE project = $1 AND number = $2", [set.project.number, other])
        try set.flush()
        forget()
    }

    func forget() {
        entries = []
        slots = [:]
        slotsByNumber = [:]
    }

    /// Writes a thread that was folded again from what is left of it.
    static func rewrite(_ fold: ThreadFold, number: Int64, id: String, project: ProjectID, db: Database) throws {
        try db.execute("DELETE FROM thread_tag WHERE project = $1 AND thread = $2", [project.number, number])
        let set = WorkingSet(db, project: project, numbers: NumberReserve())
        _ = set.threads.add(Entry(id: id, number: number, isChanged: true, fold: fold))
        try set.flush()
    }

    /// What a fold says, as columns; `id` and `number` say whose it is.
    private static let foldColumns = [
        "messages", "roles", "first_at", "last_at", "first_message_at", "first_message", "last_message_at", "last_message", "active_at",
        "person", "person_at", "person_event", "status", "status_at", "status_event", "metadata", "metadata_at", "metadata_event", "turns",
        "provenances",
    ]
    private static let new = """
        unnest($2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::text[],
            $10::bigint[], $11::text[], $12::bigint[], $13::text[], $14::bigint[], $15::text[], $16::text[], $17::bigint[], $18::text[],
            $19::text[], $20::bigint[], $21::text[], $22::boolean[], $23::bigint[])
            AS new(number, id, \(foldColumns.joined(separator: ", ")))
        """

    // Whether a thread is there was asked under the project's lock. ON CONFLICT would ask again, and lock each row before it changes it: a
    // quarter of what writing threads costs.
    static let insert = """
        INSERT INTO thread (project, number, id, \(foldColumns.joined(separator: ", "))) SELECT $1, new.* FROM \(new)
        """
    static let update = """
        UPDATE thread t SET \(foldColumns.map { "\($0) = new.\($0)" }.joined(separator: ", ")), view = NULL
        FROM \(new) WHERE t.project = $1 AND t.number = new.number
        """

    func write(into pipeline: inout Pipeline) {
        let changed = entries.indices.filter { entries[$0].isChanged }
        guard !changed.isEmpty else { return }
        let project = set.project.number
        for isNew in [true, false] {
            let written = changed.filter { entries[$0].isNew == isNew }
            if !written.isEmpty { pipeline.add(isNew ? Self.insert : Self.update, rows(of: written)) }
        }
        writeTags(of: changed, into: &pipeline)
        // What was said of a new one before it was there.
        let judged = changed.filter { entries[$0].isNew && set.isScored[set.key(entries[$0].id)] != false }
        if !judged.isEmpty {
            set.later.add(Self.judge, [project, judged.map { entries[$0].id }, judged.map { entries[$0].number }])
        }
        for slot in changed {
            entries[slot].isChanged = false
            entries[slot].isNew = false
            if !entries[slot].fold.tags.isEmpty {
                entries[slot].fold.tags = [:]
                entries[slot].tagCount = nil
            }
        }
    }

    /// The arguments of `insert` and `update`.
    private func rows(of slots: [Int]) -> Arguments {
        let folds = slots.map { entries[$0].fold }
        return [
            set.project.number, slots.map { entries[$0].number }, slots.map { entries[$0].id }, folds.map(\.messageCount),
            folds.map(\.roles), folds.map { $0.firstAt!.microseconds }, folds.map { ($0.lastAt ?? $0.firstAt!).microseconds },
            folds.map(\.firstMessage?.at.microseconds), folds.map(\.firstMessage?.id), folds.map(\.lastMessage?.at.microseconds),
            folds.map(\.lastMessage?.id), folds.map(\.lastAt?.microseconds), folds.map(\.user?.value),
            folds.map(\.user?.place.at.microseconds), folds.map(\.user?.place.id), folds.map(\.status?.value.rawValue),
            folds.map(\.status?.place.at.microseconds), folds.map(\.status?.place.id),
            folds.map { $0.metadata.map { TextBytes($0.value.bytes) } }, folds.map(\.metadata?.place.at.microseconds),
            folds.map(\.metadata?.place.id), folds.map(\.hasTurns), folds.map(\.provenances),
        ]
    }

    /// The main scan goes by the targets, whatever the planner thinks of the list's length.
    private static let judge = """
        UPDATE score SET thread = (SELECT new.number FROM unnest($2::text[], $3::bigint[]) AS new(id, number) WHERE new.id = score.target)
        WHERE project = $1 AND target = ANY($2)
        """

    private func writeTags(of changed: [Int], into pipeline: inout Pipeline) {
        var (tags, threads, times): ([String], [Int64], [Int64]) = ([], [], [])
        var (events, offs): ([String], [Bool]) = ([], [])
        for slot in changed {
            for (tag, latest) in entries[slot].fold.tags {
                tags.append(tag)
                threads.append(entries[slot].number)
                times.append(latest.place.at.microseconds)
                events.append(latest.place.id)
                offs.append(!latest.value)
            }
        }
        guard !tags.isEmpty else { return }
        pipeline.add(
            """
            INSERT INTO thread_tag (project, tag, thread, at, event, off)
            SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::boolean[])
            ON CONFLICT (project, tag, thread) DO UPDATE SET at = excluded.at, event = excluded.event, off = excluded.off
                WHERE (excluded.at, excluded.event) > (thread_tag.at, thread_tag.event)
            """, [set.project.number, tags, threads, times, events, offs])
    }
}

extension ThreadFold {
    /// The columns `init(_:)` reads, in its order.
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
        func time(_ column: Int) -> Timestamp? { (row[column] as Int64?).map { Timestamp(microseconds: $0) } }
        func place(_ column: Int) -> Place? {
            guard let at = time(column), let id: String = row[column + 1] else { return nil }
            return Place(at: at, id: id)
        }
        hasTurns = row[20]
        provenances = row[21]
        messageCount = row[0]
        roles = row[1]
        firstAt = time(2)
        lastAt = time(3)
        firstMessage = place(4)
        lastMessage = place(6)
        if let name: String = row[8], let place = place(9) { user = Latest(name, place) }
        if let text: String = row[11], let value = Event.ThreadPatch.Status(rawValue: text), let place = place(12) {
            status = Latest(value, place)
        }
        if let text: TextBytes = row[14], let place = place(15) { metadata = Latest(JSONText(trusted: text.bytes), place) }
    }
}
