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
    /// Where its messages came from, by `bit(of:)`.
    public var provenances = 0
    public var firstMessage: Place?
    public var lastMessage: Place?
    public var firstAt: Timestamp?
    /// The latest message or custom event; what is said of a thread (its status, tags, votes, scores) does not move it up the list.
    public var lastAt: Timestamp?
    /// The user the thread's earliest event named, by `Event.User.key`; one who is proven stands before one who is only named.
    public var user: Latest<String>?
    public var status: Latest<Event.ThreadPatch.Status>?
    public var metadata: Latest<JSONText>?
    /// Each tag that was set or taken off, by what was said of it last.
    public var tags: [String: Latest<Bool>] = [:]
    /// Whether there are runs in it that are turns; their messages are found when it is read.
    public var hasTurns = false

    public init() {}

    /// Whether anything was folded in.
    public var isEmpty: Bool { firstAt == nil }

    /// - Parameter provenance: how far the sender is known, where that matters.
    public mutating func apply(_ event: Event, at: Timestamp, from provenance: Provenance? = nil) {
        let place = Place(at: at, id: event.id)
        firstAt = min(firstAt ?? at, at)
        if let name = event.user?.key { meet(Latest(name, place)) }
        switch event.body {
        case .message(let message):
            messageCount += 1
            roles |= Self.bit(of: message.role)
            if let provenance { provenances |= Self.bit(of: provenance) }
            firstMessage = min(firstMessage ?? place, place)
            lastMessage = max(lastMessage ?? place, place)
            lastAt = max(lastAt ?? at, at)
            for tag in message.tags { set(tag, true, place) }
        case .thread(let patch):
            for tag in patch.tags { set(tag, true, place) }
            for tag in patch.untag { set(tag, false, place) }
            if let new = patch.status, status.map({ $0.place < place }) ?? true { status = Latest(new, place) }
            if let new = event.metadata, metadata.map({ $0.place < place }) ?? true { metadata = Latest(new, place) }
        case .event, .other:
            lastAt = max(lastAt ?? at, at)
        default: break
        }
    }

    /// P-AUTH-4: nobody who only says a name takes the place of somebody who proved one.
    private mutating func meet(_ new: Latest<String>) {
        guard let user else { return self.user = new }
        let (isProven, wasProven) = (new.value.first == Event.User.mark, user.value.first == Event.User.mark)
        if isProven == wasProven ? (new.place, new.value) < (user.place, user.value) : isProven { self.user = new }
    }

    private mutating func set(_ tag: String, _ isOn: Bool, _ place: Place) {
        if let known = tags[tag], place < known.place || (place == known.place && known.value) { return }
        tags[tag] = Latest(isOn, place)
    }

    /// A run of the thread turned out to be a turn of it, with what was asked or answered or both.
    public mutating func applyTurn(at: Timestamp, roles: [Event.Role] = []) {
        hasTurns = true
        for role in roles { self.roles |= Self.bit(of: role) }
        // Only a backend tells of runs.
        provenances |= Self.bit(of: .verified)
        firstAt = min(firstAt ?? at, at)
        lastAt = max(lastAt ?? at, at)
    }

    /// Takes over what another thread's events add up to, when the two turn out to be one.
    public mutating func merge(_ other: ThreadFold) {
        messageCount += other.messageCount
        roles |= other.roles
        provenances |= other.provenances
        firstMessage = [firstMessage, other.firstMessage].compactMap(\.self).min()
        lastMessage = [lastMessage, other.lastMessage].compactMap(\.self).max()
        firstAt = [firstAt, other.firstAt].compactMap(\.self).min()
        lastAt = [lastAt, other.lastAt].compactMap(\.self).max()
        if let theirs = other.user { meet(theirs) }
        if let theirs = other.status, status.map({ $0.place < theirs.place }) ?? true { status = theirs }
        if let theirs = other.metadata, metadata.map({ $0.place < theirs.place }) ?? true { metadata = theirs }
        for (tag, theirs) in other.tags { set(tag, theirs.value, theirs.place) }
        hasTurns = hasTurns || other.hasTurns
    }

    public static func bit(of role: Event.Role) -> Int { 1 << Event.Role.allCases.firstIndex(of: role)! }

    public static func bit(of provenance: Provenance) -> Int {
        switch provenance {
        case .verified: 1
        case .claimed: 2
        case .anonymous: 4
        }
    }
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
