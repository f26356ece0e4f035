public import Events

/// How far the drains are behind the stream.
public struct StreamLag: Sendable, Equatable {
    public struct Shard: Sendable, Equatable {
        /// Messages no drain has fetched yet.
        public var pending: Int
        /// Fetched and not committed yet.
        public var unacknowledged: Int
        /// Of these, handed out more than once.
        public var redelivered: Int
        /// When the stream took the oldest message that is not committed.
        public var oldest: Timestamp?
    }

    /// By number; a shard that no drain has worked yet is not there, nor for a moment one whose consumer's server is away.
    public var shards: [Int: Shard]
    /// What the stream holds, drained messages among it, and what it may hold.
    public var messages: Int
    public var bytes: Int
    public var maximumBytes: Int
    public var parked: Int

    public var behind: Int { shards.values.reduce(0) { $0 + $1.pending + $1.unacknowledged } }
    public var oldest: Timestamp? { shards.values.compactMap(\.oldest).min() }
}

extension JetStream {
    /// Asks the servers; one question, and one more for each shard that is behind.
    public func lag(of settings: StreamSettings) async throws(Failure) -> StreamLag {
        var lag = try await ask("STREAM.INFO." + settings.name) { info in
            func number(_ value: JSONValue?) -> Int { value?.integer.map { Int($0) } ?? 0 }
            return StreamLag(
                shards: [:], messages: number(info["state"]?["messages"]), bytes: number(info["state"]?["bytes"]),
                maximumBytes: number(info["config"]?["max_bytes"]), parked: 0)
        }
        lag.parked = try await ask("STREAM.INFO." + settings.parking) { $0["state"]?["messages"]?.integer.map { Int($0) } ?? 0 }
        for consumer in try await newestConsumers(of: settings) {
            var shard = StreamLag.Shard(
                pending: consumer.pending, unacknowledged: consumer.unacknowledged, redelivered: consumer.redelivered, oldest: nil)
            if shard.pending + shard.unacknowledged > 0 {
                shard.oldest = try await firstMessage(after: consumer.acknowledged, of: consumer.name.shard, settings)
            }
            lag.shards[consumer.name.shard] = shard
        }
        return lag
    }

    /// Of each shard the consumer of its latest lease.
    private func newestConsumers(of settings: StreamSettings) async throws(Failure) -> [ShardConsumer] {
        var newest: [Int: ShardConsumer] = [:]
        for consumer in try await consumers(of: settings) {
            guard let other = newest[consumer.name.shard] else {
                newest[consumer.name.shard] = consumer
                continue
            }
            if (consumer.name.token, consumer.acknowledged) > (other.name.token, other.acknowledged) {
                newest[consumer.name.shard] = consumer
            }
        }
        return newest.sorted { $0.key < $1.key }.map(\.value)
    }

    private func firstMessage(after sequence: UInt64, of shard: Int, _ settings: StreamSettings) async throws(Failure) -> Timestamp? {
        var writer = JSONWriter()
        writer.object {
            $0.field("seq", sequence + 1)
            $0.field("next_by_subj", settings.shards.filter(shard))
        }
        do {
            return try await ask("STREAM.MSG.GET." + settings.name, writer.bytes) { $0["message"]?["time"].flatMap { Timestamp($0) } }
        } catch .refused(10037, _) {
            // Meanwhile it was drained and cleared away.
            return nil
        }
    }

    /// Purges what all drains have acknowledged and is older than that; answers how many messages. A shard that nobody has drained
    /// yet keeps everything.
    func clear(_ settings: StreamSettings, olderThan age: Duration) async throws(Failure) -> Int {
        let consumers = try await newestConsumers(of: settings)
        guard consumers.count == settings.shards.count else { return 0 }
        // A consumer that begins at a time says at which sequence that is, without a message being read.
        var question = JSONWriter()
        let end = WallClock.system.now().advanced(bySeconds: -age.seconds)
        question.object { question in
            question.field("stream_name", settings.name)
            question.key("config")
            question.object { question in
                question.field("deliver_policy", "by_start_time")
                question.field("opt_start_time", end)
                question.field("ack_policy", "none")
                question.field("mem_storage", true)
                question.field("num_replicas", 1)
                question.field("inactive_threshold", Duration.seconds(1).wholeNanoseconds)
            }
        }
        var first = try await ask("CONSUMER.CREATE." + settings.name, question.bytes) { info in
            (info["delivered"]?["stream_seq"]?.integer ?? 0) + 1
        }
        for consumer in consumers where consumer.pending + consumer.unacknowledged > 0 {
            first = min(first, Int64(consumer.acknowledged) + 1)
        }
        guard first > 1 else { return 0 }
        var purge = JSONWriter()
        purge.object { $0.field("seq", first) }
        return try await ask("STREAM.PURGE." + settings.name, purge.bytes) { $0["purged"]?.integer.map { Int($0) } ?? 0 }
    }
}
