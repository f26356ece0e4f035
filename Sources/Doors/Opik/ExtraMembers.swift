import Events

/// Members of an object in the making, each kept as it was sent.
struct ExtraMembers {
    private var members: [(name: String, value: JSONText)] = []

    mutating func add(_ name: String, _ value: JSONText) { members.append((name, value)) }

    mutating func add(_ name: String, _ text: String) {
        var writer = JSONWriter()
        writer.value(text)
        add(name, JSONText(trusted: writer.bytes))
    }

    mutating func add(_ name: String, _ number: Int64) { add(name, JSONText(trusted: Array(String(number).utf8))) }

    /// The object; nil without members.
    var json: JSONText? {
        guard !members.isEmpty else { return nil }
        var writer = JSONWriter()
        writer.object { writer in
            for member in members.sorted(by: { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }) {
                writer.field(member.name, member.value)
            }
        }
        // Sorted by name and as each value came: only where values hold objects the order-free form has to be made.
        guard members.contains(where: { $0.value.bytes.first == UInt8(ascii: "{") || $0.value.bytes.first == UInt8(ascii: "[") }) else {
            return JSONText(trusted: writer.bytes)
        }
        return JSONText(trusted: writer.bytes).reading { JSONText($0) }
    }
}
