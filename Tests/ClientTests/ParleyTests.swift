import Foundation
import Testing

@testable import ParleyClient

@Suite("What the app calls") struct ParleyTests {
    @Test("a message's id is there at once; a retry names the last message of its role")
    func message() {
        let bench = Bench()
        let thread = bench.parley.openThread()
        let first = thread.trackMessage(role: .user, content: "Hello")
        let answer = thread.trackMessage(role: .assistant, content: "Hi", replyTo: first)
        let second = thread.trackMessage(role: .assistant, content: "Hello!", isRetry: true)
        let events = bench.next()?.events ?? []
        #expect(events.map { $0["id"]?.text } == [first, answer, second])
        #expect(events[1]["replyTo"]?.text == first && events[2]["retryOf"]?.text == answer && events[0]["retryOf"] == nil)
        #expect(events.allSatisfy { $0["thread"]?.text == thread.id && $0["at"]?.number == ManualTime.start })
    }

    @Test("an id of the app's own is kept where it can be one")
    func ownID() {
        let bench = Bench()
        let thread = bench.parley.openThread(id: "t")
        #expect(thread.trackMessage(role: .user, content: "x", id: "mine") == "mine")
        let long = String(repeating: "i", count: 129)
        #expect(thread.trackMessage(role: .user, content: "x", id: long).count == 36)
        #expect(thread.trackMessage(role: .user, content: "x", id: "").count == 36)
        #expect(bench.warnings.withLock { $0 }.count == 2)
    }

    @Test("who is identified stands in every thread without a user of its own, and a vote knows its message's thread")
    func user() {
        let bench = Bench()
        let thread = bench.parley.openThread(id: "t")
        bench.parley.identify("u1", props: ["plan": "pro"])
        let id = thread.trackMessage(role: .assistant, content: "Hi")
        bench.parley.openThread(id: "o", user: .init(id: "u2", props: ["x": 1])).trackEvent("opened")
        bench.parley.trackFeedback(id, thumb: nil)
        bench.parley.trackFeedback("elsewhere", thumb: .down, comment: "No")
        let events = bench.next()?.events ?? []
        #expect(events.map { $0["user"]?["id"]?.text } == ["u1", "u1", "u2", "u2", "u1", "u1"])
        #expect(events[1]["user"] == ["id": "u1"] && events[3]["user"] == ["id": "u2"])
        #expect(events[4]["thread"] == "t" && events[4]["thumb"] == .null && events[5]["thread"] == nil && events[5]["thumb"] == "down")
    }

    @Test("a run needs a secret key, and what a public one tracks is dropped and reported")
    func run() {
        let bench = Bench()
        bench.parley.startRun(kind: .llm).end(output: "x")
        #expect(bench.hear().map(\.reason) == ["lane_forbidden", "lane_forbidden"])
        #expect(bench.next()?.events.first?["reasons"] == ["lane_forbidden": 2])

        let secret = Bench(key: "sk_test")
        let run = secret.parley.startRun(kind: .llm, parent: "m", thread: "t")
        secret.time.advance(2)
        run.end(output: "x", usage: ["outputTokens": 2])
        secret.parley.startRun(kind: .tool).end(error: "timeout")
        let events = secret.next()?.events ?? []
        #expect(events[0]["id"]?.text == run.id && events[1]["id"]?.text == run.id && events[0]["success"] == nil)
        #expect(events[1]["endedAt"]?.number == ManualTime.start + 2 && events[1]["success"] == true && events[3]["success"] == false)
    }

    @Test("the parent's receipt stands beside it, and nowhere without one")
    func receipts() {
        let bench = Bench(key: "sk_test")
        bench.parley.startRun(kind: .llm, parent: "m", receipt: "r1.one").end()
        bench.parley.trackRun(kind: .tool, parent: "m", receipt: "r1.one")
        bench.parley.trackRun(kind: .tool, receipt: "r1.lonely")
        let events = bench.next()?.events ?? []
        #expect(events.map { $0["receipt"]?.text } == ["r1.one", nil, "r1.one", nil])
    }

    @Test(
        "a receipt is checked by asking, and nothing is said where nobody answers",
        arguments: [
            (200, #"{"valid":true,"at":"2026-11-21T12:00:00.000Z"}"#, Parley.Receipt(isValid: true, at: "2026-11-21T12:00:00.000Z")),
            (200, #"{"valid":false}"#, Parley.Receipt(isValid: false, at: nil)), (200, #"{"valid":"yes"}"#, nil), (200, "<html>", nil),
            (503, #"{"error":{"code":"draining"}}"#, nil), (0, "", nil),
        ] as [(Int, String, Parley.Receipt?)])
    func verify(status: Int, body: String, expected: Parley.Receipt?) async {
        let bench = Bench(key: "sk_test")
        async let receipt = bench.parley.verifyReceipt("r1.one", of: "m")
        while bench.farEnd.asked.isEmpty { await Task.yield() }
        bench.answer(status, body)
        #expect(await receipt == expected)
        #expect((try? JSONDecoder().decode(JSON.self, from: Data(bench.farEnd.asked[0].utf8))) == ["id": "m", "receipt": "r1.one"])
    }

    @Test("a public key, or a closed client, checks no receipt")
    func verifyNothing() async {
        let bench = Bench()
        #expect(await bench.parley.verifyReceipt("r1.one", of: "m") == nil)
        #expect(bench.farEnd.asked.isEmpty && bench.warnings.withLock { $0 }.count == 1)
    }

    @Test("a streamed message keeps at most 200 steps of its pace, in order, the last among them")
    func pace() {
        let bench = Bench(key: "sk_test")
        let stream = bench.parley.openThread(id: "t").streamMessage()
        for step in 0..<5000 {
            stream.append("a😀")
            bench.time.advance(Int64(step % 7))
        }
        stream.append("!")
        stream.end()
        let event = bench.next()?.events.first
        let deltas = event?["metadata"]?["deltas"]?.list ?? []
        let times = deltas.map { $0.list[0].number ?? -1 }
        let shown = deltas.map { $0.list[1].number ?? -1 }
        #expect((100...200).contains(deltas.count) && times == times.sorted() && shown == shown.sorted() && Set(times).count == times.count)
        #expect(times.first == 0 && shown.last == 15_001 && event?["at"]?.number == ManualTime.start)
    }

    @Test("after its end a streamed message takes nothing, with one warning each")
    func ended() {
        let bench = Bench()
        let stream = bench.parley.openThread(id: "t").streamMessage(metadata: ["model": "small"])
        stream.append("Hel")
        #expect(stream.end(interrupted: true) == stream.id)
        for _ in 0..<3 {
            stream.append("lo")
            #expect(stream.end() == stream.id)
        }
        let delivery = bench.next()
        #expect(delivery?.contents == ["Hel"] && delivery?.events[0]["metadata"]?["interrupted"] == true)
        #expect(delivery?.events[0]["metadata"]?["model"] == "small")
        #expect(bench.warnings.withLock { $0 }.count == 2)
    }

    @Test("a stream that grows past an event's size is dropped, and does not grow on")
    func endless() {
        let bench = Bench()
        let stream = bench.parley.openThread(id: "t").streamMessage()
        for _ in 0..<100 { stream.append(String(repeating: "x", count: 10_000)) }
        stream.end()
        #expect(bench.hear().map(\.reason) == ["event_too_large"])
    }

    @Test("a message that cannot be JSON, a time out of all bounds: nothing traps")
    func hostile() {
        let bench = Bench()
        let thread = bench.parley.openThread(id: "t")
        thread.trackMessage(role: .user, content: "x", metadata: ["n": .number(.nan)])
        thread.trackMessage(role: .user, content: "early", at: Date(timeIntervalSince1970: -.infinity))
        thread.trackMessage(role: .user, content: "late", at: .distantFuture)
        thread.trackMessage(role: .user, content: "never", at: Date(timeIntervalSince1970: .nan))
        #expect(bench.hear().map(\.reason) == ["unserializable"])
        #expect(bench.next()?.events.prefix(3).map { $0["at"]?.number } == [0, 64_092_211_200_000, 0])
    }

    @Test("flush is true when all that was tracked before has its verdict")
    func flush() async {
        let bench = Bench()
        let done = Locked<Bool?>(nil)
        bench.parley.openThread(id: "t").trackMessage(role: .user, content: "x")
        bench.parley.courier.flush(within: 10_000) { answer in done.withLock { $0 = answer } }
        _ = bench.next()
        bench.parley.openThread(id: "t").trackMessage(role: .user, content: "later")
        #expect(done.withLock { $0 } == nil)
        bench.answer(.stored)
        #expect(done.withLock { $0 } == true)
    }

    @Test("flush is false when its time is over, or when the gateway does not want the key")
    func flushInVain() {
        let bench = Bench()
        let done = Locked<[Bool]>([])
        bench.parley.openThread(id: "t").trackMessage(role: .user, content: "x")
        bench.parley.courier.flush(within: 10_000) { answer in done.withLock { $0.append(answer) } }
        bench.time.advance(10_000)
        #expect(done.withLock { $0 } == [false])
        bench.parley.courier.flush(within: 10_000) { answer in done.withLock { $0.append(answer) } }
        bench.answer(401)
        bench.parley.courier.flush(within: 10_000) { answer in done.withLock { $0.append(answer) } }
        bench.time.advance(20_000)
        #expect(done.withLock { $0 } == [false, false, false])
    }

    @Test("flush waits for the report of a drop as well")
    func flushReport() {
        let bench = Bench()
        let done = Locked<Bool?>(nil)
        bench.parley.openThread(id: "t").trackMessage(role: .user, content: "x", metadata: ["n": .number(.nan)])
        bench.parley.courier.flush(within: 10_000) { answer in done.withLock { $0 = answer } }
        #expect(bench.next()?.contents == ["<client_report>"] && done.withLock { $0 } == nil)
        bench.answer(.stored)
        #expect(done.withLock { $0 } == true)
    }

    @Test("a closed client takes nothing more, and its streams of verdicts end")
    func close() async {
        let bench = Bench()
        let verdicts = bench.parley.verdicts
        let thread = bench.parley.openThread(id: "t")
        thread.trackMessage(role: .user, content: "x")
        _ = bench.next()
        bench.answer(.stored)
        bench.parley.courier.close()
        thread.trackMessage(role: .user, content: "y")
        bench.time.advance(60_000)
        #expect(bench.farEnd.closed && bench.farEnd.count == 1)
        #expect(bench.hear().map(\.reason) == [nil, "closed"])
        var read: [Parley.Verdict] = []
        for await verdict in verdicts { read.append(verdict) }
        #expect(read.map(\.outcome) == [.stored])
    }

    @Test("what still streams when the client is closed is recorded as interrupted, once")
    func interrupted() {
        let bench = Bench()
        let thread = bench.parley.openThread(id: "t")
        let stream = thread.streamMessage()
        stream.append("Hel")
        thread.streamMessage().append("nobody holds this one")
        let over = thread.streamMessage()
        over.append("Hi")
        over.end()
        bench.parley.courier.endStreams()
        bench.parley.courier.endStreams()
        let delivery = bench.next()
        #expect(delivery?.contents == ["Hi", "Hel"] && delivery?.events[1]["metadata"]?["interrupted"] == true)
        #expect(delivery?.events[0]["metadata"]?["interrupted"] == nil && bench.warnings.withLock { $0 }.isEmpty)
    }

    @Test("a client that nobody holds any more lets go of everything")
    func released() {
        let farEnd = FarEnd()
        let time = ManualTime()
        weak var courier: Courier?
        do {
            let parley = Parley(
                key: "pk_test", url: URL(string: "http://127.0.0.1:1")!, options: .init(), transport: farEnd, time: time, random: { 0.5 })
            courier = parley.courier
            parley.openThread(id: "t").trackMessage(role: .user, content: "x")
            time.advance(10)
        }
        #expect(courier == nil && farEnd.closed)
        farEnd.answer(.lost)
        time.advance(60_000)
        #expect(farEnd.count == 1)
    }

    @Test("a token is asked for before the first delivery, and again when it has expired")
    func token() async throws {
        let bench = Bench()
        let asked = Locked(0)
        bench.parley.identify("u1") {
            asked.withLock {
                $0 += 1
                return "jwt-\($0)"
            }
        }
        try await settle { bench.next()?.token == "jwt-1" }
        bench.answer(401, #"{"error":{"code":"token_expired","message":"","temporary":true}}"#)
        bench.time.advance(1000)
        try await settle { bench.next()?.token == "jwt-2" }
        #expect(asked.withLock { $0 } == 2 && bench.hear() == [] && bench.farEnd.last?.events.count == 1)
    }

    @Test("a token that does not come is not waited for past ten seconds")
    func lateToken() async {
        let bench = Bench()
        bench.parley.identify("u1") {
            try? await Task.sleep(for: .seconds(3600))
            return "jwt"
        }
        bench.time.advance(9000)
        #expect(bench.farEnd.count == 0)
        bench.time.advance(2000)
        #expect(bench.farEnd.count == 1 && bench.next()?.token == nil)
    }

    /// Waits for something that another task brings about.
    private func settle(_ holds: () -> Bool) async throws {
        for _ in 0..<2000 {
            if holds() { return }
            try await Task.sleep(for: .milliseconds(2))
        }
        Issue.record("it did not come about")
    }

    @Test("the app leaves: what waits goes at once, whatever the back-off, but not before what the gateway asked for")
    func leaves() {
        let bench = Bench()
        bench.parley.openThread(id: "t").trackMessage(role: .user, content: "x")
        for _ in 0..<8 {
            bench.time.advance(60_000)
            bench.lose()
        }
        let before = bench.farEnd.count
        bench.parley.courier.leave()
        bench.time.advance(0)
        #expect(bench.farEnd.count == before + 1)
        bench.answer(429, retryAfter: "100")
        bench.parley.courier.back()
        bench.time.advance(99_999)
        #expect(bench.farEnd.count == before + 1)
        bench.time.advance(1)
        #expect(bench.farEnd.count == before + 2)
    }

    @Test("the system's words for going and coming are heard", arguments: Lifecycle.leaving + Lifecycle.back)
    func lifecycle(_ name: String) {
        let bench = Bench()
        bench.parley.openThread(id: "t").trackMessage(role: .user, content: "x")
        bench.center.post(name: Notification.Name(name), object: nil)
        bench.time.advance(0)
        #expect(bench.farEnd.count == 1, "without the moment it would have waited for more")
    }

    @Test("calls from many threads lose nothing and share no id")
    func threads() {
        let bench = Bench { $0.queueEvents = 10_000 }
        let thread = bench.parley.openThread(id: "t")
        let ids = Locked<Set<String>>([])
        DispatchQueue.concurrentPerform(iterations: 8) { _ in
            for _ in 0..<100 {
                let id = thread.trackMessage(role: .user, content: "x")
                ids.withLock { _ = $0.insert(id) }
            }
        }
        var sent: Set<String> = []
        while let delivery = bench.next() {
            sent.formUnion(delivery.ids)
            bench.answer(
                200, #"{"results":[\#(Array(repeating: #"{"verdict":"stored"}"#, count: delivery.events.count).joined(separator: ","))]}"#)
        }
        #expect(sent.count == 800 && sent == ids.withLock { $0 })
    }
}
