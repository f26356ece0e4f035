public import Events

/// One step a backend took: the fold of its parts, field by field.
///
/// Of two parts that both have a field, the later one's counts (by its time, then by its digest, so that the order of
/// arrival decides nothing); a field that is absent from a part never erases one that is there.
public struct Run: Sendable, Equatable {
    public var id: String
    public var kind: Event.RunKind?
    public var name: String?
    public var parent: String?
    /// The parent that a receipt came with.
    private var receipted: String?
    public var thread: String?
    public var user: String?
    public var input: JSONText?
    public var output: JSONText?
    public var model: String?
    public var provider: String?
    public var usage: JSONText?
    public var cost: Double?
    public var success: Bool?
    public var error: JSONText?
    public var startedAt: Timestamp?
    public var endedAt: Timestamp?
    public var metadata: JSONText?
    public var tags: [String] = []
    public var question: String?
    public var answer: String?
    public var within: String?
    public var trace: String?
    public var linkedTraces: [String] = []
    /// What its senders said besides, each member by its newest version.
    public var extra: JSONText?
    /// The versions of the oldest and the newest part.
    public var createdAt: Timestamp
    public var updatedAt: Timestamp

    /// A part on its way into the fold.
    public struct Part: Sendable {
        public var event: Event
        public var at: Timestamp
        public var digest: ContentDigest
        public init(event: Event, at: Timestamp, digest: ContentDigest) { (self.event, self.at, self.digest) = (event, at, digest) }

        fileprivate var extra: JSONText? {
            guard case .run(let fields) = event.body, let extra = fields.extra, extra.bytes.count > 2 else { return nil }
            return extra
        }
    }

    /// Folds the parts of one run; nil when there are none.
    public init?(folding parts: some Sequence<Part>) {
        var ordered = Array(parts)
        // Most runs come whole.
        if ordered.count > 1 {
            ordered.sort { a, b in a.at == b.at ? a.digest.bytes.lexicographicallyPrecedes(b.digest.bytes) : a.at < b.at }
        }
        guard let first = ordered.first, let last = ordered.last else { return nil }
        id = first.event.id
        (createdAt, updatedAt) = (first.at, last.at)
        for part in ordered { apply(part) }
        let extras = ordered.compactMap(\.extra)
        extra = extras.count > 1 ? Self.merged(extras) : extras.first
    }

    private mutating func apply(_ part: Part) {
        guard case .run(let fields) = part.event.body else { return }
        kind = fields.kind ?? kind
        name = fields.name ?? name
        parent = fields.parent ?? parent
        if fields.receipt != nil { receipted = fields.parent ?? receipted }
        thread = part.event.thread ?? thread
        user = part.event.user?.key ?? user
        input = fields.input ?? input
        output = fields.output ?? output
        model = fields.model ?? model
        provider = fields.provider ?? provider
        usage = fields.usage ?? usage
        cost = fields.cost ?? cost
        success = fields.success ?? success
        error = fields.error ?? error
        startedAt = fields.startedAt ?? startedAt
        endedAt = fields.endedAt ?? endedAt
        metadata = part.event.metadata ?? metadata
        if !fields.tags.isEmpty { tags = fields.tags }
        question = fields.question ?? question
        answer = fields.answer ?? answer
        within = fields.within ?? within
        trace = fields.trace ?? trace
        if !fields.linkedTraces.isEmpty { linkedTraces = fields.linkedTraces }
    }

    private static func merged(_ extras: [JSONText]) -> JSONText {
        var members: [(key: String, value: JSONText)] = []
        var places: [String: Int] = [:]
        for extra in extras {
            try? JSONDocument.read(extra.bytes, isOurs: true) { json in
                json.forEachMember { key, value in
                    let name = String(decoding: key, as: UTF8.self)
                    if let place = places[name] {
                        members[place].value = JSONText(value)
                    } else {
                        places[name] = members.count
                        members.append((name, JSONText(value)))
                    }
                }
            }
        }
        var writer = JSONWriter()
        writer.object { writer in for (key, value) in members { writer.field(key, value) } }
        return JSONText(trusted: writer.bytes)
    }

    /// Whether a receipt proved that its parent is a stored thing of the project (P-RCPT-2).
    public var isParentProven: Bool { parent != nil && parent == receipted }

    /// Whether it is a whole turn of its thread: what a user said, or what was answered.
    public var isTurn: Bool { thread != nil && (question != nil || answer != nil) }

    /// Whose messages a turn tells of.
    public var turnRoles: [Event.Role] { (question == nil ? [] : [.user]) + (answer == nil ? [] : [.assistant]) }

    /// When a turn moves its thread, by its parts in any order: at their starts, and where a part with words tells none, at its end.
    public static func turnTimes(of parts: some Sequence<Part>) -> [Timestamp] {
        parts.compactMap { part in
            guard case .run(let fields) = part.event.body else { return nil }
            if let startedAt = fields.startedAt { return startedAt }
            return fields.question == nil && fields.answer == nil ? nil : fields.endedAt ?? part.at
        }
    }

    /// Milliseconds from start to end, where both are known.
    public var latencyMilliseconds: Double? {
        guard let startedAt, let endedAt, endedAt >= startedAt else { return nil }
        return Double(endedAt.microseconds - startedAt.microseconds) / 1000
    }

    /// Whether it failed: said so, or an error came with it.
    public var failed: Bool { success == false || (success == nil && error != nil) }
}
