import Events

/// A thread as the desk tells it, and its traces once they were asked for.
struct StoredThread {
    var id: String
    var number: Int64
    var status: String
    var tags: [String]
    var messageCount: Int64
    var firstAt: Timestamp?
    var lastAt: Timestamp?
    var firstMessage: JSONText?
    var lastMessage: JSONText?
    var scores: [StoredScore]
    var comments: [StoredComment]
    /// The traces of the thread, the earliest first, and the spans below them.
    var traces: [StoredRun] = []
    var spans = SpanSummary()

    var modelID: String { ThreadModelID.of(number) }
    var isActive: Bool { status == "active" }

    /// A summary, as in the list of threads.
    init?(summary json: JSONValue) {
        guard let id = json["id"]?.string else { return nil }
        self.id = id
        number = json["number"]?.integer ?? 0
        status = json["status"]?.string ?? "active"
        tags = json.texts("tags")
        messageCount = json["messageCount"]?.integer ?? 0
        firstAt = json.time("firstAt")
        lastAt = json.time("lastAt")
        firstMessage = json["firstMessage"]?.json("text")
        lastMessage = json["lastMessage"]?.json("text")
        scores = StoredScore.list(json["scores"])
        comments = StoredComment.list(json["comments"])
    }

    /// A conversation whole: every run under its messages, and the loose ones.
    init?(conversation json: JSONValue) {
        guard let summary = json["thread"], let thread = StoredThread(summary: summary) else { return nil }
        self = thread
        var runs: [String: StoredRun] = [:]
        json["items"]?.forEachElement { StoredRun.flattened($0["runs"], into: &runs) }
        StoredRun.flattened(json["runs"], into: &runs)
        let id = self.id
        // A trace without a thread of its own is there because it hangs under a message of this one.
        traces = runs.values.filter { $0.kind == .trace && ($0.thread ?? id) == id }.sorted { $0.precedes($1) }
        let ids = Set(traces.map(\.id))
        spans = SpanSummary(runs.values.filter { $0.kind == .span && $0.trace.map { ids.contains($0) } == true })
    }

    init?(_ conversation: JSONText) {
        guard let thread = conversation.reading({ StoredThread(conversation: $0) }) else { return nil }
        self = thread
    }

    // MARK: what the traces add up to

    var startTime: Timestamp? { traces.compactMap(\.startedAt).min() ?? firstAt }
    var endTime: Timestamp? { traces.compactMap(\.endedAt).max() }

    /// Milliseconds; nil while no trace has ended.
    var duration: Double? {
        guard let startTime, let endTime else { return nil }
        return Double(endTime.microseconds - startTime.microseconds) / 1000
    }

    /// Twice the traces, as Opik counts; of a thread without traces, its messages.
    var numberOfMessages: Int64 { traces.isEmpty ? messageCount : Int64(2 * traces.count) }

    /// What the earliest trace took.
    var first: JSONText? { traces.isEmpty ? firstMessage : traces.first?.input }

    /// What the trace gave that ended last; a trace without an end counts by its start.
    var last: JSONText? {
        guard !traces.isEmpty else { return lastMessage }
        let answered = traces.filter { $0.output != nil }
        return answered.max { ($0.endedAt ?? $0.start ?? .zero, $0.id) < ($1.endedAt ?? $1.start ?? .zero, $1.id) }?.output
    }

    var createdAt: Timestamp? { traces.compactMap(\.createdAt).min() ?? firstAt }

    var updatedAt: Timestamp? { (traces.compactMap(\.updatedAt) + [lastAt].compactMap(\.self)).max() }

    var environment: String? { traces.last { $0.extra["environment"] != nil }?.said("environment") }
}

extension StoredRun {
    /// By start, then by ID: imported turns have IDs of the day of the import.
    fileprivate func precedes(_ other: StoredRun) -> Bool {
        (start ?? .zero, id) < (other.start ?? .zero, other.id)
    }
}

extension Timestamp {
    static let zero = Timestamp(microseconds: 0)
}
