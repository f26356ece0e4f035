/// Who holds the credits of one socket: the client, the events on their way to the store, or we.
///
/// P-CREDIT-1: held + uncommitted + withheld = total, always. A credit is one event. Up to half pressure all credits
/// that come back go out again; above it fewer may be out, down to none when the queue is full, and what is withheld
/// is given back later.
struct CreditLedger: Sendable, Equatable {
    let total: Int
    private(set) var held = 0
    private(set) var uncommitted = 0

    init(total: Int) { self.total = total }

    var withheld: Int { total - held - uncommitted }

    /// Takes a batch's events off what the client holds; false when it holds fewer.
    mutating func charge(_ events: Int) -> Bool {
        guard events <= held else { return false }
        held -= events
        uncommitted += events
        return true
    }

    /// A batch's events have their verdicts.
    mutating func settle(_ events: Int) { uncommitted -= events }

    /// Hands out what may be out at this pressure and is not; answers how many credits that was.
    mutating func grant(pressure: Double) -> Int {
        let share = min(1, max(0, 2 * (1 - pressure)))
        let granted = max(0, Int(Double(total) * share) - held - uncommitted)
        held += granted
        return granted
    }
}
