public import Conversations
public import Events

extension ThreadFilter {
    /// The filters out of an address' parameters, `feedback=down&status=inactive`, for nobody in particular.
    public init(parameters: String) throws(Refusal) { try self.init(Query(parameters), viewer: nil) }

    /// The filters of `/v1/threads` and `/v1/export`, under the names the page's own address uses too.
    /// - Parameter viewer: whose seen marks count; nil for a key.
    init(_ query: Query, viewer: Member?) throws(Refusal) {
        self.init()
        words = query["q"]
        user = query["user"]
        tag = query["tag"]
        role = try query.choice("role", of: Event.Role.allCases)
        feedback = try query.choice("feedback", of: [FeedbackKind.up, .down, .any, .none])
        from = try query.time("from")
        to = try query.time("to")
        status = try query.choice("status", of: [Event.ThreadPatch.Status.active, .inactive])
        score = try query["score"].map { text throws(Refusal) in try Self.score(text) }
        provenance = try query.choice("provenance", of: ProvenanceKind.allCases)
        hasError = try query.flag("error")
        runs = try query.choice("runs", of: RunState.allCases)
        isReviewed = try query.flag("reviewed")
        isSeen = try query.flag("seen")
        self.viewer = viewer?.id
        guard isSeen == nil || viewer != nil else { throw .parameter("seen", "is for a signed-in person; a key sees nothing") }
    }

    /// `any`, `none`, `NAME`, `NAME>=0.5`, `NAME=good`.
    private static func score(_ text: String) throws(Refusal) -> ScoreCondition {
        switch text {
        case "any": return .any
        case "none": return .none
        default: break
        }
        // The longer signs first, so that `>=` is not read as `>`.
        for comparison in [Comparison.atLeast, .atMost, .above, .below, .equal] {
            guard let sign = text.firstRange(of: comparison.rawValue) else { continue }
            let (name, value) = (String(text[..<sign.lowerBound]), String(text[sign.upperBound...]))
            guard !name.isEmpty, !value.isEmpty else { break }
            if let number = Double(value), number.isFinite { return .value(name, comparison, number) }
            if comparison == .equal { return .category(name, value) }
            throw .parameter("score", "must compare with a number, like quality>=0.5")
        }
        return .named(text)
    }
}
