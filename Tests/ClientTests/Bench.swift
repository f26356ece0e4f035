import Foundation
import Testing

@testable import ParleyClient

/// A client whose clock, randomness and far end are the test's.
///
/// No real time passes: what the client wants done later is done when the test lets time pass.
final class Bench: Sendable {
    let time = ManualTime()
    let farEnd = FarEnd()
    /// Not the process's own, which all tests share.
    let center = NotificationCenter()
    let parley: Parley
    let heard = Locked<[Parley.Verdict]>([])
    let warnings = Locked<[String]>([])
    let beforeSend = Locked<(@Sendable (Parley.Event) throws -> Parley.Event?)?>(nil)

    init(key: String = "pk_test", _ change: (inout Parley.Options) -> Void = { _ in }) {
        var options = Parley.Options()
        options.onVerdict = { [heard] verdict in heard.withLock { $0.append(verdict) } }
        options.log = { [warnings] text in warnings.withLock { $0.append(text) } }
        options.beforeSend = { [beforeSend] event in
            guard let hook = beforeSend.withLock({ $0 }) else { return event }
            return try hook(event)
        }
        change(&options)
        parley = Parley(
            key: key, url: URL(string: "http://127.0.0.1:1")!, options: options, transport: farEnd, time: time, random: { 0.5 },
            center: center)
    }

    /// The next delivery nobody has looked at; time passes until there is one, a second at most.
    func next() -> Delivery? {
        for _ in 0...1000 {
            if let delivery = farEnd.unseen() { return delivery }
            time.advance(1)
        }
        return nil
    }

    /// What was heard since the last time.
    func hear() -> [Parley.Verdict] {
        time.advance(0)
        return heard.withLock { heard in
            defer { heard = [] }
            return heard
        }
    }

    func answer(_ outcomes: Parley.Verdict.Outcome...) {
        let results = outcomes.map { #"{"verdict":"\#($0.rawValue)"}"# }.joined(separator: ",")
        answer(200, #"{"results":[\#(results)]}"#)
    }

    /// Answers the oldest delivery that has no answer.
    func answer(_ status: Int, _ body: String = "", retryAfter: String? = nil) {
        farEnd.answer(Reply(status: status, retryAfter: retryAfter, body: Data(body.utf8)))
        time.advance(0)
    }

    func lose() {
        farEnd.answer(.lost)
        time.advance(0)
    }
}

/// A body as it left.
struct Delivery: Sendable {
    let body: [UInt8]
    let token: String?

    var json: JSON { (try? JSONDecoder().decode(JSON.self, from: Data(body))) ?? .null }

    var events: [[String: JSON]] {
        guard case .object(let whole) = json, case .array(let events)? = whole["events"] else { return [] }
        return events.map { if case .object(let event) = $0 { event } else { [:] } }
    }

    var ids: [String] { events.map { $0["id"]?.text ?? "" } }
    var contents: [String] { events.map { $0["content"]?.text ?? "<\($0["type"]?.text ?? "")>" } }

    /// The events to the byte: what stands between the braces that are one level below the list.
    var texts: [String] {
        var texts: [String] = []
        var (depth, begin, quoted, escaped) = (0, 0, false, false)
        for (place, byte) in body.enumerated() {
            if quoted {
                if escaped {
                    escaped = false
                } else if byte == UInt8(ascii: "\\") {
                    escaped = true
                } else {
                    quoted = byte != UInt8(ascii: "\"")
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): quoted = true
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                if depth == 3, byte == UInt8(ascii: "{") { begin = place }
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 3, byte == UInt8(ascii: "}") { texts.append(String(decoding: body[begin...place], as: UTF8.self)) }
                depth -= 1
            default: break
            }
        }
        return texts
    }
}

extension JSON {
    var text: String? { if case .string(let text) = self { text } else { nil } }
    subscript(_ name: String) -> JSON? { if case .object(let members) = self { members[name] } else { nil } }
    var list: [JSON] { if case .array(let list) = self { list } else { [] } }
    var number: Int64? { if case .integer(let number) = self { number } else { nil } }
}

/// Time that passes when it is told to.
final class ManualTime: Timekeeper {
    private struct State: Sendable {
        var now: Int64 = 0
        var serial = 0
        var works: [(due: Int64, serial: Int, work: @Sendable () -> Void)] = []
    }

    /// The day begins at some time in 2026.
    static let start: Int64 = 1_795_262_400_000
    private let state = Locked(State())

    var now: Int64 { state.withLock { $0.now } }
    var wall: Int64 { Self.start + now }
    /// How many works wait.
    var waiting: Int { state.withLock { $0.works.count } }

    func after(_ milliseconds: Int64, _ work: @escaping @Sendable () -> Void) {
        state.withLock { state in
            state.serial += 1
            state.works.append((state.now + milliseconds, state.serial, work))
        }
    }

    func advance(_ milliseconds: Int64) {
        let end = now + milliseconds
        while true {
            let next: (@Sendable () -> Void)? = state.withLock { state in
                guard
                    let place = state.works.indices.min(by: {
                        (state.works[$0].due, state.works[$0].serial) < (state.works[$1].due, state.works[$1].serial)
                    }), state.works[place].due <= end
                else { return nil }
                state.now = max(state.now, state.works[place].due)
                return state.works.remove(at: place).work
            }
            guard let next else { break }
            next()
        }
        state.withLock { $0.now = end }
    }
}

/// The gateway's end of the line.
final class FarEnd: Transport {
    private struct State: Sendable {
        var refuses = false
        var closed = false
        var seen = 0
        var deliveries: [Delivery] = []
        var asked: [String] = []
        var waiting: [@Sendable (Reply) -> Void] = []
    }

    private let state = Locked(State())

    var count: Int { state.withLock { $0.deliveries.count } }
    var last: Delivery? { state.withLock { $0.deliveries.last } }
    var all: [Delivery] { state.withLock { $0.deliveries } }
    var closed: Bool { state.withLock { $0.closed } }

    func send(_ body: [UInt8], token: String?, then: @escaping @Sendable (Reply) -> Void) {
        let refused = state.withLock { state in
            guard !state.refuses else { return true }
            state.deliveries.append(Delivery(body: body, token: token))
            state.waiting.append(then)
            return false
        }
        if refused { then(.lost) }
    }

    /// Answered by ``answer(_:)`` like a delivery; what was asked is in ``asked``.
    func check(_ body: [UInt8], then: @escaping @Sendable (Reply) -> Void) {
        state.withLock { state in
            state.asked.append(String(decoding: body, as: UTF8.self))
            state.waiting.append(then)
        }
    }

    var asked: [String] { state.withLock { $0.asked } }

    func close() { state.withLock { $0.closed = true } }

    /// Nothing reaches the far end.
    func refuse(_ refuses: Bool) { state.withLock { $0.refuses = refuses } }

    func unseen() -> Delivery? {
        state.withLock { state in
            guard state.seen < state.deliveries.count else { return nil }
            state.seen += 1
            return state.deliveries[state.seen - 1]
        }
    }

    func answer(_ reply: Reply) {
        let then = state.withLock { $0.waiting.isEmpty ? nil : $0.waiting.removeFirst() }
        guard let then else {
            Issue.record("nothing waits for an answer")
            return
        }
        then(reply)
    }
}
