import Events

/// Attributes by name, and which of them have been put to use.
///
/// A span has a dozen and is asked for a hundred and fifty names, so it says no fast: a name whose bit is not set is not there.
struct Attributes {
    private struct Entry {
        let name: String
        let value: AttributeValue
        var isUsed = false
    }

    private var entries: [Entry] = []
    private var bits: UInt64 = 0

    init(_ values: [String: AttributeValue]) {
        entries.reserveCapacity(values.count)
        for (name, value) in values { append(name, value) }
    }

    /// Adds what stands beside the attributes; what is there already stays.
    mutating func add(_ more: [String: AttributeValue]) {
        for (name, value) in more where place(of: name) == nil { append(name, value) }
    }

    private mutating func append(_ name: String, _ value: AttributeValue) {
        entries.append(Entry(name: name, value: value))
        bits |= Self.bit(of: name)
    }

    private func place(of name: String) -> Int? {
        bits & Self.bit(of: name) == 0 ? nil : entries.firstIndex { $0.name == name }
    }

    /// Any function of the bytes would do.
    private static func bit(of name: String) -> UInt64 {
        var name = name
        return name.withUTF8 { bytes in
            guard let last = bytes.last else { return 1 }
            return 1 << ((UInt64(bytes.count) &* 11 &+ UInt64(last) &* 7 &+ UInt64(bytes[bytes.count / 2]) &* 29) & 63)
        }
    }

    func has(_ name: String) -> Bool { place(of: name) != nil }

    /// The value under the first of these names that gives one, which is used up with it.
    mutating func take<Result>(_ names: [String], _ read: (AttributeValue) -> Result?) -> Result? {
        for name in names { if let result = take(name, read) { return result } }
        return nil
    }

    mutating func take<Result>(_ name: String, _ read: (AttributeValue) -> Result?) -> Result? {
        guard let place = place(of: name), let result = read(entries[place].value) else { return nil }
        entries[place].isUsed = true
        return result
    }

    /// What stands under these names and was not put to use, by its name.
    mutating func takeUnused(_ names: [String]) -> [String: AttributeValue] {
        var found: [String: AttributeValue] = [:]
        for name in names {
            guard let place = place(of: name), !entries[place].isUsed else { continue }
            found[name] = entries[place].value
            entries[place].isUsed = true
        }
        return found
    }

    /// Reads without using up.
    func look<Result>(_ names: [String], _ read: (AttributeValue) -> Result?) -> Result? {
        for name in names { if let place = place(of: name), let result = read(entries[place].value) { return result } }
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
        for place in entries.indices where !entries[place].isUsed && entries[place].name.utf8.starts(with: prefix.utf8) {
            let rest = entries[place].name.utf8.dropFirst(prefix.utf8.count)
            guard !rest.isEmpty, isMeant(rest) else { continue }
            found[String(Substring(rest))] = entries[place].value
            entries[place].isUsed = true
        }
        return found
    }

    var rest: [String: AttributeValue] {
        var rest: [String: AttributeValue] = [:]
        for entry in entries where !entry.isUsed { rest[entry.name] = entry.value }
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
