import Events
import Testing

@testable import NATSStream

@Suite("Where messages go, and what the servers say of them")
struct ShardsTests {
    @Test("a project has the same shard for ever")
    func stable() {
        let shards = Shards(count: 16)
        #expect((1...12).map { shards.shard(of: ProjectID($0)) } == [12, 5, 2, 3, 0, 9, 6, 7, 4, 4, 7, 10])
        #expect(shards.subject(of: ProjectID(7)) == "parley.events.v1.6.7")
        #expect(shards.project(in: "parley.events.v1.6.7") == ProjectID(7))
        #expect(shards.project(in: "parley.events.v1.6.x") == nil)
    }

    @Test("projects spread over all shards")
    func spread() {
        let shards = Shards(count: 16)
        var counts = [Int](repeating: 0, count: 16)
        for number in 1...1600 { counts[shards.shard(of: ProjectID(Int64(number)))] += 1 }
        #expect(counts.allSatisfy { (50...200).contains($0) }, "\(counts)")
    }

    @Test("the place of a message is read from either form of its reply address")
    func places() throws {
        let old = try #require(MessagePlace(acknowledgement: "$JS.ACK.PARLEY.drain-3-17.2.900.45.1795350696056819917.4"))
        #expect(old.consumer == "drain-3-17" && old.delivered == 2 && old.sequence == 900 && old.consumerSequence == 45)
        #expect(old.storedAt == 1_795_350_696_056_819_917 && old.pending == 4)
        let new = try #require(MessagePlace(acknowledgement: "$JS.ACK.hub.ACCHASH.PARLEY.drain-3-17.1.900.45.1795350696056819917.4.aXb9"))
        #expect(new.consumer == "drain-3-17" && new.delivered == 1 && new.sequence == 900)
        #expect(MessagePlace(acknowledgement: "_INBOX.a.1") == nil)
        #expect(MessagePlace(acknowledgement: "$JS.ACK.PARLEY.c.x.900.45.1.4") == nil)
    }
}

@Suite("How much may be on its way")
struct PublishWindowTests {
    @Test("what has no room waits in line until there is some, or its time is over")
    func line() async {
        let window = PublishWindow(size: .init(messages: 10, bytes: 1000))
        #expect(await window.enter(.init(messages: 8, bytes: 100), within: .zero))
        #expect(await !window.enter(.init(messages: 3, bytes: 100), within: .milliseconds(50)))
        #expect(await window.enter(.init(messages: 1, bytes: 900), within: .zero))
        async let later = window.enter(.init(messages: 1, bytes: 1), within: .seconds(10))
        window.leave(.init(messages: 8, bytes: 100))
        #expect(await later)
        #expect(window.used.messages == 2)
    }

    @Test("what is larger than all of it goes alone")
    func large() async {
        let window = PublishWindow(size: .init(messages: 10, bytes: 1000))
        #expect(await window.enter(.init(messages: 1, bytes: 5000), within: .zero))
        #expect(await !window.enter(.init(messages: 1, bytes: 1), within: .milliseconds(20)))
    }
}
