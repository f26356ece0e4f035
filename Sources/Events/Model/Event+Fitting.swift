extension Event {
    /// The event within the bounds of our fields, for doors whose dialect has none: names and tags that are too long are cut,
    /// IDs that are too long are refused, since a cut ID would be another one.
    public func fitted() throws(Refusal) -> Event {
        var event = self
        try checkPlace()
        switch body {
        case .thread(var patch):
            patch.tags = Self.fit(patch.tags)
            patch.untag = Self.fit(patch.untag)
            event.body = .thread(patch)
        case .message(var message):
            try Self.check(message.replyTo, "replyTo")
            try Self.check(message.retryOf, "retryOf")
            try Self.check(message.trace, "trace")
            message.tags = Self.fit(message.tags)
            event.body = .message(message)
        case .event(let name): event.body = .event(name: Self.fit(name) ?? "event")
        case .feedback(let feedback): try Self.check(feedback.target, "target")
        case .run(var part):
            try part.fit()
            event.body = .run(part)
        case .score(var score):
            try Self.check(score.target, "target")
            try Self.check(score.author, "author")
            guard let name = Self.fit(score.name) else { throw Refusal(.missingField, field: "name", "name is required.") }
            score.name = name
            score.category = Self.fit(score.category)
            event.body = .score(score)
        case .comment(let comment):
            try Self.check(comment.target, "target")
            try Self.check(comment.changes, "changes")
            try Self.check(comment.author, "author")
        case .trace(let target, let trace):
            try Self.check(target, "target")
            try Self.check(trace, "trace")
        case .identify, .clientReport, .other: break
        }
        return event
    }

    /// Whether its own ID, its thread's and its user's are within bounds.
    public func checkPlace() throws(Refusal) {
        try Self.check(id, "id")
        try Self.check(thread, "thread")
        if let user { try Self.check(user.id, "user.id") }
    }

    fileprivate static func check(_ id: String?, _ field: String) throws(Refusal) {
        guard let id else { return }
        guard !id.isEmpty, id.utf8.count <= Bounds.id || id.unicodeScalars.count <= Bounds.id, !id.utf8.contains(0) else {
            throw Refusal(.invalidField, field: field, "\(field) must be 1 to \(Bounds.id) characters without NUL.")
        }
    }

    /// nil for a text that is empty, since fields are left out rather than empty.
    fileprivate static func fit(_ text: String?, to most: Int = Bounds.name) -> String? {
        guard var text, !text.isEmpty else { return nil }
        if text.utf8.contains(0) { text = text.replacing("\0", with: "") }
        guard text.utf8.count > most, text.unicodeScalars.count > most else { return text.isEmpty ? nil : text }
        return String(String.UnicodeScalarView(text.unicodeScalars.prefix(most)))
    }

    fileprivate static func fit(_ tags: [String]) -> [String] {
        guard !tags.isEmpty else { return tags }
        var seen: Set<String> = []
        return Array(tags.compactMap { fit($0, to: Bounds.tag) }.filter { seen.insert($0).inserted }.prefix(Bounds.tags))
    }
}

extension Event.RunPart {
    /// Brings it within the bounds of our fields, as `Event.fitted` does, in its place: a door that makes many runs copies none.
    public mutating func fit() throws(Refusal) {
        try Event.check(parent, "parent")
        try Event.check(within, "within")
        try Event.check(trace, "trace")
        name = Event.fit(name)
        model = Event.fit(model)
        provider = Event.fit(provider)
        tags = Event.fit(tags)
        linkedTraces = Event.fit(linkedTraces)
    }
}
