import Events

/// An annotation queue: the fold of what was said of it, in the order of commit.
struct Queue {
    var id: String
    var project: Project
    /// What its makers said of it, under Opik's names.
    var fields: [String: JSONText] = [:]
    /// Thread model IDs or trace IDs, in the order they were added.
    var items: [String] = []
    var createdAt: Timestamp?
    var changedAt: Timestamp?

    /// The project's own type of event.
    static let eventType = "queue"

    enum Action: String { case create, change, add, remove, delete }

    var name: String { fields["name"]?.reading(\.string) ?? "" }

    /// The queues that the events of a project add up to, the newest first.
    static func fold(_ events: [JSONText], of project: Project) -> [Queue] {
        var queues: [String: Queue] = [:]
        var order: [String] = []
        for event in events {
            _ = event.reading { json -> Void? in
                guard let id = json["queue"]?.string, let action = json["action"]?.string.flatMap({ Action(rawValue: $0) }) else {
                    return nil
                }
                if action == .delete {
                    queues[id] = nil
                    order.removeAll { $0 == id }
                    return nil
                }
                if queues[id] == nil {
                    guard action == .create else { return nil }
                    queues[id] = Queue(id: id, project: project, createdAt: json.time("at"))
                    order.append(id)
                }
                queues[id]?.apply(action, json)
                return nil
            }
        }
        return order.reversed().compactMap { queues[$0] }
    }

    private mutating func apply(_ action: Action, _ json: JSONValue) {
        changedAt = json.time("at") ?? changedAt
        switch action {
        case .create, .change:
            var changed: [(String, JSONText)] = []
            json["fields"]?.forEachMember { key, value in
                if !value.isNull { changed.append((String(decoding: key, as: UTF8.self), JSONText(value))) }
            }
            for (name, value) in changed { fields[name] = value }
        case .add: for item in json.texts("items") where !items.contains(item) { items.append(item) }
        case .remove:
            let gone = Set(json.texts("items"))
            items.removeAll { gone.contains($0) }
        case .delete: break
        }
    }

    /// What happened to a queue, as an event of the project.
    static func event(_ action: Action, _ id: String, fields: JSONText? = nil, items: [String] = [], at: Timestamp) -> Event {
        var members = ExtraMembers()
        members.add("queue", id)
        members.add("action", action.rawValue)
        if let fields { members.add("fields", fields) }
        if !items.isEmpty {
            var writer = JSONWriter()
            writer.array(items) { $0.value($1) }
            members.add("items", JSONText(trusted: writer.bytes))
        }
        return DerivedID.given(to: Event(id: "", at: at, body: .other(type: eventType), unknown: members.json))
    }

    func write(to writer: inout JSONWriter) {
        writer.object { writer in
            writer.field("id", id)
            writer.field("project_id", project.id)
            writer.field("project_name", project.name)
            writer.field("name", name)
            writer.field("scope", fields["scope"]?.reading(\.string) ?? "thread")
            let told: Set = ["id", "project_id", "project_name", "name", "scope", "items_count"]
            for (name, value) in fields.sorted(by: { $0.key < $1.key }) where !told.contains(name) { writer.field(name, value) }
            writer.field("items_count", items.count)
            writer.stamps(created: createdAt, changed: changedAt)
        }
    }
}
