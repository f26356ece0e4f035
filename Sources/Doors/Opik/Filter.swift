import Events

/// One condition of a search, `{field, operator, key, value, type}`; all conditions of a search must hold.
///
/// A field or operator that is not known is refused with 400, as by Opik's backend.
struct Filter {
    enum Operator: String {
        case equals = "="
        case differs = "!="
        case greater = ">"
        case atLeast = ">="
        case less = "<"
        case atMost = "<="
        case contains = "contains"
        case lacks = "not_contains"
        case startsWith = "starts_with"
        case endsWith = "ends_with"
        case isEmpty = "is_empty"
        case isNotEmpty = "is_not_empty"
        case isIn = "in"
        case isNotIn = "not_in"
    }

    /// What is compared, which decides the operators there are.
    enum Kind {
        case text, number, time, choice, list, path, score, presence

        func allows(_ comparison: Operator) -> Bool {
            switch comparison {
            case .equals, .differs: self != .presence
            case .contains, .lacks: [.text, .list, .path, .choice].contains(self)
            case .startsWith, .endsWith: self == .text || self == .path
            case .greater, .less, .atLeast, .atMost: [.text, .number, .time, .path, .score].contains(self)
            case .isEmpty, .isNotEmpty: true
            case .isIn, .isNotIn: self == .choice || self == .text
            }
        }
    }

    var field: String
    var comparison: Operator
    /// The name of a score, or the path in a dictionary.
    var key: String
    var value: String
    var kind: Kind
    private var number: Double?
    private var time: Timestamp?

    init(_ json: JSONValue, among fields: [String: Kind]) throws(Refusal) {
        guard json.kind == .object, let field = json.text("field") else {
            throw Refusal(.invalidField, field: "filters", "A filter is an object with field, operator and value.")
        }
        guard let kind = fields[field] ?? (field.hasPrefix("usage.") ? fields["usage.*"] : nil) else {
            throw Refusal(.invalidField, field: "filters", "Unknown filter field '\(field)'.")
        }
        let comparison = json.text("operator") ?? ""
        guard let comparison = Operator(rawValue: comparison), kind.allows(comparison) else {
            throw Refusal(.invalidField, field: "filters", "The operator '\(comparison)' can't be used with the field '\(field)'.")
        }
        self.field = field
        self.comparison = comparison
        self.kind = kind
        key = json.text("key") ?? ""
        value = json.text("value") ?? ""
        guard comparison != .isEmpty, comparison != .isNotEmpty else { return }
        switch kind {
        case .number, .score:
            guard let number = Double(value), number.isFinite else {
                throw Refusal(.invalidField, field: "filters", "The value of '\(field)' must be a number.")
            }
            self.number = number
        case .time:
            guard let time = Timestamp(iso8601: value) else {
                throw Refusal(.invalidField, field: "filters", "The value of '\(field)' must be an ISO 8601 time.")
            }
            self.time = time
        default: break
        }
    }

    /// The filters of a search: a list, or in a query the text of one.
    static func list(_ json: JSONValue?, among fields: [String: Kind]) throws(Refusal) -> [Filter] {
        guard let json, !json.isNull else { return [] }
        guard json.kind == .array else { throw Refusal(.invalidField, field: "filters", "filters must be a list.") }
        var filters: [Filter] = []
        try json.forEachElement { (element: JSONValue) throws(Refusal) in filters.append(try Filter(element, among: fields)) }
        return filters
    }

    // MARK: comparing

    /// What a field holds in one thing.
    enum Held {
        case text(String?)
        case number(Double?)
        case time(Timestamp?)
        case list([String])
        case json(JSONText?)
        case scores([String: Double])
        case presence(Bool)
    }

    func matches(_ held: Held) -> Bool {
        switch held {
        case .text(let text): matches(text: text)
        case .number(let number): matches(number, against: self.number)
        case .time(let time): matches(time, against: self.time)
        case .list(let list): matches(list: list)
        case .json(let json): matches(text: JSONPath(key).text(in: json))
        case .scores(let scores): matches(scores[key], against: number)
        case .presence(let isThere): isThere == (comparison == .isNotEmpty)
        }
    }

    /// Upper and lower case are one, as in Opik's backend; IDs are told apart by whoever looks them up.
    private func matches(text: String?) -> Bool {
        guard let text else { return [.differs, .lacks, .isNotIn, .isEmpty].contains(comparison) }
        let (held, wanted) = (text.lowercased(), value.lowercased())
        switch comparison {
        case .equals: return held == wanted
        case .differs: return held != wanted
        case .contains: return wanted.isEmpty || held.contains(wanted)
        case .lacks: return !wanted.isEmpty && !held.contains(wanted)
        case .startsWith: return held.hasPrefix(wanted)
        case .endsWith: return held.hasSuffix(wanted)
        case .isEmpty: return text.isEmpty
        case .isNotEmpty: return !text.isEmpty
        case .isIn: return choices.contains(held)
        case .isNotIn: return !choices.contains(held)
        case .greater, .less, .atLeast, .atMost:
            if let held = Double(text), let wanted = Double(value) { return ordered(held, wanted) }
            return ordered(held, wanted)
        }
    }

    private var choices: [String] {
        value.lowercased().split(separator: ",").map { choice in
            String(choice.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        }
    }

    private func matches<Value: Comparable>(_ held: Value?, against wanted: Value?) -> Bool {
        switch comparison {
        case .isEmpty: return held == nil
        case .isNotEmpty: return held != nil
        default: break
        }
        guard let wanted else { return false }
        guard let held else { return comparison == .differs }
        return ordered(held, wanted)
    }

    private func ordered<Value: Comparable>(_ held: Value, _ wanted: Value) -> Bool {
        switch comparison {
        case .equals: held == wanted
        case .differs: held != wanted
        case .greater: held > wanted
        case .atLeast: held >= wanted
        case .less: held < wanted
        case .atMost: held <= wanted
        default: false
        }
    }

    private func matches(list: [String]) -> Bool {
        let wanted = value.lowercased()
        let held = list.map { $0.lowercased() }
        return switch comparison {
        case .isEmpty: held.isEmpty
        case .isNotEmpty: !held.isEmpty
        case .equals: held.contains(wanted)
        case .differs: !held.contains(wanted)
        case .contains: held.contains { $0.contains(wanted) }
        case .lacks: !held.contains { $0.contains(wanted) }
        default: false
        }
    }
}

/// A way into a JSON value: `model`, `$.user.id`, `messages[0].content`.
struct JSONPath {
    private enum Step { case member(String), element(Int) }
    private var steps: [Step] = []

    init(_ text: String) {
        var rest = Substring(text)
        if rest.hasPrefix("$") { rest = rest.dropFirst() }
        for segment in rest.split(separator: ".") {
            var pieces = segment.split(separator: "[", omittingEmptySubsequences: false)
            let name = pieces.removeFirst()
            if !name.isEmpty { steps.append(.member(String(name))) }
            for piece in pieces {
                let index = piece.prefix { $0 != "]" }
                if let number = Int(index) {
                    steps.append(.element(number))
                } else {
                    steps.append(.member(index.filter { $0 != "'" && $0 != "\"" }))
                }
            }
        }
    }

    /// What stands there: a string as it is, else compact JSON; nil when nothing does.
    func text(in json: JSONText?) -> String? {
        guard !steps.isEmpty else { return json?.string }
        return json?.reading { root in
            var value: JSONValue? = root
            for step in steps {
                switch step {
                case .member(let name): value = value?.member(name)
                case .element(let index): value = value?.element(index)
                }
            }
            guard let value, !value.isNull else { return nil }
            return value.string ?? JSONText(value).string
        }
    }
}
