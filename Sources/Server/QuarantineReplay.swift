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
    func replay(_ items: [QuarantineItem], _ mending: Mending = Mending()) async throws -> [Outcome] {
        var outcomes: [Outcome] = []
        var rest = items[...]
        while !rest.isEmpty {
            let batch = rest.prefix(Self.batch)
            rest = rest.dropFirst(Self.batch)
            let verdicts = await withTaskGroup(of: (Int, Verdict).self) { group in
                for (index, item) in batch.enumerated() {
                    group.addTask { (index, await verdict(on: item, mending)) }
                }
                return await group.reduce(into: [Verdict?](repeating: nil, count: batch.count)) { $0[$1.0] = $1.1 }
            }
            let reached = zip(batch, verdicts).map { Outcome(item: $0, verdict: $1 ?? .retry(Refusal(.internal))) }
            // Removed only after commit: cut off in between, the item is a duplicate at the next replay.
            let done = mending.isDry ? [] : reached.filter(\.isDone)
            for (project, done) in Dictionary(grouping: done, by: \.item.source.project) {
                try await store.removeQuarantineItems(done.map(\.item.id), in: project)
            }
            outcomes += reached
        }
        return outcomes
    }

    /// Replays every item of a reason, or all; calls `onBatch` after each batch.
    func replayAll(
        in project: ProjectID, reason: Reason?, _ mending: Mending, onBatch: ([Outcome]) throws -> Void
    ) async throws {
        var cursor: String?
        repeat {
            // Items that stay lie behind the cursor, so that nothing is tried twice.
            let page = try await store.quarantine(in: project, of: QuarantineCause(reason: reason), limit: Self.batch, after: cursor)
            try onBatch(try await replay(page.items, mending))
            cursor = page.next
        } while cursor != nil
    }

    private func verdict(on item: QuarantineItem, _ mending: Mending) async -> Verdict {
        let event: Event
        do {
            let payload = try mending.patch.map { try item.payload.patched(with: $0) } ?? item.payload
            event = try JSONDocument.read(payload.bytes, isOurs: true) { try Event($0) }
        } catch let refusal as Refusal {
            return .quarantined(refusal)
        } catch {
            return .quarantined(Refusal(.malformedJSON))
        }
        let lane = mending.trusts ? Lane.secret : item.source.lane
        if mending.isDry || mending.patch != nil {
            let decision = Admission().decide(.event(event), lane: lane, sentAt: nil, receivedAt: item.receivedAt)
            // What is still refused stays as it was sent; it must not come to lie there a second time in another shape.
            if case .refused(let verdict, _) = decision { return verdict }
            if mending.isDry { return .stored }
        }
        return await ingest.replay([.event(event)], from: item.source, lane: lane, receivedAt: item.receivedAt).first
            ?? .retry(Refusal(.internal))
    }
}

extension QuarantineReplay.Outcome {
    fileprivate var isDone: Bool { verdict == .stored || verdict == .duplicate }
}
