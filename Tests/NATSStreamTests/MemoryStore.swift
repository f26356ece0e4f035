import Events
import Synchronization

/// A store that forgets everything: first write wins, a ledger, and a mark for each shard as `StreamPosition` asks for.
final class MemoryStore: EventSink {
    struct Content: Sendable {
        var digests: [String: ContentDigest] = [:]
        /// IDs in the order of their first commit.
        var order: [String] = []
        var conflicts: [String] = []
        var quarantine: [SetAside] = []
        var ledger = Tally()
        var marks: [String: StreamMark] = [:]
        /// Deliveries that came again and were skipped.
        var skipped = 0
        var commits = 0
    }

    private struct State {
        var content = Content()
        var failure: SinkFailure?
        var refuses: (@Sendable (Delivery) -> Bool)?
        var refusesQuarantine = false
        var isHeld = false
        var held: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    var content: Content { state.withLock { $0.content } }

    /// All of it fails from now on, or nothing.
    func fail(_ failure: SinkFailure?) { state.withLock { $0.failure = failure } }
    /// Commits with such a delivery fail.
    func refuse(quarantineToo: Bool = false, _ refuses: @escaping @Sendable (Delivery) -> Bool) {
        state.withLock {
            $0.refuses = refuses
            $0.refusesQuarantine = quarantineToo
        }
    }

    /// As a standby that takes over without the last commits, or a backup that is restored.
    func fallBack(to content: Content) { state.withLock { $0.content = content } }

    /// Commits wait from now on, as those of a process that is stopped.
    func hold() { state.withLock { $0.isHeld = true } }
    var holds: Int { state.withLock { $0.held.count } }
    func letGo() {
        let held = state.withLock { state in
            state.isHeld = false
            let held = state.held
            state.held = []
            return held
        }
        for continuation in held { continuation.resume() }
    }

    func append(_ deliveries: [Delivery]) async throws(SinkFailure) -> [[Verdict]] {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let mayGo = state.withLock { state in
                if !state.isHeld { return true }
                state.held.append(continuation)
                return false
            }
            if mayGo { continuation.resume() }
        }
        let result: Result<[[Verdict]], SinkFailure> = state.withLock { state in
            if let failure = state.failure { return .failure(failure) }
            if let refuses = state.refuses {
                for delivery in deliveries where refuses(delivery) && (state.refusesQuarantine || !delivery.events.isEmpty) {
                    return .failure(SinkFailure(.unavailable, "constraint violated"))
                }
            }
            for case let position? in deliveries.map(\.position) where !state.content.mark(position.stream, position.shard).covers(position)
            {
                return .failure(SinkFailure(.behind, "\(position.after) is not there"))
            }
            state.content.commits += 1
            return .success(deliveries.map { state.content.append($0) })
        }
        return try result.get()
    }

    func reached(_ stream: String, shard: Int) async throws(SinkFailure) -> StreamMark? { content.mark(stream, shard) }
}

extension MemoryStore.Content {
    fileprivate func mark(_ stream: String, _ shard: Int) -> StreamMark { marks["\(stream) \(shard)", default: StreamMark()] }

    fileprivate mutating func append(_ delivery: Delivery) -> [Verdict] {
        if let position = delivery.position {
            guard marks["\(position.stream) \(position.shard)", default: StreamMark()].admit(position) else {
                skipped += 1
                return []
            }
        }
        var verdicts: [Verdict] = []
        for admitted in delivery.events {
            let key = "\(delivery.source.project) \(admitted.event.id)"
            if let digest = digests[key] {
                if digest == admitted.digest {
                    verdicts.append(.duplicate)
                } else {
                    conflicts.append(key)
                    verdicts.append(.conflict(Refusal(.idConflict)))
                }
            } else {
                digests[key] = admitted.digest
                order.append(key)
                verdicts.append(.stored)
            }
        }
        for aside in delivery.setAside {
            quarantine.append(aside)
            verdicts.append(.quarantined(aside.refusal))
        }
        var tally = delivery.tally
        for verdict in verdicts { tally.count(verdict) }
        ledger.add(tally)
        return verdicts
    }
}
