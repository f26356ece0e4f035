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

    /// P-LIMIT-6: with so many tags a page's further ones stay in their events.
    public static let mostTags = 256

    /// - Parameters:
    ///   - provenance: how far the sender is known, where that matters.
    ///   - isTagging: false where the event's tags count no more.
    public mutating func apply(_ event: Event, at: Timestamp, from provenance: Provenance? = nil, isTagging: Bool = true) {
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
            if isTagging { for tag in message.tags { set(tag, true, place) } }
        case .thread(let patch):
            if isTagging {
                for tag in patch.tags { set(tag, true, place) }
                for tag in patch.untag { set(tag, false, place) }
            }
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

/// A user's properties: field by field, what the latest event said, a backend's word before any page's (P-USER-2); absence never erases.
///
/// P-LIMIT-7: they stand beside every conversation of that user, so they have bounds, whatever a page claims of somebody. Which fields
/// stay doesn't depend on the order in which they came. Whole they all are in their events.
public struct PropsFold: Sendable, Equatable {
    public static let mostFields = 128
    /// A name longer than this, in bytes, is left out.
    public static let longestName = 128
    /// A value whose text is longer than this, in bytes, stands there as its beginning, a string.
    public static let longestValue = 1024

    private struct Field: Sendable, Equatable {
        var latest: ThreadFold.Latest<JSONText>
        /// Whether a secret key said it.
        var isTrusted: Bool
    }

    private var fields: [String: Field] = [:]

    public init() {}

    /// - Parameter lane: whose word it is.
    public mutating func apply(_ props: JSONText, at place: ThreadFold.Place, from lane: Lane = .secret) {
        try? JSONDocument.read(props.bytes, isOurs: true) { json in
            json.forEachMember { key, value in
                guard key.count <= Self.longestName else { return }
                set(String(decoding: key, as: UTF8.self), Self.shortened(JSONText(value)), place, isTrusted: lane == .secret)
            }
        }
        guard fields.count > Self.mostFields else { return }
        let kept = fields.sorted { Self.rank($0) > Self.rank($1) }.prefix(Self.mostFields)
        fields = Dictionary(uniqueKeysWithValues: kept.map { ($0.key, $0.value) })
    }

    private mutating func set(_ name: String, _ text: JSONText, _ place: ThreadFold.Place, isTrusted: Bool) {
        let new = Field(latest: .init(text, place), isTrusted: isTrusted)
        if let known = fields[name] {
            let (a, b) = (Self.rank((name, new)), Self.rank((name, known)))
            guard a > b || a == b && !text.canonical.lexicographicallyPrecedes(known.latest.value.canonical) else { return }
        }
        fields[name] = new
    }

    private static func rank(_ field: (key: String, value: Field)) -> (Int, ThreadFold.Place, String) {
        (field.value.isTrusted ? 1 : 0, field.value.latest.place, field.key)
    }

    private static func shortened(_ text: JSONText) -> JSONText {
        guard text.bytes.count > longestValue else { return text }
        // A cut letter becomes U+FFFD, and goes.
        var beginning = String(decoding: text.bytes.prefix(longestValue / 2), as: UTF8.self)
        if beginning.hasSuffix("\u{FFFD}") { beginning.removeLast() }
        var writer = JSONWriter()
        writer.value(beginning + "…")
        return JSONText(trusted: writer.bytes)
    }

    public var props: JSONText? {
        guard !fields.isEmpty else { return nil }
        var writer = JSONWriter()
        writer.object { writer in for name in fields.keys.sorted() { writer.field(name, fields[name]!.latest.value) } }
        return JSONText(trusted: writer.bytes)
    }

    /// Its form at rest: `{"plan":[at,"event id",value]}`, with `true` as a fourth where a secret key said it.
    public var stored: JSONText {
        var writer = JSONWriter()
        writer.object { writer in
            for (name, field) in fields {
                writer.key(name)
                writer.array {
                    $0.value(field.latest.place.at.microseconds); $0.value(field.latest.place.id); $0.value(field.latest.value)
                    if field.isTrusted { $0.value(true) }
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
                guard parts.count >= 3, let at = parts[0].integer, let id = parts[1].string else { return }
                let latest = ThreadFold.Latest(JSONText(parts[2]), .init(at: Timestamp(microseconds: at), id: id))
                fields[String(decoding: key, as: UTF8.self)] = Field(latest: latest, isTrusted: parts.count > 3)
            }
        }
    }
}
