public import Events

/// What was found, by rule.
public struct Findings: Sendable, Equatable {
    /// How many by the rule's place in its list.
    public private(set) var counts: [Int: Int] = [:]
    public var isEmpty: Bool { counts.isEmpty }
    public init() {}

    mutating func count(_ found: [Scrubber.Found]) {
        for each in found { counts[each.rule, default: 0] += 1 }
    }

    public mutating func add(_ other: Findings) { counts.merge(other.counts, uniquingKeysWith: +) }
}

/// A text that was changed, for people to look at.
public struct ScrubbedText: Sendable {
    /// The field, as a rule's path names it.
    public var path: String
    public var before: String
    public var after: String
    /// What was found in `before`, with what stands in its place.
    public var changes: [Change]

    public struct Change: Sendable {
        /// The rule's place in its list.
        public var rule: Int
        public var text: String
        public var replacement: String
    }
}

extension Scrubber {
    /// Scrubs what was read from a body: an event in all its texts, or what could not become one.
    /// - Parameter note: is told of each text that was changed.
    public func scrub(_ item: inout Parcel.Item, _ note: ((ScrubbedText) -> Void)? = nil) -> Findings {
        switch item {
        case .event(var event):
            let findings = scrub(&event, note)
            if !findings.isEmpty { item = .event(event) }
            return findings
        case .refused(var refused):
            guard let payload = refused.payload else { return Findings() }
            var walk = Walk(self, note: note, isForeign: true)
            guard let changed = walk.members(of: payload) else { return Findings() }
            refused.payload = changed
            item = .refused(refused)
            return walk.findings
        }
    }

    /// Scrubs an event in place. IDs, times, types and the like stay as they are.
    public func scrub(_ event: inout Event, _ note: ((ScrubbedText) -> Void)? = nil) -> Findings {
        var walk = Walk(self, note: note)
        walk.event(&event)
        return walk.findings
    }

    /// Scrubs one text as if it were a message's.
    public func scrub(text: String) -> (text: String, findings: Findings) {
        var changed = text
        var walk = Walk(self, note: nil)
        walk.words(&changed, in: "content")
        return (changed, walk.findings)
    }

    /// The names of what was found, with how often: for people and programs to read.
    public func names(_ findings: Findings) -> [(name: String, count: Int)] {
        findings.counts.sorted { $0.key < $1.key }.reduce(into: []) { names, each in
            let name = source[each.key].name
            if let index = names.firstIndex(where: { $0.name == name }) {
                names[index].count += each.value
            } else {
                names.append((name, each.value))
            }
        }
    }
}

/// One event's way through the rules.
private struct Walk {
    let scrubber: Scrubber
    let note: ((ScrubbedText) -> Void)?
    /// Whether what is walked through is no event of ours, so that IDs may stand at any depth.
    let isForeign: Bool
    private let needsTrail: Bool
    private var trail: [String] = []
    private(set) var findings = Findings()

    init(_ scrubber: Scrubber, note: ((ScrubbedText) -> Void)?, isForeign: Bool = false) {
        self.scrubber = scrubber
        self.note = note
        self.isForeign = isForeign
        needsTrail = scrubber.hasPaths || note != nil
    }

    // MARK: events

    mutating func event(_ event: inout Event) {
        var dropsDeltas = false
        switch event.body {
        case .message(var message):
            switch message.content {
            case .text(var text):
                if words(&text, in: "content") {
                    message.content = .text(text)
                    dropsDeltas = true
                }
            case .blocks(var blocks):
                if json(&blocks, in: "content") {
                    message.content = .blocks(blocks)
                    dropsDeltas = true
                }
            }
            if labels(&message.tags) || dropsDeltas { event.body = .message(message) }
        case .thread(var patch):
            let isTagged = labels(&patch.tags)
            if labels(&patch.untag) || isTagged { event.body = .thread(patch) }
        case .event(var name):
            if label(&name, in: "name", atMost: Event.Bounds.name) { event.body = .event(name: name) }
        case .feedback(var feedback):
            if words(&feedback.comment, in: "comment") { event.body = .feedback(feedback) }
        case .run(var part): if run(&part) { event.body = .run(part) }
        case .score(var score):
            var isChanged = label(&score.name, in: "name", atMost: Event.Bounds.name)
            if var category = score.category, label(&category, in: "category", atMost: Event.Bounds.name) {
                score.category = category
                isChanged = true
            }
            if words(&score.reason, in: "reason") || isChanged { event.body = .score(score) }
        case .comment(var comment): if words(&comment.text, in: "text") { event.body = .comment(comment) }
        case .identify, .clientReport, .trace, .other: break
        }
        if let metadata = event.metadata, let changed = self.metadata(metadata, withoutDeltas: dropsDeltas) { event.metadata = changed }
        if var user = event.user {
            let isRenamed = userID(&user.id)
            enter("user")
            let hasOtherProps = json(&user.props, in: "props")
            leave()
            if isRenamed || hasOtherProps { event.user = user }
        }
        if let unknown = event.unknown, let changed = members(of: unknown) { event.unknown = changed }
    }

    private mutating func run(_ part: inout Event.RunPart) -> Bool {
        var isChanged = false
        if var name = part.name, label(&name, in: "name", atMost: Event.Bounds.name) {
            part.name = name
            isChanged = true
        }
        isChanged = json(&part.input, in: "input") || isChanged
        isChanged = json(&part.output, in: "output") || isChanged
        isChanged = json(&part.error, in: "error") || isChanged
        isChanged = json(&part.extra, in: "extra") || isChanged
        isChanged = words(&part.question, in: "question") || isChanged
        isChanged = words(&part.answer, in: "answer") || isChanged
        return labels(&part.tags) || isChanged
    }

    // MARK: fields

    private mutating func enter(_ name: String) { if needsTrail { trail.append(name) } }
    private mutating func leave() { if needsTrail { trail.removeLast() } }
    private var selection: Scrubber.Selection { scrubber.hasPaths ? scrubber.selection(at: trail) : scrubber.selection }

    @discardableResult
    mutating func words(_ text: inout String, in field: String) -> Bool {
        enter(field)
        defer { leave() }
        guard let changed = replaced(text, selection) else { return false }
        text = changed
        return true
    }

    private mutating func words(_ text: inout String?, in field: String) -> Bool {
        guard var some = text, words(&some, in: field) else { return false }
        text = some
        return true
    }

    /// A text with a bound; what stands in a found one's place may make it longer.
    private mutating func label(_ text: inout String, in field: String, atMost most: Int) -> Bool {
        guard words(&text, in: field) else { return false }
        if text.unicodeScalars.count > most { text = String(String.UnicodeScalarView(text.unicodeScalars.prefix(most))) }
        return true
    }

    private mutating func labels(_ tags: inout [String]) -> Bool {
        var isChanged = false
        for index in tags.indices where label(&tags[index], in: "tags", atMost: Event.Bounds.tag) { isChanged = true }
        return isChanged
    }

    private mutating func userID(_ id: inout String) -> Bool {
        let selection = scrubber.userIDSelection
        guard selection != 0 else { return false }
        enter("user.id")
        defer { leave() }
        guard let changed = replaced(id, selection) else { return false }
        // An ID that grew too long is hashed whole: a cut one could be another's.
        guard changed.unicodeScalars.count > Event.Bounds.id else {
            id = changed
            return true
        }
        var bytes: [UInt8] = []
        let rule = scrubber.rules[selection.trailingZeroBitCount]
        Array(id.utf8).withUnsafeBufferPointer { scrubber.append(replacementOf: $0, rule, to: &bytes) }
        id = String(decoding: bytes, as: UTF8.self)
        return true
    }

    private mutating func json(_ text: inout JSONText, in field: String) -> Bool {
        enter(field)
        defer { leave() }
        guard
            let changed = rewritten(
                text, { walk, value in walk.finds(in: value) }, { walk, writer, value in walk.write(value, into: &writer) })
        else { return false }
        text = changed
        return true
    }

    private mutating func json(_ text: inout JSONText?, in field: String) -> Bool {
        guard var some = text, json(&some, in: field) else { return false }
        text = some
        return true
    }

    /// P-READ-6: `deltas` are numbers, and count characters of the content: they go with a content that was changed.
    private mutating func metadata(_ text: JSONText, withoutDeltas: Bool) -> JSONText? {
        enter("metadata")
        defer { leave() }
        return rewritten(
            text, always: withoutDeltas,
            { walk, value in walk.findsInMetadata(value) || withoutDeltas && value["deltas"] != nil },
            { walk, writer, value in walk.writeMetadata(value, into: &writer, withoutDeltas: withoutDeltas) })
    }

    /// An object whose members are fields of an event, or of what was meant as one.
    mutating func members(of text: JSONText) -> JSONText? {
        rewritten(
            text, { walk, value in walk.findsInMembers(of: value) }, { walk, writer, value in walk.writeMembers(of: value, into: &writer) })
    }

    // MARK: JSON

    /// The value as `write` writes it; nil where `finds` finds nothing. What has no mark of a rule in it is not even parsed.
    private mutating func rewritten(
        _ text: JSONText, always: Bool = false, _ finds: (inout Walk, JSONValue) -> Bool,
        _ write: (inout Walk, inout JSONWriter, JSONValue) -> Void
    ) -> JSONText? {
        guard always || text.bytes.withUnsafeBufferPointer({ scrubber.mayFind(in: $0, .max) }) else { return nil }
        // Stored and admitted texts are JSON; anything else stays what it is.
        let bytes = try? JSONDocument.read(text.bytes, isOurs: true) { value -> [UInt8]? in
            guard finds(&self, value) else { return nil }
            var writer = JSONWriter()
            write(&self, &writer, value)
            return writer.bytes
        }
        guard let bytes else { return nil }
        // Read again so that its order-free form is known too.
        return try? JSONDocument.read(bytes, isOurs: true) { JSONText($0) }
    }

    /// Whether a rule finds anything in a value.
    private mutating func finds(in value: JSONValue) -> Bool {
        var isFound = false
        switch value.kind {
        case .string: isFound = !scrubber.find(in: value.utf8!, selection).isEmpty
        case .number: isFound = number(value).map { !find(in: $0).isEmpty } ?? false
        case .array: value.forEachElement { isFound = isFound || finds(in: $0) }
        case .object:
            value.forEachMember { key, member in
                guard !isFound, !isForeign || !Self.isForeignID(key) else { return }
                enter(key)
                isFound = finds(in: member)
                leave()
            }
        case .bool, .null: break
        }
        return isFound
    }

    private mutating func write(_ value: JSONValue, into writer: inout JSONWriter) {
        switch value.kind {
        case .string:
            if let changed = replaced(value.utf8!, selection) { writer.value(changed) } else { writer.value(JSONText(value)) }
        case .number:
            if let number = number(value), let changed = replaced(number, selection) {
                writer.value(changed)
            } else {
                writer.value(JSONText(value))
            }
        case .array: writer.array { writer in value.forEachElement { write($0, into: &writer) } }
        case .object:
            writer.object { writer in
                value.forEachMember { key, member in
                    writer.key(String(decoding: key, as: UTF8.self))
                    if isForeign, Self.isForeignID(key) { return writer.value(JSONText(member)) }
                    enter(key)
                    write(member, into: &writer)
                    leave()
                }
            }
        case .bool, .null: writer.value(JSONText(value))
        }
    }

    private mutating func findsInMetadata(_ value: JSONValue) -> Bool {
        guard value.kind == .object else { return finds(in: value) }
        var isFound = false
        value.forEachMember { key, member in
            guard !isFound, !key.equals("deltas") else { return }
            enter(key)
            isFound = finds(in: member)
            leave()
        }
        return isFound
    }

    private mutating func writeMetadata(_ value: JSONValue, into writer: inout JSONWriter, withoutDeltas: Bool) {
        guard value.kind == .object else { return write(value, into: &writer) }
        writer.object { writer in
            value.forEachMember { key, member in
                let isDeltas = key.equals("deltas")
                if isDeltas, withoutDeltas { return }
                writer.key(String(decoding: key, as: UTF8.self))
                if isDeltas { return writer.value(JSONText(member)) }
                enter(key)
                write(member, into: &writer)
                leave()
            }
        }
    }

    private mutating func findsInMembers(of value: JSONValue) -> Bool {
        guard value.kind == .object else { return finds(in: value) }
        var isFound = false
        value.forEachMember { key, member in
            guard !isFound, !Self.isFixed(key), !isForeign || !Self.isForeignID(key) else { return }
            enter(key)
            if key.equals("metadata") {
                isFound = findsInMetadata(member)
            } else if key.equals("user"), member.kind == .object {
                isFound = findsInUser(member)
            } else {
                isFound = finds(in: member)
            }
            leave()
        }
        return isFound
    }

    private mutating func findsInUser(_ user: JSONValue) -> Bool {
        var isFound = false
        user.forEachMember { key, member in
            guard !isFound else { return }
            if key.equals("id") {
                isFound = member.utf8.map { !scrubber.find(in: $0, scrubber.userIDSelection).isEmpty } ?? false
                return
            }
            enter(key)
            isFound = finds(in: member)
            leave()
        }
        return isFound
    }

    private mutating func writeMembers(of value: JSONValue, into writer: inout JSONWriter) {
        guard value.kind == .object else { return write(value, into: &writer) }
        // The content is looked at first: with it go the deltas.
        var withoutDeltas = false
        if let content = value["content"] {
            enter("content")
            withoutDeltas = finds(in: content)
            leave()
        }
        writer.object { writer in
            value.forEachMember { key, member in
                writer.key(String(decoding: key, as: UTF8.self))
                if Self.isFixed(key) || isForeign && Self.isForeignID(key) { return writer.value(JSONText(member)) }
                enter(key)
                if key.equals("metadata") {
                    writeMetadata(member, into: &writer, withoutDeltas: withoutDeltas)
                } else if key.equals("user"), member.kind == .object {
                    writer.object { writer in
                        member.forEachMember { key, member in
                            writer.key(String(decoding: key, as: UTF8.self))
                            if key.equals("id") {
                                var id = member.string
                                if id != nil, userID(&id!) { writer.value(id!) } else { writer.value(JSONText(member)) }
                                return
                            }
                            enter(key)
                            write(member, into: &writer)
                            leave()
                        }
                    }
                } else {
                    write(member, into: &writer)
                }
                leave()
            }
        }
    }

    private mutating func enter(_ key: UnsafeBufferPointer<UInt8>) { if needsTrail { trail.append(String(decoding: key, as: UTF8.self)) } }

    private static func isFixed(_ key: UnsafeBufferPointer<UInt8>) -> Bool {
        key.count <= 12 && FieldPath.fixed.contains(String(decoding: key, as: UTF8.self))
    }

    /// Names of members that hold IDs, times and the like in the dialects of doors.
    private static func isForeignID(_ key: UnsafeBufferPointer<UInt8>) -> Bool {
        let name = String(decoding: key, as: UTF8.self)
        return ["id", "type", "role", "event", "timestamp", "createdAt", "start_time", "end_time"].contains(name)
            || name.hasSuffix("Id") || name.hasSuffix("ID") || name.hasSuffix("_id")
    }

    /// A whole number as its digits, where it has enough of them to be anybody's: an account, a card.
    private func number(_ value: JSONValue) -> String? {
        guard let number = value.integer, number.magnitude >= 100_000 else { return nil }
        return String(number)
    }

    // MARK: finding

    private func find(in text: String) -> [Scrubber.Found] {
        text.withBytes { scrubber.find(in: $0, selection) }
    }

    private mutating func replaced(_ text: String, _ selection: Scrubber.Selection) -> String? {
        text.withBytes { replaced($0, selection) }
    }

    private mutating func replaced(_ text: UnsafeBufferPointer<UInt8>, _ selection: Scrubber.Selection) -> String? {
        let found = scrubber.find(in: text, selection)
        guard !found.isEmpty else { return nil }
        findings.count(found)
        let after = String(decoding: scrubber.replacing(found, in: text), as: UTF8.self)
        note?(
            ScrubbedText(
                path: trail.joined(separator: "."), before: String(decoding: text, as: UTF8.self), after: after,
                changes: found.map { each in
                    var replacement: [UInt8] = []
                    let place = UnsafeBufferPointer(rebasing: text[each.range])
                    scrubber.append(replacementOf: place, scrubber.rules[each.rule], to: &replacement)
                    return ScrubbedText.Change(
                        rule: each.rule, text: String(decoding: place, as: UTF8.self),
                        replacement: String(decoding: replacement, as: UTF8.self))
                }))
        return after
    }
}

extension String {
    /// The bytes in one piece; copied only where they are not.
    fileprivate func withBytes<Result>(_ read: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
        utf8.withContiguousStorageIfAvailable(read) ?? Array(utf8).withUnsafeBufferPointer(read)
    }
}
