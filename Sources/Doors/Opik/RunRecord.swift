import Events

/// A trace or span as Opik writes it, whole or as a patch, read into a part of a run.
///
/// Fields we have none for are kept in the run's `extra` under Opik's own names, beside four of ours: `kind` (`trace` or `span`),
/// `trace` (a span's trace), `type` (a span's type) and the tags as they were sent (see `RecordTags`).
struct RunRecord {
    enum Kind: String { case trace, span }

    let item: Parcel.Item

    /// - Parameter id: of what is patched; nil where the record is one of its own.
    /// - Parameter mergingTags: whether its tags are added to those there are.
    init(_ json: JSONValue, _ kind: Kind, patching id: String? = nil, mergingTags: Bool = false, receivedAt: Timestamp) {
        do throws(Refusal) {
            var reader = FieldReader(kind: kind, isPatch: id != nil, mergesTags: mergingTags, receivedAt: receivedAt)
            item = .event(try reader.event(json, id: id).fitted())
        } catch {
            let sent = json.kind == .object ? json.text("id") : nil
            item = .refused(RefusedItem(id: id ?? sent, type: "run", refusal: error, payload: JSONText(json)))
        }
    }
}

private struct FieldReader {
    let kind: RunRecord.Kind
    let isPatch: Bool
    let mergesTags: Bool
    let receivedAt: Timestamp

    private var part = Event.RunPart()
    private var extra = ExtraMembers()
    private var tags = RecordTags()
    private var id: String?
    private var thread: String?
    private var version: Timestamp?
    private var metadata: JSONText?
    private var traceID: String?
    private var parentSpanID: String?
    private var namedMessage: String?

    init(kind: RunRecord.Kind, isPatch: Bool, mergesTags: Bool, receivedAt: Timestamp) {
        (self.kind, self.isPatch, self.mergesTags, self.receivedAt) = (kind, isPatch, mergesTags, receivedAt)
    }

    mutating func event(_ json: JSONValue, id patched: String?) throws(Refusal) -> Event {
        guard json.kind == .object else { throw Refusal(.invalidField, "A \(kind.rawValue) is a JSON object.") }
        try json.forEachMember { (key: UnsafeBufferPointer<UInt8>, value: JSONValue) throws(Refusal) in
            if !value.isNull { try read(String(decoding: key, as: UTF8.self), value) }
        }
        guard let id = patched ?? id, !id.isBlank else { throw Refusal(.missingField, field: "id", "id is required.") }
        // A patch carries no version of its own; what it says is as new as its arrival.
        let at = isPatch ? receivedAt : version ?? receivedAt
        extra.add("kind", kind.rawValue)
        if kind == .trace {
            if !isPatch { part.kind = .chain }
            part.parent = namedMessage == id ? nil : namedMessage
        } else {
            if let traceID { extra.add("trace", traceID) }
            // A patch may leave out the parent span; only a whole record tells that there is none.
            part.parent = parentSpanID ?? (isPatch ? nil : traceID)
            if !isPatch, part.kind == nil { part.kind = .chain }
        }
        if mergesTags, let set = tags.set { (tags.set, tags.added) = (nil, tags.added + set) }
        tags.write(to: &extra, at: at)
        part.tags = tags.set ?? []
        part.extra = extra.json
        return Event(id: id, thread: thread, at: at, metadata: metadata, body: .run(part))
    }

    private mutating func read(_ name: String, _ value: JSONValue) throws(Refusal) {
        switch name {
        case "id": id = value.scalarText
        case "name": part.name = text(name, value)
        case "start_time": part.startedAt = try time(name, value)
        case "end_time": part.endedAt = try time(name, value)
        case "input":
            part.input = JSONText(value)
            if kind == .trace { part.question = PlainText.question(value) }
        case "output":
            part.output = JSONText(value)
            if kind == .trace { part.answer = PlainText.answer(value) }
        case "metadata": readMetadata(value)
        case "error_info": part.error = JSONText(value)
        case "tags": tags.set = strings(name, value)
        case "tags_to_add": tags.added = strings(name, value) ?? []
        case "tags_to_remove": tags.removed = strings(name, value) ?? []
        case "last_updated_at":
            version = try time(name, value)
            extra.add(name, JSONText(value))
        case "thread_id" where kind == .trace: thread = value.scalarText.flatMap { $0.isBlank ? nil : $0 }
        case "trace_id" where kind == .span: traceID = value.scalarText.flatMap { $0.isBlank ? nil : $0 }
        case "parent_span_id" where kind == .span: parentSpanID = value.scalarText.flatMap { $0.isBlank ? nil : $0 }
        case "type" where kind == .span: readType(value)
        case "model" where kind == .span: part.model = text(name, value)
        case "provider" where kind == .span: part.provider = text(name, value)
        case "usage" where kind == .span && value.kind == .object: part.usage = JSONText(value)
        case "total_estimated_cost" where kind == .span && value.double != nil: part.cost = value.double
        default:
            // Ours stay ours, whatever a sender calls its own.
            let isOurs = name == "kind" || name == "trace" || name == "tagsAt" || name.hasPrefix("tag:") || name == "type"
            extra.add(isOurs ? "_" + name : name, JSONText(value))
        }
    }

    /// A name within our bounds; a longer one is kept whole beside it, since `fitted` cuts it.
    private mutating func text(_ name: String, _ value: JSONValue) -> String? {
        guard let text = value.scalarText else {
            extra.add(name, JSONText(value))
            return nil
        }
        if text.unicodeScalars.count > Event.Bounds.name { extra.add(name, text) }
        return text
    }

    private func time(_ name: String, _ value: JSONValue) throws(Refusal) -> Timestamp {
        guard value.kind == .string, let time = Timestamp(value) else {
            throw Refusal(.invalidField, field: name, "\(name) must be an ISO 8601 time between 1970 and 9999.")
        }
        return time
    }

    private mutating func strings(_ name: String, _ value: JSONValue) -> [String]? {
        guard value.kind == .array else {
            extra.add("_" + name, JSONText(value))
            return nil
        }
        var strings: [String] = []
        value.forEachElement { if let text = $0.scalarText { strings.append(text) } }
        return strings
    }

    private mutating func readMetadata(_ value: JSONValue) {
        guard value.kind == .object else { return extra.add("metadata", JSONText(value)) }
        metadata = JSONText(value)
        guard kind == .trace else { return }
        for named in [value["message_id"], value["parent_message_id"]] {
            guard let id = named?.string, !id.isBlank, id.unicodeScalars.count <= Event.Bounds.id, !id.utf8.contains(0) else { continue }
            namedMessage = id
            return
        }
    }

    private mutating func readType(_ value: JSONValue) {
        extra.add("type", JSONText(value))
        switch value.string {
        case "llm": part.kind = .llm
        case "tool": part.kind = .tool
        default: part.kind = .chain
        }
    }
}
