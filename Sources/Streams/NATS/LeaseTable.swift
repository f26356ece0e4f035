import Events

/// Who works which shard: one small document in a bucket that all drains read, change and write back if nobody was faster.
///
/// A drain that lives counts its beat up with each turn. One whose beat has stood still for the lease's time, by the watch of whoever
/// looks, is dead, and its shards are free; nobody compares clocks with anybody. A lease carries a token that grows with every lease
/// ever given: with it a later holder shuts out an earlier one who does not know yet.
struct LeaseTable: Sendable, Equatable {
    struct Lease: Sendable, Equatable {
        var drain: String
        var token: UInt64
    }

    /// The beat of each drain, by its ID.
    var drains: [String: UInt64] = [:]
    var leases: [Int: Lease] = [:]
    var lastToken: UInt64 = 0
    /// Up to where each shard was committed when its holder last beat: where the next one begins.
    var floors: [Int: StreamMark] = [:]

    /// How many shards are a drain's share: as even as can be, the first in the order of IDs having one more.
    func share(of drain: String, shards: Int) -> Int {
        guard let rank = drains.keys.sorted().firstIndex(of: drain) else { return 0 }
        return shards / drains.count + (rank < shards % drains.count ? 1 : 0)
    }

    func held(by drain: String) -> [Int: UInt64] {
        leases.filter { $0.value.drain == drain }.mapValues(\.token)
    }

    /// What a drain has beyond its share: those with the highest numbers, which it should end and give up.
    func surplus(of drain: String, shards: Int) -> [Int] {
        let mine = held(by: drain).keys.sorted()
        return Array(mine.dropFirst(share(of: drain, shards: shards)))
    }

    /// One drain's turn: it beats, buries the dead, gives up what it has ended, and takes what is free up to its share.
    ///
    /// - Parameter reached: how far it has come with the shards it has.
    mutating func turn(of drain: String, shards: Int, dead: Set<String>, givingUp: Set<Int>, reached: [Int: StreamMark] = [:]) {
        note(reached, by: drain)
        for name in dead where name != drain { drains[name] = nil }
        drains[drain, default: 0] += 1
        leases = leases.filter { shard, lease in
            shard < shards && drains[lease.drain] != nil && !(lease.drain == drain && givingUp.contains(shard))
        }
        var room = share(of: drain, shards: shards) - held(by: drain).count
        for shard in 0..<shards where room > 0 && leases[shard] == nil && !givingUp.contains(shard) {
            lastToken += 1
            leases[shard] = Lease(drain: drain, token: lastToken)
            room -= 1
        }
    }

    mutating func leave(_ drain: String, reached: [Int: StreamMark] = [:]) {
        note(reached, by: drain)
        drains[drain] = nil
        leases = leases.filter { $0.value.drain != drain }
    }

    /// Only a shard's holder says how far it is.
    private mutating func note(_ reached: [Int: StreamMark], by drain: String) {
        for (shard, mark) in reached where leases[shard]?.drain == drain { floors[shard] = mark }
    }
}

/// When each drain's beat was first seen to be what it is.
struct Sightings: Sendable {
    private var seen: [String: (beat: UInt64, since: ContinuousClock.Instant)] = [:]

    /// Looks at a table; answers which drains have stood still for that long.
    mutating func dead(in table: LeaseTable, at now: ContinuousClock.Instant, after time: Duration) -> Set<String> {
        seen = seen.filter { table.drains[$0.key] != nil }
        for (drain, beat) in table.drains where seen[drain]?.beat != beat { seen[drain] = (beat, now) }
        return Set(seen.filter { now - $0.value.since >= time }.keys)
    }
}

extension LeaseTable {
    /// `{"drains":{"ID":7},"leases":[{"shard":0,"drain":"ID","token":3}],"lastToken":3,"floors":[{"shard":0,"sequence":900,"storedAt":1795…}]}`.
    var json: [UInt8] {
        var writer = JSONWriter()
        writer.object { writer in
            writer.key("drains")
            writer.object { writer in for (drain, beat) in drains.sorted(by: { $0.key < $1.key }) { writer.field(drain, beat) } }
            writer.key("leases")
            writer.array(leases.sorted { $0.key < $1.key }) { writer, lease in
                writer.object {
                    $0.field("shard", lease.key)
                    $0.field("drain", lease.value.drain)
                    $0.field("token", lease.value.token)
                }
            }
            writer.field("lastToken", lastToken)
            writer.key("floors")
            writer.array(floors.sorted { $0.key < $1.key }) { writer, floor in
                writer.object {
                    $0.field("shard", floor.key)
                    $0.field("sequence", floor.value.sequence)
                    $0.field("storedAt", floor.value.storedAt)
                }
            }
        }
        return writer.bytes
    }

    init(json bytes: [UInt8]) throws(JetStream.Failure) {
        self.init()
        do {
            let read = try JSONDocument.read(bytes, isOurs: true) { json in
                var table = LeaseTable()
                table.lastToken = json["lastToken"]?.integer.map { UInt64($0) } ?? 0
                json["drains"]?.forEachMember { key, beat in
                    table.drains[String(decoding: key, as: UTF8.self)] = beat.integer.map { UInt64($0) }
                }
                json["leases"]?.forEachElement { lease in
                    guard let shard = lease["shard"]?.integer, let drain = lease["drain"]?.string, let token = lease["token"]?.integer
                    else { return }
                    table.leases[Int(shard)] = Lease(drain: drain, token: UInt64(token))
                }
                json["floors"]?.forEachElement { floor in
                    guard let shard = floor["shard"]?.integer, let sequence = floor["sequence"]?.integer,
                        let storedAt = floor["storedAt"]?.integer
                    else { return }
                    table.floors[Int(shard)] = StreamMark(sequence: UInt64(sequence), storedAt: storedAt)
                }
                return table
            }
            self = read
        } catch {
            throw .unreadable("the drains' table of leases")
        }
    }
}
