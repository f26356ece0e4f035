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
        /// Bytes of events in front of the store: 64 KiB each, as a page may send, or a backend's bodies of 20 MB fill memory long before
        /// there are too many. What else hangs on them makes it two to three times that.
        public var maximumQueuedBytes = 32 << 20
        /// One commit's worth: larger gains nothing and makes the first of them wait.
        public var maximumEventsPerCommit = 2048
        public init() {}
    }

    typealias Completion = @Sendable (Result<[Verdict], SinkFailure>) -> Void

    private struct Waiting {
        var delivery: Delivery
        var completion: Completion?
        /// Its place in the queue: events, at least one since nothing in the queue is free, and bytes.
        var weight: Weight

        init(_ delivery: Delivery, _ completion: Completion?) {
            (self.delivery, self.completion) = (delivery, completion)
            weight = Weight(events: max(1, delivery.events.count + delivery.setAside.count), bytes: delivery.size)
        }
    }

    private struct Weight {
        var events = 0
        var bytes = 0
        static func += (a: inout Weight, b: Weight) { (a.events, a.bytes) = (a.events + b.events, a.bytes + b.bytes) }
        static func -= (a: inout Weight, b: Weight) { (a.events, a.bytes) = (a.events - b.events, a.bytes - b.bytes) }
    }

    /// What is committed together.
    private struct Batch {
        private(set) var deliveries: [Delivery] = []
        private var completions: [Completion?] = []
        private(set) var weight = Weight()

        mutating func add(_ waiting: Waiting) {
            deliveries.append(waiting.delivery)
            completions.append(waiting.completion)
            weight += waiting.weight
        }

        /// Tells each sender, and lets go of what it sent before that: its own thread is to be the last that has it, and frees it.
        mutating func complete(_ result: (Int) -> Result<[Verdict], SinkFailure>) {
            deliveries = []
            for index in completions.indices {
                let completion = completions[index]
                completions[index] = nil
                completion?(result(index))
            }
        }
    }

    private struct Queue {
        var waiting: Deque<Waiting> = []
        var weight = Weight()
        var figures = CommitFigures()
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
    public var pressure: Double {
        let (weight, maximumEvents) = queue.withLock { ($0.weight, $0.maximumEvents) }
        return max(
            Double(weight.events) / Double(maximumEvents),
            Double(weight.bytes) / Double(configuration.maximumQueuedBytes))
    }

    /// What was done since the start, and what waits.
    var figures: CommitFigures {
        queue.withLock { queue in
            var figures = queue.figures
            (figures.queuedEvents, figures.queuedBytes) = (queue.weight.events, queue.weight.bytes)
            return figures
        }
    }

    /// Takes another bound from now on; what is in line stays there.
    public func setMaximumQueuedEvents(_ count: Int) { queue.withLock { $0.maximumEvents = count } }

    /// Puts a delivery in line; `completion` is called once, after commit or when it can't be had.
    func submit(_ delivery: Delivery, completion: Completion?) {
        let waiting = Waiting(delivery, completion)
        let weight = waiting.weight
        enum Outcome { case queued(CheckedContinuation<Void, Never>?), full, closed }
        let outcome: Outcome = queue.withLock { queue in
            if queue.isClosed { return .closed }
            let isFull =
                queue.weight.events + weight.events > queue.maximumEvents
                || queue.weight.bytes + weight.bytes > configuration.maximumQueuedBytes
            if isFull, queue.weight.events > 0 { return .full }
            queue.weight += weight
            queue.waiting.append(waiting)
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
                // Each switch of threads between two commits is a wait for a core, on a busy machine of milliseconds.
                await withTaskExecutorPreference(sink.executor) {
                    while var batch = await nextBatch() { await commit(&batch) }
                }
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
    private func nextBatch() async -> Batch? {
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
                var batch = Batch()
                while let weight = queue.waiting.first?.weight {
                    if !batch.deliveries.isEmpty, batch.weight.events + weight.events > configuration.maximumEventsPerCommit { break }
                    batch.add(queue.waiting.removeFirst())
                }
                return batch
            }
            if !batch.deliveries.isEmpty { return batch }
            if queue.withLock({ $0.isClosed && $0.waiting.isEmpty }) { return nil }
        }
    }

    private func commit(_ batch: inout Batch) async {
        let weight = batch.weight
        let began = ContinuousClock.now
        func leave(failed: Bool) {
            queue.withLock { queue in
                queue.weight -= weight
                queue.figures.note(ContinuousClock.now - began, failed: failed)
            }
        }
        do {
            let verdicts = try await sink.append(batch.deliveries)
            leave(failed: false)
            // P-ACK-2: the verdicts leave after commit.
            batch.complete { .success(verdicts[$0]) }
        } catch {
            leave(failed: true)
            logger.error(
                "commit failed; senders are told to try again",
                metadata: ["error": "\(error.description)", "deliveries": "\(batch.deliveries.count)"])
            batch.complete { _ in .failure(error) }
        }
    }
}
