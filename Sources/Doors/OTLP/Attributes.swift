import Events

/// Attributes by name, and which of them have been put to use.
struct Attributes {
    private var values: [String: AttributeValue]
    private var used: Set<String> = []

    init(_ values: [String: AttributeValue]) { self.values = values }

    /// Adds what stands beside the attributes; what is there already stays.
    mutating func add(_ more: [String: AttributeValue]) { values.merge(more) { mine, _ in mine } }

    func has(_ name: String) -> Bool { values[name] != nil }

    /// The value under the first of these names that gives one, which is used up with it.
    mutating func take<Result>(_ names: [String], _ read: (AttributeValue) -> Result?) -> Result? {
        for name in names {
            guard let value = values[name], let result = read(value) else { continue }
            used.insert(name)
            return result
        }
        return nil
    }

    mutating func take<Result>(_ name: String, _ read: (AttributeValue) -> Result?) -> Result? { take([name], read) }

    /// Reads without using up.
    func look<Result>(_ names: [String], _ read: (AttributeValue) -> Result?) -> Result? {
        for name in names { if let value = values[name], let result = read(value) { return result } }
        return nil
    }

    /// All that begin with `prefix`, by the rest of their names, but what was used before.
    mutating func takeAll(_ prefix: String) -> [String: AttributeValue] { takeAll(prefix) { !$0.isEmpty } }

    /// The list that was spread over attributes under `prefix`; nil where there is none.
    mutating func takeList(_ prefix: String) -> AttributeValue? {
        let elements = takeAll(prefix + ".") { rest in
            let place = rest.prefix { $0 != UInt8(ascii: ".") }
            return (1...9).contains(place.count) && place.allSatisfy { (48...57).contains($0) }
        }
        return elements.isEmpty ? nil : SpreadList.gather(elements)
    }

    private mutating func takeAll(_ prefix: String, where isMeant: (Substring.UTF8View) -> Bool) -> [String: AttributeValue] {
        var found: [String: AttributeValue] = [:]
        for (name, value) in values where name.hasPrefix(prefix) && !used.contains(name) {
            let rest = name.utf8.dropFirst(prefix.utf8.count)
            guard !rest.isEmpty, isMeant(rest) else { continue }
            found[String(Substring(rest))] = value
            used.insert(name)
        }
        return found
    }

    var rest: [String: AttributeValue] { values.filter { !used.contains($0.key) } }
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
