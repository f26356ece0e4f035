import Foundation

/// The run in figures, for a person or, as JSON, for a script.
struct Report: Codable, Sendable {
    struct Latency: Codable, Sendable {
        let p50, p90, p99, max: Double
    }

    let transport: Target.Transport
    let connections, connectionsLost, batch, inFlight, size: Int
    let seed: UInt64
    let seconds, connectSeconds: Double
    /// `acked` counts what was kept, stored or duplicate: a gateway that turns everything away in no time is not fast.
    let sent, acked, resent, late, reconnects: Int
    let eventsPerSecond, batchesPerSecond: Double
    let ackMilliseconds: Latency
    let verdicts: [String: Int]
    let reasons: [String: Int]
    let serverCPUMicrosPerEvent, serverResidentPeakMB: Double?
    let generatorCPUMicrosPerEvent: Double
    let ledger: Ledger?
    let proofs: [Proof]
    let remarks: [String]
    var passed: Bool

    init(
        _ outcome: Outcome, plan: Plan, target: Target, workload: Workload, ledger: Ledger?, proofs: [Proof]
    ) {
        let tally = outcome.tally
        let acked = tally.kept
        let perEvent = { (cpu: Double) in acked > 0 ? cpu * 1e6 / Double(acked) : 0 }
        transport = target.transport
        connections = plan.connections
        connectionsLost = outcome.connectionsLost
        batch = plan.batch
        inFlight = plan.inFlight
        size = workload.size
        seed = workload.seed
        seconds = outcome.seconds
        connectSeconds = outcome.connectSeconds
        sent = tally.sent
        self.acked = acked
        resent = tally.resent
        late = tally.late
        reconnects = tally.reconnects
        eventsPerSecond = outcome.seconds > 0 ? Double(acked) / outcome.seconds : 0
        batchesPerSecond = outcome.seconds > 0 ? Double(tally.batches) / outcome.seconds : 0
        let latencies = outcome.latencies
        ackMilliseconds = Latency(
            p50: latencies.milliseconds(at: 0.5), p90: latencies.milliseconds(at: 0.9), p99: latencies.milliseconds(at: 0.99),
            max: latencies.milliseconds(at: 1))
        var verdicts: [String: Int] = [:]
        for verdict in Verdict.allCases where tally[verdict] > 0 || verdict == .stored { verdicts["\(verdict)"] = tally[verdict] }
        if tally.sent > tally.answered { verdicts["unanswered"] = tally.sent - tally.answered }
        self.verdicts = verdicts
        reasons = tally.reasons
        serverCPUMicrosPerEvent = outcome.serverCPUSeconds.map(perEvent)
        serverResidentPeakMB = outcome.serverResidentPeak.map { Double($0) / 1e6 }
        generatorCPUMicrosPerEvent = perEvent(outcome.ownCPUSeconds)
        self.ledger = ledger
        self.proofs = proofs
        remarks = tally.remarks
        passed = proofs.allSatisfy(\.holds)
    }

    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    func text() -> String {
        let ack = ackMilliseconds
        var lines = [
            (
                "run",
                "\(transport.rawValue), \(connections) connections, batches of \(batch), \(inFlight) in flight, \(size) bytes an event, seed \(seed)"
            ),
            ("time", "\(Report.figure(seconds)) s, after \(Report.figure(connectSeconds)) s to connect"),
            ("events", "\(Report.figure(eventsPerSecond))/s acked as stored or duplicate; \(acked) of \(sent) sent"),
            (transport == .ws ? "batches" : "requests", "\(Report.figure(batchesPerSecond))/s answered"),
            (
                "ack",
                "p50 \(Report.figure(ack.p50)), p90 \(Report.figure(ack.p90)), p99 \(Report.figure(ack.p99)), max \(Report.figure(ack.max)) ms"
            ),
            ("verdicts", verdicts.sorted { $0.value > $1.value }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")),
        ]
        if !reasons.isEmpty {
            lines.append(("reasons", reasons.sorted { $0.value > $1.value }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")))
        }
        if let cpu = serverCPUMicrosPerEvent { lines.append(("server", "\(Report.figure(cpu)) µs CPU an acked event")) }
        if let peak = serverResidentPeakMB { lines.append(("", "\(Report.figure(peak)) MB resident at most")) }
        lines.append(("generator", "\(Report.figure(generatorCPUMicrosPerEvent)) µs CPU an acked event"))
        if late > 0 { lines.append(("behind", "\(late) events were due and never sent: the rate was not reached")) }
        if connectionsLost > 0 { lines.append(("lost", "\(connectionsLost) connections were given up")) }
        if reconnects > 0 { lines.append(("reconnects", "\(reconnects), with \(resent) events sent again")) }
        for remark in remarks { lines.append(("heard", remark)) }
        for proof in proofs { lines.append((proof.label, proof.claim + ": " + proof.finding)) }
        return lines.map { $0.0.padding(toLength: 12, withPad: " ", startingAt: 0) + $0.1 }.joined(separator: "\n")
    }

    private static func figure(_ number: Double) -> String {
        String(format: number >= 1000 ? "%.0f" : number >= 10 ? "%.1f" : "%.2f", number)
    }
}
