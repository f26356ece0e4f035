public import Conversations
public import Events

/// What the review page needs done in other rooms: writing through ingest, keys, quarantine.
public protocol BackOffice: Sendable {
    /// Admits and commits what a person or a key says of conversations; one verdict an event, in order, after commit.
    /// - Parameter record: the name of record of who says it.
    func write(_ events: [Event], by record: String, to project: Project) async -> [Verdict]

    /// Sends things from quarantine through the door again; those that got in leave quarantine. One verdict an item, in order.
    func replay(_ items: [QuarantineItem], _ mending: Mending, in project: Project) async throws -> [Verdict]

    /// When a thing was stored, by a receipt of it; nil where nobody here gave that receipt.
    func time(of receipt: String, for id: String, in project: Project) -> Timestamp?

    /// Makes a key and keeps its digest; the text is told once.
    func issueKey(_ lane: Lane, of project: Project, label: String?, expiresAt: Timestamp?) async throws -> (key: KeyRecord, text: String)
    /// Origins that can't be allowed, with why; nil: it can.
    func fault(inOrigin origin: String) -> String?
    /// What rules would make of a text of a project's, and how often each name in them found something. Refuses rules that can't be
    /// applied.
    func scrub(_ text: String, by rules: [ScrubbingRule], in project: Project?) throws(Refusal) -> (
        text: String, found: [(name: String, count: Int)]
    )
}

/// What is done to things from quarantine before they go through the door again.
public struct Mending: Sendable {
    /// A merge patch (RFC 7396) on the event as it was sent.
    public var patch: JSONText?
    /// An operator vouches: what a public key may not say counts as said by a secret one.
    public var trusts: Bool
    /// Only says what would become of it; whether its ID is taken shows when it is done.
    public var isDry: Bool
    public init(patch: JSONText? = nil, trusts: Bool = false, isDry: Bool = false) {
        (self.patch, self.trusts, self.isDry) = (patch, trusts, isDry)
    }
}
