import NIOCore

/// How much is sent, how fast, and for how long.
struct Plan: Sendable {
    let connections: Int
    let batch: Int
    let inFlight: Int
    /// Events a second over all connections; nil is the closed loop, where the next batch leaves when one is answered.
    let rate: Double?
    let duration: TimeAmount
    let events: Int?
    /// How long a connection tries to get (back) in, and how long answers are awaited after the last batch.
    let patience: TimeAmount
    /// A fixed `at` for every event, so that the same seed says the same words again; nil is the time of sending.
    let at: Int64?

    /// The time between two batches of one connection in the open loop.
    var interval: TimeAmount? {
        rate.map { .nanoseconds(Int64(Double(batch) * Double(connections) / $0 * 1e9)) }
    }

    /// The first batch of each connection, spread over one interval: together the connections tick evenly.
    func firstDue(of connection: Int, after start: NIODeadline) -> NIODeadline {
        guard let interval else { return start }
        return start + .nanoseconds(Int64(Double(interval.nanoseconds) * Double(connection) / Double(connections)))
    }
}
