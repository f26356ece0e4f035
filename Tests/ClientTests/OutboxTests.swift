import Foundation
import Testing

@testable import ParleyClient

@Suite("What waits, and when it goes") struct OutboxTests {
    /// A chat and so many messages in it, `0`, `1`, …
    private func say(_ count: Int, _ bench: Bench, size: Int = 0) {
        let thread = bench.parley.openThread(id: "t")
        for number in 0..<count { thread.trackMessage(role: .user, content: "\(number)" + String(repeating: "x", count: size)) }
    }

    @Test("what is tracked together goes together, and nothing goes before the answer")
    func together() {
        let bench = Bench()
        say(3, bench)
        #expect(bench.next()?.contents == ["0", "1", "2"])
        say(1, bench)
        bench.time.advance(60_000)
        #expect(bench.farEnd.count == 1)
        bench.answer(.stored, .stored, .stored)
        #expect(bench.next()?.contents == ["0"])
    }

    @Test("a body has 500 events at most")
    func bodyEvents() {
        let bench = Bench()
        say(501, bench)
        #expect(bench.next()?.events.count == 500)
    }

    @Test("a body has 256 KiB at most, and a larger event goes alone")
    func bodyBytes() {
        let bench = Bench(key: "sk_test")
        say(5, bench, size: 60_000)
        let first = bench.next()
        #expect(first?.events.count == 4 && (first?.body.count ?? 0) <= 262_144)
        bench.answer(.stored, .stored, .stored, .stored)
        say(1, bench, size: 1_000_000)
        #expect(bench.next()?.events.count == 1)
        bench.answer(.stored)
        let last = bench.next()
        #expect(last?.events.count == 1 && (last?.body.count ?? 0) > 1_000_000)
    }

    @Test("the bytes that wait are bounded: the oldest goes, and is reported")
    func queueBytes() {
        let bench = Bench { $0.queueBytes = 10_000 }
        say(12, bench, size: 1000)
        let dropped = bench.hear()
        #expect(dropped.count >= 3 && dropped.allSatisfy { $0.outcome == .dropped && $0.reason == "queue_full" })
        let report = bench.next()?.events.last
        #expect(report?["reasons"] == ["queue_full": .integer(Int64(dropped.count))])
    }

    @Test("tries that fail back off to a minute, with jitter, and an ack starts anew")
    func backOff() {
        let bench = Bench()
        say(1, bench)
        _ = bench.next()
        for pause: Int64 in [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            bench.lose()
            let before = bench.farEnd.count
            bench.time.advance(pause - 1)
            #expect(bench.farEnd.count == before)
            bench.time.advance(1)
            #expect(bench.farEnd.count == before + 1)
        }
        bench.answer(.stored)
        say(1, bench)
        bench.time.advance(10)
        bench.lose()
        bench.time.advance(500)
        #expect(bench.farEnd.count == 11)
    }

    @Test(
        "what a gateway asks for is waited for, five minutes at most",
        arguments: [
            (429, "", "7", 7000), (503, #"{"error":{"code":"overloaded","message":"","temporary":true,"retryAfterMs":2500}}"#, "9", 2500),
            (503, "", "Sat, 21 Nov 2026 12:00:30 GMT", 30_000 - 10), (429, "", "86400", 300_000), (500, "<html>", nil, 500),
            (408, "", nil, 500),
            (200, "<html>", nil, 500), (302, "", nil, 500), (429, "", "never", 500),
        ] as [(Int, String, String?, Int64)])
    func asked(_ status: Int, _ body: String, _ header: String?, _ pause: Int64) {
        let bench = Bench()
        say(1, bench)
        _ = bench.next()
        bench.answer(status, body, retryAfter: header)
        bench.time.advance(pause - 1)
        #expect(bench.farEnd.count == 1)
        bench.time.advance(1)
        #expect(bench.farEnd.count == 2)
        #expect(bench.hear() == [])
    }

    @Test("a body that is refused is halved until the guilty event is alone, dropped and reported")
    func halved() {
        let bench = Bench()
        say(7, bench)
        var stored: [String] = []
        for _ in 0..<20 {
            guard let delivery = bench.next() else { break }
            if delivery.contents.contains("4") {
                bench.answer(413, #"{"error":{"code":"body_too_large","message":"Too large.","temporary":false}}"#)
            } else {
                stored += delivery.contents
                bench.answer(
                    200,
                    #"{"results":[\#(Array(repeating: #"{"verdict":"stored"}"#, count: delivery.events.count).joined(separator: ","))]}"#)
            }
        }
        #expect(stored.filter { $0.count == 1 } == ["0", "1", "2", "3", "5", "6"])
        #expect(stored.filter { $0 == "<client_report>" }.count == 1)
        #expect(bench.hear().filter { $0.outcome == .dropped }.map(\.reason) == ["body_too_large"])
    }

    @Test("a key, origin or address that is refused ends all sending", arguments: [401, 403, 404])
    func stopped(_ status: Int) async {
        let bench = Bench()
        say(2, bench)
        _ = bench.next()
        bench.answer(status)
        #expect(bench.hear().map(\.reason) == ["http_\(status)", "http_\(status)"])
        say(1, bench)
        bench.time.advance(600_000)
        #expect(bench.farEnd.count == 1 && bench.hear().map(\.reason) == ["http_\(status)"])
    }

    @Test("an event without a result of its own goes again")
    func short() {
        let bench = Bench()
        say(2, bench)
        _ = bench.next()
        bench.answer(.stored)
        bench.time.advance(999)
        #expect(bench.farEnd.count == 1)
        bench.time.advance(1)
        #expect(bench.farEnd.last?.contents == ["1"])
    }

    @Test("a verdict this version does not know is final")
    func unknown() {
        let bench = Bench()
        say(1, bench)
        _ = bench.next()
        bench.answer(200, #"{"results":[{"verdict":"shredded"}]}"#)
        #expect(bench.hear().map(\.reason) == ["shredded"])
        bench.time.advance(600_000)
        #expect(bench.farEnd.count == 1)
    }

    @Test("an outage with many calls leaves few alarms and a bounded queue")
    func outage() {
        let bench = Bench { $0.queueEvents = 100 }
        bench.farEnd.refuse(true)
        for _ in 0..<2000 {
            say(1, bench)
            bench.time.advance(50)
        }
        #expect(bench.time.waiting < 10)
        bench.farEnd.refuse(false)
        bench.time.advance(60_000)
        #expect(bench.next()?.events.count == 100)
    }

    @Test("ids are UUIDv7s that sort in the order they were made, whatever the clock does")
    func ids() {
        var source = IDSource()
        var system = SystemRandomNumberGenerator()
        let times: [Int64] = Array(repeating: 1_795_262_400_000, count: 10_000) + [1_795_262_399_000, 1_795_262_500_000, 0]
        let made = times.map { source.next(at: $0, random: { system.next() }) }
        #expect(made == made.sorted() && Set(made).count == made.count)
        #expect(
            made.allSatisfy {
                $0.range(of: "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$", options: .regularExpression) != nil
            })
        #expect(UUID(uuidString: made[0]) != nil)
    }

    @Test("text is written as JSON, whatever is in it")
    func text() throws {
        let value: JSON = [
            "quote\"": "back\\slash", "control": "\u{0}\u{1}\u{1f}\n\t\r", "line": "\u{2028}😀é", "big": .integer(.max), "small": 1.5e-300,
            "list": [1, nil, true, 1.5],
        ]
        var text: [UInt8] = []
        try value.write(to: &text)
        #expect(try JSONDecoder().decode(JSON.self, from: Data(text)) == value)
        #expect(throws: JSON.Unserializable.self) { try JSON.number(.infinity).write(to: &text) }
        let deep = (0..<1000).reduce(JSON.null) { inner, _ in .array([inner]) }
        #expect(throws: JSON.Unserializable.self) { try deep.write(to: &text) }
        withExtendedLifetime(deep) {}
        struct Usage: Encodable { let tokens = 12 }
        #expect(try JSON(encoding: Usage()) == ["tokens": 12])
    }
}
