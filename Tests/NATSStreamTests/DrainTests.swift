import Events
import Foundation
import Logging
import Synchronization
import TestKit
import Testing

@testable import NATSStream

/// A drain at work in a test.
final class DrainAtWork {
    let drain: Drain
    private let task: Task<Void, Never>

    init(
        _ stream: JetStream, _ settings: StreamSettings, into sink: any EventSink, _ change: (inout Drain.Configuration) -> Void = { _ in }
    ) {
        var configuration = Drain.Configuration()
        configuration.leaseFor = .seconds(2)
        configuration.beatEvery = .milliseconds(200)
        configuration.fetchFor = .milliseconds(500)
        configuration.firstPause = .milliseconds(20)
        configuration.longestPause = .milliseconds(300)
        change(&configuration)
        var logger = Logger(label: "test")
        logger.logLevel = .init(rawValue: ProcessInfo.processInfo.environment["PARLEY_TEST_LOG"] ?? "critical") ?? .critical
        let drain = Drain(stream, settings: settings, into: sink, configuration: configuration, logger: logger)
        self.drain = drain
        task = Task { await drain.run() }
    }

    func end() async {
        drain.close()
        await task.value
    }
}

@Suite("Draining a stream of real servers into a store", .serialized)
struct DrainTests {
    /// Each delivery in the stream is committed once and booked once.
    private func expectExact(_ store: MemoryStore, _ stream: JetStream, _ settings: StreamSettings) async throws {
        let content = store.content
        #expect(content.ledger.holds)
        #expect(try await stream.lag(of: settings).messages == content.ledger.received)
    }

    @Test("thousands of deliveries come out as they went in: each thread in order, each tally booked once, nothing left behind")
    func roundTrip() async throws {
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let stream = try await JetStream.forTest([server])
        let settings = StreamSettings.forTest()
        try await stream.prepareSoon(settings)
        let sink = StreamSink(stream, settings: settings)
        let store = MemoryStore()
        let work = DrainAtWork(stream, settings, into: store)
        for batch in 0..<10 { _ = try await sink.append(someDeliveries(batch * 500..<batch * 500 + 500)) }
        try await eventually("all are in the store", within: .seconds(20)) { store.content.order.count == 5000 }
        try await eventually("all are acknowledged", within: .seconds(5)) { try await stream.lag(of: settings).behind == 0 }
        let content = store.content
        #expect(content.ledger.received == 5000 && content.ledger.verdicts == [.stored: 5000] && content.skipped == 0)
        for project in 1...20 {
            let numbers = content.order.filter { $0.hasPrefix("\(project) ") }.map { Int($0.split(separator: "-")[1])! }
            #expect(numbers == numbers.sorted())
        }
        #expect(work.drain.figures.deliveries == 5000 && work.drain.figures.shards == [0, 1, 2, 3])
        await work.end()
        await stream.close()
    }

    @Test("two drains share the shards, and when one dies in the middle the other takes its shards and nothing is lost or booked twice")
    func death() async throws {
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let stream = try await JetStream.forTest([server])
        let dying = try await JetStream.forTest([server])
        let settings = StreamSettings.forTest()
        try await stream.prepareSoon(settings)
        let sink = StreamSink(stream, settings: settings)
        let store = MemoryStore()
        let stays = DrainAtWork(stream, settings, into: store)
        let dies = DrainAtWork(dying, settings, into: store)
        try await eventually("they share", within: .seconds(10)) {
            stays.drain.figures.shards.count == 2 && dies.drain.figures.shards.count == 2
        }
        _ = try await sink.append(someDeliveries(0..<1000))
        // Dead in the middle of its work: its connection is gone, and what it has in hand is never acknowledged.
        store.hold()
        _ = try await sink.append(someDeliveries(1000..<2000))
        try await eventually("both have a batch in hand", within: .seconds(5)) { store.holds >= 3 }
        await dying.close()
        store.letGo()
        let began = ContinuousClock.now
        try await eventually("all is in the store", within: .seconds(15)) { store.content.order.count == 2000 }
        try await eventually("the other has all shards", within: .seconds(10)) { stays.drain.figures.shards.count == 4 }
        #expect(ContinuousClock.now - began < .seconds(10))
        try await eventually("all are acknowledged", within: .seconds(10)) { try await stream.lag(of: settings).behind == 0 }
        try await expectExact(store, stream, settings)
        #expect(store.content.ledger.received == 2000 && store.content.ledger.verdicts == [.stored: 2000])
        await dies.end()
        await stays.end()
        await stream.close()
    }

    @Test(
        "a store that falls back behind what it had gets all of that again, once, whether something new comes or not",
        arguments: [true, false])
    func fallingBack(comesMore: Bool) async throws {
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let stream = try await JetStream.forTest([server])
        let settings = StreamSettings.forTest()
        try await stream.prepareSoon(settings)
        let sink = StreamSink(stream, settings: settings)
        let store = MemoryStore()
        // Either the next delivery finds out, or a look now and then does.
        let work = DrainAtWork(stream, settings, into: store) { $0.lookEvery = comesMore ? .seconds(3600) : .milliseconds(200) }
        _ = try await sink.append(someDeliveries(0..<500))
        try await eventually("the first are in the store", within: .seconds(20)) { store.content.order.count == 500 }
        let before = store.content
        _ = try await sink.append(someDeliveries(500..<1000))
        try await eventually("all are acknowledged", within: .seconds(20)) { try await stream.lag(of: settings).behind == 0 }
        store.fallBack(to: before)
        if comesMore { _ = try await sink.append(someDeliveries(1000..<1500)) }
        let count = comesMore ? 1500 : 1000
        try await eventually("all are in the store again", within: .seconds(20)) { store.content.order.count == count }
        let content = store.content
        #expect(content.ledger.received == count && content.ledger.verdicts == [.stored: count])
        for project in 1...20 {
            let numbers = content.order.filter { $0.hasPrefix("\(project) ") }.map { Int($0.split(separator: "-")[1])! }
            #expect(numbers == numbers.sorted())
        }
        #expect(work.drain.figures.reopened > 0)
        await work.end()
        await stream.close()
    }

    @Test("a drain that ends orderly hands its shards over at once")
    func handOver() async throws {
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let stream = try await JetStream.forTest([server])
        let settings = StreamSettings.forTest()
        try await stream.prepareSoon(settings)
        let store = MemoryStore()
        // A lease so long that nobody could have waited for its end.
        let first = DrainAtWork(stream, settings, into: store) { $0.leaseFor = .seconds(60) }
        try await eventually("the first has all", within: .seconds(5)) { first.drain.figures.shards.count == 4 }
        let second = DrainAtWork(stream, settings, into: store) { $0.leaseFor = .seconds(60) }
        try await eventually("they share", within: .seconds(5)) {
            first.drain.figures.shards.count == 2 && second.drain.figures.shards.count == 2
        }
        await first.end()
        try await eventually("the second has all", within: .seconds(3)) { second.drain.figures.shards.count == 4 }
        _ = try await StreamSink(stream, settings: settings).append(someDeliveries(0..<100))
        try await eventually("it works them", within: .seconds(5)) { store.content.order.count == 100 }
        #expect(store.content.skipped == 0)
        await second.end()
        await stream.close()
    }

    @Test("a drain that was paused and wakes up beside its successor does no harm")
    func paused() async throws {
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let stream = try await JetStream.forTest([server])
        let settings = StreamSettings.forTest()
        try await stream.prepareSoon(settings)
        let sink = StreamSink(stream, settings: settings)
        let store = MemoryStore()
        // Its own way into the store, which can be held.
        let slow = HeldSink(store)
        let paused = DrainAtWork(stream, settings, into: slow)
        try await eventually("it has the shards", within: .seconds(5)) { paused.drain.figures.shards.count == 4 }
        _ = try await sink.append(someDeliveries(0..<500))
        try await eventually("some is stored", within: .seconds(5)) { store.content.order.count == 500 }
        slow.hold()
        _ = try await sink.append(someDeliveries(500..<1000))
        try await eventually("it has batches in hand", within: .seconds(5)) { slow.holds == 4 }
        paused.drain.freeze()
        let successor = DrainAtWork(stream, settings, into: store)
        try await eventually("the successor has worked them", within: .seconds(15)) { store.content.order.count == 1000 }
        _ = try await sink.append(someDeliveries(1000..<1200))
        let inHand = slow.deliveriesInHand
        #expect(inHand > 0)
        slow.letGo()
        try await eventually("what was in hand came again and was skipped", within: .seconds(5)) { store.content.skipped >= inHand }
        _ = try await sink.append(someDeliveries(1200..<1500))
        try await eventually("all is in the store", within: .seconds(10)) { store.content.order.count == 1500 }
        paused.drain.thaw()
        try await eventually("they share", within: .seconds(10)) {
            paused.drain.figures.shards.count == 2 && successor.drain.figures.shards.count == 2
        }
        _ = try await sink.append(someDeliveries(1500..<2000))
        try await eventually("all is in the store", within: .seconds(10)) { store.content.order.count == 2000 }
        try await eventually("all are acknowledged", within: .seconds(10)) { try await stream.lag(of: settings).behind == 0 }
        #expect(store.content.ledger.received == 2000 && store.content.ledger.verdicts == [.stored: 2000])
        await paused.end()
        await successor.end()
        await stream.close()
    }

    @Test("while the store is away a drain waits with what it has, and gateways go on")
    func storeDown() async throws {
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let stream = try await JetStream.forTest([server])
        let settings = StreamSettings.forTest()
        try await stream.prepareSoon(settings)
        let sink = StreamSink(stream, settings: settings)
        let store = MemoryStore()
        store.fail(SinkFailure(.unavailable, "connection refused"))
        let work = DrainAtWork(stream, settings, into: store)
        _ = try await sink.append(someDeliveries(0..<300))
        try await eventually("it says that it waits", within: .seconds(5)) { !work.drain.figures.waitingForStore.isEmpty }
        _ = try await sink.append(someDeliveries(300..<600))
        let lag = try await stream.lag(of: settings)
        #expect(lag.behind == 600 && lag.oldest != nil)
        try await Task.sleep(for: .seconds(1))
        #expect(work.drain.figures.setAside == 0)
        store.fail(nil)
        try await eventually("all is in the store", within: .seconds(10)) { store.content.order.count == 600 }
        #expect(store.content.ledger.received == 600 && store.content.skipped == 0)
        #expect(work.drain.figures.waitingForStore.isEmpty)
        await work.end()
        await stream.close()
    }

    @Test("a broker that is killed and comes back is drained on where it was, and nothing is booked twice")
    func brokerRestart() async throws {
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let stream = try await JetStream.forTest([server])
        let settings = StreamSettings.forTest()
        try await stream.prepareSoon(settings)
        let sink = StreamSink(stream, settings: settings)
        let store = MemoryStore()
        let work = DrainAtWork(stream, settings, into: store)
        _ = try await sink.append(someDeliveries(0..<1000))
        try await eventually("some is stored", within: .seconds(10)) { store.content.order.count > 200 }
        server.kill9()
        // Longer than the lease: the drain has to begin anew.
        try await eventually("its leases are over", within: .seconds(10)) { work.drain.figures.shards.isEmpty }
        try await server.start()
        try await eventually("it is taken again", within: .seconds(15)) {
            (try? await sink.append(someDeliveries(1000..<1500))) != nil
        }
        try await eventually("all is in the store", within: .seconds(20)) { store.content.order.count == 1500 }
        try await eventually("all are acknowledged", within: .seconds(10)) { try await stream.lag(of: settings).behind == 0 }
        try await expectExact(store, stream, settings)
        #expect(work.drain.figures.shards.count == 4)
        await work.end()
        await stream.close()
    }

    @Test("a message that can't be read and one that the store refuses are set aside, and their neighbours are stored")
    func poison() async throws {
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let stream = try await JetStream.forTest([server])
        let settings = StreamSettings.forTest()
        try await stream.prepareSoon(settings)
        let sink = StreamSink(stream, settings: settings)
        let store = MemoryStore()
        store.refuse { $0.events.contains { $0.event.id == "m-40" } }
        _ = try await sink.append(someDeliveries(0..<50, projects: 1))
        let nonsense = try await stream.request(settings.shards.subject(of: ProjectID(1)), Array("nonsense".utf8))
        #expect(!nonsense.body.isEmpty)
        _ = try await sink.append(someDeliveries(50..<100, projects: 1))
        let work = DrainAtWork(stream, settings, into: store)
        try await eventually("the neighbours are stored", within: .seconds(15)) { store.content.order.count == 99 }
        let content = store.content
        #expect(content.order == (0..<100).filter { $0 != 40 }.map { "1 m-\($0)" })
        #expect(content.quarantine.count == 2)
        #expect(content.quarantine.contains { $0.id == "m-40" && $0.refusal.message.contains("constraint violated") })
        #expect(content.quarantine.contains { $0.payload.string == #""nonsense""# })
        #expect(content.ledger.received == 101 && content.ledger.holds)
        #expect(work.drain.figures.setAside == 2)
        try await eventually("all are acknowledged", within: .seconds(5)) { try await stream.lag(of: settings).behind == 0 }
        await work.end()
        await stream.close()
    }

    @Test("what even quarantine refuses is parked in a stream of its own, and the shard goes on")
    func parked() async throws {
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let stream = try await JetStream.forTest([server])
        let settings = StreamSettings.forTest()
        try await stream.prepareSoon(settings)
        let store = MemoryStore()
        store.refuse(quarantineToo: true) { $0.source.project == ProjectID(2) }
        _ = try await StreamSink(stream, settings: settings).append(someDeliveries(0..<4, projects: 2))
        let work = DrainAtWork(stream, settings, into: store)
        try await eventually("it is parked", within: .seconds(15)) { work.drain.figures.parked == 2 }
        let lag = try await stream.lag(of: settings)
        #expect(lag.parked == 2)
        #expect(store.content.order == ["1 m-0", "1 m-2"])
        await work.end()
        await stream.close()
    }

    @Test("a stream that was made anew under the same name is drained from its first message, into a store that knows the old one")
    func madeAnew() async throws {
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let stream = try await JetStream.forTest([server])
        let settings = StreamSettings.forTest()
        try await stream.prepareSoon(settings)
        let sink = StreamSink(stream, settings: settings)
        let store = MemoryStore()
        let first = DrainAtWork(stream, settings, into: store)
        _ = try await sink.append(someDeliveries(0..<200))
        try await eventually("all is in the store", within: .seconds(10)) { store.content.order.count == 200 }
        await first.end()
        try await stream.ask("STREAM.DELETE." + settings.name) { _ in }
        try await stream.prepareSoon(settings)
        _ = try await sink.append(someDeliveries(200..<500))
        let second = DrainAtWork(stream, settings, into: store)
        try await eventually("what the new one holds is in the store", within: .seconds(10)) { store.content.order.count == 500 }
        #expect(store.content.ledger.received == 500 && store.content.skipped == 0)
        await second.end()
        await stream.close()
    }

    @Test("what is drained and old is cleared away, and what is not drained stays")
    func clearing() async throws {
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let stream = try await JetStream.forTest([server])
        let settings = StreamSettings.forTest()
        try await stream.prepareSoon(settings)
        let sink = StreamSink(stream, settings: settings)
        let store = MemoryStore()
        _ = try await sink.append(someDeliveries(0..<200))
        #expect(try await stream.clear(settings, olderThan: .zero) == 0)
        let work = DrainAtWork(stream, settings, into: store)
        try await eventually("all are acknowledged", within: .seconds(10)) {
            let lag = try await stream.lag(of: settings)
            return lag.shards.count == 4 && lag.behind == 0
        }
        #expect(try await stream.clear(settings, olderThan: .seconds(3600)) == 0)
        store.fail(SinkFailure(.unavailable, "away"))
        _ = try await sink.append(someDeliveries(200..<300))
        // Up to the last message that is drained of the shard that is furthest behind.
        let cleared = try await stream.clear(settings, olderThan: .zero)
        #expect((150...200).contains(cleared))
        #expect(try await stream.lag(of: settings).messages == 300 - cleared)
        store.fail(nil)
        try await eventually("the rest is stored", within: .seconds(10)) { store.content.order.count == 300 }
        await work.end()
        await stream.close()
    }
}

/// A way into a store that can be held as a paused process is.
final class HeldSink: EventSink {
    private let store: MemoryStore
    private let state = Mutex((isHeld: false, held: [CheckedContinuation<Void, Never>](), inHand: 0))

    init(_ store: MemoryStore) { self.store = store }

    func hold() { state.withLock { $0.isHeld = true } }
    var holds: Int { state.withLock { $0.held.count } }
    var deliveriesInHand: Int { state.withLock { $0.inHand } }
    func letGo() {
        let held = state.withLock { state in
            let held = state.held
            (state.isHeld, state.held, state.inHand) = (false, [], 0)
            return held
        }
        for continuation in held { continuation.resume() }
    }

    func append(_ deliveries: [Delivery]) async throws(SinkFailure) -> [[Verdict]] {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let mayGo = state.withLock { state in
                if !state.isHeld { return true }
                state.held.append(continuation)
                state.inHand += deliveries.count
                return false
            }
            if mayGo { continuation.resume() }
        }
        return try await store.append(deliveries)
    }
}
