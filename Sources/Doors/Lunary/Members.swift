import Events

/// The members of an object, under the names Lunary's server would know them by: `run_id` and `run-id` are `runId`.
///
/// Remembers what was taken, so that the rest can be kept. A member that is null is one that is not there.
struct Members {
    private var all: [(name: String, sent: String, value: JSONValue, isTaken: Bool)] = []

    init(_ json: JSONValue) {
        all.reserveCapacity(24)
        json.forEachMember { key, value in
            let sent = String(decoding: key, as: UTF8.self)
            all.append((Self.camelCase(sent), sent, value, value.isNull))
        }
    }

    private static func camelCase(_ name: String) -> String {
        guard name.utf8.contains(where: { $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-") }) else { return name }
        let parts = name.split(whereSeparator: { $0 == "_" || $0 == "-" })
        return parts.dropFirst().reduce(String(parts.first ?? "")) { $0 + $1.prefix(1).uppercased() + $1.dropFirst() }
    }

    /// The member of that name; of several the last.
    mutating func take(_ name: String) -> JSONValue? {
        var found: JSONValue?
        for index in all.indices where all[index].name == name && !all[index].value.isNull {
            all[index].isTaken = true
            found = all[index].value
        }
        return found
    }

    /// The same, left where it is.
    func peek(_ name: String) -> JSONValue? { all.last { $0.name == name && !$0.value.isNull }?.value }

    /// A text that is not empty; numbers and flags count as their text.
    mutating func text(_ name: String) -> String? {
        guard let value = take(name) else { return nil }
        if let text = value.string { return text.isEmpty ? nil : text }
        guard value.kind == .number || value.kind == .bool else {
            putBack(name)
            return nil
        }
        return JSONText(value).string
    }

    /// A text that leaves no trace among the members.
    mutating func remove(_ name: String) -> String? {
        guard let text = text(name) else { return nil }
        all.removeAll { $0.name == name }
        return text
    }

    /// A list of texts, or one alone.
    mutating func texts(_ name: String) -> [String] {
        guard let value = take(name) else { return [] }
        guard value.kind == .array else { return [Self.plain(value)] }
        var texts: [String] = []
        value.forEachElement { if !$0.isNull { texts.append(Self.plain($0)) } }
        return texts
    }

    /// An object; anything else stays with the rest.
    mutating func object(_ name: String) -> JSONValue? {
        guard let value = take(name) else { return nil }
        guard value.kind == .object else {
            putBack(name)
            return nil
        }
        return value
    }

    /// ISO 8601 or epoch milliseconds; anything else stays with the rest.
    mutating func time(_ name: String) -> Timestamp? {
        guard let value = take(name) else { return nil }
        guard let time = Timestamp(value) else {
            putBack(name)
            return nil
        }
        return time
    }

    private mutating func putBack(_ name: String) {
        for index in all.indices where all[index].name == name && !all[index].value.isNull { all[index].isTaken = false }
    }

    private static func plain(_ value: JSONValue) -> String { value.string ?? JSONText(value).string }

    /// All members that are not null.
    var everything: [(name: String, value: JSONText)] { all.lazy.filter { !$0.value.isNull }.map { ($0.sent, JSONText($0.value)) } }

    /// Members nobody took, under the names they were sent with.
    var rest: [(name: String, value: JSONText)] {
        all.lazy.filter { !$0.isTaken }.map { ($0.sent, JSONText($0.value)) }
    }
}

/// An object being put together; of two members with one name the later stands.
struct ObjectText {
    private var members: [(name: String, value: JSONText)] = []
    private var places: [String: Int] = [:]

    mutating func set(_ name: String, _ value: JSONText?) {
        guard let value else { return }
        if let place = places[name] {
            members[place].value = value
        } else {
            places[name] = members.count
            members.append((name, value))
        }
    }

    mutating func set(_ name: String, _ text: String?) {
        guard let text else { return }
        var writer = JSONWriter()
        writer.value(text)
        set(name, JSONText(trusted: writer.bytes))
    }

    mutating func set(_ members: [(name: String, value: JSONText)]) { for member in members { set(member.name, member.value) } }

    /// All members of an object; a value that is none goes under `name`.
    mutating func merge(_ value: JSONValue?, orUnder name: String) {
        guard let value else { return }
        guard value.kind == .object else { return set(name, JSONText(value)) }
        value.forEachMember { key, member in set(String(decoding: key, as: UTF8.self), JSONText(member)) }
    }

    /// nil when there is nothing in it.
    var text: JSONText? {
        guard !members.isEmpty else { return nil }
        var writer = JSONWriter()
        writer.object { writer in for member in members { writer.field(member.name, member.value) } }
        // Read again so that its order-free form is known too.
        return try? JSONDocument.read(writer.bytes, isOurs: true) { JSONText($0) }
    }
}
