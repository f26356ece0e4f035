/// What came of a run, before anything is read back.
struct Outcome: Sendable {
    let tally: Tally
    let latencies: Latencies
    /// One a connection.
    let books: [Book]
    /// From the first batch's due time to the last answer.
    let seconds: Double
    let connectSeconds: Double
    /// Connections that were turned away or given up before the end.
    let connectionsLost: Int
    let serverCPUSeconds: Double?
    let serverResidentPeak: Int?
    let ownCPUSeconds: Double
}
