import Foundation

/// The events that have no verdict yet, in the order they were tracked; what of them goes next, and when.
///
/// No clock, no network, no lock: the ``Courier`` owns one and passes in the time. One body is under way at a time, so that events
/// arrive in order; it is always the front of the queue.
///
/// Bound: `limits.events` and `limits.bytes`. At the bound the oldest custom event that is not under way is dropped, then the oldest of
/// any kind; drops are counted by reason and told to the gateway in a `client_report` (P-REPORT-1).
struct Outbox: Sendable {
    struct Limits: Sendable {
        var events: Int
        var bytes: Int
        var eventBytes: Int
        var bodyEvents: Int
        var bodyBytes: Int
    }

    struct Item: Sendable {
        let id: String
        let type: String
        /// Fixed when the event is tracked: every try sends the same bytes for the same id, or the gateway would see a conflict (P-ID-4).
        let text: [UInt8]
        /// Milliseconds since 1970.
        let trackedAt: Int64
        /// Counts up in a client; a flush waits for all up to the latest.
        let number: Int
    }

    /// A verdict, and the gateway's words for it.
    struct Notice: Sendable {
        let verdict: Parley.Verdict
        var message = ""
    }

    /// The first delay; doubled each time, full jitter (P-CLOSE-3).
    private static let firstDelay = 1000.0
    private static let longestDelay = 60_000.0
    /// What a gateway may ask for; past five minutes it is a mistake.
    private static let longestWish: Int64 = 300_000

    let limits: Limits
    /// Whether bodies ask for receipts (P-RCPT-1).
    private let wantsReceipts: Bool
    private(set) var items: [Item] = []
    private(set) var bytes = 0
    /// How many of the first items are under way.
    private(set) var underWay = 0
    /// By reason, since the last report. Bound: our own reasons, and codes of refusals, 50 at most.
    private var drops: [String: Int] = [:]
    /// Halved to find the one event for which a whole body is refused.
    private var bodyEvents: Int
    private var failures = 0
    /// Monotonic milliseconds: until when we back off, and until when the gateway asked us to stay away.
    private var backOffUntil: Int64 = 0
    private var askedUntil: Int64 = 0
    /// Why the gateway does not want this key, once it has said so. Final.
    private(set) var stopped: String?
    private(set) var lastNumber = 0

    init(limits: Limits, wantsReceipts: Bool = false) {
        self.limits = limits
        self.wantsReceipts = wantsReceipts
        bodyEvents = limits.bodyEvents
    }

    /// Nothing leaves before; monotonic milliseconds.
    var resumeAt: Int64 { max(backOffUntil, askedUntil) }

    var hasWork: Bool { stopped == nil && underWay == 0 && (!items.isEmpty || !drops.isEmpty) }

    /// Whether all up to this number, and all reports, have their verdict.
    func isSettled(upTo number: Int) -> Bool {
        drops.isEmpty && !items.contains { $0.number <= number || $0.type == "client_report" }
    }

    // MARK: In

    mutating func admit(id: String, type: String, text: [UInt8], at wall: Int64) -> [Notice] {
        if let stopped { return [Notice(verdict: .init(id: id, type: type, outcome: .dropped, reason: stopped))] }
        guard text.count <= limits.eventBytes else { return [drop(id: id, type: type, reason: "event_too_large")] }
        append(id: id, type: type, text: text, at: wall)
        var notices: [Notice] = []
        while items.count > limits.events || bytes > limits.bytes {
            let idle = items[underWay...]
            guard
                let place = idle.firstIndex(where: { $0.type == "event" }) ?? idle.firstIndex(where: { $0.type != "client_report" })
            else { break }
            let item = remove(at: place)
            notices.append(drop(id: item.id, type: item.type, reason: "queue_full"))
        }
        return notices
    }

    /// Takes in what an earlier process left behind, before anything of this one.
    mutating func adopt(_ left: [(id: String, type: String, text: [UInt8], at: Int64)], expired: Int) {
        for event in left where event.text.count <= limits.eventBytes && items.count < limits.events && bytes < limits.bytes {
            append(id: event.id, type: event.type, text: event.text, at: event.at)
        }
        count("expired", expired)
    }

    /// Gives an event up before it was queued.
    mutating func drop(id: String, type: String, reason: String) -> Notice {
        count(reason, 1)
        return Notice(verdict: .init(id: id, type: type, outcome: .dropped, reason: reason))
    }

    private mutating func count(_ reason: String, _ events: Int) {
        if events > 0, drops[reason] != nil || drops.count < 50 { drops[reason, default: 0] += events }
    }

    private mutating func append(id: String, type: String, text: [UInt8], at wall: Int64, before place: Int? = nil) {
        lastNumber += 1
        bytes += text.count
        items.insert(Item(id: id, type: type, text: text, trackedAt: wall, number: lastNumber), at: place ?? items.count)
    }

    private mutating func remove(at place: Int) -> Item {
        bytes -= items[place].text.count
        return items.remove(at: place)
    }

    // MARK: Out

    /// The next body, `{"sentAt":…,"events":[…]}`, or nil if there is none now. The caller must bring the answer to ``conclude``.
    mutating func take(at now: Int64, wall: Int64, newID: () -> String) -> [UInt8]? {
        guard hasWork, now >= resumeAt else { return nil }
        var room = limits.bodyBytes
        var taken = 0
        // A single event may be larger than a body's usual size: then it goes alone.
        while taken < items.count, taken < bodyEvents, taken == 0 || items[taken].text.count < room {
            room -= items[taken].text.count + 1
            taken += 1
        }
        if !drops.isEmpty, taken == 0 || bodyEvents > 1, !items.contains(where: { $0.type == "client_report" }) {
            report(at: taken, wall: wall, id: newID())
            taken += 1
        }
        underWay = taken
        // P-TIME-3: the clock at sending, anew at every try.
        var body = Array(#"{\#(wantsReceipts ? #""receipts":true,"# : "")"sentAt":\#(wall),"events":["#.utf8)
        for (place, item) in items[..<taken].enumerated() {
            if place > 0 { body.append(UInt8(ascii: ",")) }
            body += item.text
        }
        body += "]}".utf8
        return body
    }

    /// What had to be dropped is itself an event, beside those that go now; past the bound, as there is one at most.
    private mutating func report(at place: Int, wall: Int64, id: String) {
        let fields: JSON = .object([
            "type": "client_report", "id": .string(id), "at": .integer(wall),
            "reasons": .object(drops.mapValues { .integer(Int64($0)) }),
        ])
        var text: [UInt8] = []
        // Cannot fail: no number in it is a float, and it is two levels deep.
        guard (try? fields.write(to: &text)) != nil else { return }
        drops = [:]
        append(id: id, type: "client_report", text: text, at: wall, before: place)
    }

    // MARK: Answers

    /// Reads the answer to what was taken. `random` is in 0..<1. What has a final verdict leaves the queue; the rest waits and goes again
    /// under the same ids.
    mutating func conclude(_ reply: Reply, at now: Int64, wall: Int64, random: Double) -> [Notice] {
        let count = underWay
        underWay = 0
        switch reply.meaning(wall: wall) {
        case .results(let results):
            bodyEvents = limits.bodyEvents
            return settle(count, by: results, at: now, random: random)
        case .stop(let reason, let message):
            stopped = reason
            let left = items
            items = []
            bytes = 0
            drops = [:]
            return left.map {
                Notice(verdict: .init(id: $0.id, type: $0.type, outcome: .dropped, reason: reason), message: message)
            }
        case .refused(let reason, let message):
            guard count > 1 else {
                bodyEvents = limits.bodyEvents
                let item = remove(at: 0)
                // A report of a lost report would be lost for the same reason.
                if item.type != "client_report" { self.count(reason, 1) }
                return [Notice(verdict: .init(id: item.id, type: item.type, outcome: .dropped, reason: reason), message: message)]
            }
            bodyEvents = count / 2
        case .later(let wish):
            wait(wish, at: now, random: random)
        }
        return []
    }

    /// One result an event, in order (P-WRITE-3). An event without one is sent again.
    private mutating func settle(_ count: Int, by results: [Reply.Result], at now: Int64, random: Double) -> [Notice] {
        var notices: [Notice] = []
        var again: [Item] = []
        var wish: Int64?
        for (place, item) in items[..<count].enumerated() {
            let result = place < results.count ? results[place] : Reply.Result(verdict: .retry)
            if result.verdict == .retry {
                again.append(item)
                wish = max(wish ?? 0, result.retryAfterMs ?? Int64(Self.firstDelay))
            } else {
                bytes -= item.text.count
            }
            let verdict = Parley.Verdict(
                id: item.id, type: item.type, outcome: result.verdict, reason: result.reason, receipt: result.receipt)
            notices.append(Notice(verdict: verdict, message: result.message ?? ""))
        }
        items.replaceSubrange(..<count, with: again)
        // An ack starts the back-off anew (P-CLOSE-3), unless it acknowledges nothing.
        if again.count < count { failures = 0 }
        if let wish { wait(wish, at: now, random: random) }
        return notices
    }

    private mutating func wait(_ wish: Int64?, at now: Int64, random: Double) {
        // 2^16 s is past the longest delay by far.
        let delay = random * min(Self.longestDelay, Self.firstDelay * Double(1 << min(failures, 16)))
        failures += 1
        backOffUntil = now + Int64(delay)
        if let wish { askedUntil = now + min(max(wish, 0), Self.longestWish) }
    }

    /// The app is looked at again, or about to leave: the next try need not wait, unless the gateway asked for it.
    mutating func tryNow() { backOffUntil = 0 }
}
