import Events

/// Where in an event a rule looks: names with dots between them, `*` for any one name, `**` for any number of them.
///
/// A path covers what it names and all that lies in it; lists take no name of their own. Refuses fields that hold what others go
/// by, or that are no words of a person.
struct FieldPath: Sendable, Hashable {
    enum Step: Sendable, Hashable {
        case name(String)
        case one
        case any
    }

    let steps: [Step]

    /// Fields that no rule reaches.
    static let fixed: Set<String> = [
        "id", "type", "thread", "at", "role", "kind", "target", "replyTo", "retryOf", "parent", "receipt", "within", "trace",
        "linkedTraces",
        "changes", "status", "thumb", "leaves", "judge", "value", "removed", "startedAt", "endedAt", "usage", "cost", "success", "model",
        "provider",
        "author", "reasons",
    ]

    /// The one path to a user's ID.
    static let userID = FieldPath(steps: [.name("user"), .name("id")])

    private init(steps: [Step]) { self.steps = steps }

    init(_ text: String) throws(Refusal) {
        func refusal(_ why: String) -> Refusal { Refusal(.badRequest, field: "scrubbing", "The path \(text.prefix(80)) \(why)") }
        guard text.utf8.count <= ScrubbingRule.Bounds.path else { throw refusal("is longer than \(ScrubbingRule.Bounds.path) bytes.") }
        let steps = text.split(separator: ".", omittingEmptySubsequences: false).map { name -> Step in
            name == "*" ? .one : name == "**" ? .any : .name(String(name))
        }
        guard !steps.contains(.name("")), steps.count <= 16 else {
            throw refusal("is none: write names with dots between them, like metadata.order.email.")
        }
        if case .name(let first) = steps[0], Self.fixed.contains(first) {
            throw refusal("can't be scrubbed: what others go by stays as it is. Without a path a rule looks everywhere it may.")
        }
        self.steps = steps
    }

    /// Whether it covers what lies at `trail`.
    func covers(_ trail: [String]) -> Bool { Self.covers(steps[...], trail[...]) }

    private static func covers(_ steps: ArraySlice<Step>, _ trail: ArraySlice<String>) -> Bool {
        guard let step = steps.first else { return true }
        let rest = steps.dropFirst()
        if step == .any {
            if rest.isEmpty { return true }
            for start in trail.indices where covers(rest, trail[start...]) { return true }
            return false
        }
        guard let name = trail.first, step == .one || step == .name(name) else { return false }
        return covers(rest, trail.dropFirst())
    }
}
