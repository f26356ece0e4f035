import NIOCore

/// One connection's worth of load: takes events, keeps the batches that are out, and books every verdict.
///
/// It lives on the run's event loop and outlives its connections: when one breaks, what was not answered goes out again, byte for byte, on the next.
final class Sender {
    private enum State {
        case idle
        case dialing
        case open(any Line)
        /// Waits before it dials again.
        case away
        case ended
    }

    let index: Int
    // The run holds its senders and each sender its run, for as long as the process: there is one run in it.
    let run: Run
    private(set) var book = Book()

    private var state = State.idle
    /// Out and unanswered, oldest first; at most `Plan.inFlight`, then the next batch waits.
    private var flights = CircularBuffer<Flight>()
    /// Went down with a connection, to be sent again before anything new; never more than what was in `flights`.
    private var backlog = CircularBuffer<Flight>()
    private var credits = 0
    private var batchLimit = Int.max
    private var nextNumber = 1
    private var isLeaving = false

    private var nextDue = NIODeadline.now()
    private var pausedUntil = NIODeadline.now()
    private var alarm: NIODeadline?

    private var parting: Parting?
    private var attempts = 0
    private var dials = 0
    private var lostSince: NIODeadline?

    init(index: Int, run: Run) {
        self.index = index
        self.run = run
    }

    var isOpen: Bool { if case .open = state { true } else { false } }
    private var hasEnded: Bool { if case .ended = state { true } else { false } }

    // MARK: Connecting

    func dial() {
        state = .dialing
        parting = nil
        dials += 1
        let dial = dials
        if lostSince == nil { lostSince = .now() }
        run.dialer.dial(for: self).assumeIsolated().whenComplete { result in
            switch result {
            case .success(let channel):
                channel.closeFuture.assumeIsolated().whenComplete { _ in self.closed() }
                self.run.isolated.scheduleTask(in: self.run.plan.patience) {
                    if case .dialing = self.state, self.dials == dial { channel.close(promise: nil) }
                }
            case .failure(let error):
                self.run.tally.remark("connecting: \(error)")
                self.closed()
            }
        }
    }

    /// The line is ready for batches. `credits` are the events that may be sent before any come back.
    func opened(_ line: any Line, credits: Int, batchLimit: Int) {
        guard !hasEnded else { return line.close() }
        state = .open(line)
        self.credits = credits
        self.batchLimit = max(1, batchLimit)
        nextNumber = 1
        isLeaving = false
        lostSince = nil
        if dials > 1 { run.tally.reconnects += 1 }
        run.arrived(self)
        pump()
    }

    /// The gateway will close, or has said why it does.
    func parts(_ parting: Parting) {
        self.parting = parting
        isLeaving = true
    }

    /// The upgrade to a socket was answered with plain HTTP.
    func refused(status: Int, retryAfter seconds: Int64?) {
        run.tally.remark("the upgrade was answered with status \(status)")
        let isTemporary = status == 429 || status >= 500
        parts(isTemporary ? .backOff(.seconds(min(seconds ?? 0, 60))) : .never)
    }

    private func closed() {
        guard !hasEnded else { return run.lineClosed() }
        for var flight in flights.reversed() {
            flight.isRepeat = true
            backlog.prepend(flight)
        }
        flights.removeAll()
        state = .away
        let now = NIODeadline.now()
        attempts += 1
        // Doubling from 20 ms to 1.3 s, with some jitter so that many connections do not come back as one.
        let backOff = TimeAmount.milliseconds(Int64(10 << min(attempts, 7)) + Int64(run.numbers.next() % 20))
        let delay: TimeAmount
        switch parting {
        case .never: return end()
        case .soon(let asked): delay = max(asked, attempts > 1 ? backOff : .zero)
        case .backOff(let asked): delay = max(asked, backOff)
        case nil: delay = backOff
        }
        if let lostSince, now - lostSince > run.plan.patience { return end() }
        if lostSince == nil { lostSince = now + delay }
        if backlog.isEmpty, run.isOver { return end() }
        run.isolated.scheduleTask(in: delay) {
            if case .away = self.state { self.dial() }
        }
    }

    /// No more from this one: it closes its line and leaves what has no verdict without one.
    func end() {
        guard !hasEnded else { return }
        let last = state
        state = .ended
        let abandoned = (Array(flights) + Array(backlog)).reduce(0) { $0 + $1.count }
        run.ended(self, abandoning: abandoned)
        if case .open(let line) = last { line.close() }
    }

    // MARK: Sending

    func start(at due: NIODeadline) {
        nextDue = due
        pump()
    }

    /// How long before the end its schedule had fallen behind, in events.
    func late(at end: NIODeadline) -> Int {
        guard let interval = run.plan.interval, nextDue < end else { return 0 }
        let step = max(1, interval.nanoseconds)
        return Int(((end - nextDue).nanoseconds + step - 1) / step) * run.plan.batch
    }

    /// Sends what may be sent now, and sets the alarm for what may be sent later.
    func pump() {
        guard run.isUnderWay, !isLeaving else { return }
        let now = NIODeadline.now()
        var wrote: (any Line)?
        while flights.count < run.plan.inFlight, case .open(let line) = state {
            guard now >= pausedUntil else {
                wake(at: pausedUntil)
                break
            }
            guard var flight = takeOff(at: now) else { break }
            flight.number = nextNumber
            nextNumber += 1
            credits -= flight.count
            if flight.isRepeat { run.tally.resent += flight.count } else { run.tally.sent += flight.count }
            flights.append(flight)
            line.send(flight)
            wrote = line
        }
        wrote?.flush()
    }

    private func takeOff(at now: NIODeadline) -> Flight? {
        if let waiting = backlog.first {
            let count = allowance(for: waiting.count)
            guard count > 0 else { return nil }
            if count == waiting.count { return backlog.removeFirst() }
            return backlog[backlog.startIndex].split(count)
        }
        var due = now
        if run.plan.interval != nil {
            guard !run.isOver else { return nil }
            guard nextDue <= now else {
                wake(at: nextDue)
                return nil
            }
            due = nextDue
        }
        let allowed = allowance(for: run.plan.batch)
        guard allowed > 0 else { return nil }
        let count = run.take(allowed, at: now)
        guard count > 0 else { return nil }
        if let interval = run.plan.interval { nextDue = nextDue + interval }
        let flight = Flight(first: book.count, count: count, at: run.plan.at ?? Clock.epochMillis(), due: due)
        book.open(count)
        return flight
    }

    /// How many of that many events may go now: all, or none, or what credits there are when nothing is out that would bring more.
    private func allowance(for count: Int) -> Int {
        let count = min(count, batchLimit)
        return credits >= count ? count : flights.isEmpty ? max(0, credits) : 0
    }

    private func wake(at time: NIODeadline) {
        if let alarm, alarm <= time { return }
        alarm = time
        run.isolated.scheduleTask(deadline: time) {
            guard self.alarm == time else { return }
            self.alarm = nil
            self.pump()
        }
    }

    func pause(_ amount: TimeAmount) {
        pausedUntil = max(pausedUntil, .now() + amount)
    }

    // MARK: Verdicts

    func grant(_ credits: Int) { self.credits += credits }

    var oldestNumber: Int? { flights.first?.number }

    /// The oldest batch is answered. `results` stands before the array of single verdicts, if there is one; `rest` is the verdict on events it leaves out,
    /// and with `inOrder` it has one for each event.
    func answered(_ results: JSONCursor?, inOrder: Bool, rest: Verdict?) {
        guard let flight = flights.popFirst() else { return run.tally.violation("an answer to no batch") }
        var rest = rest
        if var results {
            var place = flight.first
            do {
                try results.array { value in
                    let answer = try Answer(&value)
                    book(answer, of: flight, at: inOrder ? place : nil)
                    place += 1
                }
            } catch {
                run.tally.violation("results that are not JSON: \(error)")
                rest = nil
            }
        }
        close(flight, with: rest)
    }

    /// The oldest batch got one verdict as a whole.
    func answered(all verdict: Verdict, for problem: Problem) {
        guard let flight = flights.popFirst() else { return run.tally.violation("an answer to no batch") }
        run.tally.remark("\(problem.code): \(problem.message)")
        run.tally.whole += flight.count
        for _ in flight.range { run.tally.count(verdict, for: problem.code) }
        close(flight, with: verdict)
    }

    private func book(_ answer: Answer, of flight: Flight, at place: Int?) {
        let workload = run.workload
        let named = place ?? answer.id.flatMap { workload.sequence(of: $0, on: index) } ?? answer.index.map { flight.first + $0 }
        guard let sequence = named, flight.range.contains(sequence) else {
            return run.tally.violation("a result for an event that is not in its batch")
        }
        guard let verdict = answer.verdict else { return run.tally.violation("a result without a known verdict") }
        if place != nil, let id = answer.id, !workload.isID(id, of: sequence, on: index) {
            return run.tally.violation("a result in another event's place")
        }
        guard book.mark(sequence, verdict) else { return run.tally.violation("two verdicts on one event") }
        run.tally.count(verdict)
        guard verdict != .stored else { return }
        if let reason = answer.reason {
            let reason = String(decoding: reason, as: UTF8.self)
            run.tally.count(verdict, for: reason)
            if let message = answer.message { run.tally.remark("\(reason): \(message)") }
        } else if verdict != .duplicate {
            run.tally.violation("\(verdict) without a reason")
        }
        if let pause = answer.retryAfterMs { self.pause(.milliseconds(Int64(clamping: pause))) }
    }

    private func close(_ flight: Flight, with rest: Verdict?) {
        for sequence in flight.range where book[sequence] == .unanswered {
            guard let rest else {
                run.tally.violation("an event without a verdict in its answer")
                continue
            }
            _ = book.mark(sequence, rest)
            run.tally.count(rest)
        }
        attempts = 0
        run.answered(flight, of: self)
    }
}
