import Events
import Logging
import Synchronization
import TestKit
import Testing
@testable import Keys

/// Carries messages where and when a test says so.
private final class HandBus: Bus {
    struct Away: Error {}

    private struct State {
        var isAway = false
        var said: [[UInt8]] = []
        var hear: (@Sendable (BusNews) -> Void)?
    }
    private let state = Mutex(State())
    let longestMessage: Int

    init(longestMessage: Int = 6000) { self.longestMessage = longestMessage }

    var figures: BusFigures { BusFigures(isConnected: state.withLock { !$0.isAway }) }

    func publish(_ messages: [[UInt8]]) throws {
        try state.withLock { state in
            guard !state.isAway else { throw Away() }
            state.said += messages
        }
    }

    func run(hear: @escaping @Sendable (BusNews) -> Void) async {
        state.withLock { $0.hear = hear }
        try? await Task.sleep(for: .seconds(3600))
    }

    func fail(_ fails: Bool) { state.withLock { $0.isAway = fails } }

    /// Tells whoever runs it; false while nobody does.
    func tell(_ news: BusNews) -> Bool {
        let hear = state.withLock { $0.hear }
        hear?(news)
        return hear != nil
    }

    func take() -> [[UInt8]] {
        state.withLock { state in
            defer { state.said = [] }
            return state.said
        }
    }
}

private final class HandClock: Sendable {
    private let time = Mutex(Sample.noon)
    func move(to seconds: Double) { time.withLock { $0 = Sample.time(seconds) } }
    var wall: WallClock { WallClock { self.time.withLock { $0 } } }
}

private let sealer = Sealer(key: [UInt8](repeating: 7, count: Sealer.keyLength))!

/// Several key rings over one store, each with a line of its own.
private struct House {
    let store = MemoryControlStore()
    let clock = HandClock()
    let buses: [HandBus]
    let rings: [KeyRing]
    let key: String

    init(_ count: Int, _ change: (inout Project.Quotas) -> Void) async throws {
        var settings = Project.Settings()
        settings.origins = ["https://shop.example"]
        settings.quotas = .none
        change(&settings.quotas)
        let project = try await store.createProject(named: "shop", settings: settings)
        let (text, record) = KeyRecord.issue(.public, project: project.number, at: Sample.noon)
        await store.insert(record)
        key = text.text
        buses = (0..<count).map { _ in HandBus() }
        rings = buses.map { [store, clock] in
            KeyRing(store: store, sealer: sealer, bus: $0, clock: clock.wall, logger: Logger(label: "test"))
        }
        for ring in rings { try await ring.refresh() }
    }

    func access(at node: Int, from address: String = "192.0.2.1", session: String? = nil) throws -> Access {
        var access = try rings[node].open(Knock(key: key, origin: .named("https://shop.example"), address: address)).get()
        access.session = session
        return access
    }

    /// Every node says what it has to say, and all others hear it.
    func exchange(among nodes: Range<Int>? = nil) async {
        for message in await said(by: nodes) { deliver(message, to: nodes) }
    }

    func said(by nodes: Range<Int>? = nil) async -> [[UInt8]] {
        var messages: [[UInt8]] = []
        for node in nodes ?? rings.indices {
            await rings[node].report()
            messages += buses[node].take()
        }
        return messages
    }

    func deliver(_ message: [UInt8], to nodes: Range<Int>? = nil) {
        for node in nodes ?? rings.indices { rings[node].hear(message) }
    }
}

@Suite("Quotas of several nodes")
struct NodesTests {
    private static let quota = Project.Quota(perSecond: 20, burst: 100)

    @Test(
        "over any stretch no more gets through than the quota, and what the other nodes can take before a node hears of it",
        arguments: [2, 3, 5], [0.0, 0.7])
    func bound(nodes: Int, delay: Double) async throws {
        let (house, quota) = (try await House(nodes) { $0[.project, .events] = Self.quota }, Self.quota)
        let accesses = try (0..<nodes).map { try house.access(at: $0) }
        var onTheWay: [(at: Double, message: [UInt8])] = []
        var state: UInt64 = 5
        var taken = 0
        // Three minutes in which everybody sends what he can, but for two pauses in which the buckets fill again.
        for step in 0..<3600 {
            let seconds = Double(step) / 20
            house.clock.move(to: seconds)
            while let next = onTheWay.first, next.at <= seconds {
                house.deliver(next.message)
                onTheWay.removeFirst()
            }
            if !(40..<60).contains(seconds), !(100..<120).contains(seconds) {
                for node in 0..<nodes {
                    state = state &* 6_364_136_223_846_793_005 &+ 1
                    let wanted = Int(state >> 60) + 1
                    if house.rings[node].spend(wanted, by: accesses[node]) == .fits { taken += wanted }
                }
            }
            if step % 20 == 19 { onTheWay += await house.said().map { (seconds + delay, $0) } }
            let error = Double(nodes - 1) * (quota.burst + quota.perSecond * (1 + delay + 0.05))
            #expect(Double(taken) <= quota.burst + quota.perSecond * seconds + error)
        }
        // And not much less than the quota: nobody pays twice.
        #expect(Double(taken) >= 0.85 * quota.perSecond * 140)
    }

    @Test("what all nodes took at once is waited off by all of them, to the moment")
    func debt() async throws {
        let (house, quota) = (try await House(3) { $0[.address, .events] = Self.quota }, Self.quota)
        let accesses = try (0..<3).map { try house.access(at: $0) }
        for node in 0..<3 { #expect(house.rings[node].spend(100, by: accesses[node]) == .fits) }
        await house.exchange()
        // Each bucket owes what the two others took.
        let wait = (2 * quota.burst + 1) / quota.perSecond
        for node in 0..<3 {
            guard case .refused(let refusal) = house.rings[node].spend(1, by: accesses[node]) else {
                Issue.record("node \(node) takes more than the quota")
                continue
            }
            #expect(refusal.retryAfterMilliseconds == Int64(wait * 1000))
            #expect(house.rings[node].quota(of: accesses[node])?.remaining == 0)
        }
        house.clock.move(to: wait - 0.01)
        #expect(house.rings[1].spend(1, by: accesses[1]) != .fits)
        house.clock.move(to: wait + 0.001)
        #expect(house.rings[1].spend(1, by: accesses[1]) == .fits)
    }

    @Test("every kind of quota is shared but that of a socket, which is on one node", arguments: Project.Quotas.Owner.allCases)
    func owners(owner: Project.Quotas.Owner) async throws {
        for unit in Project.Quotas.Unit.allCases {
            let house = try await House(2) { $0[owner, unit] = .init(perSecond: 1, burst: 10) }
            func spend(at node: Int, in thread: String = "täg\u{0}") throws -> KeyRing.Spending {
                let access = try house.access(at: node, session: "s-1")
                let spent = house.rings[node].spend(10, bytes: 10, by: access)
                return owner == .thread ? house.rings[node].spend(10, bytes: 10, in: thread, by: access) : spent
            }
            #expect(try spend(at: 0) == .fits)
            await house.exchange()
            let second = try spend(at: 1)
            #expect((second == .fits) == (owner == .session), "\(owner) \(unit)")
            if owner == .thread { #expect(try spend(at: 1, in: "t-2") == .fits) }
        }
    }

    @Test("a node that dies leaves behind what it said, and is forgotten after fifteen seconds")
    func death() async throws {
        let house = try await House(2) { $0[.key, .events] = Self.quota }
        let accesses = try (0..<2).map { try house.access(at: $0) }
        #expect(house.rings[0].spend(60, by: accesses[0]) == .fits)
        await house.exchange()
        #expect(house.rings[1].neighbourhood?.nodes == 1 && house.rings[1].neighbourhood?.hearsItself == true)
        // Unsaid when it died: the error that is stated.
        #expect(house.rings[0].spend(40, by: accesses[0]) == .fits)
        #expect(house.rings[1].spend(41, by: accesses[1]) != .fits && house.rings[1].spend(40, by: accesses[1]) == .fits)
        for second in 1...16 {
            house.clock.move(to: Double(second))
            await house.exchange(among: 1..<2)
        }
        #expect(house.rings[1].neighbourhood?.nodes == 0 && house.rings[1].neighbourhood?.hearsItself == true)
        #expect(house.rings[1].spend(100, by: accesses[1]) == .fits)
    }

    @Test(
        "while messages are lost each node holds the quota by itself, and all do together when they come again", arguments: [true, false])
    func lost(isNoticed: Bool) async throws {
        let (house, quota) = (try await House(2) { $0[.key, .events] = Self.quota }, Self.quota)
        let accesses = try (0..<2).map { try house.access(at: $0) }
        var taken = [0, 0]
        func seconds(_ range: Range<Int>, _ carry: () async -> Void) async {
            for second in range {
                for step in 0..<10 {
                    house.clock.move(to: Double(second) + Double(step) / 10)
                    for node in 0..<2 where house.rings[node].spend(1, by: accesses[node]) == .fits { taken[node] += 1 }
                    for node in 0..<2 where house.rings[node].spend(7, by: accesses[node]) == .fits { taken[node] += 7 }
                }
                await carry()
            }
        }
        if isNoticed { for bus in house.buses { bus.fail(true) } }
        await seconds(0..<30) { _ = await house.said() }
        for node in 0..<2 {
            #expect(Double(taken[node]) <= quota.burst + 30 * quota.perSecond)
            #expect(Double(taken[node]) >= 30 * quota.perSecond)
            let neighbourhood = house.rings[node].neighbourhood
            #expect(neighbourhood?.failures ?? 0 >= (isNoticed ? 30 : 0) && neighbourhood?.line.isConnected == !isNoticed)
            #expect(neighbourhood?.hearsItself == false && neighbourhood?.nodes == 0)
        }
        for bus in house.buses { bus.fail(false) }
        taken = [0, 0]
        await seconds(30..<90) { await house.exchange() }
        let total = Double(taken[0] + taken[1])
        #expect(total <= 60 * quota.perSecond + 2 * quota.burst + quota.perSecond)
        #expect(total >= 0.85 * 60 * quota.perSecond)
        #expect(house.rings.allSatisfy { $0.neighbourhood?.hearsItself == true && $0.neighbourhood?.nodes == 1 })
    }

    @Test("what is garbled, forged, or said again takes nothing and is counted")
    func refused() async throws {
        let house = try await House(2) { $0[.key, .events] = Self.quota }
        let accesses = try (0..<2).map { try house.access(at: $0) }
        #expect(house.rings[0].spend(30, by: accesses[0]) == .fits)
        let message = try #require(await house.said(by: 0..<1).first)
        var other = NodeSeal(sealer: Sealer(key: [UInt8](repeating: 8, count: Sealer.keyLength))!, node: 1)
        house.rings[1].hear(message)
        house.rings[1].hear(message)
        house.rings[1].hear(other.seal(SpendingReport(entries: []).pieces(ofAtMost: 100).first ?? []))
        var changed = 0
        for place in message.indices where place > 0 {
            var bytes = message
            bytes[place] ^= 1
            house.rings[1].hear(bytes)
            changed += 1
        }
        house.rings[1].hear([])
        house.rings[1].hear([2] + message.dropFirst())
        house.rings[1].hear([UInt8](repeating: 0, count: 100_000))
        house.rings[1].hear(message + [UInt8](repeating: 0, count: 10_000))
        var same = NodeSeal(sealer: sealer, node: 99)
        house.rings[1].hear(same.seal([1, 2, 3]))
        let refused = Dictionary(
            uniqueKeysWithValues: try #require(house.rings[1].neighbourhood).refused.map { ($0.fault, $0.count) })
        #expect(refused == ["repeated": 1, "forged": changed + 2, "garbled": 4])
        #expect(house.rings[1].quota(of: accesses[1])?.remaining == 70)
    }

    @Test("nodes without the same sealing key, or without any, hold quotas by themselves")
    func otherSealer() async throws {
        let house = try await House(1) { $0[.key, .events] = Self.quota }
        let bus = HandBus()
        for sealer in [Sealer(key: [UInt8](repeating: 9, count: Sealer.keyLength)), nil] {
            let ring = KeyRing(store: house.store, sealer: sealer, bus: bus, clock: house.clock.wall, logger: Logger(label: "test"))
            try await ring.refresh()
            let access = try ring.open(Knock(key: house.key, origin: .named("https://shop.example"), address: "")).get()
            #expect(ring.spend(100, by: access) == .fits)
            await ring.report()
            for message in bus.take() { house.rings[0].hear(message) }
            #expect(ring.neighbourhood?.messagesSaid == (sealer == nil ? 0 : 1))
        }
        #expect(house.rings[0].spend(100, by: try house.access(at: 0)) == .fits)
        #expect(house.rings[0].neighbourhood?.refused.first { $0.fault == "forged" }?.count == 1)
    }

    @Test("what was given back is not said, and a node that has nothing to say says so every five seconds")
    func silence() async throws {
        let house = try await House(1) {
            $0[.key, .events] = Self.quota
            $0[.project, .events] = .init(perSecond: 1, burst: 5)
        }
        let access = try house.access(at: 0)
        #expect(house.rings[0].spend(5, by: access) == .fits)
        #expect(await house.said().count == 1)
        // The project's quota is short, and the key's is given back.
        #expect(house.rings[0].spend(3, by: access) != .fits)
        var said = 0
        for second in 1...20 {
            house.clock.move(to: Double(second))
            for message in await house.said() {
                said += 1
                #expect(message.count == NodeSeal.overhead)
            }
        }
        #expect(said == 4)
    }

    @Test("of very many quotas those that lost most are said first, and the rest a second later")
    func many() async throws {
        let house = try await House(2) { $0[.address, .events] = Self.quota }
        let addresses = (0..<4500).map { "198.51.\($0 / 250).\($0 % 250)" }
        for (place, address) in addresses.enumerated() {
            let access = try house.access(at: 0, from: address)
            #expect(house.rings[0].spend(place % 2 == 0 ? 80 : 20, by: access) == .fits)
        }
        func heard() throws -> [Int] {
            try addresses.map { 100 - house.rings[1].quota(of: try house.access(at: 1, from: $0))!.remaining }
        }
        let messages = await house.said(by: 0..<1)
        #expect(messages.count > 1 && messages.allSatisfy { $0.count <= house.buses[0].longestMessage })
        for message in messages { house.rings[1].hear(message) }
        let first = try heard()
        #expect(first.count { $0 == 80 } == 2250 && first.count { $0 == 20 } == 1750 && first.count { $0 == 0 } == 500)
        for message in await house.said(by: 0..<1) { house.rings[1].hear(message) }
        #expect(try heard().count { $0 == 0 } == 0)
    }

    @Test("a bucket owes no more than its peers can take too much, but always what one of them said")
    func debtBound() {
        let name = QuotaBook.Name(project: ProjectID(1), owner: .key, unit: .events, id: "a")
        for (peers, most) in [(0, 140.0), (1, 140), (4, 560)] {
            var book = QuotaBook(isShared: true)
            for _ in 0..<20 { book.owe([.init(name: name, quota: Self.quota, amount: 100)], to: peers, at: Sample.noon) }
            let shortage = book.take([.init(name: name, quota: Self.quota, amount: 1)], at: Sample.noon)
            #expect(shortage?.wait == (most + 1) / Self.quota.perSecond)
        }
        var book = QuotaBook(isShared: true)
        book.owe([.init(name: name, quota: Self.quota, amount: 5000)], to: 1, at: Sample.noon)
        let shortage = book.take([.init(name: name, quota: Self.quota, amount: 1)], at: Sample.noon)
        #expect(shortage?.wait == 4901 / Self.quota.perSecond)
    }

    @Test("a change is looked for as soon as the bus tells of one, and at least as often as without", .timeLimit(.minutes(1)))
    func pushed() async throws {
        for isPushed in [true, false] {
            let house = try await House(1) { _ in }
            let bus = HandBus()
            // Polling that would come too late, or that does without.
            let ring = KeyRing(
                store: house.store, sealer: sealer, bus: bus, pollInterval: isPushed ? .seconds(3600) : .milliseconds(10),
                logger: Logger(label: "test"))
            try await ring.refresh()
            let running = Task { try await ring.run() }
            defer { running.cancel() }
            if isPushed { while !bus.tell(.controlChanged) { await Task.yield() } }
            let (text, record) = KeyRecord.issue(.secret, project: ProjectID(1), at: Sample.noon)
            await house.store.insert(record)
            if isPushed { #expect(bus.tell(.controlChanged)) }
            // Ends with the test's own time limit where nobody looks.
            while (try? ring.open(Knock(key: text.text, origin: .missing, address: "")).get()) == nil {
                try await Task.sleep(for: .milliseconds(1))
            }
        }
    }
}

@Suite("Spending report")
struct SpendingReportTests {
    private let entries = SpendingReport.owners.flatMap { owner in
        Project.Quotas.Unit.allCases.flatMap { unit in
            ["", "key_1", "192.0.2.1", String(repeating: "\u{1F600}", count: 128), "a\u{0}b"].enumerated().map { place, id in
                SpendingReport.Entry(
                    name: .init(project: ProjectID(Int64(place) * 1_000_000_007), owner: owner, unit: unit, id: id),
                    amount: [1, 127, 128, 1 << 30, 1 << 50][place])
            }
        }
    }

    @Test("a report comes back out of its pieces, none of which is too long", arguments: [600, 1000, 100_000])
    func pieces(limit: Int) {
        let pieces = SpendingReport(entries: entries).pieces(ofAtMost: limit)
        #expect(pieces.allSatisfy { $0.count <= limit } && (pieces.count > 1) == (limit < 100_000))
        #expect(pieces.compactMap { SpendingReport(bytes: $0)?.entries }.flatMap { $0 } == entries)
    }

    @Test("what fits in no piece is left out, and nothing said is no piece")
    func tooLong() {
        let pieces = SpendingReport(entries: entries).pieces(ofAtMost: 40)
        #expect(pieces.compactMap { SpendingReport(bytes: $0)?.entries }.flatMap { $0 } == entries.filter { $0.name.id.utf8.count < 20 })
        #expect(SpendingReport(entries: []).pieces(ofAtMost: 40).isEmpty)
        #expect(SpendingReport(bytes: [])?.entries == [])
    }

    @Test("of bytes that are no report nothing is taken")
    func garbled() throws {
        let whole = try #require(SpendingReport(entries: [entries[1]]).pieces(ofAtMost: 1000).first)
        for length in 1..<whole.count { #expect(SpendingReport(bytes: Array(whole.prefix(length))) == nil) }
        for (place, byte) in [(whole.count - 6, UInt8(0xFF)), (whole.count - 1, 0xFF)] {
            var bytes = whole
            bytes[place] = byte
            #expect(SpendingReport(bytes: bytes) == nil)
        }
        // Amounts of nothing, too much, or no number; a quota that nobody has; a number without end; a text longer than an ID may be.
        for bytes: [UInt8] in [
            [1, 0, 0, 0], [1, 0, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02, 0], [1, 8, 1, 0],
            [1, 0] + [UInt8](repeating: 0xFF, count: 12), [UInt8](repeating: 0x80, count: 64),
            [1, 0, 1, 0x81, 0x04] + [UInt8](repeating: 0x61, count: 513),
        ] {
            #expect(SpendingReport(bytes: bytes) == nil)
        }
        var state: UInt64 = 9
        for _ in 0..<20_000 {
            let bytes = (0..<Int(state >> 59)).map { _ -> UInt8 in
                state = state &* 6_364_136_223_846_793_005 &+ 1
                return UInt8(state >> 56) & (state & 1 << 40 == 0 ? 0x0F : 0xFF)
            }
            state = state &* 6_364_136_223_846_793_005 &+ 1
            if let report = SpendingReport(bytes: bytes) {
                #expect(SpendingReport(bytes: report.pieces(ofAtMost: 10_000).first ?? []) == report)
            }
        }
    }
}
