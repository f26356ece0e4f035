import NIOCore
import NIOPosix

/// One measured run: connects everybody, starts the clock, hands out events, and ends when the last answer is in.
///
/// All of it lives on a single event loop, without a lock: one thread makes and masks several hundred thousand events a second, more than a store on the
/// same machine takes, and leaves the other cores to the server. For more, start a second process.
final class Run {
    enum Failure: Error, CustomStringConvertible {
        case nobodyConnected([String])

        var description: String {
            switch self {
            case .nobodyConnected(let remarks):
                "no connection could be made: " + (remarks.isEmpty ? "no answer" : remarks.joined(separator: "; "))
            }
        }
    }

    private enum Phase { case connecting, sending, draining, done }

    let plan: Plan
    let target: Target
    let workload: Workload
    let dialer: Dialer
    let isolated: NIOIsolatedEventLoop
    private let watch: ProcessWatch?
    private let ackLog: AckLog?
    private let outcome: EventLoopPromise<Outcome>

    var tally = Tally()
    /// Where every outgoing batch is written; its memory is taken again once the kernel has the bytes.
    var scratch = ByteBuffer()
    var numbers: SplitMix
    private var latencies = Latencies()
    private var senders: [Sender] = []

    private var phase = Phase.connecting
    private var dialled = 0
    private var arrivals = Set<Int>()
    private var endedCount = 0
    private var stillOpen = 0
    /// Events handed out that have no verdict and were not given up.
    private var unresolved = 0
    private var remaining: Int

    private let created = NIODeadline.now()
    private var began = NIODeadline.now()
    private var deadline = NIODeadline.distantFuture
    private var over = NIODeadline.distantFuture
    private var lastAnswer = NIODeadline.now()
    private var serverCPUAtStart: Double?
    private var ownCPUAtStart = 0.0
    private var residentPeak: Int?

    private init(
        plan: Plan, target: Target, workload: Workload, dialer: Dialer, watch: ProcessWatch?, ackLog: AckLog?,
        loop: any EventLoop, outcome: EventLoopPromise<Outcome>
    ) {
        self.plan = plan
        self.target = target
        self.workload = workload
        self.dialer = dialer
        self.watch = watch
        self.ackLog = ackLog
        self.isolated = loop.assumeIsolated()
        self.outcome = outcome
        self.numbers = SplitMix(state: workload.seed)
        self.remaining = plan.events ?? Int.max
    }

    /// Performs a run and returns what came of it.
    static func perform(
        _ plan: Plan, against target: Target, with workload: Workload, watching watch: ProcessWatch?, ackLogPath: String?,
        on loop: any EventLoop
    ) async throws -> Outcome {
        try await loop.flatSubmit {
            let outcome = loop.makePromise(of: Outcome.self)
            do {
                let run = Run(
                    plan: plan, target: target, workload: workload,
                    dialer: try Dialer(target: target, connections: plan.connections, loop: loop), watch: watch,
                    ackLog: try ackLogPath.map { try AckLog(path: $0) }, loop: loop, outcome: outcome)
                run.connect()
            } catch {
                outcome.fail(error)
            }
            return outcome.futureResult
        }.get()
    }

    // MARK: Connecting

    private func connect() {
        senders = (0..<plan.connections).map { Sender(index: $0, run: self) }
        // 128 at a time: a listen queue's usual length, so that none is turned away for the crowd.
        for _ in 0..<min(128, senders.count) { dialNext() }
    }

    private func dialNext() {
        guard dialled < senders.count else { return }
        dialled += 1
        senders[dialled - 1].dial()
    }

    /// A sender has its first connection, or has given up on it.
    func arrived(_ sender: Sender) {
        guard phase == .connecting, arrivals.insert(sender.index).inserted else { return }
        dialNext()
        if arrivals.count == senders.count {
            // In a fresh turn: the caller is in the middle of opening.
            isolated.execute { self.begin() }
        }
    }

    private func begin() {
        guard endedCount < senders.count else { return outcome.fail(Failure.nobodyConnected(tally.remarks)) }
        phase = .sending
        serverCPUAtStart = watch?.cpuSeconds
        ownCPUAtStart = ProcessWatch.ownCPUSeconds
        began = .now()
        lastAnswer = began
        deadline = began + plan.duration
        sample()
        isolated.scheduleTask(deadline: deadline) { self.stop() }
        for sender in senders { sender.start(at: plan.firstDue(of: sender.index, after: began)) }
    }

    private func sample() {
        guard let watch, phase != .done else { return }
        if let resident = watch.residentBytes { residentPeak = max(residentPeak ?? 0, resident) }
        isolated.scheduleTask(in: .milliseconds(200)) { self.sample() }
    }

    // MARK: Sending

    var isUnderWay: Bool { phase == .sending || phase == .draining }
    var isOver: Bool { phase == .draining || phase == .done }

    /// Hands out up to `count` events; none once the time or the number is used up.
    func take(_ count: Int, at now: NIODeadline) -> Int {
        guard phase == .sending, now < deadline else { return 0 }
        let taken = min(count, remaining)
        remaining -= taken
        unresolved += taken
        if remaining == 0 { isolated.execute { self.stop() } }
        return taken
    }

    func answered(_ flight: Flight, of sender: Sender) {
        let now = NIODeadline.now()
        // A batch that was turned away is no ack, however fast: only what was kept has an ack latency.
        if flight.range.contains(where: { sender.book[$0].isKept }) { latencies.record(now - flight.due) }
        lastAnswer = now
        tally.batches += 1
        unresolved -= flight.count
        do {
            try ackLog?.write(flight, of: sender, workload: workload)
        } catch {
            outcome.fail(error)
        }
        settle()
    }

    func ended(_ sender: Sender, abandoning events: Int) {
        unresolved -= events
        endedCount += 1
        arrived(sender)
        if endedCount == senders.count, isUnderWay { isolated.execute { self.finish() } }
        settle()
    }

    /// No new events from here on; what is out has `patience` to be answered.
    private func stop() {
        guard phase == .sending else { return }
        phase = .draining
        over = .now()
        if remaining > 0 { tally.late = senders.reduce(0) { $0 + $1.late(at: deadline) } }
        isolated.scheduleTask(in: plan.patience) { self.finish() }
        settle()
    }

    private func settle() {
        if phase == .draining, unresolved == 0 { isolated.execute { self.finish() } }
    }

    private func finish() {
        guard isUnderWay else { return }
        if phase == .sending { over = .now() }
        phase = .done
        let elapsed = max(lastAnswer - began, over - began)
        let lost = endedCount
        let result = Outcome(
            tally: tally, latencies: latencies, books: senders.map(\.book), seconds: Double(elapsed.nanoseconds) / 1e9,
            connectSeconds: Double((began - created).nanoseconds) / 1e9, connectionsLost: lost,
            serverCPUSeconds: watch?.cpuSeconds.flatMap { now in serverCPUAtStart.map { now - $0 } },
            serverResidentPeak: residentPeak, ownCPUSeconds: ProcessWatch.ownCPUSeconds - ownCPUAtStart)
        stillOpen = senders.count { $0.isOpen }
        for sender in senders { sender.end() }
        guard stillOpen > 0 else { return outcome.succeed(result) }
        closing = result
        // 1 s: manners only, the run has been measured.
        isolated.scheduleTask(in: .seconds(1)) { self.leave() }
    }

    private var closing: Outcome?

    func lineClosed() {
        stillOpen -= 1
        if phase == .done, stillOpen <= 0 { leave() }
    }

    private func leave() {
        guard let result = closing else { return }
        closing = nil
        outcome.succeed(result)
    }
}
