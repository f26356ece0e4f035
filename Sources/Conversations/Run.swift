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

    /// A part on its way into the fold.
    public struct Part: Sendable {
        public var event: Event
        public var at: Timestamp
        public var digest: ContentDigest
        public init(event: Event, at: Timestamp, digest: ContentDigest) { (self.event, self.at, self.digest) = (event, at, digest) }
    }

    /// Folds the parts of one run; nil when there are none.
    public init?(folding parts: some Sequence<Part>) {
        let ordered = parts.sorted { a, b in
            (a.at, a.digest.bytes.lexicographicKey) < (b.at, b.digest.bytes.lexicographicKey)
        }
        guard let first = ordered.first else { return nil }
        id = first.event.id
        for part in ordered { apply(part) }
    }

    private mutating func apply(_ part: Part) {
        guard case .run(let fields) = part.event.body else { return }
        kind = fields.kind ?? kind
        name = fields.name ?? name
        parent = fields.parent ?? parent
        thread = part.event.thread ?? thread
        user = part.event.user?.id ?? user
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
    }

    /// Milliseconds from start to end, where both are known.
    public var latencyMilliseconds: Double? {
        guard let startedAt, let endedAt, endedAt >= startedAt else { return nil }
        return Double(endedAt.microseconds - startedAt.microseconds) / 1000
    }

    /// Whether it failed: said so, or an error came with it.
    public var failed: Bool { success == false || (success == nil && error != nil) }
}

extension [UInt8] {
    /// Bytes as text that sorts as they do.
    fileprivate var lexicographicKey: String { map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
}
