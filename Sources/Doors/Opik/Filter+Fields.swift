import Events

/// The fields that can be searched by, and what a thread or run holds under each.
extension Filter {
    static let threadFields: [String: Kind] = [
        "id": .text, "first_message": .text, "last_message": .text, "number_of_messages": .number, "duration": .number,
        "created_at": .time, "last_updated_at": .time, "start_time": .time, "end_time": .time, "status": .choice,
        "environment": .choice, "tags": .list, "annotation_queue_ids": .list, "feedback_scores": .score, "total_estimated_cost": .number,
        "usage.*": .number, "created_by": .text, "source": .choice, "comments": .presence,
    ]

    private static let runFields: [String: Kind] = [
        "id": .text, "name": .text, "input": .text, "output": .text, "start_time": .time, "end_time": .time, "created_at": .time,
        "last_updated_at": .time, "duration": .number, "ttft": .number, "metadata": .path, "input_json": .path, "output_json": .path,
        "tags": .list, "environment": .choice, "source": .choice, "feedback_scores": .score, "error_info": .presence,
        "total_estimated_cost": .number, "usage.*": .number, "created_by": .text, "last_updated_by": .text, "comments": .presence,
        "guardrails": .text, "experiment_id": .text, "visibility_mode": .choice,
    ]

    static let traceFields = runFields.merging([
        "thread_id": .text, "span_feedback_scores": .score, "llm_span_count": .number, "span_count": .number,
        "annotation_queue_ids": .list, "providers": .list,
    ]) { $1 }

    static let spanFields = runFields.merging([
        "trace_id": .text, "parent_span_id": .text, "type": .choice, "model": .text, "provider": .text,
    ]) { $1 }

    /// Whether a thread's summary is enough to tell.
    var needsOnlySummary: Bool { ["id", "status", "tags", "feedback_scores", "annotation_queue_ids", "comments"].contains(field) }

    /// Whether a trace's spans have to be read to tell.
    var needsSpans: Bool {
        ["total_estimated_cost", "span_feedback_scores", "llm_span_count", "span_count", "providers"].contains(field)
            || field.hasPrefix("usage.")
    }

    /// The ID that is asked for and no other, whatever else is.
    static func exact(_ field: String, in filters: [Filter]) -> String? {
        filters.first { $0.field == field && $0.comparison == .equals }?.value
    }
}

extension StoredThread {
    func matches(_ filter: Filter, queues: [Queue]) -> Bool { filter.matches(held(filter.field, queues: queues)) }

    func held(_ field: String, queues: [Queue]) -> Filter.Held {
        switch field {
        case "id": .text(id)
        case "first_message": .text(first?.string)
        case "last_message": .text(last?.string)
        case "number_of_messages": .number(Double(numberOfMessages))
        case "duration": .number(duration)
        case "created_at": .time(createdAt)
        case "last_updated_at": .time(updatedAt)
        case "start_time": .time(startTime)
        case "end_time": .time(endTime)
        case "status": .text(status)
        case "environment": .text(environment)
        case "tags": .list(tags)
        case "annotation_queue_ids": .list(queues.filter { $0.items.contains(modelID) }.map(\.id))
        case "feedback_scores": .scores(StoredScore.means(scores))
        case "total_estimated_cost": .number(spans.cost)
        case "created_by": .text(ScoreRecord.defaultAuthor)
        case "source": .text(traces.last?.said("source"))
        case "comments": .presence(!comments.isEmpty)
        default: .number(field.hasPrefix("usage.") ? spans.usage[String(field.dropFirst(6))] : nil)
        }
    }

    /// A free text looked for in the ID and in what was said.
    func contains(_ text: String) -> Bool {
        let text = text.lowercased()
        return id.lowercased().contains(text)
            || [first, last].contains { $0?.string.lowercased().contains(text) == true }
            || traces.contains { $0.contains(text) }
    }
}

extension StoredRun {
    func matches(_ filter: Filter, spans: SpanSummary? = nil, queues: [Queue] = []) -> Bool {
        filter.matches(held(filter.field, spans: spans, queues: queues))
    }

    func held(_ field: String, spans: SpanSummary?, queues: [Queue]) -> Filter.Held {
        switch field {
        case "id": .text(id)
        case "name": .text(name)
        case "input": .text(input?.string)
        case "output": .text(output?.string)
        case "input_json": .json(input)
        case "output_json": .json(output)
        case "metadata": .json(metadata)
        case "start_time": .time(start)
        case "end_time": .time(endedAt)
        case "created_at": .time(createdAt)
        case "last_updated_at": .time(updatedAt)
        case "duration": .number(duration)
        case "ttft": .number(extra["ttft"]?.reading(\.double))
        case "tags": .list(tags ?? [])
        case "feedback_scores": .scores(StoredScore.means(shownScores))
        case "span_feedback_scores": .scores(StoredScore.means(spans?.scores ?? []))
        case "error_info": .presence(error != nil)
        case "comments": .presence(!comments.isEmpty)
        case "thread_id": .text(thread)
        case "trace_id": .text(trace)
        case "parent_span_id": .text(parent == trace ? nil : parent)
        case "model": .text(model)
        case "provider": .text(provider)
        case "type": .text(said("type") ?? "general")
        case "providers": .list(spans?.providers ?? [])
        case "llm_span_count": .number(Double(spans?.llmCount ?? 0))
        case "span_count": .number(Double(spans?.count ?? 0))
        case "total_estimated_cost": .number(kind == .span ? cost : spans?.cost)
        case "annotation_queue_ids": .list(queues.filter { $0.items.contains(id) }.map(\.id))
        case "created_by", "last_updated_by": .text(ScoreRecord.defaultAuthor)
        case "visibility_mode": .text("default")
        default: field.hasPrefix("usage.") ? .number(used(String(field.dropFirst(6)), spans)) : .text(said(field))
        }
    }

    private func used(_ name: String, _ spans: SpanSummary?) -> Double? {
        kind == .span ? usage?.reading { $0.member(name)?.double } : spans?.usage[name]
    }

    func contains(_ text: String) -> Bool {
        let text = text.lowercased()
        return [id, thread, name, input?.string, output?.string].contains { $0?.lowercased().contains(text) == true }
    }
}
