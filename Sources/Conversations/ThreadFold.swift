public import Events

/// What a thread's events add up to, whichever order they come in.
public struct ThreadFold: Sendable, Equatable {
    /// A moment and the ID that settles two of the same moment; orders items in a conversation too.
    public struct Place: Sendable, Comparable {
        public var at: Timestamp
        public var id: String
        public init(at: Timestamp, id: String) { (self.at, self.id) = (at, id) }
        public static func < (a: Place, b: Place) -> Bool { (a.at, a.id) < (b.at, b.id) }
    }

    /// A value that the latest event to speak of it decides.
    public struct Latest<Value: Sendable & Equatable>: Sendable, Equatable {
        public var value: Value
        public var place: Place
        public init(_ value: Value, _ place: Place) { (self.value, self.place) = (value, place) }
    }

    public var messageCount = 0
    /// The bits of `Event.Role` seen, by position in `allCases`.
    public var roles = 0
    public var firstMessage: Place?
    public var lastMessage: Place?
    public var firstAt: Timestamp?
    /// The latest message or custom event; votes, scores and runs do not move a thread up the list.
    public var lastAt: Timestamp?
    /// The user the thread's earliest event named.
    public var user: Latest<String>?
    public var status: Latest<Event.ThreadPatch.Status>?
    public var metadata: Latest<JSONText>?
    public var tags: Set<String> = []

    public init() {}

    /// Whether anything was folded in.
    public var isEmpty: Bool { firstAt == nil }

    public mutating func apply(_ event: Event, at: Timestamp) {
        let place = Place(at: at, id: event.id)
        firstAt = min(firstAt ?? at, at)
        if let name = event.user?.id, user.map({ (place, name) < ($0.place, $0.value) }) ?? true { user = Latest(name, place) }
        switch event.body {
        case .message(let message):
            messageCount += 1
            roles |= 1 << Event.Role.allCases.firstIndex(of: message.role)!
            firstMessage = min(firstMessage ?? place, place)
            lastMessage = max(lastMessage ?? place, place)
            lastAt = max(lastAt ?? at, at)
            tags.formUnion(message.tags)
        case .thread(let patch):
            tags.formUnion(patch.tags)
            if let new = patch.status, status.map({ $0.place < place }) ?? true { status = Latest(new, place) }
            if let new = event.metadata, metadata.map({ $0.place < place }) ?? true { metadata = Latest(new, place) }
            // Closing a thread is no activity of it.
            if patch.status == nil { lastAt = max(lastAt ?? at, at) }
        case .event, .other:
            lastAt = max(lastAt ?? at, at)
        default: break
        }
    }

    public static func bit(of role: Event.Role) -> Int { 1 << Event.Role.allCases.firstIndex(of: role)! }
}

/// A user's properties: field by field, what the latest event said; absence never erases.
public struct PropsFold: Sendable, Equatable {
    private var fields: [String: ThreadFold.Latest<JSONText>] = [:]

    public init() {}

    public mutating func apply(_ props: JSONText, at place: ThreadFold.Place) {
        try? JSONDocument.read(props.bytes, isOurs: true) { json in
            json.forEachMember { key, value in
                let name = String(decoding: key, as: UTF8.self)
                let text = JSONText(value)
                if let known = fields[name],
                    place < known.place
                        || place == known.place && text.canonical.lexicographicallyPrecedes(known.value.canonical)
                {
                    return
                }
                fields[name] = ThreadFold.Latest(text, place)
            }
        }
    }

    public var props: JSONText? {
        guard !fields.isEmpty else { return nil }
        var writer = JSONWriter()
        writer.object { writer in for name in fields.keys.sorted() { writer.field(name, fields[name]!.value) } }
        return JSONText(trusted: writer.bytes)
    }

    /// Its form at rest: `{"plan":[at,"event id",value]}`.
    public var stored: JSONText {
        var writer = JSONWriter()
        writer.object { writer in
            for (name, latest) in fields {
                writer.key(name)
                writer.array {
                    $0.value(latest.place.at.microseconds); $0.value(latest.place.id); $0.value(latest.value)
                }
            }
        }
        return JSONText(trusted: writer.bytes)
    }

    public init(stored text: [UInt8]) {
        try? JSONDocument.read(text, isOurs: true) { json in
            json.forEachMember { key, entry in
                var parts: [JSONValue] = []
                entry.forEachElement { parts.append($0) }
                guard parts.count == 3, let at = parts[0].integer, let id = parts[1].string else { return }
                fields[String(decoding: key, as: UTF8.self)] = .init(JSONText(parts[2]), .init(at: Timestamp(microseconds: at), id: id))
            }
        }
    }
}
