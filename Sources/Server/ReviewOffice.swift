import Conversations
import Events
import Ingest
import Keys
import Review
import Scrubbing

/// What the review page has done in other rooms.
struct ReviewOffice: BackOffice {
    let store: any Store
    let ingest: Ingest
    let keys: KeyRing
    let clock: WallClock

    func write(_ events: [Event], by record: String, to project: Project) async -> [Verdict] {
        await ingest.accept(events, from: record, in: project, receivedAt: clock.now())
    }

    func replay(_ items: [QuarantineItem], _ mending: Mending, in project: Project) async throws -> [Verdict] {
        try await QuarantineReplay(store: store, ingest: ingest).replay(items, mending).map(\.verdict)
    }

    func time(of receipt: String, for id: String, in project: Project) -> Timestamp? {
        keys.receipts?.read(receipt, for: id, in: project)?.at
    }

    func issueKey(_ lane: Lane, of project: Project, label: String?, expiresAt: Timestamp?) async throws -> (key: KeyRecord, text: String) {
        let made = KeyRecord.issue(lane, project: project.number, label: label, expiresAt: expiresAt, at: clock.now())
        try await store.insert(made.record)
        // Known here at once: the page's next request may be the first that uses it.
        try await keys.refresh()
        return (made.record, made.text.text)
    }

    func fault(inOrigin origin: String) -> String? {
        do {
            _ = try OriginPattern(origin)
            return nil
        } catch {
            return error.message
        }
    }

    func scrub(_ text: String, by rules: [ScrubbingRule], in project: Project?) throws(Refusal) -> (
        text: String, found: [(name: String, count: Int)]
    ) {
        let scrubber = if let project { try keys.scrubber(rules, for: project) } else { try Scrubber(rules, key: nil) }
        let (text, findings) = scrubber.scrub(text: text)
        return (text, scrubber.names(findings))
    }
}
