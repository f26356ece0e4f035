/// The order of the log, with many writers: `event.sequence`, numbers of one sequence, in which a lower one may become visible later.
///
/// A reader must never go past a number that may still appear. So each writer holds, from before its first number to its end, a shared
/// lock on the value the sequence had then, which is below all of its numbers; and a reader reads only up to the lowest of these. A
/// number is taken after its writer's lock, and a writer's rows become visible before its locks go: whoever reads the sequence first,
/// the locks then, and the rows last, misses nothing.
enum LogOrder {
    /// Announces numbers; to be run before the transaction's first `nextval('event_sequence')`.
    static let announce = "SELECT pg_advisory_xact_lock_shared((SELECT last_value FROM event_sequence))"

    /// How far the log can be read now: no event up to that number will appear any more.
    ///
    /// To be asked outside of a transaction, or in one that is READ COMMITTED; what is read up to it must be read in a snapshot that is
    /// taken afterwards. `PostgresStore.readLog` does both.
    static func safeEnd(_ db: Database) throws -> Int64 {
        // Two statements: the locks must be looked at after the sequence.
        var pipeline = Pipeline()
        let last = pipeline.add("SELECT last_value FROM event_sequence")
        // A lock of one number has its upper half in `classid`, its lower in `objid` and 1 in `objsubid` (PostgreSQL, pg_locks).
        let lowest = pipeline.add(
            """
            SELECT min((classid::bigint << 32) | objid::bigint) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            """)
        let answers = try db.run(pipeline)
        let end: Int64 = answers[last][0][0]
        let held: Int64? = answers[lowest][0][0]
        return min(end, held ?? end)
    }
}

extension PostgresStore {
    /// Reads of the log what will stay as it is: `body` gets the number up to which it may read, and sees one moment after that.
    func readLog<Value: Sendable>(_ body: @escaping @Sendable (Database, Int64) throws -> Value) async throws -> Value {
        try await pool.withoutTransaction { db in
            let end = try LogOrder.safeEnd(db)
            return try db.transaction(.read) { try body($0, end) }
        }
    }
}
