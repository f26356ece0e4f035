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
        /// Bytes of events in front of the store, as they were sent: 64 KiB each, as a page may send, or a backend's bodies of 20 MB fill
        /// memory long before there are too many. What else hangs on them makes it two to three times that.
        public var maximumQueuedBytes = 32 << 20
        /// One commit's worth: larger gains nothing and makes the first of them wait.
        public var maximumEventsPerCommit = 2048
        public init() {}
    }

    typealias Completion = @Sendable (Result<[Verdict], SinkFailure>) -> Void

    private struct Waiting {
        var delivery: Delivery
        var completion: Completion?
        /// Booking costs a row at most; it still takes a place, so that nothing in the queue is free.
        let events: Int
        let bytes: Int

        init(_ delivery: Delivery, completion: Completion?) {
            self.delivery = delivery
            self.completion = completion
            events = max(1, delivery.events.count + delivery.setAside.count)
            bytes = delivery.events.reduce(0) { $0 + $1.size } + delivery.setAside.reduce(0) { $0 + $1.payload.bytes.count }
        }
    }

    private struct Queue {
        var waiting: Deque<Waiting> = []
        var events = 0
        var bytes = 0
        var isClosed = false
        var wake: CheckedContinuation<Void, Never>?
    }

    private let sink: any EventSink
    private let configuration: Configuration
    private let logger: Logger
    private let queue = Mutex(Queue())

    public init(sink: any EventSink, configuration: Configuration = Configuration(), logger: Logger) {
        self.sink = sink
        self.configuration = configuration
        self.logger = logger
    }

    /// How full the queue is, 0...1.
    public var pressure: Double {
        let (events, bytes) = queue.withLock { ($0.events, $0.bytes) }
        return max(Double(events) / Double(configuration.maximumQueuedEvents), Double(bytes) / Double(configuration.maximumQueuedBytes))
    }

    /// Puts a delivery in line; `completion` is called once, after commit or when it can't be had.
    func submit(_ delivery: Delivery, completion: Completion?) {
        let newcomer = Waiting(delivery, completion: completion)
        enum Outcome { case queued(CheckedContinuation<Void, Never>?), full, closed }
        let outcome: Outcome = queue.withLock { queue in
            if queue.isClosed { return .closed }
            // What alone is larger than the bounds is taken alone.
            let events = queue.events + newcomer.events
            let bytes = queue.bytes + newcomer.bytes
            if queue.events > 0, events > configuration.maximumQueuedEvents || bytes > configuration.maximumQueuedBytes { return .full }
            queue.events = events
            queue.bytes = bytes
            queue.waiting.append(newcomer)
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
                    if !batch.isEmpty, events + next.events > configuration.maximumEventsPerCommit { break }
                    events += next.events
                    batch.append(queue.waiting.removeFirst())
                }
                return batch
            }
            if !batch.isEmpty { return batch }
            if queue.withLock({ $0.isClosed && $0.waiting.isEmpty }) { return nil }
        }
    }

    private func commit(_ batch: [Waiting]) async {
        let events = batch.reduce(0) { $0 + $1.events }
        let bytes = batch.reduce(0) { $0 + $1.bytes }
        func leave() {
            queue.withLock {
                $0.events -= events
                $0.bytes -= bytes
            }
        }
        do {
            let verdicts = try await sink.append(batch.map(\.delivery))
            leave()
            // P-ACK-2: the verdicts leave after commit.
            for (waiting, verdicts) in zip(batch, verdicts) { waiting.completion?(.success(verdicts)) }
        } catch {
            leave()
            logger.error(
                "commit failed; senders are told to try again", metadata: ["error": "\(error.description)", "deliveries": "\(batch.count)"])
            for waiting in batch { waiting.completion?(.failure(error)) }
        }
    }
}

extension AdmittedEvent {
    /// What of it takes room: its text, and all else it says.
    fileprivate var size: Int {
        guard case .message(let message) = event.body, case .text(let text) = message.content else { return payload.bytes.count }
        return payload.bytes.count + text.utf8.count
    }
}
