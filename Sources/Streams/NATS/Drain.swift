public import Events
public import Logging
import Dispatch
import Synchronization

/// Brings what the stream holds to a store: several at once, each with its share of the shards.
///
/// **Order.** A project's deliveries go through one shard, and a shard is worked by one drain in the order of the stream, so a thread's
/// events reach the store as the stream took them.
///
/// **Once.** A delivery is acknowledged after the store's commit. Where a drain dies in between, or is paused and wakes up while
/// another has its shards, deliveries come to the store again. Its events are `duplicate` then, and a store that keeps
/// `StreamMark`s skips the whole, so that no tally is booked twice: nothing needs the two drains to know of each other.
///
/// **Leases.** Drains agree in a table (`LeaseTable`). One that ends hands its shards over at once; the shards of one that dies are
/// taken after `leaseFor`. A drain that can't renew its leases stops working when they are over by its own watch, which is before
/// anybody else may take them.
///
/// **Trouble.** A store that is away makes it wait with the batch in hand. A message that can't be read, or that the store refuses
/// alone while it takes others, is set aside (`Poison`).
public final class Drain: Sendable {
    public typealias SettingAside = @Sendable (Poison) async throws -> Void

    public struct Configuration: Sendable {
        /// What one commit takes of a shard. A drain holds as much for each of its shards, and two to three times the bytes once read.
        public var maximumMessages = 1024
        public var maximumBytes = 4 << 20
        /// How long a fetch waits where nothing is there; it ends with the first message that comes.
        public var fetchFor = Duration.seconds(2)
        /// After which time without a beat a drain is taken for dead, and how often it beats.
        public var leaseFor = Duration.seconds(6)
        public var beatEvery = Duration.milliseconds(1500)
        /// How often the store may refuse a message alone before it is set aside.
        public var attemptsBeforePoison = 5
        /// Between attempts of any kind: doubled each time up to the longest.
        public var firstPause = Duration.milliseconds(100)
        public var longestPause = Duration.seconds(5)
        /// How often the store is asked how far it is, for shards in which nothing comes: it may have fallen back (`EventSink.reached`).
        public var lookEvery = Duration.seconds(10)
        /// How often the drain of the first shard clears away what is older than `StreamSettings.keepFor` and drained.
        public var clearEvery = Duration.seconds(60)
        public init() {}
    }

    /// What was done since the start, and what is in hand.
    public struct Figures: Sendable, Equatable {
        /// Shards whose lease this drain has.
        public var shards: [Int] = []
        public var deliveries = 0
        public var events = 0
        public var bytes = 0
        /// Commits that the store refused or could not make.
        public var refusals = 0
        /// Messages set aside in quarantine, and those that only the stream for such would take.
        public var setAside = 0
        public var parked = 0
        /// How often a shard had to be read anew behind its last acknowledgement: what was handed out then may come again.
        public var reopened = 0
        /// Shards that wait for the store.
        public var waitingForStore: [Int] = []
        public var leasesTaken = 0
        public var leasesLost = 0
    }

    /// Unlike any other's.
    public let id = randomName()
    private let stream: JetStream
    private let settings: StreamSettings
    private let configuration: Configuration
    private let sink: any EventSink
    private let setAside: SettingAside
    private let logger: Logger
    private let books = DrainBooks()
    private let state = Mutex(State())
    private let alarm = Alarm()

    private struct State {
        var workers: [Int: Worker] = [:]
        /// Our leases hold until then, by our own watch.
        var validUntil = ContinuousClock.now
        var isClosed = false
        var isFrozen = false
    }

    private struct Worker {
        var token: UInt64
        var task: Task<Void, Never>
        var isEnding = false
    }

    /// - Parameter setAside: keeps a message that can't be stored, and throws where it could not; nil: in the store's quarantine.
    public init(
        _ stream: JetStream, settings: StreamSettings, into sink: any EventSink, configuration: Configuration = Configuration(),
        logger: Logger, setAside: SettingAside? = nil
    ) {
        self.stream = stream
        self.settings = settings
        self.configuration = configuration
        self.sink = sink
        self.logger = logger
        self.setAside =
            setAside ?? { poison in
                guard let delivery = poison.quarantined else { throw JetStream.Failure.unreadable("whose it is: \(poison.subject)") }
                _ = try await sink.append([delivery])
            }
    }

    public var figures: Figures {
        var figures = books.figures
        figures.shards = state.withLock { $0.workers.filter { !$0.value.isEnding }.keys.sorted() }
        return figures
    }

    /// Works until `close` or cancellation. The stream has to be there (`JetStream.prepare`).
    public func run() async {
        await withTaskCancellationHandler {
            var leases = Leases(drain: id, bucket: Bucket(stream: stream, name: settings.bucket), shards: settings.shards.count)
            var clearedAt = ContinuousClock.now
            while !state.withLock({ $0.isClosed }) {
                await turn(&leases)
                if let age = settings.keepFor, .now - clearedAt >= configuration.clearEvery, holds(0) {
                    clearedAt = .now
                    await clear(olderThan: age)
                }
                await alarm.wait(for: configuration.beatEvery)
            }
            let workers = state.withLock { state in
                for worker in state.workers.values { worker.task.cancel() }
                return Array(state.workers.values)
            }
            for worker in workers { await worker.task.value }
            await leases.leave(reached: books.floors)
            state.withLock { $0.workers = [:] }
        } onCancel: {
            close()
        }
    }

    /// Ends orderly: what is being committed is acknowledged, and the shards are given up.
    public func close() {
        state.withLock { $0.isClosed = true }
        alarm.ring()
    }

    /// For tests: stops beating and forgets that leases run out, as a process does that is paused in the middle of its work.
    func freeze() { state.withLock { $0.isFrozen = true } }
    func thaw() { state.withLock { $0.isFrozen = false } }

    private func holds(_ shard: Int) -> Bool {
        state.withLock { $0.workers[shard].map { !$0.isEnding } ?? false }
    }

    // MARK: leases

    private func turn(_ leases: inout Leases) async {
        if state.withLock({ $0.isFrozen }) { return }
        let began = ContinuousClock.now
        // Those that were told to, and those that found their lease over by our watch: what is given up now is free to be taken next time.
        let ended = Set(state.withLock { $0.workers.keys.filter { books.hasEnded($0) } })
        do {
            let table = try await leases.turn(givingUp: ended, reached: books.floors, deadAfter: configuration.leaseFor)
            // Whoever looks has seen this beat after `began`, and counts from then.
            state.withLock { $0.validUntil = began + configuration.leaseFor }
            reconcile(with: table, ended: ended)
        } catch {
            logger.warning("leases can't be renewed", metadata: ["error": "\(error)"])
            if state.withLock({ $0.validUntil < .now }) { dropAll() }
        }
    }

    private func reconcile(with table: LeaseTable, ended: Set<Int>) {
        let mine = table.held(by: id)
        let surplus = table.surplus(of: id, shards: settings.shards.count)
        state.withLock { state in
            for shard in ended { state.workers[shard] = nil }
            for (shard, worker) in state.workers where mine[shard] != worker.token && !worker.isEnding {
                worker.task.cancel()
                state.workers[shard]?.isEnding = true
                books.note { $0.leasesLost += 1 }
            }
            for shard in surplus {
                guard let worker = state.workers[shard], !worker.isEnding else { continue }
                worker.task.cancel()
                state.workers[shard]?.isEnding = true
            }
            for (shard, token) in mine where state.workers[shard] == nil && !state.isClosed {
                books.note { $0.leasesTaken += 1 }
                books.began(shard)
                let worker = ShardWorker(
                    stream: stream, settings: settings, configuration: configuration, shard: shard, token: token,
                    floor: table.floors[shard], sink: sink,
                    setAside: setAside, books: books, logger: logger,
                    isOurs: { [weak self] in self?.isOurs(shard, token) ?? false })
                let task = Task {
                    await worker.run()
                    books.ended(shard)
                    alarm.ring()
                }
                state.workers[shard] = Worker(token: token, task: task)
            }
        }
    }

    private func isOurs(_ shard: Int, _ token: UInt64) -> Bool {
        state.withLock { state in
            guard let worker = state.workers[shard], worker.token == token else { return false }
            return state.isFrozen || state.validUntil > .now
        }
    }

    private func dropAll() {
        state.withLock { state in
            for shard in state.workers.keys where state.workers[shard]?.isEnding == false {
                state.workers[shard]?.task.cancel()
                state.workers[shard]?.isEnding = true
                books.note { $0.leasesLost += 1 }
            }
        }
    }

    // MARK: clearing away

    /// Purges what is older than that and acknowledged by all drains. A shard nobody has drained yet keeps everything.
    private func clear(olderThan age: Duration) async {
        do {
            let cleared = try await stream.clear(settings, olderThan: age)
            if cleared > 0 { logger.debug("drained messages are cleared away", metadata: ["messages": "\(cleared)"]) }
        } catch {
            logger.warning("drained messages can't be cleared away", metadata: ["error": "\(error)"])
        }
    }
}

/// One drain's hold on the table of leases.
struct Leases: Sendable {
    let drain: String
    let bucket: Bucket
    let shards: Int
    private var sightings = Sightings()

    private static let key = "leases"
    /// Somebody was faster that often: with dozens of drains it happens; each time one of them got ahead.
    private static let attempts = 20

    init(drain: String, bucket: Bucket, shards: Int) { (self.drain, self.bucket, self.shards) = (drain, bucket, shards) }

    /// Beats, and takes and gives up what is due; answers the table as it is then.
    mutating func turn(givingUp: Set<Int>, reached: [Int: StreamMark], deadAfter time: Duration) async throws(JetStream.Failure)
        -> LeaseTable
    {
        try await change { table, sightings, drain, shards in
            let dead = sightings.dead(in: table, at: .now, after: time)
            table.turn(of: drain, shards: shards, dead: dead, givingUp: givingUp, reached: reached)
        }
    }

    mutating func leave(reached: [Int: StreamMark]) async {
        _ = try? await change { table, _, drain, _ in table.leave(drain, reached: reached) }
    }

    private mutating func change(
        _ change: (inout LeaseTable, inout Sightings, String, Int) -> Void
    ) async throws(JetStream.Failure) -> LeaseTable {
        for _ in 0..<Self.attempts {
            let entry = try await bucket.read(Self.key)
            var table = try entry.map { entry throws(JetStream.Failure) in try LeaseTable(json: entry.value) } ?? LeaseTable()
            change(&table, &sightings, drain, shards)
            if try await bucket.write(Self.key, table.json, after: entry?.revision ?? 0) { return table }
            // Not in step with whoever was faster.
            try? await Task.sleep(for: .milliseconds(Int64.random(in: 1...20)))
        }
        throw .timedOut
    }
}

/// What a drain's workers did, in one place.
final class DrainBooks: Sendable {
    private struct State {
        var figures = Drain.Figures()
        var ended: Set<Int> = []
        var waiting: Set<Int> = []
        var floors: [Int: StreamMark] = [:]
    }

    private let state = Mutex(State())

    var figures: Drain.Figures {
        state.withLock { state in
            var figures = state.figures
            figures.waitingForStore = state.waiting.sorted()
            return figures
        }
    }

    func note(_ change: (inout Drain.Figures) -> Void) { state.withLock { change(&$0.figures) } }

    func committed(_ deliveries: [Delivery]) {
        state.withLock { state in
            state.figures.deliveries += deliveries.count
            for delivery in deliveries {
                state.figures.events += delivery.events.count
                state.figures.bytes += delivery.size
            }
            if let shard = deliveries.first?.position?.shard { state.waiting.remove(shard) }
        }
    }

    func storeIsAway(_ shard: Int) { state.withLock { _ = $0.waiting.insert(shard) } }
    func storeIsThere(_ shard: Int) { state.withLock { _ = $0.waiting.remove(shard) } }

    /// How far this drain has come with each shard of a lease it has or had.
    var floors: [Int: StreamMark] { state.withLock { $0.floors } }
    func floor(of shard: Int) -> StreamMark? { state.withLock { $0.floors[shard] } }
    func reached(_ mark: StreamMark, in shard: Int) { state.withLock { $0.floors[shard] = mark } }

    func began(_ shard: Int) {
        state.withLock { state in
            state.ended.remove(shard)
            // With the lease before this one; meanwhile others may have come further.
            state.floors[shard] = nil
        }
    }
    func ended(_ shard: Int) {
        state.withLock { state in
            state.ended.insert(shard)
            state.waiting.remove(shard)
        }
    }
    func hasEnded(_ shard: Int) -> Bool { state.withLock { $0.ended.contains(shard) } }
}

/// A sleep that somebody else can end.
final class Alarm: Sendable {
    private let state = Mutex((rang: false, sleeper: CheckedContinuation<Void, Never>?.none, turn: 0))
    private let timing = DispatchQueue(label: "parley.nats.alarm")

    func wait(for time: Duration) async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let turn: Int? = state.withLock { state in
                if state.rang {
                    state.rang = false
                    return nil
                }
                state.turn += 1
                state.sleeper = continuation
                return state.turn
            }
            guard let turn else { return continuation.resume() }
            timing.asyncAfter(deadline: .now() + time.seconds) { self.end(turn) }
        }
    }

    func ring() {
        let sleeper = state.withLock { state in
            let sleeper = state.sleeper
            state.sleeper = nil
            state.rang = sleeper == nil
            return sleeper
        }
        sleeper?.resume()
    }

    private func end(_ turn: Int) {
        let sleeper = state.withLock { state in
            guard state.turn == turn else { return CheckedContinuation<Void, Never>?.none }
            let sleeper = state.sleeper
            state.sleeper = nil
            return sleeper
        }
        sleeper?.resume()
    }
}
