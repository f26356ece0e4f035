@testable import Ingest
import Events
import Keys
import Logging
import ServiceLifecycle
import ServiceLifecycleTestKit
import Synchronization
import TestKit
import Testing

@Suite("Ingest")
struct IngestTests {
    let sink = MemorySink()

    /// A project with a public and a secret key; nothing of it changes.
    private struct FixedControl: ControlStore {
        var project: Project
        var records: [KeyRecord]
        func controlRevision() -> Int64 { 1 }
        func projects() -> [Project] { [project] }
        func keys() -> [KeyRecord] { records }
        func createProject(named name: String, settings: Project.Settings) throws -> Project { throw ControlFailure.nameTaken(name) }
        func update(_ project: Project) {}
        func insert(_ key: KeyRecord) {}
        func deleteProject(_ number: ProjectID) {}
        func revokeKey(_ id: String, at time: Timestamp) -> Bool { false }
        func keep(sealed: [UInt8], ofKey id: String) {}
        func giveNames(ofKey id: String, _ names: @escaping @Sendable (String) -> [String]) -> Bool { true }
    }

    /// A way in whose group commit is not running yet.
    struct House {
        var ingest: Ingest
        var commits: GroupCommit
        var page: Access
        var backend: Access

        func accept(_ parcel: Parcel, from access: Access? = nil, at seconds: Double = 0) async -> [Verdict] {
            await ingest.accept(parcel, from: access ?? page, over: .http, receivedAt: Sample.time(seconds))
        }
    }

    func house(
        quotas: Project.Quotas = .none, quota: Project.Quota? = nil, scrubbing: [String] = [],
        _ change: (inout GroupCommit.Configuration) -> Void = { _ in }
    )
        async throws -> House
    {
        var settings = Project.Settings()
        settings.allowsMissingOrigin = true
        settings.quotas = quotas
        if let quota { settings.quotas[.key, .events] = quota }
        settings.scrubbing = try scrubbing.map { try ScrubbingRule(text: $0) }
        let project = Project(number: ProjectID(1), id: "prj_1", name: "shop", settings: settings)
        let keys = Lane.allCases.map { KeyRecord.issue($0, project: project.number, at: Sample.noon) }
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let ring = KeyRing(
            store: FixedControl(project: project, records: keys.map(\.record)), sealer: Sealer(key: [UInt8](repeating: 1, count: 32)),
            clock: WallClock { Sample.noon }, logger: logger)
        try await ring.refresh()
        var configuration = GroupCommit.Configuration()
        change(&configuration)
        let commits = GroupCommit(sink: sink, configuration: configuration, logger: logger)
        let accesses = try keys.map { try ring.open(Knock(key: $0.text.text, origin: .missing, address: "192.0.2.1")).get() }
        return House(ingest: Ingest(keys: ring, commits: commits), commits: commits, page: accesses[0], backend: accesses[1])
    }

    /// Runs the group commit around `body`; on return everything queued is committed.
    func running<Result>(_ house: House, _ body: () async throws -> Result) async throws -> Result {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await house.commits.run() }
            let result = try await body()
            group.cancelAll()
            try await group.waitForAll()
            return result
        }
    }

    private func message(_ number: Int, _ text: String = "Hello") -> Parcel.Item { .event(Sample.message(Sample.id(number), text)) }
    private func refused(_ reason: Reason, kept: Bool) -> Parcel.Item {
        .refused(RefusedItem(id: nil, type: "message", refusal: Refusal(reason), payload: kept ? "{\"broken\":true}" : nil))
    }

    @Test("verdicts come in the order of the items, whoever reached them")
    func order() async throws {
        let house = try await house()
        let parcel = Parcel(items: [
            refused(.missingField, kept: true), message(1), refused(.eventTooLarge, kept: false), .event(Sample.message("0")), message(2),
            message(1), message(2, "Goodbye"), refused(.tooDeep, kept: false), .event(Sample.runStart(Sample.id(3), parent: nil)),
            message(4),
        ])
        let verdicts = try await running(house) { await house.accept(parcel) }
        #expect(
            verdicts.map(\.name) == [
                .quarantined, .stored, .dropped, .quarantined, .stored, .duplicate, .conflict, .dropped, .quarantined, .stored,
            ])
        #expect(
            verdicts.map { $0.refusal?.reason } == [
                .missingField, nil, .eventTooLarge, .weakID, nil, nil, .idConflict, .tooDeep, .laneForbidden, nil,
            ])
        let tally = await sink.total
        #expect(tally.received == 10 && tally.holds)
        #expect(tally.verdicts == [.quarantined: 3, .stored: 3, .dropped: 2, .duplicate: 1, .conflict: 1])
        #expect(tally.reasons == [.missingField: 1, .eventTooLarge: 1, .weakID: 1, .idConflict: 1, .tooDeep: 1, .laneForbidden: 1])
    }

    @Test("a thread beyond its quota waits, and costs its neighbours nothing", arguments: Project.Quotas.Unit.allCases)
    func threadQuota(_ unit: Project.Quotas.Unit) async throws {
        var quotas = Project.Quotas.none
        quotas[.thread, unit] = unit == .events ? .init(perSecond: 1, burst: 2) : .init(perSecond: 1, burst: 1000)
        let house = try await house(quotas: quotas)
        func said(_ number: Int, in thread: String) -> Parcel.Item {
            var event = Sample.message(Sample.id(number), String(repeating: "a", count: 300))
            event.thread = thread
            return .event(event)
        }
        let verdicts = try await running(house) {
            let first = await house.accept(Parcel(items: [said(1, in: "a"), said(2, in: "a")]))
            return first + (await house.accept(Parcel(items: [said(3, in: "a"), said(4, in: "b"), said(3, in: "a"), said(5, in: "b")])))
        }
        #expect(verdicts.map(\.name) == [.stored, .stored, .retry, .stored, .retry, .stored])
        #expect(verdicts[2].refusal?.message.hasPrefix("This conversation has used up its quota of \(unit.rawValue)") == true)
        let tally = await sink.total
        #expect(tally.holds && tally.reasons[.rateLimited] == 2)
    }

    @Test("the fuller the queue, the more waits: clicks first, then what dresses the chat, then backends, what people say never")
    func shedding() throws {
        let thread = Event(id: Sample.id(1), thread: "t-1", at: Sample.noon, body: .thread(.init(tags: ["a"])))
        let identify = Event(id: Sample.id(2), at: Sample.noon, user: .init(id: "u1"), body: .identify)
        let click = Event(id: Sample.id(3), thread: "t-1", at: Sample.noon, body: .event(name: "click"))
        let vote = Event(id: Sample.id(4), at: Sample.noon, body: .feedback(.init(target: "m", thumb: .up)))
        let message = Sample.message(Sample.id(5), "Hello")
        let run = Sample.runStart(Sample.id(6), parent: nil)
        func waiting(_ pressure: Double, _ lane: Lane) -> [String] {
            [thread, identify, click, vote, message, run].filter { event in
                guard let refusal = Shedding.refusal(of: event, lane: lane, pressure: pressure) else { return false }
                return refusal.reason == .overloaded
            }.map(\.type)
        }
        #expect(waiting(0.49, .public) == [] && waiting(0.5, .public) == ["event"])
        #expect(waiting(0.75, .public) == ["thread", "identify", "event", "run"])
        #expect(waiting(1, .public) == ["thread", "identify", "event", "run"])
        #expect(waiting(0.89, .secret) == [] && waiting(0.9, .secret) == ["thread", "identify", "event", "run"])
    }

    @Test("a queue half full lets clicks wait and takes what people say", arguments: [true, false])
    func sheddingUnderPressure(byBytes: Bool) async throws {
        let house = try await house {
            if byBytes { $0.maximumQueuedBytes = 8000 } else { $0.maximumQueuedEvents = 8 }
        }
        for number in 0..<4 {
            let item = message(number, String(repeating: "a", count: byBytes ? 1000 : 1))
            house.ingest.accept(Parcel(items: [item]), from: house.page, over: .http, receivedAt: Sample.noon) { _ in }
        }
        #expect(house.ingest.pressure >= 0.5 && house.ingest.pressure < 1)
        let click = Event(id: Sample.id(100), thread: "t-1", at: Sample.noon, body: .event(name: "click"))
        let items = [Parcel.Item.event(click), message(101)]
        let verdicts = Mutex<[Verdict]>([])
        house.ingest.accept(Parcel(items: items), from: house.page, over: .http, receivedAt: Sample.noon) { answer in
            verdicts.withLock { $0 = answer.verdicts }
        }
        try await running(house) {
            while await sink.total.received < 6 { try await Task.sleep(for: .milliseconds(1)) }
        }
        #expect(verdicts.withLock { $0.map(\.name) } == [.retry, .stored])
        let total = await sink.total
        #expect(total.reasons == [.overloaded: 1] && total.holds)
    }

    @Test("what quarantine had no room for is told as dropped, in its place")
    func quarantineFull() async throws {
        let house = try await house()
        await sink.limitQuarantine(to: 1)
        let parcel = Parcel(items: [refused(.missingField, kept: true), message(1), .event(Sample.message("0")), message(2)])
        let verdicts = try await running(house) { await house.accept(parcel) }
        #expect(verdicts.map(\.name) == [.quarantined, .stored, .dropped, .stored])
        #expect(verdicts[2].refusal?.reason == .quarantineFull)
        #expect(await sink.total.holds)
    }

    @Test("a parcel of nothing is answered with nothing and not booked")
    func empty() async throws {
        let house = try await house()
        #expect(try await running(house) { await house.accept(Parcel(items: [])) } == [])
        #expect(await sink.commits.isEmpty)
    }

    @Test("a parcel of nothing but refusals is booked all the same")
    func onlyRefusals() async throws {
        let house = try await house()
        let verdicts = try await running(house) { await house.accept(Parcel(items: [refused(.eventTooLarge, kept: false)])) }
        #expect(verdicts.map(\.name) == [.dropped])
        #expect(await sink.total.verdicts == [.dropped: 1])
        #expect(await sink.total.holds)
    }

    @Test("a verdict leaves after the commit, not before")
    func afterCommit() async throws {
        let house = try await house()
        let answers = Mutex<[Verdict]>([])
        await sink.hold()
        try await running(house) {
            house.ingest.accept(Parcel(items: [message(1)]), from: house.page, over: .http, receivedAt: Sample.noon) { answer in
                answers.withLock { $0 = answer.verdicts }
            }
            await sink.untilHeld()
            #expect(answers.withLock { $0.isEmpty })
            await sink.release()
        }
        #expect(answers.withLock { $0 } == [.stored])
    }

    @Test(
        "when the sink fails, everything that may come again is told so, and the law holds once it is booked",
        arguments: [
            (SinkFailure(.unavailable, "locked"), Reason.storeUnavailable, 1000), (SinkFailure(.diskFull, "full"), .diskFull, 5000),
        ] as [(SinkFailure, Reason, Int64)])
    func sinkFails(_ failure: SinkFailure, _ reason: Reason, _ wait: Int64) async throws {
        let house = try await house()
        await sink.fail(with: failure, failure)
        let parcel = Parcel(items: [message(1), refused(.eventTooLarge, kept: false), refused(.missingField, kept: true), message(2)])
        try await running(house) {
            for _ in 0..<2 {
                let verdicts = await house.accept(parcel)
                #expect(verdicts.map(\.name) == [.retry, .dropped, .retry, .retry])
                #expect(verdicts[0].refusal?.reason == reason && verdicts[0].refusal?.retryAfterMilliseconds == wait)
                #expect(verdicts[1].refusal?.reason == .eventTooLarge)
            }
            #expect(await sink.ledger.isEmpty)
            // A delivery of another source does not take over what this one owes.
            _ = await house.accept(Parcel(items: [message(9)]), from: house.backend)
            #expect(await sink.total.received == 1)
            #expect(await house.accept(parcel).map(\.name) == [.stored, .dropped, .quarantined, .stored])
        }
        let tally = await sink.total
        #expect(tally.received == 13 && tally.holds)
        #expect(tally.verdicts == [.retry: 6, .dropped: 3, .stored: 3, .quarantined: 1])
        #expect(tally.reasons == [reason: 6, .eventTooLarge: 3, .missingField: 1])
        #expect(await sink.ledger.values.allSatisfy(\.holds))
    }

    @Test("beyond the queue's bound senders are told at once that we are overloaded, and it is booked later")
    func overloaded() async throws {
        let house = try await house { $0.maximumQueuedEvents = 10 }
        let answers = Mutex<[String: [Verdict]]>([:])
        func submit(_ name: String, _ numbers: Range<Int>) {
            house.ingest.accept(Parcel(items: numbers.map { message($0) }), from: house.page, over: .http, receivedAt: Sample.noon) {
                answer in
                answers.withLock { $0[name] = answer.verdicts }
            }
        }
        submit("first", 0..<6)
        #expect(house.ingest.pressure == 0.6)
        submit("second", 6..<10)
        submit("third", 10..<12)
        #expect(answers.withLock { $0.keys.sorted() } == ["third"])
        #expect(answers.withLock { $0["third"]!.map { $0.refusal?.reason } } == [.overloaded, .overloaded])
        #expect(answers.withLock { $0["third"]!.allSatisfy { $0.name == .retry && $0.refusal?.retryAfterMilliseconds != nil } })
        try await running(house) {}
        #expect(answers.withLock { $0["first"]! + $0["second"]! } == [Verdict](repeating: .stored, count: 10))
        #expect(house.ingest.pressure == 0)
        #expect(await sink.total.holds)
    }

    @Test("the queue's bytes are bounded as its events are: what does not fit is told so at once, and fits again after the commit")
    func overloadedInBytes() async throws {
        let house = try await house { $0.maximumQueuedBytes = 400 }
        let text = String(repeating: "x", count: 60)
        await sink.hold()
        try await running(house) {
            async let first = house.accept(Parcel(items: (0..<4).map { message($0, text) }))
            await sink.untilHeld()
            #expect(house.ingest.pressure > 0.5 && house.ingest.pressure < 1)
            #expect(
                await house.accept(Parcel(items: (4..<8).map { message($0, text) })).map { $0.refusal?.reason }
                    == [Reason?](repeating: .overloaded, count: 4))
            await sink.release()
            #expect(await first == [Verdict](repeating: .stored, count: 4))
            #expect(await house.accept(Parcel(items: (4..<8).map { message($0, text) })) == [Verdict](repeating: .stored, count: 4))
        }
        #expect(house.ingest.pressure == 0)
        #expect(await sink.total.holds)
    }

    @Test("what comes after the shutdown is told that we are draining")
    func draining() async throws {
        let house = try await house()
        try await running(house) {}
        let verdicts = await house.accept(Parcel(items: [message(1), refused(.eventTooLarge, kept: false)]))
        #expect(verdicts.map(\.name) == [.retry, .dropped])
        #expect(verdicts[0].refusal?.reason == .draining)
        #expect(await sink.commits.isEmpty)
    }

    @Test("what did not fit is booked with the next delivery of its source")
    func overloadedIsBooked() async throws {
        let house = try await house { $0.maximumQueuedEvents = 4 }
        await sink.hold()
        try await running(house) {
            async let first = house.accept(Parcel(items: (0..<4).map { message($0) }))
            await sink.untilHeld()
            #expect(await house.accept(Parcel(items: [message(5)])).map { $0.refusal?.reason } == [.overloaded])
            await sink.release()
            #expect(await first.count == 4)
            #expect(await house.accept(Parcel(items: [message(5)])) == [.stored])
        }
        let tally = await sink.total
        #expect(tally.received == 6 && tally.holds && tally.verdicts == [.stored: 5, .retry: 1])
    }

    @Test("a parcel larger than the queue is taken when nothing else waits")
    func largerThanQueue() async throws {
        let house = try await house { $0.maximumQueuedEvents = 3 }
        #expect(try await running(house) { await house.accept(Parcel(items: (0..<5).map { message($0) })) }.count { $0 == .stored } == 5)
    }

    @Test("a rate limit refuses the whole parcel with its wait, and books it")
    func rateLimited() async throws {
        let house = try await house(quota: .init(perSecond: 1, burst: 3))
        try await running(house) {
            #expect(await house.accept(Parcel(items: [message(1), message(2)])) == [.stored, .stored])
            let verdicts = await house.accept(Parcel(items: [message(3), refused(.eventTooLarge, kept: false)]))
            #expect(verdicts.map(\.name) == [.retry, .retry])
            #expect(verdicts.allSatisfy { $0.refusal?.reason == .rateLimited && $0.refusal?.retryAfterMilliseconds == 1000 })
            #expect(await house.accept(Parcel(items: (0..<50).map { message(100 + $0) }), from: house.backend).allSatisfy { $0 == .stored })
        }
        let tally = await sink.total
        #expect(tally.received == 54 && tally.holds && tally.reasons == [.rateLimited: 2])
    }

    @Test(
        "a body that could not be read is booked as one received and one not kept",
        arguments: [
            (Reason.malformedJSON, Verdict.Name.dropped), (.tooDeep, .dropped), (.bodyIncomplete, .dropped), (.overloaded, .retry),
        ])
    func unreadable(_ reason: Reason, _ name: Verdict.Name) async throws {
        let house = try await house()
        try await running(house) { house.ingest.book(Refusal(reason), from: house.page, over: .http, receivedAt: Sample.noon) }
        let tally = await sink.total
        #expect(tally.received == 1 && tally.verdicts == [name: 1] && tally.reasons == [reason: 1])
    }

    @Test("a replay goes through the rules of the lane that vouches for it")
    func replay() async throws {
        let house = try await house()
        let run = Parcel.Item.event(Sample.runStart(Sample.id(1), parent: nil))
        let source = house.page.source(over: .http)
        try await running(house) {
            #expect(await house.accept(Parcel(items: [run])).map(\.name) == [.quarantined])
            #expect(await house.ingest.replay([run], from: source, lane: .public, receivedAt: Sample.noon).map(\.name) == [.quarantined])
            #expect(await house.ingest.replay([run], from: source, lane: .secret, receivedAt: Sample.noon) == [.stored])
        }
        #expect(await sink.commits.last?.first?.source.transport == .replay)
        #expect(await sink.total.holds)
    }
}

@Suite("Group commit")
struct GroupCommitTests {
    let sink = MemorySink()
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func delivery(_ numbers: Range<Int>) -> Delivery {
        Sample.delivery(numbers.map { Sample.message(Sample.id($0)) }, project: ProjectID(1))
    }

    @Test("what waits is committed together, in order, and no more than one commit's worth")
    func groups() async throws {
        var configuration = GroupCommit.Configuration()
        configuration.maximumEventsPerCommit = 7
        let commits = GroupCommit(sink: sink, configuration: configuration, logger: logger)
        let answers = Mutex<[Int]>([])
        for number in 0..<5 {
            commits.submit(delivery(number * 3..<number * 3 + 3)) { result in
                if case .success(let verdicts) = result, verdicts == [.stored, .stored, .stored] { answers.withLock { $0.append(number) } }
            }
        }
        // Larger than a commit, and alone in one.
        commits.submit(delivery(100..<109)) { _ in answers.withLock { $0.append(5) } }
        try await testGracefulShutdown { trigger in
            trigger.triggerGracefulShutdown()
            try await commits.run()
        }
        #expect(answers.withLock { $0 } == [0, 1, 2, 3, 4, 5])
        #expect(await sink.commits.map { $0.map(\.events.count) } == [[3, 3], [3, 3], [3], [9]])
        #expect(await sink.commits.joined().flatMap(\.events).map(\.event.id) == (Array(0..<15) + Array(100..<109)).map(Sample.id))
    }

    @Test("on shutdown what is queued is committed, and what comes later is told to go elsewhere")
    func shutdown() async throws {
        let commits = GroupCommit(sink: sink, logger: logger)
        await sink.hold()
        let answers = Mutex<[Result<[Verdict], SinkFailure>]>([])
        try await testGracefulShutdown { trigger in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await commits.run() }
                for number in 0..<3 {
                    commits.submit(delivery(number..<number + 1)) { result in answers.withLock { $0.append(result) } }
                }
                await sink.untilHeld()
                trigger.triggerGracefulShutdown()
                commits.submit(delivery(9..<10)) { result in answers.withLock { $0.append(result) } }
                #expect(answers.withLock { $0.count } == 1)
                await sink.release()
                try await group.waitForAll()
            }
        }
        let reached = answers.withLock { $0 }
        #expect(reached.count == 4)
        guard case .failure(let failure) = reached[0] else { return #expect(Bool(false), "it was taken after the shutdown") }
        #expect(failure.refusal.reason.isTemporary)
        for result in reached.dropFirst() { #expect((try? result.get()) == [.stored]) }
        #expect(commits.pressure == 0)
    }

    @Test("a failed commit is told to each of its deliveries and holds up none after it")
    func failure() async throws {
        var configuration = GroupCommit.Configuration()
        configuration.maximumEventsPerCommit = 2
        let commits = GroupCommit(sink: sink, configuration: configuration, logger: logger)
        await sink.fail(with: SinkFailure(.diskFull, "full"))
        let answers = Mutex<[Bool]>([])
        for number in 0..<4 {
            commits.submit(delivery(number..<number + 1)) { result in answers.withLock { $0.append((try? result.get()) != nil) } }
        }
        try await testGracefulShutdown { trigger in
            trigger.triggerGracefulShutdown()
            try await commits.run()
        }
        #expect(answers.withLock { $0 } == [false, false, true, true])
        #expect(commits.pressure == 0)
    }
}
