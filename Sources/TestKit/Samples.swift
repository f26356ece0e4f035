public import Events

/// Events and deliveries for tests, with times and IDs that the test decides.
public enum Sample {
    /// 2026-11-21T12:00:00Z
    public static let noon = Timestamp(microseconds: 1_795_262_400_000_000)

    public static func time(_ seconds: Double) -> Timestamp { noon.advanced(bySeconds: seconds) }

    /// A UUIDv7-like ID that is the same for the same number.
    public static func id(_ number: Int) -> String {
        let digits = String(number, radix: 16)
        return "01970000-0000-7000-8000-" + String(repeating: "0", count: 12 - digits.count) + digits
    }

    public static func message(
        _ id: String, thread: String = "t-1", role: Event.Role = .user, _ text: String = "Hello", at seconds: Double? = 0,
        user: String? = nil, tags: [String] = []
    ) -> Event {
        Event(
            id: id, thread: thread, at: seconds.map(time), user: user.map { Event.User(id: $0) },
            body: .message(.init(role: role, content: .text(text), tags: tags)))
    }

    public static func runStart(_ id: String, parent: String?, kind: Event.RunKind = .llm, thread: String? = nil, at seconds: Double = 1)
        -> Event
    {
        var part = Event.RunPart()
        part.kind = kind
        part.name = "answer"
        part.parent = parent
        part.input = "\"question\""
        part.startedAt = time(seconds)
        return Event(id: id, thread: thread, at: time(seconds), body: .run(part))
    }

    public static func runEnd(_ id: String, at seconds: Double = 2, output: JSONText = "\"answer\"") -> Event {
        var part = Event.RunPart()
        part.output = output
        part.usage = "{\"completion\":5,\"prompt\":3}"
        part.success = true
        part.endedAt = time(seconds)
        return Event(id: id, at: time(seconds), body: .run(part))
    }

    public static func feedback(_ id: String, on target: String, _ thumb: Event.Thumb?, at seconds: Double = 3, user: String = "u1")
        -> Event
    {
        Event(id: id, at: time(seconds), user: .init(id: user), body: .feedback(.init(target: target, thumb: thumb)))
    }

    public static func delivery(
        _ events: [Event], project: ProjectID, lane: Lane = .secret, key: String = "key_test", setAside: [SetAside] = [],
        receivedAt: Timestamp = time(10)
    ) -> Delivery {
        var tally = Tally()
        tally.received = events.count + setAside.count
        return Delivery(
            source: Source(project: project, key: key, lane: lane, transport: .http), receivedAt: receivedAt,
            events: events.map { AdmittedEvent(event: $0, at: $0.at ?? receivedAt, digest: ContentDigest($0)) }, setAside: setAside,
            tally: tally)
    }
}
