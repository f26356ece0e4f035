import Events

/// One score as Opik writes it: `{id|thread_id, project_name, name, value, category_name, reason, source}`.
struct ScoreRecord {
    let item: Parcel.Item

    /// Opik's author of everything while nobody signs in.
    static let defaultAuthor = "admin"

    /// - Parameter thread: the thread it is about, where it is about one.
    /// - Parameter position: where it stands in its batch: of two with one name in a batch the last counts.
    init(_ json: JSONValue, target: String?, thread: String? = nil, receivedAt: Timestamp, position: Int) {
        do throws(Refusal) {
            let event = try Self.event(json, target: thread ?? target, thread: thread, at: receivedAt, position: position)
            item = .event(try DerivedID.given(to: event).fitted())
        } catch {
            item = .refused(RefusedItem(id: nil, type: "score", refusal: error, payload: JSONText(json)))
        }
    }

    private static func event(
        _ json: JSONValue, target: String?, thread: String?, at receivedAt: Timestamp, position: Int
    ) throws(Refusal) -> Event {
        guard json.kind == .object else { throw Refusal(.invalidField, field: "scores", "A score is a JSON object.") }
        guard let target, !target.isBlank else { throw Refusal(.missingField, field: "id", "A score needs the ID of what it scores.") }
        guard let name = json.nonEmptyText("name") else { throw Refusal(.missingField, field: "name", "name is required.") }
        guard let value = json["value"]?.double, value.isFinite else {
            throw Refusal(.invalidField, field: "value", "value must be a number.")
        }
        let source = json.text("source")
        let score = Event.Score(
            target: target, name: name, value: value, category: json.nonEmptyText("category_name"), reason: json.nonEmptyText("reason"),
            author: json.nonEmptyText("author") ?? defaultAuthor, judge: source == "ui" ? .person : .program)
        var event = Event(id: "", thread: thread, at: moment(receivedAt, position), body: .score(score))
        if let source, source != "ui", source != "sdk" { event.metadata = Self.metadata(source: source) }
        event.unknown = rest(of: json)
        return event
    }

    /// The time is part of the ID: a score that returns to an earlier value counts again, and one sent twice changes nothing.
    private static func moment(_ receivedAt: Timestamp, _ position: Int) -> Timestamp {
        Timestamp(microseconds: receivedAt.microseconds + Int64(position))
    }

    private static func metadata(source: String) -> JSONText {
        var writer = JSONWriter()
        writer.object { $0.field("source", source) }
        return JSONText(trusted: writer.bytes)
    }

    /// What we have no field for, out of reach of our own names.
    private static func rest(of json: JSONValue) -> JSONText? {
        var members = ExtraMembers()
        json.forEachMember { key, value in
            let name = String(decoding: key, as: UTF8.self)
            let known = ["id", "thread_id", "project_name", "project_id", "name", "value", "category_name", "reason", "source", "author"]
            if !known.contains(name), !value.isNull { members.add(name, JSONText(value)) }
        }
        guard let extra = members.json else { return nil }
        var outer = ExtraMembers()
        outer.add("said", extra)
        return outer.json
    }

    /// The score taken back; of every author where none is named, so one event for each.
    static func removal(of name: String, from target: String, thread: String? = nil, author: String?, at: Timestamp) -> Parcel.Item {
        let score = Event.Score(target: target, name: name, author: author ?? defaultAuthor)
        let event = DerivedID.given(to: Event(id: "", thread: thread, at: at, body: .score(score)))
        do throws(Refusal) {
            return .event(try event.fitted())
        } catch {
            return .refused(RefusedItem(id: nil, type: "score", refusal: error, payload: nil))
        }
    }
}
