import Conversations
import Events
import Synchronization
@testable import Review

/// Gives every event the same verdict, and remembers what it was asked.
final class StubOffice: BackOffice {
    struct Written: Equatable {
        var event: Event
        var record: String
        var project: String
    }
    let verdict: Verdict
    let written = Mutex<[Written]>([])
    let mendings = Mutex<[Mending]>([])

    init(verdict: Verdict) { self.verdict = verdict }

    var events: [Event] { written.withLock { $0.map(\.event) } }

    func write(_ events: [Event], by record: String, to project: Project) async -> [Verdict] {
        written.withLock { $0 += events.map { Written(event: $0, record: record, project: project.name) } }
        return events.map { _ in verdict }
    }

    func replay(_ items: [QuarantineItem], _ mending: Mending, in project: Project) async throws -> [Verdict] {
        mendings.withLock { $0.append(mending) }
        return items.map { _ in verdict }
    }

    func time(of receipt: String, for id: String, in project: Project) -> Timestamp? {
        receipt == "r1.good" ? Timestamp(microseconds: 0) : nil
    }

    func issueKey(_ lane: Lane, of project: Project, label: String?, expiresAt: Timestamp?) async throws -> (key: KeyRecord, text: String) {
        let key = KeyRecord(
            id: "key_new", lane: lane, scope: .project, project: project.number, digest: [], shown: "shown", label: label,
            createdAt: StubStore.now, expiresAt: expiresAt)
        return (key, lane == .public ? "pk_new" : "sk_new")
    }

    func fault(inOrigin origin: String) -> String? { origin.hasPrefix("http") ? nil : "\(origin) is not an origin." }

    func scrub(_ text: String, by rules: [ScrubbingRule], in project: Project?) throws(Refusal) -> (
        text: String, found: [(name: String, count: Int)]
    ) {
        if let broken = rules.first(where: { $0.what == .pattern("(") }) {
            throw Refusal(.badRequest, field: "scrubbing", "\(broken.text) is none.")
        }
        return (rules.isEmpty ? text : "[scrubbed]", rules.map { ($0.name, 1) })
    }
}
