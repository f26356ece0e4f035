/// What is looked for in the texts of a project's events before anything is written, and what becomes of it there.
///
/// As text it is `WHAT=ACTION[:NAME][@PATH[,PATH…]]`: `email=mask`, `card=remove@metadata`, `pattern:ORDER-\d+=hash:order@content`.
public struct ScrubbingRule: Sendable, Hashable {
    public enum What: Sendable, Hashable {
        case email, phone, card, iban, ip
        /// An expression in RE2's syntax.
        case pattern(String)

        /// The name on the wire and in metrics.
        public var name: String {
            switch self {
            case .email: "email"
            case .phone: "phone"
            case .card: "card"
            case .iban: "iban"
            case .ip: "ip"
            case .pattern: "pattern"
            }
        }

        /// Every name there is.
        public static let names = ["email", "phone", "card", "iban", "ip", "pattern"]
    }

    public enum Action: String, Sendable, Hashable, CaseIterable {
        /// `[removed]` stands in its place.
        case remove
        /// The rule's name stands in its place: `[email]`.
        case mask
        /// The rule's name and a keyed hash stand in its place, so that equal values stay equal: `[email:3f9a1c5b2d7e8f90]`.
        case hash
    }

    /// The bounds of rules.
    public enum Bounds {
        public static let rules = 50
        public static let name = 32
        public static let pattern = 1000
        public static let paths = 32
        public static let path = 200
    }

    public var what: What
    public var action: Action
    /// What stands in brackets in the found text's place.
    public var name: String
    /// The fields it looks into, with all that lies in them; empty: everywhere a person's words may stand.
    public var paths: [String]

    public init(_ what: What, _ action: Action, name: String? = nil, paths: [String] = []) {
        self.what = what
        self.action = action
        self.name = name ?? what.name
        self.paths = paths
    }

    /// Reads a rule's text; whether its pattern and paths hold is not looked at.
    public init(text: String) throws(Refusal) {
        let form =
            "A rule is WHAT=ACTION[:NAME][@PATH,PATH], like email=mask, card=remove@metadata or pattern:ORDER-\\d+=hash:order@content."
        // A pattern may hold any of the marks itself, so the last `=ACTION` counts.
        var found: (what: Substring, action: Action, rest: Substring)?
        var end = text.endIndex
        while found == nil, let mark = text[..<end].lastIndex(of: "=") {
            let behind = text[text.index(after: mark)...]
            for action in Action.allCases where behind.hasPrefix(action.rawValue) {
                let rest = behind.dropFirst(action.rawValue.count)
                if rest.isEmpty || rest.first == ":" || rest.first == "@" { found = (text[..<mark], action, rest) }
            }
            end = mark
        }
        guard let found else { throw Refusal(.badRequest, field: "scrubbing", form) }
        var name: String?
        var rest = found.rest
        if rest.first == ":" {
            name = String(rest.dropFirst().prefix { $0 != "@" })
            rest = rest.dropFirst(1 + name!.count)
        }
        let paths = rest.isEmpty ? [] : rest.dropFirst().split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        let what = found.what
        if what.hasPrefix("pattern:") {
            try self.init(
                what: "pattern", pattern: String(what.dropFirst("pattern:".count)), action: found.action, name: name, paths: paths)
        } else {
            try self.init(what: String(what), pattern: nil, action: found.action, name: name, paths: paths)
        }
    }

    /// Reads `{"what","action","pattern","name","paths"}`, or a rule's text.
    public init(_ json: JSONValue) throws(Refusal) {
        if let text = json.string {
            try self.init(text: text)
            return
        }
        guard json.kind == .object, let what = json["what"]?.string else {
            throw Refusal(.badRequest, field: "scrubbing", "A rule is an object with `what` and `action`, or its text, like email=mask.")
        }
        guard let action = json["action"]?.string.flatMap({ Action(rawValue: $0) }) else {
            throw Refusal(.badRequest, field: "scrubbing", "A rule's `action` is remove, mask or hash.")
        }
        var paths: [String] = []
        if let list = json["paths"], !list.isNull {
            var isList = list.kind == .array
            list.forEachElement { if let path = $0.string { paths.append(path) } else { isList = false } }
            guard isList else {
                throw Refusal(.badRequest, field: "scrubbing", "A rule's `paths` is a list of paths, like metadata.order.")
            }
        }
        try self.init(what: what, pattern: json["pattern"]?.string, action: action, name: json["name"]?.string, paths: paths)
    }

    private init(what: String, pattern: String?, action: Action, name: String?, paths: [String]) throws(Refusal) {
        let kind: What
        switch (what, pattern) {
        case ("email", nil): kind = .email
        case ("phone", nil): kind = .phone
        case ("card", nil): kind = .card
        case ("iban", nil): kind = .iban
        case ("ip", nil): kind = .ip
        case ("pattern", let pattern?):
            guard !pattern.isEmpty, pattern.utf8.count <= Bounds.pattern else {
                throw Refusal(.badRequest, field: "scrubbing", "A rule's pattern has 1 to \(Bounds.pattern) bytes.")
            }
            kind = .pattern(pattern)
        default:
            throw Refusal(
                .badRequest, field: "scrubbing", "A rule looks for email, phone, card, iban, ip, or a pattern, like pattern:ORDER-\\d+.")
        }
        if let name {
            let isName = name.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 || $0 == 95 }
            guard isName, (1...Bounds.name).contains(name.utf8.count) else {
                throw Refusal(.badRequest, field: "scrubbing", "A rule's name has 1 to \(Bounds.name) of a-z, 0-9, - and _.")
            }
        }
        guard paths.count <= Bounds.paths else {
            throw Refusal(.badRequest, field: "scrubbing", "A rule has at most \(Bounds.paths) paths.")
        }
        self.init(kind, action, name: name, paths: paths)
    }

    /// The rule as `init(text:)` reads it.
    public var text: String {
        var text = what.name
        if case .pattern(let pattern) = what { text += ":" + pattern }
        text += "=" + action.rawValue
        if name != what.name { text += ":" + name }
        return paths.isEmpty ? text : text + "@" + paths.joined(separator: ",")
    }
}

extension JSONWriter {
    /// A rule as `ScrubbingRule.init(_:)` reads it, with its text.
    public mutating func value(_ rule: ScrubbingRule) {
        object { writer in
            writer.field("what", rule.what.name)
            if case .pattern(let pattern) = rule.what { writer.field("pattern", pattern) }
            writer.field("action", rule.action.rawValue)
            writer.field("name", rule.name)
            writer.field("paths", rule.paths)
            writer.field("text", rule.text)
        }
    }
}
