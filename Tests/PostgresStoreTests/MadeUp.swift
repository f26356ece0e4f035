import Events
import TestKit

/// Deliveries that nobody would think of, the same for the same seed: few IDs, so that everything meets everything.
struct MadeUp {
    private var state: UInt64
    /// Whether IDs have other names, and messages may share one: then what is stored may move.
    private let isRenaming: Bool

    init(seed: UInt64, isRenaming: Bool = true) {
        self.isRenaming = isRenaming
        // Neighbours must not be the same row of numbers, a step apart.
        state = seed &* 0xD129_0D32_9C5A_5A6B
        state = next()
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    private mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func number(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
    mutating func chance(_ percent: Int) -> Bool { number(100) < percent }
    mutating func one<Element>(of elements: [Element]) -> Element { elements[number(elements.count)] }

    private mutating func message() -> String { Sample.id(number(8)) }
    private mutating func thread() -> String { "t-\(number(4))" }
    private mutating func run() -> String {
        if chance(10) { return message() }
        return chance(30) ? "\(trace())-00000000000000a\(number(3))" : "run-\(number(8))"
    }
    private mutating func trace() -> String {
        chance(50) ? message().replacing("-", with: "") : "0af7651916cd43dd8448eb211c8031\(10 + number(4))"
    }
    private mutating func time() -> Timestamp { Sample.time(Double(number(40))) }
    private mutating func text() -> String { one(of: ["Hello", "Grüße \u{1F600}", "a\0b", "", "\u{1A}0", "e\u{301}", "é"]) }

    /// Without NUL, where SQLite's reader ends a text.
    private mutating func remark() -> String { text().replacing("\0", with: "") }

    /// What somebody with names of their own calls an ID.
    static func name(of id: String) -> String { "name-of-\(id)" }
    private mutating func called(_ id: String, _ isNamed: Bool) -> String { isNamed && chance(50) ? Self.name(of: id) : id }

    private mutating func user() -> Event.User? {
        guard chance(60) else { return nil }
        var user = Event.User(id: "u\(number(3))", isProven: chance(30))
        if chance(40) { user.props = JSONText(trusted: Array("{\"plan\":\"\(number(4))\"}".utf8)) }
        return user
    }

    /// An event as one sender or another would send it.
    mutating func admitted(_ lane: Lane) -> AdmittedEvent {
        let isNamed = chance(25) && isRenaming
        let kind = number(100)
        let serial = number(30)
        let at = time()
        var event: Event
        switch kind {
        case ..<35:
            let id = message()
            var message = Event.Message(
                role: one(of: [.user, .assistant]), content: .text(text()), tags: chance(30) ? ["a\(number(3))"] : [])
            if chance(10) { message.trace = trace() }
            if chance(20) { message.replyTo = self.message() }
            event = Event(id: called(id, isNamed), thread: called(thread(), isNamed), at: at, body: .message(message))
        case ..<65:
            var part = Event.RunPart()
            part.kind = .llm
            if chance(60) { part.parent = called(chance(50) ? message() : run(), isNamed) }
            if chance(30) { part.trace = trace() }
            if part.trace != nil, chance(50) { part.linkedTraces = [trace()] }
            if chance(50) { part.startedAt = time() } else { part.endedAt = time() }
            if chance(15) { part.question = text() }
            if chance(15) { part.answer = "answer \(number(3))" }
            event = Event(id: called(run(), isNamed), thread: chance(40) ? called(thread(), isNamed) : nil, at: at, body: .run(part))
        case ..<75:
            var feedback = Event.Feedback(target: called(chance(80) ? message() : run(), isNamed), thumb: one(of: [.up, .down, nil]))
            if chance(40) { feedback.comment = remark() }
            if chance(20) { feedback.leaves = .thumb }
            event = Event(id: "fb-\(serial)", thread: chance(30) ? called(thread(), isNamed) : nil, at: at, body: .feedback(feedback))
        case ..<82:
            var target = chance(50) ? message() : thread()
            if chance(20) { target = run() + (chance(50) ? ":answer" : "") }
            event = Event(
                id: "sc-\(serial)", at: at,
                body: .score(
                    .init(
                        target: called(target, isNamed), name: "n\(number(2))", value: chance(80) ? Double(number(5)) / 4 : nil,
                        author: chance(50) ? "ann" : nil)))
        case ..<88:
            event = Event(
                id: "co-\(serial)", at: at,
                body: .comment(
                    .init(
                        target: called(message(), isNamed), changes: chance(40) ? "co-\(number(30))" : nil,
                        text: chance(80) ? remark() : nil,
                        author: chance(50) ? "ann" : nil)))
        case ..<92: event = Event(id: "tr-\(serial)", at: at, body: .trace(target: called(message(), isNamed), trace: trace()))
        case ..<96:
            event = Event(
                id: "th-\(serial)", thread: called(thread(), isNamed), at: at,
                metadata: chance(30) ? "{\"k\":1}" : nil,
                body: .thread(
                    .init(
                        tags: chance(50) ? ["a\(number(3))"] : [], untag: chance(50) ? ["a\(number(3))"] : [],
                        status: one(of: [.active, .inactive, nil]))))
        default: event = Event(id: "ev-\(serial)", thread: called(thread(), isNamed), at: at, body: .event(name: "opened"))
        }
        event.user = user()
        var names: [IDNames] = []
        // Whoever has the names registers them with what is sent under IDs.
        if !isNamed, chance(25), isRenaming {
            names = ([event.thread].compactMap(\.self) + (event.idSpace == .other ? [] : [event.id])).map {
                IDNames(id: $0, names: [Self.name(of: $0)])
            }
        }
        return AdmittedEvent(
            event: event, at: at, digest: ContentDigest(event), names: names, usesSchemeNames: isNamed,
            pairsShareIDs: chance(15) && isRenaming)
    }

    mutating func delivery(_ project: ProjectID) -> Delivery {
        let lane: Lane = chance(50) ? .public : .secret
        var delivery = Sample.delivery(
            [], project: project, lane: lane, key: "key_\(number(2))", receivedAt: Sample.time(Double(100 + number(200))))
        delivery.events = (0..<(1 + number(6))).map { _ in admitted(lane) }
        if chance(10) {
            delivery.setAside = [
                SetAside(id: "w\(number(3))", type: "message", refusal: Refusal(.weakID, field: "id"), payload: "{\"id\":\"w\"}")
            ]
        }
        delivery.tally.received = delivery.events.count + delivery.setAside.count
        return delivery
    }
}
