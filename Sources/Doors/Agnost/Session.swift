import Events

/// What `capture-session` says: a conversation, the user it is with, and that user's traits.
struct Session {
    let thread: Event

    /// `{"session_id","client_config","connection_type","ip","user_data":{"user_id",…traits},"tools","metadata","timestamp"}`; only
    /// `session_id` is needed. The event's ID is made of the content, as the SDKs send a session once in each process.
    init(_ json: JSONValue) throws(Refusal) {
        guard let id = json["session_id"]?.name else {
            throw Refusal(.missingField, field: "session_id", "session_id is required: any text that isn't empty.")
        }
        var event = Event(id: "", thread: id, at: json["timestamp"].flatMap { Timestamp($0) }, body: .thread(.init()))
        var rest = Members(of: json, without: ["session_id", "timestamp", "metadata", "user_data"])
        if let data = json["user_data"], !data.isNull {
            // The MCP SDK and older ones write userId; an empty one is nobody.
            if let user = data["user_id"]?.name ?? data["userId"]?.name {
                event.user = Event.User(id: user, props: Members(of: data, without: ["user_id", "userId"]).json)
            } else if let traits = Members(of: data, without: ["user_id", "userId"]).json ?? (data.kind == .object ? nil : JSONText(data)) {
                rest.add("user_data", traits)
            }
        }
        if let metadata = json["metadata"] {
            if metadata.kind == .object { rest.add(metadata) } else if !metadata.isNull { rest.add("metadata", JSONText(metadata)) }
        }
        rest.dropEmpty()
        event.metadata = rest.json
        event.id = DerivedID.of(event)
        thread = event
    }
}

/// Members of an object, those of one name once.
struct Members {
    private var members: [(key: String, value: JSONText)] = []
    /// Where each is: looking through all of them for each would take a stranger's many keys squared.
    private var places: [String: Int] = [:]

    init(of json: JSONValue, without known: [StaticString] = []) {
        json.forEachMember { key, value in
            if !known.contains(where: { key.equals($0) }) { add(String(decoding: key, as: UTF8.self), JSONText(value)) }
        }
    }

    mutating func add(_ key: String, _ value: JSONText) {
        if let place = places[key] {
            members[place].value = value
        } else {
            places[key] = members.count
            members.append((key, value))
        }
    }

    mutating func add(_ json: JSONValue) {
        json.forEachMember { add(String(decoding: $0, as: UTF8.self), JSONText($1)) }
    }

    /// Drops what says nothing: null and the empty text.
    mutating func dropEmpty() {
        members.removeAll { $0.value == "null" || $0.value == "\"\"" }
        places = Dictionary(uniqueKeysWithValues: members.enumerated().map { ($1.key, $0) })
    }

    /// nil for none.
    var json: JSONText? {
        guard !members.isEmpty else { return nil }
        var writer = JSONWriter()
        writer.object { for (key, value) in members { $0.field(key, value) } }
        // Read again so that its order-free form is known too.
        return try? JSONDocument.read(writer.bytes, isOurs: true) { JSONText($0) }
    }
}

extension JSONValue {
    /// What can stand for an ID: a text that isn't empty, or a whole number by its digits.
    var name: String? {
        if let text = string { return text.isEmpty ? nil : text }
        return kind == .number ? integer.map { String($0) } : nil
    }
}

/// IDs for what comes without one: the same for the same content.
enum DerivedID {
    static func of(_ event: Event) -> String {
        let bytes = ContentDigest(event).bytes
        var text = ""
        for (index, byte) in bytes.enumerated() {
            if [4, 6, 8, 10].contains(index) { text += "-" }
            let digits = String(byte, radix: 16)
            text += digits.utf8.count == 1 ? "0" + digits : digits
        }
        return text
    }
}
