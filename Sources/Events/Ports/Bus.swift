/// What the nodes of one installation say to each other in passing, and hear at once.
///
/// Nothing rests on it: what is said while somebody does not listen is lost for him. Who hears of a change there looks now instead of
/// soon, and who hears what quotas have spent elsewhere keeps his own closer to the truth.
public protocol Bus: Sendable {
    /// The longest message, in bytes.
    var longestMessage: Int { get }
    var figures: BusFigures { get }

    /// Listens until cancelled, and finds its way back where the line breaks. `hear` gets one piece of news after the other; it must not
    /// take long.
    func run(hear: @escaping @Sendable (BusNews) -> Void) async
    /// Says messages to every node that listens, this one among them. Throws where they could not be said; none of them was then heard,
    /// or nobody knows.
    func publish(_ messages: [[UInt8]]) async throws
}

public enum BusNews: Sendable, Equatable {
    /// Projects or keys changed, or may have: listening just began.
    case controlChanged
    /// What somebody said. Whoever has a line to the same place may have, so it is worth as much as what it is sealed with.
    case message([UInt8])
}

/// How a node's own line fares.
public struct BusFigures: Sendable, Equatable {
    public var isConnected: Bool
    /// How often the line had to be made anew.
    public var reconnections: Int
    public init(isConnected: Bool = false, reconnections: Int = 0) {
        (self.isConnected, self.reconnections) = (isConnected, reconnections)
    }
}
