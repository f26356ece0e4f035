/// What the group commit did since the start.
public struct CommitFigures: Sendable, Equatable {
    /// Upper bounds of the classes of durations, in seconds; the last class has none.
    public static let bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

    public private(set) var commits = 0
    public private(set) var failures = 0
    /// How many took up to each bound, and how many longer; failed ones too.
    public private(set) var classes = [Int](repeating: 0, count: bounds.count + 1)
    public private(set) var seconds = 0.0
    /// What waits now.
    public var queuedEvents = 0
    public var queuedBytes = 0

    public init() {}

    mutating func note(_ duration: Duration, failed: Bool) {
        let seconds = Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
        if failed { failures += 1 } else { commits += 1 }
        self.seconds += seconds
        classes[Self.bounds.firstIndex { seconds <= $0 } ?? Self.bounds.count] += 1
    }
}
