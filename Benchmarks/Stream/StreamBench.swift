import CNATS
import Events
import Foundation
import Logging
import NATSStream
import Synchronization

/// How fast the stream is, each figure beside what NATS's own client does with the same bytes, servers and settings in the same run.
///
///     parley-stream-bench SERVERS REPLICAS DELIVERIES [TEXT_BYTES]
///
/// SERVERS are addresses with commas between. It makes streams of its own, named `PARLEY_BENCH…`, and takes them away again. A line of JSON
/// a figure.
@main
struct StreamBench {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count >= 4, let replicas = Int(arguments[2]), let count = Int(arguments[3]) else {
            print("usage: parley-stream-bench SERVERS REPLICAS DELIVERIES [TEXT_BYTES]")
            return
        }
        let servers = arguments[1].split(separator: ",").map(String.init)
        let text = String(repeating: "Lorem ipsum ", count: (arguments.count > 4 ? Int(arguments[4]) ?? 300 : 300) / 12 + 1)
        var configuration = JetStream.Configuration()
        configuration.servers = servers
        let stream = try JetStream(configuration, logger: Logger(label: "bench"))
        var settings = StreamSettings()
        settings.name = "PARLEY_BENCH"
        settings.shards = Shards(count: 4, prefix: "parley-bench.events.v1")
        settings.replicas = replicas
        settings.maximumBytes = 2 << 30
        _ = try await stream.prepare(settings)
        let deliveries = (0..<count).map { number in
            let event = Event(
                id: "01970000-0000-7000-8000-\(String(format: "%012x", number))", thread: "t-\(number % 100)",
                at: Timestamp(microseconds: 1_795_262_400_000_000), body: .message(.init(role: .user, content: .text(text))))
            var tally = Tally()
            tally.received = 1
            return Delivery(
                source: Source(project: ProjectID(Int64(number % 20 + 1)), key: "key_bench", lane: .public, transport: .socket),
                receivedAt: Timestamp(microseconds: 1_795_262_400_000_000),
                events: [AdmittedEvent(event: event, at: Timestamp(microseconds: 1_795_262_400_000_000), digest: ContentDigest(event))],
                tally: tally)
        }

        let sink = StreamSink(stream, settings: settings)
        var waits: [Duration] = []
        let began = ContinuousClock.now
        for start in stride(from: 0, to: count, by: 1024) {
            let sent = ContinuousClock.now
            let verdicts = try await sink.append(Array(deliveries[start..<min(start + 1024, count)]))
            guard verdicts.allSatisfy({ $0 == [.stored] }) else { fatalError("not all were stored") }
            waits.append(.now - sent)
        }
        let published = ContinuousClock.now - began
        waits.sort()
        let lag = try await stream.lag(of: settings)
        guard lag.messages == count else { fatalError("the stream holds \(lag.messages) messages, not \(count)") }
        report(
            "publish", count, published,
            ["replicas": replicas, "p50_ms": ms(waits[waits.count / 2]), "p99_ms": ms(waits[waits.count * 99 / 100])])

        var logger = Logger(label: "bench")
        logger.logLevel = ProcessInfo.processInfo.environment["LOG_LEVEL"].flatMap(Logger.Level.init(rawValue:)) ?? .warning
        let store = CountingStore(count)
        let drain = Drain(stream, settings: settings, into: store, logger: logger)
        let drainBegan = ContinuousClock.now
        let work = Task { await drain.run() }
        await store.all()
        report("drain", count, .now - drainBegan, ["replicas": replicas])
        drain.close()
        await work.value
        await stream.close()

        let bytes = lag.bytes / count - 150
        let raw = try Raw(servers: arguments[1], replicas: replicas, bytes: bytes)
        report("raw publish", count, try raw.publish(count), ["replicas": replicas, "bytes": bytes])
        raw.end(also: [settings.name, "KV_PARLEY_BENCH_DRAINS", "PARLEY_BENCH_PARKED"])
    }

    private static func ms(_ duration: Duration) -> Double {
        (Double(duration.components.attoseconds) / 1e13).rounded() / 100 + Double(duration.components.seconds) * 1000
    }

    private static func report(_ what: String, _ count: Int, _ time: Duration, _ more: [String: Any]) {
        let seconds = Double(time.components.seconds) + Double(time.components.attoseconds) / 1e18
        var line: [String: Any] = [
            "what": what, "deliveries": count, "seconds": (seconds * 1000).rounded() / 1000, "per_second": Int(Double(count) / seconds),
        ]
        line.merge(more) { $1 }
        let data = try? JSONSerialization.data(withJSONObject: line, options: [.sortedKeys])
        FileHandle.standardOutput.write((data ?? Data()) + Data("\n".utf8))
    }
}

/// Counts what comes, and tells when all is there.
private final class CountingStore: EventSink {
    private let state: Mutex<(left: Int, waiting: CheckedContinuation<Void, Never>?)>

    init(_ count: Int) { state = Mutex((count, nil)) }

    func append(_ deliveries: [Delivery]) async throws(SinkFailure) -> [[Verdict]] {
        let waiting = state.withLock { state in
            state.left -= deliveries.reduce(0) { $0 + $1.events.count }
            guard state.left <= 0 else { return nil as CheckedContinuation<Void, Never>? }
            let waiting = state.waiting
            state.waiting = nil
            return waiting
        }
        waiting?.resume()
        return deliveries.map { [Verdict](repeating: .stored, count: $0.events.count) }
    }

    func all() async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let isDone = state.withLock { state in
                if state.left > 0 { state.waiting = continuation }
                return state.left <= 0
            }
            if isDone { continuation.resume() }
        }
    }
}

/// NATS's own client, publishing as it is meant to: asynchronously, with IDs, at most 4000 on the way.
private final class Raw {
    private var connection: OpaquePointer?
    private var context: OpaquePointer?
    private let bytes: Int

    struct Failed: Error { var status: natsStatus }

    init(servers: String, replicas: Int, bytes: Int) throws {
        self.bytes = bytes
        try check(natsConnection_ConnectTo(&connection, servers))
        var options = jsOptions()
        try check(jsOptions_Init(&options))
        options.PublishAsync.MaxPending = 4000
        options.PublishAsync.StallWait = 10_000
        try check(natsConnection_JetStream(&context, connection, &options))
        var stream = jsStreamConfig()
        try check(jsStreamConfig_Init(&stream))
        try "PARLEY_BENCH_RAW".withCString { name in
            try "parley-bench-raw.>".withCString { subject in
                var subjects: [UnsafePointer<CChar>?] = [subject]
                try subjects.withUnsafeMutableBufferPointer { subjects in
                    stream.Name = name
                    stream.Subjects = subjects.baseAddress
                    stream.SubjectsLen = 1
                    stream.Replicas = Int64(replicas)
                    stream.MaxBytes = 2 << 30
                    stream.Duplicates = 120_000_000_000
                    try check(js_AddStream(nil, context, &stream, nil, nil))
                }
            }
        }
    }

    func publish(_ count: Int) throws -> Duration {
        let body = [CChar](repeating: 120, count: bytes)
        let began = ContinuousClock.now
        for number in 0..<count {
            var message: OpaquePointer?
            try check(natsMsg_Create(&message, "parley-bench-raw.\(number % 4).\(number % 20)", nil, body, Int32(body.count)))
            try "raw-\(began)-\(number)".withCString { id in
                var options = jsPubOptions()
                try check(jsPubOptions_Init(&options))
                options.MsgId = id
                try check(js_PublishMsgAsync(context, &message, &options))
            }
        }
        try check(js_PublishAsyncComplete(context, nil))
        return .now - began
    }

    func end(also others: [String]) {
        for stream in ["PARLEY_BENCH_RAW"] + others { js_DeleteStream(context, stream, nil, nil) }
        jsCtx_Destroy(context)
        natsConnection_Destroy(connection)
    }

    private func check(_ status: natsStatus) throws { if status != NATS_OK { throw Failed(status: status) } }
}
