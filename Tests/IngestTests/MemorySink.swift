import Events

/// A sink that keeps its ledger as a store does, fails when told to, and can be held in the middle of a commit.
actor MemorySink: EventSink {
    private(set) var commits: [[Delivery]] = []
    private(set) var ledger: [Source: Tally] = [:]
    private var stored: [String: ContentDigest] = [:]
    private var failures: [SinkFailure] = []
    private var room = Int.max
    private var isHeld = false
    private var held: CheckedContinuation<Void, Never>?
    private var arrival: CheckedContinuation<Void, Never>?

    /// The next commits fail, one for each.
    func fail(with failures: SinkFailure...) { self.failures += failures }
    func limitQuarantine(to room: Int) { self.room = room }

    /// The next commit waits for `release`.
    func hold() { isHeld = true }

    /// Returns once a commit is being held.
    func untilHeld() async {
        if held == nil { await withCheckedContinuation { arrival = $0 } }
    }

    func release() {
        isHeld = false
        held?.resume()
        held = nil
    }

    var total: Tally { ledger.values.reduce(into: Tally()) { $0.add($1) } }

    func append(_ deliveries: [Delivery]) async throws(SinkFailure) -> [[Verdict]] {
        if isHeld {
            await withCheckedContinuation { continuation in
                held = continuation
                arrival?.resume()
                arrival = nil
            }
        }
        guard failures.isEmpty else { throw failures.removeFirst() }
        commits.append(deliveries)
        return deliveries.map { delivery in
            var verdicts: [Verdict] = delivery.events.map { event in
                if let digest = stored[event.event.id] {
                    return digest == event.digest ? .duplicate : .conflict(Refusal(.idConflict, field: "id"))
                }
                stored[event.event.id] = event.digest
                return .stored
            }
            for aside in delivery.setAside {
                room -= 1
                verdicts.append(room >= 0 ? .quarantined(aside.refusal) : .dropped(Refusal(.quarantineFull)))
            }
            var tally = delivery.tally
            for verdict in verdicts { tally.count(verdict) }
            ledger[delivery.source, default: Tally()].add(tally)
            return verdicts
        }
    }
}
