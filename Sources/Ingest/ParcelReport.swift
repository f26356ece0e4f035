public import Events

/// How a parcel fared, for whoever watches: counts and times, nothing of what was said, by whom, or under which ID.
public struct ParcelReport: Sendable {
    public var transport: Transport
    public var lane: Lane
    public var events: Int
    /// How many of them met with what.
    public var verdicts: [Verdict.Name: Int]
    /// When it began, by the wall.
    public var receivedAt: Timestamp
    /// How long it took until all of it was admitted or refused; nil where it came no further than its quota.
    public var admission: Duration?
    /// How long until it was answered, its commit and the wait for that included.
    public var total: Duration
}
