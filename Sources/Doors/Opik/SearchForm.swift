import Events

/// What a search or list asks for, from a body or a query.
struct SearchForm {
    var projectID: String?
    var projectName: String?
    var traceID: String?
    var type: String?
    var filters: [Filter] = []
    var text: String?
    var from: Timestamp?
    var to: Timestamp?
    var excluded: Set<String> = []
    /// The last line of the page before.
    var cursor: String?
    var limit = 500
    // Lists only:
    var page = 1
    var sorting: [(field: String, isDescending: Bool)] = []

    /// `{project_name, project_id, filters, last_retrieved_id, limit, exclude, …}`.
    init(_ json: JSONValue, among fields: [String: Filter.Kind]) throws(Refusal) {
        projectID = json.nonEmptyText("project_id")
        projectName = json.nonEmptyText("project_name")
        traceID = json.nonEmptyText("trace_id")
        type = json.nonEmptyText("type")
        filters = try Filter.list(json["filters"], among: fields)
        from = json.time("from_time")
        to = json.time("to_time")
        excluded = Set(json.texts("exclude"))
        cursor = json.nonEmptyText("last_retrieved_id") ?? json.nonEmptyText("last_retrieved_thread_model_id")
        if let asked = json["limit"]?.integer { limit = Int(clamping: max(1, min(asked, Int64(OpikDoor.Limits.searchPage)))) }
    }

    /// `?project_id=…&page=1&size=10&filters=[…]&sorting=[…]`; the lists in it are JSON texts.
    init(query: [String: String], among fields: [String: Filter.Kind]) throws(Refusal) {
        projectID = query["project_id"]
        projectName = query["project_name"]
        traceID = query["trace_id"]
        type = query["type"]
        text = query["search"].flatMap { $0.isEmpty ? nil : $0 }
        from = query["from_time"].flatMap { Timestamp(iso8601: $0) }
        to = query["to_time"].flatMap { Timestamp(iso8601: $0) }
        page = max(1, query["page"].flatMap { Int($0) } ?? 1)
        limit = max(1, min(query["size"].flatMap { Int($0) } ?? 10, OpikDoor.Limits.searchPage))
        if let filters = query["filters"], !filters.isEmpty {
            self.filters = try Self.list(filters, "filters") { json throws(Refusal) in try Filter.list(json, among: fields) }
        }
        if let sorting = query["sorting"], !sorting.isEmpty {
            self.sorting = try Self.list(sorting, "sorting") { json throws(Refusal) in
                var order: [(field: String, isDescending: Bool)] = []
                try json.forEachElement { (element: JSONValue) throws(Refusal) in
                    guard let field = element.text("field") else { throw Refusal(.invalidField, field: "sorting", "A field is missing.") }
                    guard fields[field] != nil || field.hasPrefix("usage.") || field.hasPrefix("feedback_scores.") else {
                        throw Refusal(.invalidField, field: "sorting", "Unknown sorting field '\(field)'.")
                    }
                    order.append((field, element.text("direction")?.uppercased() == "DESC"))
                }
                return order
            }
        }
        if let exclude = query["exclude"] { excluded = try Self.list(exclude, "exclude") { Self.set($0) } }
    }

    private static func set(_ json: JSONValue) -> Set<String> {
        var texts: Set<String> = []
        json.forEachElement { if let text = $0.string { texts.insert(text) } }
        return texts
    }

    private static func list<Result>(
        _ text: String, _ name: String, _ read: (JSONValue) throws(Refusal) -> Result
    ) throws(Refusal) -> Result {
        do {
            return try JSONDocument.read(Array(text.utf8)) { json throws(Refusal) in try read(json) }
        } catch let refusal as Refusal {
            throw refusal
        } catch {
            throw Refusal(.invalidField, field: name, "\(name) must be a JSON list.")
        }
    }

    func isInTime(_ start: Timestamp?) -> Bool {
        if let from, (start ?? .zero) < from { return false }
        if let to, (start ?? .zero) > to { return false }
        return true
    }

    /// Sorts by the fields asked for; what has no value comes last.
    func sorted<Thing>(_ things: [Thing], held: (Thing, String) -> Filter.Held) -> [Thing] {
        guard !sorting.isEmpty else { return things }
        let keyed = things.map { thing in (thing, sorting.map { SortKey(held(thing, $0.field), field: $0.field) }) }
        return keyed.sorted { a, b in
            for (index, order) in sorting.enumerated() where a.1[index] != b.1[index] {
                return a.1[index].precedes(b.1[index], isDescending: order.isDescending)
            }
            return false
        }.map(\.0)
    }

    private enum SortKey: Equatable {
        case nothing, number(Double), text(String)

        init(_ held: Filter.Held, field: String) {
            switch held {
            case .text(let text): self = text.map { .text($0) } ?? .nothing
            case .number(let number): self = number.map { .number($0) } ?? .nothing
            case .time(let time): self = time.map { .number(Double($0.microseconds)) } ?? .nothing
            case .list(let list): self = list.isEmpty ? .nothing : .text(list.joined(separator: ","))
            case .json(let json): self = json.map { .text($0.string) } ?? .nothing
            case .scores(let scores): self = scores[String(field.split(separator: ".").last ?? "")].map { .number($0) } ?? .nothing
            case .presence(let isThere): self = .number(isThere ? 1 : 0)
            }
        }

        func precedes(_ other: SortKey, isDescending: Bool) -> Bool {
            switch (self, other) {
            case (.nothing, _): false
            case (_, .nothing): true
            case (.number(let a), .number(let b)): isDescending ? a > b : a < b
            case (.text(let a), .text(let b)): isDescending ? a > b : a < b
            case (.number, .text): true
            case (.text, .number): false
            }
        }
    }

    /// A page of what a list found: `{page, size, total, content, sortableBy}`.
    func reply<Thing>(_ things: [Thing], sortable: [String], _ write: (inout JSONWriter, Thing) -> Void) -> Reply {
        let shown = window(things)
        return .json { writer in
            writer.field("page", page)
            writer.field("size", shown.count)
            writer.field("total", things.count)
            writer.key("content")
            writer.array(shown) { write(&$0, $1) }
            writer.field("sortableBy", sortable)
        }
    }

    func window<Thing>(_ things: [Thing]) -> ArraySlice<Thing> {
        let (start, overflow) = (page - 1).multipliedReportingOverflow(by: limit)
        guard !overflow, start < things.count else { return [] }
        return things[start..<min(things.count, start + limit)]
    }
}
