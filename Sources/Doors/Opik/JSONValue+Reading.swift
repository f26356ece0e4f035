import Events

extension JSONValue {
    /// A string, or a number or flag as text, as Opik's backend reads them; nil for anything else.
    var scalarText: String? {
        switch kind {
        case .string: string
        case .number, .bool: JSONText(self).string
        case .object, .array, .null: nil
        }
    }

    func text(_ name: StaticString) -> String? { self[name]?.scalarText }

    func nonEmptyText(_ name: StaticString) -> String? { text(name).flatMap { $0.isBlank ? nil : $0 } }

    func time(_ name: StaticString) -> Timestamp? { self[name].flatMap { Timestamp($0) } }

    /// The value kept as text; nil for null.
    func json(_ name: StaticString) -> JSONText? {
        guard let value = self[name], !value.isNull else { return nil }
        return JSONText(value)
    }

    /// The strings of a list.
    func texts(_ name: StaticString) -> [String] {
        var texts: [String] = []
        self[name]?.forEachElement { if let text = $0.scalarText { texts.append(text) } }
        return texts
    }

    /// The member of a name known only when running.
    func member(_ name: some StringProtocol) -> JSONValue? {
        var found: JSONValue?
        forEachMember { key, value in
            if key.elementsEqual(name.utf8) { found = value }
        }
        return found
    }

    func element(_ index: Int) -> JSONValue? {
        var found: JSONValue?
        var position = 0
        forEachElement { element in
            if position == index { found = element }
            position += 1
        }
        return found
    }
}

extension JSONText {
    /// What `read` makes of the value; nil where the text can't be read, which our own always can.
    func reading<Result>(_ read: (JSONValue) -> Result?) -> Result? {
        (try? JSONDocument.read(bytes, isOurs: true) { read($0) }) ?? nil
    }
}

extension StringProtocol {
    var isBlank: Bool { utf8.allSatisfy { $0 <= 0x20 } }
}
