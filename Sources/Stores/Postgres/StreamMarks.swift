import Events

/// How far the streams that lead here are committed, so that what a drain brings twice is booked once (`StreamPosition`).
///
/// A shard's row is locked before anything else of a transaction, so that two drains that overlap wait for each other here and see what the
/// one before committed; the rows of several are locked in one order.
///
/// A standby that took over without the last commits has older marks, of the same moment as its events.
struct StreamMarks {
    private let db: Database
    private var marks: [Shard: StreamMark] = [:]

    private struct Shard: Hashable, Comparable {
        var stream: String
        var number: Int
        static func < (a: Self, b: Self) -> Bool { (a.stream, a.number) < (b.stream, b.number) }
    }

    init(_ db: Database) { self.db = db }

    /// The database is another than the one that committed what came before: it took over without the last commits.
    struct Behind: Error, CustomStringConvertible {
        var position: StreamPosition
        var mark: StreamMark
        var description: String {
            "shard \(position.shard) of \(position.stream) is committed up to \(mark.sequence), and was up to \(position.after)"
        }
    }

    /// Whether each delivery is new; those without a position always are. Throws `Behind`.
    mutating func admit(_ deliveries: [Delivery]) throws -> [Bool] {
        let shards = Set(deliveries.compactMap(\.position).map { Shard(stream: $0.stream, number: $0.shard) }).sorted()
        guard !shards.isEmpty else { return deliveries.map { _ in true } }
        for shard in shards { marks[shard] = try lock(shard) }
        return try deliveries.map { delivery in
            guard let position = delivery.position else { return true }
            let shard = Shard(stream: position.stream, number: position.shard)
            guard marks[shard]!.covers(position) else { throw Behind(position: position, mark: marks[shard]!) }
            return marks[shard]!.admit(position)
        }
    }

    static func reached(_ stream: String, shard: Int, _ db: Database) throws -> StreamMark {
        let row = try db.fetchOne("SELECT sequence, stored_at FROM stream_mark WHERE stream = $1 AND shard = $2::int4", [stream, shard])
        return row.map { StreamMark(sequence: UInt64(clamping: $0[0] as Int64), storedAt: $0[1]) } ?? StreamMark()
    }

    private func lock(_ shard: Shard) throws -> StreamMark {
        var pipeline = Pipeline()
        // A row to lock has to be there.
        pipeline.add(
            "INSERT INTO stream_mark VALUES ($1, $2::int4, 0, $3) ON CONFLICT DO NOTHING", [shard.stream, shard.number, Int64.min])
        let row = pipeline.add(
            "SELECT sequence, stored_at FROM stream_mark WHERE stream = $1 AND shard = $2::int4 FOR UPDATE", [shard.stream, shard.number])
        let found = try db.run(pipeline)[row][0]
        return StreamMark(sequence: UInt64(clamping: found[0] as Int64), storedAt: found[1])
    }

    func write(into pipeline: inout Pipeline) {
        for (shard, mark) in marks {
            pipeline.add(
                "UPDATE stream_mark SET sequence = $3, stored_at = $4 WHERE stream = $1 AND shard = $2::int4",
                [shard.stream, shard.number, Int64(clamping: mark.sequence), mark.storedAt])
        }
    }
}
