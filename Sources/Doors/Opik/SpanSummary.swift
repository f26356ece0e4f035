import Events

/// What the spans of a trace, or of all traces of a thread, add up to.
struct SpanSummary {
    var count = 0
    var llmCount = 0
    var hasTools = false
    /// Sorted, each once.
    var providers: [String] = []
    /// Sums by name.
    var usage: [String: Double] = [:]
    var cost: Double?
    var scores: [StoredScore] = []

    init() {}

    init(_ spans: some Sequence<StoredRun>) {
        var providers: Set<String> = []
        for span in spans {
            count += 1
            if span.said("type") == "llm" { llmCount += 1 }
            if span.said("type") == "tool" { hasTools = true }
            if let provider = span.provider { providers.insert(provider) }
            if let cost = span.cost { self.cost = (self.cost ?? 0) + cost }
            scores += span.scores
            span.usage?.reading { json -> Void? in
                json.forEachMember { key, value in
                    if let number = value.double { usage[String(decoding: key, as: UTF8.self), default: 0] += number }
                }
                return nil
            }
        }
        self.providers = providers.sorted()
    }
}
