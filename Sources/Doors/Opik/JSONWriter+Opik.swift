import Events

/// The shapes of Opik's answers: TraceThread, Trace, Span, FeedbackScore, Comment. What is not there is left out, never null or empty,
/// as Opik's own end-to-end tests expect.
extension JSONWriter {
    /// ISO 8601 with microseconds, always six digits.
    mutating func time(_ name: String, _ time: Timestamp?) {
        guard let time else { return }
        var text = time.description
        if text.utf8.count == "2026-11-21T14:03:22.123Z".utf8.count { text = text.dropLast() + "000Z" }
        field(name, text)
    }

    mutating func thread(_ thread: StoredThread, of project: Project, queues: [Queue]) {
        object { writer in
            writer.field("id", thread.id)
            writer.field("project_id", project.id)
            writer.field("thread_model_id", thread.modelID)
            writer.time("start_time", thread.startTime)
            writer.time("end_time", thread.endTime)
            writer.field(ifPresent: "duration", thread.duration)
            writer.field(ifPresent: "first_message", thread.first)
            writer.field(ifPresent: "last_message", thread.last)
            writer.field("number_of_messages", thread.numberOfMessages)
            writer.field("status", thread.status)
            writer.scores("feedback_scores", thread.scores)
            writer.comments(thread.comments)
            writer.field(ifPresent: "tags", thread.tags)
            writer.field(ifPresent: "total_estimated_cost", thread.spans.cost)
            writer.usage(thread.spans.usage)
            writer.queues(queues.filter { $0.items.contains(thread.modelID) })
            writer.field(ifPresent: "environment", thread.environment)
            writer.stamps(created: thread.createdAt, changed: thread.updatedAt)
        }
    }

    mutating func run(
        _ run: StoredRun, _ kind: RunRecord.Kind, of project: Project, spans: SpanSummary = SpanSummary(), queues: [Queue] = [],
        excluding excluded: Set<String> = []
    ) {
        object { writer in
            func unless(_ name: String, _ write: (inout JSONWriter) -> Void) { if !excluded.contains(name) { write(&writer) } }
            writer.field("id", run.id)
            writer.field("project_id", project.id)
            if kind == .span {
                writer.field(ifPresent: "trace_id", run.trace)
                if run.parent != run.trace { writer.field(ifPresent: "parent_span_id", run.parent) }
                writer.field("type", run.said("type") ?? "general")
                unless("model") { $0.field(ifPresent: "model", run.model) }
                unless("provider") { $0.field(ifPresent: "provider", run.provider) }
                unless("usage") { $0.field(ifPresent: "usage", run.usage ?? run.extra["usage"]) }
                unless("total_estimated_cost") { $0.field(ifPresent: "total_estimated_cost", run.cost) }
            } else {
                unless("thread_id") { $0.field(ifPresent: "thread_id", run.thread) }
                unless("usage") { $0.usage(spans.usage) }
                unless("total_estimated_cost") { $0.field(ifPresent: "total_estimated_cost", spans.cost) }
                unless("span_count") { $0.field("span_count", spans.count) }
                unless("llm_span_count") { $0.field("llm_span_count", spans.llmCount) }
                unless("has_tool_spans") { $0.field("has_tool_spans", spans.hasTools) }
                unless("providers") { $0.field(ifPresent: "providers", spans.providers) }
                unless("span_feedback_scores") { $0.scores("span_feedback_scores", spans.scores) }
                unless("annotation_queues") { writer in writer.queues(queues.filter { $0.items.contains(run.id) }) }
                unless("visibility_mode") { $0.field("visibility_mode", "default") }
            }
            unless("name") { $0.field(ifPresent: "name", run.name) }
            // The SDK's models need one, also of a run that only patches have made so far.
            writer.time("start_time", run.start ?? .zero)
            unless("end_time") { $0.time("end_time", run.endedAt) }
            unless("duration") { $0.field(ifPresent: "duration", run.duration) }
            unless("input") { $0.field(ifPresent: "input", run.input) }
            unless("output") { $0.field(ifPresent: "output", run.output) }
            unless("metadata") { $0.metadata(of: run, kind, providers: spans.providers) }
            unless("tags") { if let tags = run.tags { $0.field("tags", tags) } }
            unless("error_info") { $0.field(ifPresent: "error_info", run.error) }
            unless("feedback_scores") { $0.scores("feedback_scores", run.shownScores) }
            unless("comments") { $0.comments(run.comments) }
            for (name, value) in run.extra.sorted(by: { $0.key < $1.key })
            where !StoredRun.isToldElsewhere(name) && !excluded.contains(name) {
                writer.field(["_kind", "_trace", "_type"].contains(name) ? String(name.dropFirst()) : name, value)
            }
            writer.stamps(created: run.createdAt, changed: run.updatedAt)
        }
    }

    /// Opik names the providers of a trace's spans in its metadata, on read.
    private mutating func metadata(of run: StoredRun, _ kind: RunRecord.Kind, providers: [String]) {
        var added = JSONWriter()
        switch kind {
        case .trace where !providers.isEmpty: added.array(providers) { $0.value($1) }
        case .span:
            guard let provider = run.provider else { return field(ifPresent: "metadata", run.metadata) }
            added.value(provider)
        default: return field(ifPresent: "metadata", run.metadata)
        }
        let name = kind == .trace ? "providers" : "provider"
        guard let metadata = run.metadata else {
            key("metadata")
            return object { $0.field(name, JSONText(trusted: added.bytes)) }
        }
        guard metadata.bytes.first == UInt8(ascii: "{") else { return field("metadata", metadata) }
        var merged = JSONWriter()
        merged.object { merged in
            _ = metadata.reading { json -> Void? in
                json.forEachMember { key, value in
                    let key = String(decoding: key, as: UTF8.self)
                    if key != name { merged.field(key, JSONText(value)) }
                }
                return nil
            }
            merged.field(name, JSONText(trusted: added.bytes))
        }
        field("metadata", JSONText(trusted: merged.bytes))
    }

    /// One score a name; several authors are averaged, each with its own in `value_by_author`.
    mutating func scores(_ name: String, _ scores: [StoredScore]) {
        guard !scores.isEmpty else { return }
        key(name)
        let byName = Dictionary(grouping: scores, by: \.name)
        array(byName.keys.sorted()) { writer, name in
            let same = byName[name]!
            writer.object { writer in
                writer.field("name", name)
                writer.field("value", same.reduce(0) { $0 + ($1.value ?? 0) } / Double(same.count))
                writer.scoreDetails(same[0], isOnly: same.count == 1)
                writer.time("created_at", same.compactMap(\.at).min())
                writer.time("last_updated_at", same.compactMap(\.at).max())
                writer.field("created_by", same[0].author)
                writer.field("last_updated_by", same[same.count - 1].author)
                writer.key("value_by_author")
                writer.object { writer in
                    for score in same {
                        writer.key(score.author)
                        writer.object { writer in
                            writer.field("value", score.value ?? 0)
                            writer.scoreDetails(score, isOnly: true)
                            writer.field("author", score.author)
                            writer.time("last_updated_at", score.at)
                        }
                    }
                }
            }
        }
    }

    private mutating func scoreDetails(_ score: StoredScore, isOnly: Bool) {
        field("source", score.isOfPerson ? "ui" : "sdk")
        guard isOnly else { return }
        field(ifPresent: "category_name", score.category)
        field(ifPresent: "reason", score.reason)
    }

    private mutating func comments(_ comments: [StoredComment]) {
        guard !comments.isEmpty else { return }
        key("comments")
        array(comments) { $0.comment($1) }
    }

    mutating func comment(_ comment: StoredComment) {
        object { writer in
            writer.field("id", comment.id)
            writer.field("text", comment.text)
            let author = comment.author ?? ScoreRecord.defaultAuthor
            writer.stamps(created: comment.at, changed: comment.changedAt ?? comment.at, by: author)
        }
    }

    private mutating func usage(_ usage: [String: Double]) {
        guard !usage.isEmpty else { return }
        key("usage")
        object { writer in for (name, sum) in usage.sorted(by: { $0.key < $1.key }) { writer.field(name, sum) } }
    }

    private mutating func queues(_ queues: [Queue]) {
        guard !queues.isEmpty else { return }
        key("annotation_queues")
        array(queues) { writer, queue in
            writer.object { writer in
                writer.field("id", queue.id)
                writer.field("name", queue.name)
            }
        }
    }

    mutating func stamps(created: Timestamp?, changed: Timestamp?, by author: String = ScoreRecord.defaultAuthor) {
        time("created_at", created)
        field("created_by", author)
        time("last_updated_at", changed)
        field("last_updated_by", author)
    }
}

extension StoredRun {
    /// Members of `extra` that stand under another name or are told from elsewhere.
    static func isToldElsewhere(_ name: String) -> Bool {
        switch name {
        case "kind", "trace", "type", "tags", "tagsAt", "name", "model", "provider", "metadata", "usage", "project_name", "project_id",
            "last_updated_at", "created_at", "created_by", "last_updated_by", "duration", "visibility_mode", "id", "_tags", "_tagsAt",
            "total_estimated_cost", "span_count", "llm_span_count", "has_tool_spans", "providers", "feedback_scores", "comments",
            "span_feedback_scores", "annotation_queues", "thread_id", "trace_id", "parent_span_id", "start_time", "end_time", "input",
            "output", "error_info":
            true
        default: name.hasPrefix("tag:")
        }
    }

    /// Its scores, and the visitors' thumbs as the one that Opik's own page calls `User feedback`.
    var shownScores: [StoredScore] {
        let votes = thumbs.up + thumbs.down
        guard votes > 0, !scores.contains(where: { $0.name == "User feedback" }) else { return scores }
        return scores + [
            StoredScore(
                name: "User feedback", value: Double(thumbs.up) / Double(votes), author: "visitors", isOfPerson: true, at: updatedAt)
        ]
    }
}
