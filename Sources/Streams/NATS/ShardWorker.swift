import Events
import Logging

/// Brings one shard's deliveries to the store, a batch at a time: read, commit, acknowledge.
///
/// Nothing is acknowledged that the store has not committed or quarantine has not kept. Where the store is away the batch in hand
/// waits, and nothing else is fetched. Where the store turns out to lack what it had (a standby took over without the last commits, a
/// backup was restored), reading begins anew behind what it has: the stream keeps what was drained for `StreamSettings.keepFor`.
struct ShardWorker: Sendable {
    let stream: JetStream
    let settings: StreamSettings
    let configuration: Drain.Configuration
    let shard: Int
    let token: UInt64
    /// Where the holder before us was; nil: nobody knows.
    let floor: StreamMark?
    let sink: any EventSink
    let setAside: Drain.SettingAside
    let books: DrainBooks
    let logger: Logger
    /// Whether the lease is still ours, by our own watch.
    let isOurs: @Sendable () -> Bool

    private struct Stopped: Error {}
    /// The store lacks what it was taken to have.
    private struct Behind: Error { var why: String }

    /// Works until it is cancelled or the lease is over.
    func run() async {
        var attempt = 0
        var pause = configuration.firstPause
        while isOurs(), !Task.isCancelled {
            do {
                // The store's own word counts, where it has one: what a drain saw committed may be gone with the server that committed it.
                let reached = try await self.reached()
                var reader = try await ShardReader.open(
                    stream, settings: settings, shard: shard, token: token, attempt: attempt,
                    floor: reached ?? books.floor(of: shard) ?? floor)
                attempt += 1
                var committed = reader.start
                var lookedAt = ContinuousClock.now
                while isOurs(), !Task.isCancelled {
                    let batch = try await reader.next(
                        messages: configuration.maximumMessages, bytes: configuration.maximumBytes, within: configuration.fetchFor)
                    if batch.messages.isEmpty, .now - lookedAt >= configuration.lookEvery {
                        // Where nothing comes, no delivery would find out.
                        lookedAt = .now
                        if let reached = try await self.reached(), reached.sequence < committed {
                            throw Behind(why: "committed up to \(reached.sequence), and was up to \(committed)")
                        }
                    }
                    if let last = batch.messages.last {
                        try await commit(batch.messages, after: &committed)
                        // Even where we were cancelled meanwhile: it is committed.
                        books.reached(StreamMark(sequence: last.place.sequence, storedAt: last.place.storedAt), in: shard)
                        try await reader.acknowledge(last)
                        pause = configuration.firstPause
                    }
                    if let why = batch.brokenBy {
                        books.note { $0.reopened += 1 }
                        logger.debug("the shard is read anew", metadata: ["shard": "\(shard)", "why": "\(why)"])
                        break
                    }
                }
            } catch is Stopped {
                return
            } catch let behind as Behind {
                books.note { $0.reopened += 1 }
                logger.warning(
                    "the store has fallen back and gets again what it lacks", metadata: ["shard": "\(shard)", "why": "\(behind.why)"])
            } catch is ShardReader.Superseded {
                // The table of leases will say so too.
                logger.debug("a later drain has the shard", metadata: ["shard": "\(shard)"])
            } catch {
                books.note { $0.reopened += 1 }
                logger.debug("the shard can't be read; trying again", metadata: ["shard": "\(shard)", "error": "\(error)"])
            }
            guard isOurs(), (try? await Task.sleep(for: pause)) != nil else { return }
            pause = min(pause * 2, configuration.longestPause)
        }
    }

    /// How far the store is, as far as it keeps marks; waits for its word while it is away.
    private func reached() async throws -> StreamMark? {
        var pause = configuration.firstPause
        while true {
            guard isOurs() else { throw Stopped() }
            do {
                let mark = try await sink.reached(settings.name, shard: shard)
                books.storeIsThere(shard)
                return mark
            } catch {
                books.storeIsAway(shard)
                logger.warning(
                    "the store does not say how far it is; the shard waits",
                    metadata: ["shard": "\(shard)", "error": "\(error.description)"])
            }
            guard (try? await Task.sleep(for: pause)) != nil else { throw Stopped() }
            pause = min(pause * 2, configuration.longestPause)
        }
    }

    private enum Piece: Sendable {
        case delivery(Delivery, StoredMessage)
        case unreadable(Poison)
    }

    /// Hands a batch to the store in order; returns once all of it is committed or kept aside.
    /// `after`: the last that the store has committed of what this reader handed out; moves with each commit.
    private func commit(_ messages: [StoredMessage], after: inout UInt64) async throws {
        var stretch: [(Delivery, StoredMessage)] = []
        for message in messages {
            do {
                var delivery = try DeliveryCodec.decode(message.body)
                delivery.position = position(of: message)
                stretch.append((delivery, message))
            } catch {
                // What stands before it goes first, so that the store's mark moves in order.
                try await deliver(stretch[...], after: &after)
                stretch = []
                try await keep(poison(message, nil, .unreadable(error.description)))
            }
        }
        try await deliver(stretch[...], after: &after)
    }

    private func position(of message: StoredMessage) -> StreamPosition {
        StreamPosition(stream: settings.name, shard: shard, sequence: message.place.sequence, storedAt: message.place.storedAt)
    }

    private func poison(_ message: StoredMessage, _ delivery: Delivery?, _ cause: Poison.Cause) -> Poison {
        Poison(
            subject: message.subject, position: position(of: message), body: message.body, cause: cause, delivery: delivery,
            project: settings.shards.project(in: message.subject), receivedAt: Timestamp(microseconds: message.place.storedAt / 1000))
    }

    /// Commits a stretch; where the store refuses it and is there, halves of it, until the one to blame is alone.
    private func deliver(_ stretch: ArraySlice<(Delivery, StoredMessage)>, after: inout UInt64) async throws {
        guard let first = stretch.first, let last = stretch.last else { return }
        let deliveries = stretch.map { [after] delivery, _ in
            var delivery = delivery
            delivery.position?.after = after
            return delivery
        }
        var refusals = 0
        var pause = configuration.firstPause
        while true {
            guard isOurs() else { throw Stopped() }
            do {
                _ = try await sink.append(deliveries)
                books.committed(deliveries)
                after = last.1.place.sequence
                return
            } catch {
                books.note { $0.refusals += 1 }
                if error.cause == .behind { throw Behind(why: error.description) }
                if error.cause == .unavailable, await storeTakesSomething() {
                    if stretch.count > 1 {
                        let middle = stretch.startIndex + stretch.count / 2
                        try await deliver(stretch[..<middle], after: &after)
                        return try await deliver(stretch[middle...], after: &after)
                    }
                    refusals += 1
                    if refusals >= configuration.attemptsBeforePoison {
                        return try await keep(poison(first.1, first.0, .refused(error.description, attempts: refusals)))
                    }
                } else {
                    books.storeIsAway(shard)
                    logger.warning(
                        "the store takes nothing; the shard waits", metadata: ["shard": "\(shard)", "error": "\(error.description)"])
                }
                guard (try? await Task.sleep(for: pause)) != nil else { throw Stopped() }
                pause = min(pause * 2, configuration.longestPause)
            }
        }
    }

    /// Whether the store commits at all: a commit of nothing tells (`EventSink.append`).
    private func storeTakesSomething() async -> Bool { (try? await sink.append([])) != nil }

    /// Sets a message aside: in quarantine, or where that will not have it, in the stream for such, where people find it.
    private func keep(_ poison: Poison) async throws {
        logger.error(
            "a message is set aside",
            metadata: [
                "shard": "\(shard)", "sequence": "\(poison.position.sequence)", "subject": "\(poison.subject)",
                "why": "\(poison.explanation)",
            ])
        var attempts = 0
        var pause = configuration.firstPause
        while true {
            guard isOurs() else { throw Stopped() }
            do {
                try await setAside(poison)
                return books.note { $0.setAside += 1 }
            } catch {
                attempts += 1
                logger.error(
                    "quarantine does not take it", metadata: ["sequence": "\(poison.position.sequence)", "error": "\(error)"])
                if attempts >= configuration.attemptsBeforePoison, await storeTakesSomething(), await park(poison) {
                    return books.note { $0.parked += 1 }
                }
            }
            guard (try? await Task.sleep(for: pause)) != nil else { throw Stopped() }
            pause = min(pause * 2, configuration.longestPause)
        }
    }

    /// Under an ID of its own, so that it is there once even where we are stopped before the acknowledgement.
    private func park(_ poison: Poison) async -> Bool {
        let subject = "\(settings.parkingPrefix).\(shard).\(poison.project?.description ?? "unknown")"
        let id = "\(settings.name)-\(poison.position.sequence)-\(poison.position.storedAt)"
        guard
            let answer = try? await stream.request(
                subject, poison.body,
                headers: [("Nats-Msg-Id", id), ("Parley-Reason", String(poison.explanation.filter { !$0.isNewline }.prefix(500)))])
        else { return false }
        return (try? JSONDocument.read(answer.body, isOurs: true) { $0["error"] == nil && $0["seq"] != nil }) ?? false
    }
}
