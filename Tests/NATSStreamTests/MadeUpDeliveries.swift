import Events

/// Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators".
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Deliveries that say all there is to say, in all combinations.
extension SplitMix {
    private mutating func maybe<Value>(_ value: (inout SplitMix) -> Value) -> Value? { Bool.random(using: &self) ? value(&self) : nil }
    private mutating func pick<Value>(_ values: [Value]) -> Value { values.randomElement(using: &self)! }

    private mutating func text() -> String {
        pick([
            "", "Hello", "say \"hi\"\n\t\\", "Ünïcödé 👩🏽‍🚀", "a\u{0}b", "\u{1}\u{1F}",
            String(repeating: "long ", count: Int.random(in: 1...400, using: &self)),
        ])
    }

    private mutating func id() -> String { pick(["m-", "ünï-", "0197-"]) + String(next() % 1000) }

    private mutating func json() -> JSONText {
        let texts = [
            "{}", #"{"b":1,"a":[1,2,{"c":null}]}"#, #"{"n":-0.5,"big":18446744073709551615,"e":1e300}"#, #"{"t":"\u0001é\"","x":true}"#,
        ]
        return try! JSONDocument.read(Array(pick(texts).utf8)) { JSONText($0) }
    }

    private mutating func list() -> JSONText {
        try! JSONDocument.read(Array(#"[{"type":"text","text":"hi"},{"url":"https://x.example","type":"image"}]"#.utf8)) { JSONText($0) }
    }

    private mutating func time() -> Timestamp { Timestamp(microseconds: Int64.random(in: 0...253_402_300_799_999_999, using: &self)) }
    private mutating func tags() -> [String] { (0..<Int.random(in: 0...3, using: &self)).map { "tag-\($0)" } }

    private mutating func body() -> Event.Body {
        switch Int.random(in: 0..<11, using: &self) {
        case 0: return .thread(.init(tags: tags(), untag: tags(), status: maybe { $0.pick([.active, .inactive]) }))
        case 1, 2:
            return .message(
                .init(
                    role: pick(Event.Role.allCases), content: Bool.random(using: &self) ? .text(text()) : .blocks(list()),
                    replyTo: maybe { $0.id() }, retryOf: maybe { $0.id() }, tags: tags(),
                    trace: maybe { _ in String(repeating: "ab", count: 16) }))
        case 3: return .event(name: "opened")
        case 4:
            return .feedback(
                .init(
                    target: id(), thumb: maybe { $0.pick([.up, .down]) }, comment: maybe { $0.text() },
                    leaves: maybe { $0.pick([.thumb, .comment]) }, author: maybe { _ in "rev" }))
        case 5: return .identify
        case 6: return .clientReport(reasons: #"{"full":3}"#)
        case 7:
            var part = Event.RunPart()
            part.kind = maybe { $0.pick(Event.RunKind.allCases) }
            part.name = maybe { _ in "answer" }
            part.parent = maybe { $0.id() }
            part.receipt = maybe { _ in "r.abc" }
            part.input = maybe { $0.json() }
            part.output = list()
            part.model = maybe { _ in "gpt" }
            part.provider = maybe { _ in "p" }
            part.usage = maybe { _ in "{\"prompt\":3}" }
            part.cost = maybe { Double.random(in: 0...1, using: &$0) }
            part.success = maybe { Bool.random(using: &$0) }
            part.error = maybe { $0.json() }
            part.startedAt = maybe { $0.time() }
            part.endedAt = maybe { $0.time() }
            part.tags = tags()
            part.question = maybe { $0.text() }
            part.answer = maybe { $0.text() }
            part.within = maybe { $0.id() }
            part.trace = maybe { _ in String(repeating: "cd", count: 16) }
            part.linkedTraces = tags()
            part.extra = maybe { $0.json() }
            return .run(part)
        case 8:
            return .score(
                .init(
                    target: id(), name: "quality", value: maybe { Double.random(in: -5...5, using: &$0) }, category: maybe { _ in "good" },
                    reason: maybe { $0.text() }, author: maybe { _ in "rev" }, judge: pick([.person, .program])))
        case 9: return .comment(.init(target: id(), changes: maybe { $0.id() }, text: maybe { $0.text() }, author: maybe { _ in "rev" }))
        default: return pick([.trace(target: id(), trace: String(repeating: "ef", count: 16)), .other(type: "hologram")])
        }
    }

    private mutating func event() -> Event {
        let body = body()
        var event = Event(id: id(), thread: maybe { $0.id() }, at: maybe { $0.time() }, metadata: maybe { $0.json() }, body: body)
        event.user = maybe { Event.User(id: "u-1", props: $0.maybe { $0.json() }, isProven: Bool.random(using: &$0)) }
        switch body {
        case .message, .thread: event.thread = event.thread ?? "t-1"
        case .identify: event.user = event.user ?? Event.User(id: "u-2")
        default: break
        }
        event.unknown = maybe { random in try! JSONDocument.read(Array(#"{"later":{"z":1,"a":2},"new":"field"}"#.utf8)) { JSONText($0) } }
        return event
    }

    mutating func delivery() -> Delivery {
        let source = Source(
            project: ProjectID(Int64(next() % 1_000_000)), key: "key_\(next() % 9)", lane: pick(Lane.allCases),
            origin: maybe { _ in "https://shop.example" },
            transport: pick([.http, .beacon, .socket, Transport(rawValue: "opik")]))
        var tally = Tally()
        tally.received = Int.random(in: 0...50, using: &self)
        for _ in 0..<Int.random(in: 0...3, using: &self) {
            tally.verdicts[pick(Verdict.Name.allCases)] = Int.random(in: 1...9, using: &self)
            tally.reasons[pick(Reason.allCases)] = Int.random(in: 1...9, using: &self)
            tally.overlooked[pick(Reason.allCases)] = Int.random(in: 1...9, using: &self)
        }
        var delivery = Delivery(source: source, receivedAt: time(), events: [], tally: tally)
        for _ in 0..<Int.random(in: 0...6, using: &self) {
            let event = event()
            // A clock that was off may be corrected to before 1970.
            let at = Int.random(in: 0..<8, using: &self) == 0 ? Timestamp(microseconds: -5) : time()
            let names = maybe { [IDNames(id: $0.id(), names: ["x", "y"]), IDNames(id: $0.id(), names: [])] } ?? []
            delivery.events.append(
                AdmittedEvent(
                    event: event, at: at, digest: ContentDigest(event), names: names, usesSchemeNames: Bool.random(using: &self),
                    pairsShareIDs: Bool.random(using: &self)))
        }
        for _ in 0..<Int.random(in: 0...2, using: &self) {
            let refusal = Refusal(
                pick(Reason.allCases), field: maybe { _ in "user.id" }, text(), retryAfterMilliseconds: maybe { _ in 250 })
            delivery.setAside.append(
                SetAside(
                    id: maybe { $0.id() }, type: maybe { _ in "message" }, refusal: refusal,
                    payload: Bool.random(using: &self) ? json() : JSONText(trusted: Array("{ broken \u{1}".utf8))))
        }
        delivery.scoring = maybe { ScoringRule(rule: $0.pick(Project.Scoring.allCases), inactiveAfterSeconds: 900.5) }
        return delivery
    }
}
