import Events

/// An attribute as it came.
struct Attribute: Sendable {
    let name: String
    let mark: NameMark
    let value: AttributeValue

    init(_ name: String, _ value: AttributeValue) { (self.name, mark, self.value) = (name, NameMark(name), value) }
}

/// Attributes by name, and which of them have been put to use.
///
/// A span has a dozen and is asked for a hundred and fifty names, so it says no fast: a name whose bit is not set is not there.
struct Attributes {
    private let entries: [Attribute]
    private var isUsed: [Bool]
    private let bits: UInt64
    /// Where each is, once there are so many that looking through them takes longer.
    private let places: [String: Int]
    private static let many = 64

    /// Of two with one name the last counts.
    /// - Parameter more: what stands beside the attributes; of two with one name there the first counts, and behind what is in them.
    init(_ attributes: [Attribute], beside more: [[String: AttributeValue]] = []) {
        var distinct = Self.areDistinct(attributes) ? attributes : Self.distinct(attributes)
        if !more.isEmpty {
            var names = Set(distinct.map(\.name))
            for (name, value) in more.joined() where names.insert(name).inserted { distinct.append(Attribute(name, value)) }
        }
        self.init(distinct: distinct)
    }

    /// Whether no two have one name; false where there are so many that this takes long.
    private static func areDistinct(_ attributes: [Attribute]) -> Bool {
        guard attributes.count < many else { return false }
        var bits: UInt64 = 0
        for place in attributes.indices {
            let mark = attributes[place].mark
            // Most are the only ones with their bit.
            if bits & mark.bit != 0 {
                for other in 0..<place where attributes[other].mark.hash == mark.hash && attributes[other].name == attributes[place].name {
                    return false
                }
            }
            bits |= mark.bit
        }
        return true
    }

    init(_ values: [String: AttributeValue]) { self.init(distinct: values.map { Attribute($0, $1) }) }

    private init(distinct attributes: [Attribute]) {
        entries = attributes
        isUsed = [Bool](repeating: false, count: attributes.count)
        bits = attributes.reduce(0) { $0 | $1.mark.bit }
        // Names may be the same to Unicode that are not to the marks: to neither are they a reason to stop.
        places =
            attributes.count < Self.many
            ? [:] : Dictionary(attributes.indices.map { (attributes[$0].name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    private static func distinct(_ attributes: [Attribute]) -> [Attribute] {
        var places: [String: Int] = [:]
        var distinct: [Attribute] = []
        for attribute in attributes {
            if let place = places[attribute.name] {
                distinct[place] = attribute
            } else {
                places[attribute.name] = distinct.count
                distinct.append(attribute)
            }
        }
        return distinct
    }

    private func place(of name: String, _ mark: NameMark) -> Int? {
        guard bits & mark.bit != 0 else { return nil }
        if entries.count >= Self.many { return places[name] }
        // By place, so that no entry is copied.
        for place in entries.indices where entries[place].mark.hash == mark.hash && entries[place].name == name { return place }
        return nil
    }

    /// The first of these names that is there, and gives something.
    private func find<Result>(_ list: NameList, _ read: (AttributeValue) -> Result?) -> (place: Int, result: Result)? {
        guard bits & list.bits != 0 else { return nil }
        for index in list.marks.indices where bits & list.marks[index].bit != 0 {
            if let place = place(of: list.names[index], list.marks[index]), let result = read(entries[place].value) {
                return (place, result)
            }
        }
        return nil
    }

    func has(_ list: NameList) -> Bool { find(list) { _ in true } != nil }

    /// The value under the first of these names that gives one, which is used up with it.
    mutating func take<Result>(_ list: NameList, _ read: (AttributeValue) -> Result?) -> Result? {
        guard let (place, result) = find(list, read) else { return nil }
        isUsed[place] = true
        return result
    }

    /// What stands under these names and was not put to use, by its name.
    mutating func takeUnused(_ list: NameList) -> [String: AttributeValue] {
        var found: [String: AttributeValue] = [:]
        guard bits & list.bits != 0 else { return found }
        for index in list.marks.indices where bits & list.marks[index].bit != 0 {
            guard let place = place(of: list.names[index], list.marks[index]), !isUsed[place] else { continue }
            found[list.names[index]] = entries[place].value
            isUsed[place] = true
        }
        return found
    }

    /// Reads without using up.
    func look<Result>(_ list: NameList, _ read: (AttributeValue) -> Result?) -> Result? { find(list, read)?.result }

    /// All that begin with `prefix`, by the rest of their names, but what was used before.
    mutating func takeAll(_ prefix: NamePrefix) -> [String: AttributeValue] { takeAll(prefix) { _ in true } }

    /// The list that was spread over attributes under `prefix`, which ends in a dot; nil where there is none.
    mutating func takeList(_ prefix: NamePrefix) -> AttributeValue? {
        let elements = takeAll(prefix) { rest in
            let place = rest.prefix { $0 != UInt8(ascii: ".") }
            return (1...9).contains(place.count) && place.allSatisfy { (48...57).contains($0) }
        }
        return elements.isEmpty ? nil : SpreadList.gather(elements)
    }

    private mutating func takeAll(_ prefix: NamePrefix, where isMeant: (Substring.UTF8View) -> Bool) -> [String: AttributeValue] {
        var found: [String: AttributeValue] = [:]
        for place in entries.indices where !isUsed[place] && prefix.begins(entries[place].name, entries[place].mark) {
            let rest = entries[place].name.utf8.dropFirst(prefix.length)
            guard !rest.isEmpty, isMeant(rest) else { continue }
            found[String(Substring(rest))] = entries[place].value
            isUsed[place] = true
        }
        return found
    }

    var rest: [String: AttributeValue] {
        var rest: [String: AttributeValue] = [:]
        for place in entries.indices where !isUsed[place] { rest[entries[place].name] = entries[place].value }
        return rest
    }
}

/// A list that was spread over attributes: `PREFIX.0.message.role`, `PREFIX.1.message.tool_calls.0.tool_call.id`.
struct SpreadList {
    /// Names of the objects that OpenInference wraps each element in.
    private static let wrappers: Set<String> = ["message", "message_content", "tool_call", "document", "embedding", "prompt", "completion"]
    /// Segments further in than this stay one name.
    private static let maximumDepth = 12

    private final class Node {
        var value: AttributeValue?
        var children: [Substring: Node] = [:]
    }

    /// nil where `attributes`, by the names behind the prefix, hold no element.
    static func gather(_ attributes: [String: AttributeValue]) -> AttributeValue? {
        let root = Node()
        for (name, value) in attributes {
            var node = root
            for segment in name.split(separator: ".", maxSplits: maximumDepth, omittingEmptySubsequences: false) {
                let child = node.children[segment] ?? Node()
                node.children[segment] = child
                node = child
            }
            node.value = value
        }
        guard case .list(let elements) = value(of: root), !elements.isEmpty else { return nil }
        return .list(elements)
    }

    private static func value(of node: Node) -> AttributeValue {
        if node.children.isEmpty { return node.value ?? .null }
        let numbered = node.children.compactMap { key, child in Int(key).map { ($0, child) } }
        if numbered.count == node.children.count {
            return .list(numbered.sorted { $0.0 < $1.0 }.map { unwrapped(value(of: $0.1)) })
        }
        var members: [String: AttributeValue] = [:]
        for (key, child) in node.children { members[String(key)] = value(of: child) }
        if let value = node.value { members["value"] = value }
        return .map(members)
    }

    private static func unwrapped(_ element: AttributeValue) -> AttributeValue {
        if case .map(let members) = element, members.count == 1, let (key, value) = members.first, wrappers.contains(key), case .map = value
        {
            return value
        }
        return element
    }
}
