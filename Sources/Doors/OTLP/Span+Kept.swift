import Events

/// What is kept of a span beside the fields of a run, within bounds.
extension Span {
    /// The application's own fields, and the attributes that nothing else was made of.
    func metadata(_ attributes: inout Attributes, _ omitted: inout Int) -> [String: AttributeValue] {
        var members: [String: AttributeValue] = [:]
        for prefix in Names.metadata { members.merge(attributes.takeAll(prefix)) { first, _ in first } }
        for name in Names.metadataObjects {
            if case .map(let more)? = attributes.take(name, { $0.parsed.ifMap }) { members.merge(more) { first, _ in first } }
        }
        members.merge(attributes.rest) { first, _ in first }
        return Self.bounded(members, &omitted)
    }

    func keptLinks(_ omitted: inout Int) -> AttributeValue? {
        guard !links.isEmpty else { return nil }
        omitted += max(0, links.count - Self.mostEvents)
        return .list(
            links.prefix(Self.mostEvents).map { link in
                var members: [String: AttributeValue] = [:]
                members["trace"] = link.trace.map { .text($0) }
                members["span"] = link.id.map { .text($0) }
                if !link.attributes.isEmpty { members["attributes"] = .map(Self.bounded(link.attributes, &omitted)) }
                return .map(members)
            })
    }

    /// The events that are not part of input and output.
    func keptEvents(_ omitted: inout Int) -> AttributeValue? {
        let others = events.filter { $0.name != Names.detailsEvent && $0.name != Names.promptEvent && $0.role == nil && !$0.isAnswer }
        guard !others.isEmpty else { return nil }
        omitted += max(0, others.count - Self.mostEvents)
        return .list(
            others.prefix(Self.mostEvents).map { event in
                var members: [String: AttributeValue] = ["name": .text(event.name)]
                members["at"] = Self.time(event.nanos).map { .text($0.description) }
                if !event.attributes.isEmpty { members["attributes"] = .map(Self.bounded(event.attributes, &omitted)) }
                return .map(members)
            })
    }

    /// The SDKs' own default is 128 (OpenTelemetry specification, "Span Limits"), of attributes and of events.
    private static let mostEvents = 128
    private static let mostAttributes = 256
    /// A value longer than this, in bytes of JSON, is no attribute but a payload.
    private static let longestAttribute = 64 << 10

    /// What is kept of attributes nobody asked for; how many are not is counted.
    static func bounded(_ members: [String: AttributeValue], _ omitted: inout Int) -> [String: AttributeValue] {
        if members.count <= mostAttributes, members.allSatisfy({ $0.key.utf8.count <= longestAttribute && $0.value.isSurelyShort }) {
            return members
        }
        var kept: [String: AttributeValue] = [:]
        for (key, value) in members.sorted(by: { $0.key < $1.key }) {
            guard kept.count < mostAttributes, key.utf8.count <= longestAttribute, (value.json?.bytes.count ?? 0) <= longestAttribute else {
                omitted += 1
                continue
            }
            kept[key] = value
        }
        return kept
    }
}

extension AttributeValue {
    /// Whether it is no payload, by a look; other values are measured.
    fileprivate var isSurelyShort: Bool {
        switch self {
        // A byte takes six in JSON at most.
        case .text(let text), .data(let text): text.utf8.count <= 10_000
        case .flag, .integer, .number, .null: true
        case .list, .map, .written: false
        }
    }
}
