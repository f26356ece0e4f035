import Conversations
import Events
import Ingest
import Review

/// Sends what quarantine holds through admission and commit again; what is stored then leaves quarantine.
struct QuarantineReplay: Sendable {
    let store: any Store
    let ingest: Ingest

    /// What became of one item.
    struct Outcome: Sendable {
        var item: QuarantineItem
        var verdict: Verdict
    }

    /// How many are under way at once, so that they share commits; one page of quarantine.
    static let batch = 200

    /// Replays items, up to `batch` of them at once.
    /// - Parameter trust: the operator vouches: what a public key may not say counts as said by a secret one.
    func replay(_ items: [QuarantineItem], trust: Bool = false) async throws -> [Outcome] {
        var outcomes: [Outcome] = []
        var rest = items[...]
        while !rest.isEmpty {
            let batch = rest.prefix(Self.batch)
            rest = rest.dropFirst(Self.batch)
            let verdicts = await withTaskGroup(of: (Int, Verdict).self) { group in
                for (index, item) in batch.enumerated() {
                    group.addTask { (index, await verdict(on: item, trust: trust)) }
                }
                return await group.reduce(into: [Verdict?](repeating: nil, count: batch.count)) { $0[$1.0] = $1.1 }
            }
            let reached = zip(batch, verdicts).map { Outcome(item: $0, verdict: $1 ?? .retry(Refusal(.internal))) }
            // Removed only after commit: cut off in between, the item is a duplicate at the next replay.
            for (project, done) in Dictionary(grouping: reached.filter(\.isDone), by: \.item.source.project) {
                try await store.removeQuarantineItems(done.map(\.item.id), in: project)
            }
            outcomes += reached
        }
        return outcomes
    }

    /// Replays every item of a reason, or all; calls `onBatch` after each batch.
    func replayAll(
        in project: ProjectID, reason: Reason?, trust: Bool, onBatch: ([Outcome]) throws -> Void
    ) async throws {
        var cursor: String?
        repeat {
            // Items that stay lie behind the cursor, so that nothing is tried twice.
            let page = try await store.quarantine(in: project, reason: reason, limit: Self.batch, after: cursor)
            try onBatch(try await replay(page.items, trust: trust))
            cursor = page.next
        } while cursor != nil
    }

    private func verdict(on item: QuarantineItem, trust: Bool) async -> Verdict {
        let event: Event
        do {
            event = try JSONDocument.read(item.payload.bytes, isOurs: true) { try Event($0) }
        } catch let refusal as Refusal {
            return .quarantined(refusal)
        } catch {
            return .quarantined(Refusal(.malformedJSON))
        }
        let lane = trust ? Lane.secret : item.source.lane
        return await ingest.replay([.event(event)], from: item.source, lane: lane, receivedAt: item.receivedAt).first
            ?? .retry(Refusal(.internal))
    }
}

extension QuarantineReplay.Outcome {
    fileprivate var isDone: Bool { verdict == .stored || verdict == .duplicate }
}
