import Events

/// A run as the desk tells it, with what is needed to say it in Opik's words.
struct StoredRun {
    var id: String
    var parent: String?
    var thread: String?
    var name: String?
    var input: JSONText?
    var output: JSONText?
    var model: String?
    var provider: String?
    var usage: JSONText?
    var cost: Double?
    var error: JSONText?
    var startedAt: Timestamp?
    var endedAt: Timestamp?
    var metadata: JSONText?
    var tags: [String]?
    var createdAt: Timestamp?
    var updatedAt: Timestamp?
    var scores: [StoredScore]
    var comments: [StoredComment]
    var thumbs: (up: Int64, down: Int64)
    var extra: [String: JSONText] = [:]

    /// nil where the document is not one of a run.
    init?(_ json: JSONValue) {
        guard let id = json["id"]?.string else { return nil }
        self.id = id
        parent = json["parent"]?.string
        thread = json["thread"]?.string
        input = json.json("input")
        output = json.json("output")
        usage = json.json("usage")
        cost = json["cost"]?.double
        error = json.json("error")
        startedAt = json.time("startedAt")
        endedAt = json.time("endedAt")
        createdAt = json.time("createdAt")
        updatedAt = json.time("updatedAt")
        scores = StoredScore.list(json["scores"])
        comments = StoredComment.list(json["comments"])
        let feedback = json["feedback"]
        thumbs = (feedback?["up"]?.integer ?? 0, feedback?["down"]?.integer ?? 0)
        var extra: [String: JSONText] = [:]
        json["extra"]?.forEachMember { key, value in
            if !value.isNull { extra[String(decoding: key, as: UTF8.self)] = JSONText(value) }
        }
        self.extra = extra
        name = Self.whole(json["name"]?.string, extra["name"])
        model = Self.whole(json["model"]?.string, extra["model"])
        provider = Self.whole(json["provider"]?.string, extra["provider"])
        metadata = json.json("metadata") ?? extra["metadata"]
        tags = RecordTags.of(extra) ?? json["tags"].flatMap { $0.count > 0 ? json.texts("tags") : nil }
    }

    init?(_ document: JSONText) {
        guard let run = document.reading({ StoredRun($0) }) else { return nil }
        self = run
    }

    /// A name that was cut, whole again; an older one that is another stays away.
    private static func whole(_ cut: String?, _ kept: JSONText?) -> String? {
        guard let kept = kept?.reading(\.string) else { return cut }
        guard let cut else { return kept }
        return kept.hasPrefix(cut) ? kept : cut
    }

    /// The text of a member of `extra`.
    func said(_ name: String) -> String? { extra[name]?.reading(\.scalarText) }

    var kind: RunRecord.Kind? { said("kind").flatMap { RunRecord.Kind(rawValue: $0) } }
    var trace: String? { said("trace") }

    /// What a run without a start time is sorted and shown by.
    var start: Timestamp? { startedAt ?? createdAt }

    /// From start to end in milliseconds.
    var duration: Double? {
        guard let startedAt, let endedAt else { return nil }
        return Double(endedAt.microseconds - startedAt.microseconds) / 1000
    }

    /// The spans of a turn come as runs in runs: all of them, this one first.
    static func flattened(_ json: JSONValue?, into runs: inout [String: StoredRun]) {
        json?.forEachElement { element in
            if let run = StoredRun(element) { runs[run.id] = run }
            flattened(element["runs"], into: &runs)
        }
    }
}

struct StoredScore {
    var name: String
    var value: Double?
    var category: String?
    var reason: String?
    var author: String
    var isOfPerson: Bool
    var at: Timestamp?

    static func list(_ json: JSONValue?) -> [StoredScore] {
        var scores: [StoredScore] = []
        json?.forEachElement { element in
            guard let name = element["name"]?.string else { return }
            let (value, category) = (element["value"]?.double, element["category"]?.string)
            guard value != nil || category != nil else { return }
            scores.append(
                StoredScore(
                    name: name, value: value, category: category, reason: element["reason"]?.string,
                    author: element["author"]?.string ?? ScoreRecord.defaultAuthor, isOfPerson: element["judge"]?.string == "person",
                    at: element.time("at")))
        }
        return scores
    }

    /// The mean of each name's values, over its authors.
    static func means(_ scores: [StoredScore]) -> [String: Double] {
        Dictionary(grouping: scores, by: \.name).mapValues { same in same.reduce(0) { $0 + ($1.value ?? 0) } / Double(same.count) }
    }
}

struct StoredComment {
    var id: String
    var text: String
    var author: String?
    var at: Timestamp?
    var changedAt: Timestamp?

    static func list(_ json: JSONValue?) -> [StoredComment] {
        var comments: [StoredComment] = []
        json?.forEachElement { element in
            guard let id = element["id"]?.string, let text = element["text"]?.string else { return }
            comments.append(
                StoredComment(
                    id: id, text: text, author: element["author"]?.string, at: element.time("at"), changedAt: element.time("changedAt")))
        }
        return comments
    }
}
