import Events

/// What a run keeps of a span beside its own fields: the members of its `extra`.
struct Extra {
    /// In the order they are written in: that of their names' bytes.
    enum Member: Int, CaseIterable {
        case agent, alsoSaid, events, finishReasons, library, links, omittedAttributes, operation, params, replyId, resource, responseId
        case spanKind, spanType, timeToFirstChunk, timeToFirstChunkMs, tool, traceState, workflow
    }

    private static let names = Member.allCases.map { "\($0)" }
    private var values = [AttributeValue?](repeating: nil, count: Member.allCases.count)

    subscript(member: Member) -> AttributeValue? {
        get { values[member.rawValue] }
        set { values[member.rawValue] = newValue }
    }

    /// nil where there is nothing.
    var json: JSONText? {
        var writer = JSONWriter(capacity: 448)
        var isEmpty = true
        writer.object { writer in
            for place in values.indices {
                guard let value = values[place] else { continue }
                isEmpty = false
                writer.key(Self.names[place])
                writer.write(value)
            }
        }
        return isEmpty ? nil : JSONText(trusted: writer.bytes)
    }
}
