import Events

/// What a record says of its tags, in members of `extra` whose fold gives the same tags in any order of arrival:
/// `tags` with its time `tagsAt` replaces them, `tag:NAME` with a time adds one, with a negative time takes it off.
struct RecordTags {
    var set: [String]?
    var added: [String] = []
    var removed: [String] = []

    func write(to extra: inout ExtraMembers, at: Timestamp) {
        if let set {
            var writer = JSONWriter()
            writer.array(set) { $0.value($1) }
            extra.add("tags", JSONText(trusted: writer.bytes))
            extra.add("tagsAt", at.microseconds)
        }
        let taken = Set(added)
        for tag in removed where !taken.contains(tag) { extra.add("tag:" + tag, -at.microseconds) }
        for tag in taken { extra.add("tag:" + tag, at.microseconds) }
    }

    /// The tags that a run's `extra` adds up to; nil where none of its records had any.
    static func of(_ extra: [String: JSONText]) -> [String]? {
        var tags = extra["tags"]?.reading { json -> [String]? in
            var tags: [String] = []
            json.forEachElement { if let tag = $0.string { tags.append(tag) } }
            return tags
        }
        let since = extra["tagsAt"]?.reading(\.integer) ?? 0
        for (name, value) in extra.sorted(by: { $0.key < $1.key }) where name.hasPrefix("tag:") {
            guard let at = value.reading(\.integer), abs(at) > since else { continue }
            let tag = String(name.dropFirst(4))
            tags = (tags ?? []).filter { $0 != tag } + (at > 0 ? [tag] : [])
        }
        return tags
    }
}
