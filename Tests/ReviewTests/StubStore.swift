import Conversations
import Events
import Synchronization

/// Two shops with fixed conversations, each its own project, and reviewers' sessions that can change.
final class StubStore: ConversationStore, QuarantineStore, OutcomeLedger, ControlStore, MemberStore, ReviewStore {
    static let shop = Project(number: ProjectID(1), id: "prj_shop", name: "shop")
    static let bank = Project(number: ProjectID(2), id: "prj_bank", name: "bank")

    struct State {
        var conversations: [ProjectID: [Conversation]] = [:]
        var quarantine: [ProjectID: [QuarantineItem]] = [:]
        var outcomes: [OutcomeRow] = []
        var members: [Member] = [StubStore.admin]
        /// Links and sessions: whose, and until when.
        var signIns: [[UInt8]: (member: String, until: Timestamp)] = [:]
        var sessions: [[UInt8]: (member: String, until: Timestamp)] = [:]
        var seen: [String: Timestamp] = [:]
        var reviewed: [String: String] = [:]
        var views: [SavedView] = []
        var audit: [AuditEntry] = []
        var changes: [Change] = []
        var updated: Project?
        var removedFromQuarantine: [String] = []
        /// What was asked last.
        var filter: ThreadFilter?
        var asked: (limit: Int, cursor: String?)?
        /// What the next read of threads throws.
        var fault: (any Error & Sendable)?
        /// Pages of threads until every cursor is bad; nil: never.
        var threadsBeforeFault: Int?
    }
    let state: Mutex<State>

    init(_ state: State) { self.state = Mutex(state) }

    func threads(
        in project: Project, matching filter: ThreadFilter, limit: Int, after cursor: String?, now: Timestamp
    ) async throws -> Page<ThreadSummary> {
        try state.withLock { state in
            if let fault = state.fault { throw fault }
            if let left = state.threadsBeforeFault {
                guard left > 0 else { throw ReadFailure.badCursor }
                state.threadsBeforeFault = left - 1
            }
            state.filter = filter
            state.asked = (limit, cursor)
            let all = (state.conversations[project.number] ?? []).map(\.thread)
            guard let start = cursor.map({ Int($0) }) ?? 0, start < max(all.count, 1) else { throw ReadFailure.badCursor }
            let end = min(start + limit, all.count)
            return Page(items: Array(all[start..<end]), next: end < all.count ? String(end) : nil)
        }
    }

    func conversation(_ thread: String, in project: Project, limit: Int, after cursor: String?, now: Timestamp) async throws
        -> Conversation?
    {
        try state.withLock { state in
            guard var conversation = state.conversations[project.number]?.first(where: { $0.thread.id == thread }) else { return nil }
            guard let start = cursor.map({ Int($0) }) ?? 0 else { throw ReadFailure.badCursor }
            let end = min(start + limit, conversation.items.count)
            conversation.next = end < conversation.items.count ? String(end) : nil
            conversation.items = Array(conversation.items[start..<end])
            if cursor != nil { conversation.looseRuns = [] }
            return conversation
        }
    }

    func message(_ id: String, in project: ProjectID) async throws -> ConversationItem? {
        state.withLock { $0.conversations[project]?.flatMap(\.items).first { $0.event.id == id } }
    }

    func run(_ id: String, in project: ProjectID) async throws -> (node: RunNode, message: String?)? {
        state.withLock { state in
            for item in state.conversations[project]?.flatMap(\.items) ?? [] {
                if let node = item.runs.first(where: { $0.run.id == id }) { return (node, item.event.id) }
            }
            return nil
        }
    }

    func events(after sequence: Int64, in project: ProjectID?, limit: Int) async throws -> [StoredEvent] { [] }
    func lastSequence() async throws -> Int64 { state.withLock { $0.changes.last?.sequence ?? 0 } }
    func pendingLinks(in project: ProjectID) async throws -> Int { 0 }

    func quarantine(in project: ProjectID, of cause: QuarantineCause, limit: Int, after cursor: String?) async throws -> Page<
        QuarantineItem
    > {
        let items = state.withLock { $0.quarantine[project] ?? [] }.filter { cause.reason == nil || $0.reason == cause.reason }
        return Page(items: Array(items.prefix(limit)), next: nil)
    }

    func quarantineCounts(in project: ProjectID) async throws -> [Reason: Int] {
        state.withLock { ($0.quarantine[project] ?? []).reduce(into: [:]) { $0[$1.reason, default: 0] += 1 } }
    }

    func quarantineItems(_ ids: [String], in project: ProjectID) async throws -> [QuarantineItem] {
        state.withLock { ($0.quarantine[project] ?? []).filter { ids.contains($0.id) } }
    }

    func removeQuarantineItems(_ ids: [String], in project: ProjectID) async throws { state.withLock { $0.removedFromQuarantine += ids } }

    func outcomes(in project: ProjectID, from: Timestamp?, to: Timestamp?) async throws -> [OutcomeRow] {
        project == Self.shop.number ? state.withLock { $0.outcomes } : []
    }

    func controlRevision() async throws -> Int64 { 1 }
    func projects() async throws -> [Project] { [Self.bank, Self.shop] }
    func createProject(named name: String, settings: Project.Settings) async throws -> Project { throw ControlFailure.nameTaken(name) }
    func update(_ project: Project) async throws { state.withLock { $0.updated = project } }
    func keys() async throws -> [KeyRecord] { [] }
    func insert(_ key: KeyRecord) async throws {}
    func deleteProject(_ number: ProjectID) async throws {}
    func revokeKey(_ id: String, at time: Timestamp) async throws -> Bool { false }
    func keep(sealed: [UInt8], ofKey id: String) async throws {}
    func giveNames(ofKey id: String, _ names: @escaping @Sendable (String) -> [String]) async throws -> Bool { true }
    func runs(in project: ProjectID, matching filter: RunFilter, limit: Int) async throws -> [RunNode] { [] }
    func projectOfRun(_ id: String) async throws -> [ProjectID] { [] }
    func thread(number: Int64) async throws -> (project: ProjectID, id: String)? { nil }
    func feedback(on target: String, in project: ProjectID) async throws -> FeedbackSummary? { nil }
    func events(ofType type: String, in project: ProjectID) async throws -> [StoredEvent] { [] }
}
