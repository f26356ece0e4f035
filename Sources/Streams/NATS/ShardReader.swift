import Events

/// Reads one shard in the order of the stream, without gaps, from behind a message that is known to be committed.
///
/// Each lease has a durable consumer of its own, `drain-<shard>-<token>`: made to begin behind that message, and those before it are
/// then deleted. So nothing an earlier holder fetched and left comes late, out of its order, and what a holder does who
/// does not know that he lost the lease meets a consumer that is gone. An acknowledgement covers everything before it.
///
/// The consumer counts what it hands out. A message that is not the next by that count, or that comes again, means that something is
/// missing: reading then begins anew.
struct ShardReader: Sendable {
    struct Batch: Sendable {
        var messages: [StoredMessage]
        /// Why reading has to begin anew behind these: something was lost on the way, or the consumer with its server.
        var brokenBy: String?
    }

    let stream: JetStream
    let settings: StreamSettings
    let shard: Int
    let consumer: String
    /// The message it begins behind; 0: at the first.
    let start: UInt64
    private var lastConsumerSequence: UInt64 = 0
    private var lastSequence: UInt64

    /// How long a fetched message may go unacknowledged before the server would hand it out again. It can only do so to a fetch, and
    /// none is made before a batch is acknowledged: a store that is away longer than this causes no repetition.
    private static let acknowledgeWithin = Duration.seconds(30)

    /// A holder of a later lease is there already.
    struct Superseded: Error {}

    /// Makes the consumer. `attempt` tells those of one lease apart; `floor` is the last message known to be committed.
    static func open(
        _ stream: JetStream, settings: StreamSettings, shard: Int, token: UInt64, attempt: Int, floor: StreamMark?
    ) async throws -> ShardReader {
        let others = try await stream.consumerNames(of: settings).filter { $0.shard == shard }
        guard others.allSatisfy({ $0.token <= token }) else { throw Superseded() }
        var start: UInt64 = 0
        if let floor, floor.sequence > 0, try await stream.still(holds: floor, settings) { start = floor.sequence }
        let name = "drain-\(shard)-\(token)" + (attempt > 0 ? "-\(attempt)" : "")
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("stream_name", settings.name)
            writer.field("action", "create")
            writer.key("config")
            writer.object { writer in
                writer.field("name", name)
                writer.field("durable_name", name)
                writer.field("description", "Parley's drain of shard \(shard)")
                writer.field("filter_subject", settings.shards.filter(shard))
                if start > 0 {
                    writer.field("deliver_policy", "by_start_sequence")
                    writer.field("opt_start_seq", start + 1)
                } else {
                    writer.field("deliver_policy", "all")
                }
                writer.field("ack_policy", "all")
                writer.field("ack_wait", acknowledgeWithin.wholeNanoseconds)
                writer.field("max_deliver", -1)
                // What is out is one fetch.
                writer.field("max_ack_pending", -1)
                writer.field("replay_policy", "instant")
                // Where reading begins is told by the table of leases, so one server's memory of the consumer will do, and another is made
                // where that server ends. Of a replicated one a message waits for the servers to agree that it was handed out, and
                // the word that a fetch is over does not: it came first (nats-server 2.15).
                writer.field("num_replicas", 1)
            }
        }
        try await stream.ask("CONSUMER.CREATE.\(settings.name).\(name)", writer.bytes) { _ in }
        for other in others where other.name != name {
            // One that stays, with a server that is away, is found and deleted by the next.
            _ = try? await stream.ask("CONSUMER.DELETE.\(settings.name).\(other.name)", within: .seconds(1)) { _ in }
        }
        return ShardReader(stream: stream, settings: settings, shard: shard, consumer: name, start: start)
    }

    private init(stream: JetStream, settings: StreamSettings, shard: Int, consumer: String, start: UInt64) {
        self.stream = stream
        self.settings = settings
        self.shard = shard
        self.consumer = consumer
        self.start = start
        lastSequence = start
    }

    /// How long nobody may answer for the consumer before another is made: it has been made a moment ago and not every server knows of
    /// it yet, or its own server is gone.
    private static let unansweredFor = Duration.seconds(2)

    /// What is there now, up to so many messages and bytes, or else the first that comes within the time.
    mutating func next(messages: Int, bytes: Int, within time: Duration) async throws(JetStream.Failure) -> Batch {
        let giveUp = ContinuousClock.now + Self.unansweredFor
        while true {
            var (found, end) = await pull(messages: messages, bytes: bytes, within: time)
            if case .success(.tooLarge) = end, found.isEmpty { (found, end) = await pull(messages: 1, bytes: nil, within: time) }
            if case .failure(.noResponders) = end, found.isEmpty, .now < giveUp, (try? await Task.sleep(for: .milliseconds(50))) != nil {
                continue
            }
            return try take(found, end)
        }
    }

    /// The messages as far as they follow each other.
    private mutating func take(
        _ found: [StoredMessage], _ end: Result<Fetch.End, JetStream.Failure>
    ) throws(JetStream.Failure) -> Batch {
        var batch = Batch(messages: [])
        for message in found {
            guard message.place.delivered == 1, message.place.consumerSequence == lastConsumerSequence + 1,
                message.place.sequence > lastSequence
            else {
                batch.brokenBy =
                    "\(message.place.consumerSequence) after \(lastConsumerSequence), delivered \(message.place.delivered) times, of \(found.count)"
                return batch
            }
            lastConsumerSequence = message.place.consumerSequence
            lastSequence = message.place.sequence
            batch.messages.append(message)
        }
        switch end {
        case .success(.complete), .success(.tooLarge): break
        case .success(.lost(let why)): batch.brokenBy = why
        // What was handed out and did not arrive is missing.
        case .failure(let failure):
            guard !batch.messages.isEmpty else { throw failure }
            batch.brokenBy = failure.description
        }
        return batch
    }

    private func pull(messages: Int, bytes: Int?, within time: Duration) async -> (
        messages: [StoredMessage], end: Result<Fetch.End, JetStream.Failure>
    ) {
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("batch", messages)
            if let bytes { writer.field("max_bytes", bytes) }
            // Together: what is there, and where nothing is, what comes first.
            writer.field("no_wait", true)
            writer.field("expires", time.wholeNanoseconds)
        }
        return await stream.fetch(writer.bytes, consumer: consumer, of: settings.name, limit: messages, within: time + .seconds(2))
    }

    /// Tells the server that everything up to this message is committed, and waits until it has noted that.
    func acknowledge(_ message: StoredMessage) async throws(JetStream.Failure) {
        _ = try await stream.request(message.place.acknowledgement, Array("+ACK".utf8))
    }
}

/// `drain-<shard>-<token>`, with `-<attempt>` behind it where the same lease made several.
struct ConsumerName: Sendable, Equatable {
    var name: String
    var shard: Int
    var token: UInt64

    /// nil for those of others.
    init?(_ name: String) {
        let parts = name.split(separator: "-")
        guard parts.count >= 3, parts[0] == "drain", let shard = Int(parts[1]), let token = UInt64(parts[2]) else { return nil }
        (self.name, self.shard, self.token) = (name, shard, token)
    }
}

/// A drain's consumer, as the server knows it.
struct ShardConsumer: Sendable {
    var name: ConsumerName
    /// The last stream sequence that is acknowledged.
    var acknowledged: UInt64
    /// Not handed out yet.
    var pending: Int
    /// Handed out and not acknowledged.
    var unacknowledged: Int
    var redelivered: Int
}

extension JetStream {
    /// Whether the message of that number is the one that was committed, or was cleared away after it.
    ///
    /// A server that lost its end with its machine's power gives the same numbers to other messages; a stream that was made anew does
    /// too. It is then read from its beginning: the store knows what it has (`StreamMark`).
    fileprivate func still(holds floor: StreamMark, _ settings: StreamSettings) async throws(Failure) -> Bool {
        let (first, last) = try await ask("STREAM.INFO." + settings.name) { info in
            (info["state"]?["first_seq"]?.integer ?? 0, info["state"]?["last_seq"]?.integer ?? 0)
        }
        guard floor.sequence <= UInt64(last) else { return false }
        if floor.sequence < UInt64(first) { return true }
        var writer = JSONWriter()
        writer.object { $0.field("seq", floor.sequence) }
        do {
            let time = try await ask("STREAM.MSG.GET." + settings.name, writer.bytes) { $0["message"]?["time"].flatMap { Timestamp($0) } }
            return time?.microseconds == floor.storedAt / 1000
        } catch .refused(10037, _) {
            return false
        }
    }

    /// The names of the drains' consumers of a stream. Unlike all else of them it is known while their servers are away.
    func consumerNames(of settings: StreamSettings) async throws(Failure) -> [ConsumerName] {
        try await pages("CONSUMER.NAMES." + settings.name) { $0.string.flatMap(ConsumerName.init) }
    }

    /// The drains' consumers of a stream, but for those whose servers are away.
    func consumers(of settings: StreamSettings) async throws(Failure) -> [ShardConsumer] {
        try await pages("CONSUMER.LIST." + settings.name) { info in
            guard let name = info["name"]?.string.flatMap(ConsumerName.init) else { return nil }
            func number(_ value: JSONValue?) -> Int { value?.integer.map { Int($0) } ?? 0 }
            return ShardConsumer(
                name: name, acknowledged: UInt64(number(info["ack_floor"]?["stream_seq"])), pending: number(info["num_pending"]),
                unacknowledged: number(info["num_ack_pending"]), redelivered: number(info["num_redelivered"]))
        }
    }

    /// All of a list that comes in pages, without what is read as nil.
    private func pages<Item: Sendable>(_ question: String, _ read: (JSONValue) -> Item?) async throws(Failure) -> [Item] {
        var items: [Item] = []
        var offset = 0
        while true {
            var writer = JSONWriter()
            writer.object { $0.field("offset", offset) }
            let (page, count, total) = try await ask(question, writer.bytes) { json in
                var page: [Item] = []
                var count = 0
                json["consumers"]?.forEachElement { element in
                    count += 1
                    if let item = read(element) { page.append(item) }
                }
                return (page, count, json["total"]?.integer.map { Int($0) } ?? 0)
            }
            items += page
            offset += count
            if count == 0 || offset >= total { return items }
        }
    }
}
