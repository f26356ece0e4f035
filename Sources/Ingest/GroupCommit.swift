public import Events
public import Logging
public import ServiceLifecycle
import DequeModule
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Gathers what all connections bring while the last commit runs, and commits it together: many senders, one fsync.
///
/// The queue is bounded in events and bytes; what does not fit is answered `retry` at once (`overloaded`).
public final class GroupCommit: Service, Sendable {
    public struct Configuration: Sendable {
        /// Events in front of the store; at 600 bytes each about 12 MB.
        public var maximumQueuedEvents = 20_000
        /// One commit's worth: larger gains nothing and makes the first of them wait.
        public var maximumEventsPerCommit = 2048
        public init() {}
    }

    typealias Completion = @Sendable (Result<[Verdict], SinkFailure>) -> Void

    private struct Waiting {
        var delivery: Delivery
        var completion: Completion?
    }

    private struct Queue {
        var waiting: Deque<Waiting> = []
        var events = 0
        var maximumEvents: Int
        var isClosed = false
        var wake: CheckedContinuation<Void, Never>?
    }

    private let sink: any EventSink
    private let configuration: Configuration
    private let logger: Logger
    private let queue: Mutex<Queue>

    public init(sink: any EventSink, configuration: Configuration = Configuration(), logger: Logger) {
        self.sink = sink
        self.configuration = configuration
        queue = Mutex(Queue(maximumEvents: configuration.maximumQueuedEvents))
        self.logger = logger
    }

    /// How full the queue is, 0...1.
    public var pressure: Double { queue.withLock { Double($0.events) / Double($0.maximumEvents) } }

    /// Takes another bound from now on; what is in line stays there.
    public func setMaximumQueuedEvents(_ count: Int) { queue.withLock { $0.maximumEvents = count } }

    /// Puts a delivery in line; `completion` is called once, after commit or when it can't be had.
    func submit(_ delivery: Delivery, completion: Completion?) {
        // Booking costs a row at most; it still takes a place, so that nothing in the queue is free.
        let weight = max(1, delivery.events.count + delivery.setAside.count)
        enum Outcome { case queued(CheckedContinuation<Void, Never>?), full, closed }
        let outcome: Outcome = queue.withLock { queue in
            if queue.isClosed { return .closed }
            if queue.events > 0, queue.events + weight > queue.maximumEvents { return .full }
            queue.events += weight
            queue.waiting.append(Waiting(delivery: delivery, completion: completion))
            let wake = queue.wake
            queue.wake = nil
            return .queued(wake)
        }
        switch outcome {
        case .queued(let wake): wake?.resume()
        case .full: completion?(.failure(SinkFailure(.overloaded, "queue full")))
        case .closed: completion?(.failure(SinkFailure(.draining, "shut down")))
        }
    }

    public func run() async throws {
        await withTaskCancellationHandler {
            await withGracefulShutdownHandler {
                while let batch = await nextBatch() { await commit(batch) }
            } onGracefulShutdown: {
                self.close()
            }
        } onCancel: {
            self.close()
        }
    }

    /// Takes nothing more; what is queued is still committed.
    private func close() {
        let wake = queue.withLock { queue in
            queue.isClosed = true
            let wake = queue.wake
            queue.wake = nil
            return wake
        }
        wake?.resume()
    }

    /// What is waiting, up to one commit's worth; nil once closed and empty.
    private func nextBatch() async -> [Waiting]? {
        while true {
            if queue.withLock({ $0.waiting.isEmpty && !$0.isClosed }) {
                await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                    let ready = queue.withLock { queue in
                        if !queue.waiting.isEmpty || queue.isClosed { return true }
                        queue.wake = continuation
                        return false
                    }
                    if ready { continuation.resume() }
                }
                // Whoever woke us has more in his hands: on a single core he goes on first, or each delivery costs two switches of
                // threads and a commit of its own.
                sched_yield()
            }
            let batch = queue.withLock { queue in
                var batch: [Waiting] = []
                var events = 0
                while let next = queue.waiting.first {
                    let weight = max(1, next.delivery.events.count + next.delivery.setAside.count)
                    if !batch.isEmpty, events + weight > configuration.maximumEventsPerCommit { break }
                    events += weight
                    batch.append(queue.waiting.removeFirst())
                }
                return batch
            }
            if !batch.isEmpty { return batch }
            if queue.withLock({ $0.isClosed && $0.waiting.isEmpty }) { return nil }
        }
    }

    private func commit(_ batch: [Waiting]) async {
        let events = batch.reduce(0) { $0 + max(1, $1.delivery.events.count + $1.delivery.setAside.count) }
        do {
            let verdicts = try await sink.append(batch.map(\.delivery))
            queue.withLock { $0.events -= events }
            // P-ACK-2: the verdicts leave after commit.
            for (waiting, verdicts) in zip(batch, verdicts) { waiting.completion?(.success(verdicts)) }
        } catch {
            queue.withLock { $0.events -= events }
            logger.error(
                "commit failed; senders are told to try again", metadata: ["error": "\(error.description)", "deliveries": "\(batch.count)"])
            for waiting in batch { waiting.completion?(.failure(error)) }
        }
    }
}
