public import Events

/// A place among a thread's items, between two pages.
public struct ItemCursor: Sendable {
    public var at: Timestamp
    public var id: String

    public init(at: Timestamp, id: String) { (self.at, self.id) = (at, id) }

    public init(_ item: ConversationItem) { self.init(at: item.at, id: item.event.id) }

    /// Throws `ReadFailure.badCursor` for a text that no page gave out.
    public init(reading text: String) throws {
        let parts = text.split(separator: "~", maxSplits: 1)
        guard parts.count == 2, let at = Int64(parts[0]) else { throw ReadFailure.badCursor }
        self.init(at: Timestamp(microseconds: at), id: String(parts[1]))
    }

    public var text: String { "\(at.microseconds)~\(id)" }
}

extension Conversation {
    /// A stretch of a conversation that was read whole.
    public func page(limit: Int, after: ItemCursor?) -> Conversation {
        var page = self
        if let after {
            page.items = items.filter { ($0.at, $0.event.id) > (after.at, after.id) }
            page.looseRuns = []
        }
        if page.items.count > limit {
            page.items = Array(page.items.prefix(limit))
            page.next = page.items.last.map { ItemCursor($0).text }
        }
        return page
    }
}
