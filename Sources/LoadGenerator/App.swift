import ArgumentParser
import Foundation
import NIOCore
import NIOPosix

/// `parley-load` sends chat messages to a gateway as fast as it takes them, or at a steady rate, and then proves that none was lost.
///
/// It is for three questions. How fast is a gateway on this machine: events a second, ack latency, CPU an event. Does it keep its word under that load: every event
/// one verdict, the ledger balanced, every acked id read back exactly once. And what happens when it is killed in the middle: connections come back, what was not
/// acked is sent again, and `--ids-out` holds each ack that was given, for a test that looks afterwards. The events follow from a seed alone, so nothing has to be
/// remembered to check them.
///
/// The path of an event: `Workload` writes it → a `Sender` puts it out → a `Line` (socket or POST) carries it → the answer is booked → `ReadBack` finds it again.
@main
struct App: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "parley-load",
        abstract: "Loads a Parley gateway with chat messages, measures it, and proves that nothing was lost.",
        discussion: """
            Without --rate the loop is closed: each connection sends its next batch when one is answered, which finds the most a gateway can take. With --rate it is \
            open: batches leave on a schedule, and the ack latency counts from the moment a batch was due, so a stall is paid for in full. Only what was kept (stored \
            or duplicate) counts as acked, in rates and latencies alike.

            A run ends after --duration or --events, whichever comes first, and when the last answer is in. A broken connection comes back, and what was not \
            answered is sent again with the same ids.

            Three things are proven, the last two with a secret key to read with: (1) every event sent got exactly one verdict; (2) the gateway's ledger balances \
            (received = stored + duplicate + conflict + quarantined + dropped + retry) and says what the verdicts said, so no one else may write to the project \
            meanwhile; (3) every acked id is read back exactly once.

            Exit status: 0 all proven and expected figures met, 1 not, 64 wrong options.

            EXAMPLES
              Where is the ceiling, over sockets?
                parley-load --key pk_… --secret sk_… --connections 16 --batch 64 --in-flight 4 --pid $(pgrep -x parley)
              Is the p99 under 50 ms with 10,000 visitors and 2000 messages a second?
                parley-load --key pk_… --connections 10000 --rate 2000 --duration 60 --expect-p99 50
              Does a second try of the same events stay harmless? (twice the same line)
                parley-load --key sk_… --transport http --batch 100 --events 10000 --seed 7 --at 1795229470887
              What was acked before the power went?
                parley-load --key pk_… --ids-out acked.txt --duration 30 & sleep 5; kill -9 SERVER
            """)

    @Option(help: "The gateway's address; plain http only.")
    var url = "http://127.0.0.1:8787"

    @Option(help: "The key to send with: public (pk_…) or secret (sk_…).")
    var key: String

    @Option(help: "A secret key to read back with. Default: --key, if that is a secret one.")
    var secret: String?

    @Option(help: "The project to read from, for a secret key that has several.")
    var project: String?

    @Option(help: "The Origin that a public key's requests carry; it must be one of the project's. Default: the gateway's own address.")
    var origin: String?

    @Option(help: "ws: the socket; http: POST /v1/events; beacon: POST /v1/beacon.")
    var transport = Target.Transport.ws

    @Option(help: "How many connections, all opened before the clock starts.")
    var connections = 1

    @Option(help: "Events in a batch.")
    var batch = 16

    @Option(help: "About how many bytes of JSON an event is.")
    var size = 600

    @Option(help: ArgumentHelp("Open loop: this many events a second over all connections together.", valueName: "events/s"))
    var rate: Double?

    @Option(help: "Batches out at once on a connection; over HTTP they are pipelined.")
    var inFlight = 1

    @Option(help: ArgumentHelp("How long to send. Default: 10, or 600 with --events.", valueName: "seconds"))
    var duration: Double?

    @Option(help: "How many events to send in all.")
    var events: Int?

    @Option(help: "Conversations that each connection's messages go round; two messages are a turn.")
    var threadsPerConnection = 100

    @Option(help: "Ids, threads and words follow from it; the same seed sends the same ids. Default: the time in µs.")
    var seed: UInt64?

    @Option(
        help: ArgumentHelp(
            "Give every event this time instead of now: with the same --seed, the very same bytes again.", valueName: "epoch-ms"))
    var at: Int64?

    @Option(help: ArgumentHelp("How long to try to connect, again too, and to wait for the last answers.", valueName: "seconds"))
    var patience = 10.0

    @Option(help: "The server's process id: its CPU time and memory are read from /proc (Linux).")
    var pid: Int?

    @Flag(inversion: .prefixedNo, help: "Check the ledger and read back. Default: when there is a secret key.")
    var verify: Bool?

    @Option(help: "How many threads to read back at most, evenly spread; 0 for all.")
    var verifyThreads = 200

    @Option(
        help: ArgumentHelp("Write each answered event's id and verdict to this file, a line each, as answers come in.", valueName: "file"))
    var idsOut: String?

    @Flag(help: "Print the report as JSON.")
    var json = false

    @Option(help: ArgumentHelp("Exit with 1 if fewer events a second were kept.", valueName: "events/s"))
    var expectRate: Double?

    @Option(help: ArgumentHelp("Exit with 1 if the p99 of the ack latency was longer.", valueName: "ms"))
    var expectP99: Double?

    func validate() throws {
        for (name, number) in [
            ("--connections", connections), ("--batch", batch), ("--in-flight", inFlight),
            ("--threads-per-connection", threadsPerConnection),
            ("--events", events ?? 1), ("--size", size),
        ] where number < 1 { throw ValidationError("\(name) must be at least 1.") }
        guard rate ?? 1 > 0, duration ?? 1 > 0, patience > 0 else {
            throw ValidationError("--rate, --duration and --patience must be more than 0.")
        }
        guard at ?? 0 >= 0, verifyThreads >= 0 else { throw ValidationError("--at and --verify-threads cannot be negative.") }
        if transport == .beacon, Target.isSecret(key) { throw ValidationError("A beacon takes public keys only.") }
        if verify == true, readingKey == nil { throw ValidationError("--verify needs a secret key to read with: --secret sk_….") }
    }

    private var readingKey: String? { secret ?? (Target.isSecret(key) ? key : nil) }

    func run() async throws {
        let limit = OpenFiles.raiseLimit()
        // 32: what a process has open besides.
        guard connections <= limit - 32 else {
            throw ValidationError(
                "--connections \(connections) is more than the \(limit) open files allowed here (ulimit -Hn); start several processes.")
        }
        let target = try Target(url: url, transport: transport, key: key, origin: origin)
        let plan = Plan(
            connections: connections, batch: batch, inFlight: inFlight, rate: rate,
            duration: .nanoseconds(Int64((duration ?? (events == nil ? 10 : 600)) * 1e9)), events: events,
            patience: .nanoseconds(Int64(patience * 1e9)), at: at)
        let workload = Workload(seed: seed ?? Clock.epochMicros(), threadsPerConnection: threadsPerConnection, size: size)
        let reading = verify == false ? nil : readingKey
        let loop = MultiThreadedEventLoopGroup(numberOfThreads: 1).next()
        var report: Report
        do {
            report = try await measure(plan, target, workload, reading: reading, on: loop)
        } catch {
            FileHandle.standardError.write(Data("parley-load: \(error)\n".utf8))
            throw ExitCode.failure
        }
        let missed = missedExpectations(report)
        report.passed = report.passed && missed.isEmpty
        print(json ? try report.json() : ([report.text()] + missed).joined(separator: "\n"))
        if !report.passed { throw ExitCode.failure }
    }

    private func measure(
        _ plan: Plan, _ target: Target, _ workload: Workload, reading: String?, on loop: any EventLoop
    ) async throws -> Report {
        // An hour back: the account covers the run's first minute wherever the server's clock cuts it, and the difference takes out the rest.
        let since = Date(timeIntervalSinceNow: -3600)
        let project = self.project
        let verifyThreads = self.verifyThreads
        var before: Ledger?
        if let reading {
            before = try await Reader.open(target, secret: reading, project: project, on: loop) {
                try await Ledger.read(since: since, through: &$0)
            }
        }
        let outcome = try await Run.perform(
            plan, against: target, with: workload, watching: pid.map(ProcessWatch.init), ackLogPath: idsOut, on: loop)
        var proofs = [Proof.ofVerdicts(outcome)]
        var ledger: Ledger?
        if let reading, let before {
            do {
                let (difference, proof) = try await Reader.open(target, secret: reading, project: project, on: loop) { reader in
                    try await App.checkLedger(from: before, since: since, outcome.tally, through: &reader)
                }
                ledger = difference
                proofs.append(proof)
            } catch {
                proofs.append(.failed(Proof.ledgerClaim, error))
            }
            do {
                let back = try await Reader.open(target, secret: reading, project: project, on: loop) { reader in
                    try await ReadBack(of: outcome.books, workload: workload, limit: verifyThreads, through: &reader)
                }
                proofs.append(.ofReadBack(back))
            } catch {
                proofs.append(.failed(Proof.readBackClaim, error))
            }
        }
        return Report(outcome, plan: plan, target: target, workload: workload, ledger: ledger, proofs: proofs)
    }

    /// The ledger may be written a moment after the acks: it has 5 s to agree with them.
    private static func checkLedger(
        from before: Ledger, since: Date, _ tally: Tally, through reader: inout Reader
    ) async throws -> (Ledger, Proof) {
        var attempt = 0
        while true {
            let difference = try await Ledger.read(since: since, through: &reader) - before
            let proof = Proof.ofLedger(difference, tally)
            attempt += 1
            if proof.holds || attempt == 20 { return (difference, proof) }
            try await Task.sleep(for: .milliseconds(250))
        }
    }

    private func missedExpectations(_ report: Report) -> [String] {
        var missed: [String] = []
        if let expectRate, report.eventsPerSecond < expectRate {
            missed.append("MISSED      \(Int(report.eventsPerSecond)) events/s, expected \(expectRate) at least")
        }
        // Nothing acked has no latency to speak of.
        if let expectP99, report.ackMilliseconds.p99 > expectP99 || report.acked == 0 {
            missed.append("MISSED      p99 \(report.ackMilliseconds.p99) ms, expected \(expectP99) at most")
        }
        return missed
    }
}
