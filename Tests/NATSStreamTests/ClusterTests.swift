import Events
import Foundation
import Synchronization
import TestKit
import Testing

@testable import NATSStream

@Suite("A stream on three servers", .serialized)
struct ClusterTests {
    /// Which server leads the stream.
    private func leader(of settings: StreamSettings, _ stream: JetStream) async throws -> String? {
        try await stream.ask("STREAM.INFO." + settings.name) { $0["cluster"]?["leader"]?.string }
    }

    @Test("what has gathered on three servers is drained in whole batches, without beginning anew")
    func backlog() async throws {
        let servers = try await NATSServer.cluster()
        defer { for server in servers { server.stop() } }
        let stream = try await JetStream.forTest(servers)
        let settings = StreamSettings.forTest(replicas: 3)
        try await stream.prepareSoon(settings)
        let sink = StreamSink(stream, settings: settings)
        for batch in 0..<8 { _ = try await sink.append(someDeliveries(batch * 1000..<batch * 1000 + 1000)) }
        let store = MemoryStore()
        let work = DrainAtWork(stream, settings, into: store)
        try await eventually("all is in the store", within: .seconds(30)) { store.content.order.count == 8000 }
        try await eventually("all are acknowledged", within: .seconds(10)) { try await stream.lag(of: settings).behind == 0 }
        #expect(work.drain.figures.reopened == 0 && store.content.skipped == 0)
        #expect(store.content.ledger.received == 8000)
        await work.end()
        await stream.close()
    }

    @Test("when the stream's leader is killed under load, all that was acknowledged arrives and is booked once")
    func leaderKilled() async throws {
        let servers = try await NATSServer.cluster()
        defer { for server in servers { server.stop() } }
        let stream = try await JetStream.forTest(servers)
        let settings = StreamSettings.forTest(replicas: 3)
        try await stream.prepareSoon(settings)
        let sink = StreamSink(stream, settings: settings)
        let store = MemoryStore()
        let drainStream = try await JetStream.forTest(servers)
        let work = DrainAtWork(drainStream, settings, into: store)
        let load = Load(sink)
        try await eventually("load is under way", within: .seconds(20)) { load.count > 1000 }
        let name = try #require(try await leader(of: settings, stream))
        let killed = try #require(servers.first { $0.name == name })
        killed.kill9()
        let atKill = load.count
        try await eventually("it goes on without the leader", within: .seconds(30)) { load.count > atKill + 1000 }
        try await killed.start()
        let atReturn = load.count
        try await eventually("it goes on with the server back", within: .seconds(20)) { load.count > atReturn + 500 }
        let all = await load.end()
        try await eventually("all that was acknowledged is in the store", within: .seconds(40)) {
            Set(store.content.order).isSuperset(of: all)
        }
        try await eventually("the drain has caught up", within: .seconds(30)) {
            let lag = try? await stream.lag(of: settings)
            return lag?.behind == 0 && lag?.messages == store.content.ledger.received
        }
        let content = store.content
        #expect(content.ledger.holds)
        #expect(content.ledger.verdicts[.duplicate] == nil && content.ledger.verdicts[.conflict] == nil)
        #expect(content.ledger.received == content.order.count)
        await work.end()
        await stream.close()
        await drainStream.close()
    }
}

/// Four senders who do not stop, and what they were told is stored.
final class Load: Sendable {
    private let state = Mutex((acknowledged: Set<String>(), isOver: false))
    private let senders = Mutex([Task<Void, Never>]())

    init(_ sink: StreamSink) {
        senders.withLock { $0 = (0..<4).map { sender in Task { await self.send(sender, to: sink) } } }
    }

    var count: Int { state.withLock { $0.acknowledged.count } }

    /// Everything that was acknowledged.
    func end() async -> Set<String> {
        state.withLock { $0.isOver = true }
        for sender in senders.withLock({ $0 }) { await sender.value }
        return state.withLock { $0.acknowledged }
    }

    private func send(_ sender: Int, to sink: StreamSink) async {
        var number = 0
        while !state.withLock({ $0.isOver }) {
            let deliveries = (number..<number + 25).map { number in
                Sample.delivery(
                    [Sample.message("s\(sender)-\(number)", thread: "t-\(sender)")], project: ProjectID(Int64(number % 12 + 1)))
            }
            number += 25
            guard let verdicts = try? await sink.append(deliveries) else { continue }
            state.withLock { state in
                for (delivery, verdicts) in zip(deliveries, verdicts) where verdicts == [.stored] {
                    state.acknowledged.insert("\(delivery.source.project) \(delivery.events[0].event.id)")
                }
            }
        }
    }
}
