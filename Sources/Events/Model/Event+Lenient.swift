extension Event {
    /// Reads an event as far as it can be stored: a field that breaks its rule is kept beside the others, in an object `invalid`, and one
    /// that only the server may set is left out. nil where what is left is no event.
    public init?(lenient payload: JSONText) {
        var payload = payload
        var invalid: [(name: String, value: JSONText)] = []
        // One round a field: no type has more of them.
        for _ in 0..<40 {
            do {
                self = try JSONDocument.read(payload.bytes, isOurs: true) { try Event($0) }
                if !invalid.isEmpty { unknown = Self.object(unknown, adding: invalid) }
                return
            } catch let refusal as Refusal where refusal.reason == .invalidField || refusal.reason == .reservedField {
                guard let name = refusal.field?.prefix(while: { $0 != "." && $0 != "[" }).description,
                    let (rest, value) = Self.split(payload, at: name)
                else { return nil }
                payload = rest
                if refusal.reason == .invalidField { invalid.append((name, value)) }
            } catch {
                return nil
            }
        }
        return nil
    }

    /// An object without a member, and that member; nil where there is none of the name.
    private static func split(_ object: JSONText, at name: String) -> (rest: JSONText, value: JSONText)? {
        try? JSONDocument.read(object.bytes, isOurs: true) { json in
            var found: JSONText?
            var writer = JSONWriter()
            writer.object { writer in
                json.forEachMember { key, value in
                    let key = String(decoding: key, as: UTF8.self)
                    if key == name { found = JSONText(value) } else { writer.field(key, JSONText(value)) }
                }
            }
            return found.map { (JSONText(trusted: writer.bytes), $0) }
        }
    }

    private static func object(_ unknown: JSONText?, adding invalid: [(name: String, value: JSONText)]) -> JSONText? {
        var writer = JSONWriter()
        writer.object { writer in
            if let unknown {
                try? JSONDocument.read(unknown.bytes, isOurs: true) { json in
                    json.forEachMember { key, value in writer.field(String(decoding: key, as: UTF8.self), JSONText(value)) }
                }
            }
            writer.key("invalid")
            writer.object { writer in for (name, value) in invalid { writer.field(name, value) } }
        }
        return try? JSONDocument.read(writer.bytes, isOurs: true) { JSONText($0) }
    }
}
