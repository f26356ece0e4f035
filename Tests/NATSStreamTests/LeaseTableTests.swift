import Events
import Testing

@testable import NATSStream

@Suite("Who works which shard")
struct LeaseTableTests {
    @Test("shards are spread evenly, and all of them have a drain")
    func even() {
        var table = LeaseTable()
        let drains = ["a", "b", "c"]
        for _ in 0..<4 {
            for drain in drains {
                let surplus = Set(table.surplus(of: drain, shards: 16))
                table.turn(of: drain, shards: 16, dead: [], givingUp: surplus)
            }
        }
        #expect(drains.map { table.held(by: $0).count } == [6, 5, 5])
        #expect(Set(table.leases.keys) == Set(0..<16))
    }

    @Test("a drain alone has all, and one that joins gets half once it is given up")
    func joins() {
        var table = LeaseTable()
        table.turn(of: "a", shards: 4, dead: [], givingUp: [])
        #expect(table.held(by: "a").count == 4)
        table.turn(of: "b", shards: 4, dead: [], givingUp: [])
        #expect(table.held(by: "b").isEmpty)
        #expect(table.surplus(of: "a", shards: 4) == [2, 3])
        table.turn(of: "a", shards: 4, dead: [], givingUp: [2, 3])
        table.turn(of: "b", shards: 4, dead: [], givingUp: [])
        #expect(table.held(by: "b").keys.sorted() == [2, 3])
    }

    @Test("a drain whose beat stands still for the lease's time is dead, and its shards are taken with greater tokens")
    func death() {
        var table = LeaseTable()
        var watch = Sightings()
        let start = ContinuousClock.now
        table.turn(of: "a", shards: 2, dead: [], givingUp: [])
        table.turn(of: "b", shards: 2, dead: [], givingUp: [])
        let before = table.leases.values.map(\.token).max()!
        #expect(watch.dead(in: table, at: start, after: .seconds(6)).isEmpty)
        #expect(watch.dead(in: table, at: start + .seconds(5), after: .seconds(6)).isEmpty)
        table.turn(of: "b", shards: 2, dead: [], givingUp: [])
        let dead = watch.dead(in: table, at: start + .seconds(6), after: .seconds(6))
        #expect(dead == ["a"])
        table.turn(of: "b", shards: 2, dead: dead, givingUp: [])
        #expect(table.held(by: "b").count == 2)
        #expect(table.leases.values.allSatisfy { $0.token > before })
    }

    @Test("one that was taken for dead and beats again joins like a new one")
    func resurrection() {
        var table = LeaseTable()
        table.turn(of: "a", shards: 2, dead: [], givingUp: [])
        table.turn(of: "b", shards: 2, dead: ["a"], givingUp: [])
        table.turn(of: "a", shards: 2, dead: [], givingUp: [])
        #expect(table.held(by: "a").isEmpty && table.held(by: "b").count == 2)
    }

    @Test("only its holder says how far a shard is committed, also as it gives the shard up")
    func floors() {
        var table = LeaseTable()
        table.turn(of: "a", shards: 2, dead: [], givingUp: [])
        let mark = StreamMark(sequence: 9, storedAt: 90)
        table.turn(of: "b", shards: 2, dead: [], givingUp: [], reached: [0: mark])
        #expect(table.floors.isEmpty)
        table.turn(of: "a", shards: 2, dead: [], givingUp: [1], reached: [0: mark, 1: mark])
        #expect(table.floors == [0: mark, 1: mark])
        table.leave("a", reached: [0: StreamMark(sequence: 10, storedAt: 91)])
        #expect(table.floors[0]?.sequence == 10 && table.leases.isEmpty)
    }

    @Test("a table is read as it was written")
    func json() throws {
        var table = LeaseTable()
        table.turn(of: "a", shards: 3, dead: [], givingUp: [])
        table.floors[2] = StreamMark(sequence: 900, storedAt: 1_795_350_696_056_819_917)
        table.turn(of: "b", shards: 3, dead: [], givingUp: [])
        #expect(try LeaseTable(json: table.json) == table)
    }
}
