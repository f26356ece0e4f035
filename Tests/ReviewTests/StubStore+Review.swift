import Conversations
import Events
import Synchronization

// Members, marks and what else reviewing keeps.
extension StubStore {
    static let admin = Member(id: "mem_admin", name: "Ann", role: .admin, createdAt: now)
    static let reviewer = Member(id: "mem_reviewer", name: "Bob", role: .reviewer, projects: ["prj_shop"], createdAt: now)
    static let reader = Member(id: "mem_reader", name: "Rae", role: .reader, createdAt: now)

    func members() async throws -> [Member] { state.withLock { $0.members } }
    func insert(_ member: Member) async throws {
        try state.withLock { state in
            guard !state.members.contains(where: { $0.name == member.name }) else { throw ControlFailure.nameTaken(member.name) }
            state.members.append(member)
        }
    }
    func update(_ member: Member) async throws {
        state.withLock { state in state.members = state.members.map { $0.id == member.id ? member : $0 } }
    }
    func removeMember(_ id: String) async throws -> Bool {
        state.withLock { state in
            let count = state.members.count
            state.members.removeAll { $0.id == id }
            state.sessions = state.sessions.filter { $0.value.member != id }
            return state.members.count < count
        }
    }

    func insertSignIn(_ digest: [UInt8], of member: String, expiresAt: Timestamp) async throws {
        state.withLock { $0.signIns[digest] = (member, expiresAt) }
    }
    func useSignIn(_ digest: [UInt8], at time: Timestamp) async throws -> Member? {
        state.withLock { state in
            guard let link = state.signIns.removeValue(forKey: digest), time < link.until else { return nil }
            return state.members.first { $0.id == link.member }
        }
    }
    func insertSession(_ digest: [UInt8], of member: String, expiresAt: Timestamp) async throws {
        state.withLock { $0.sessions[digest] = (member, expiresAt) }
    }
    func member(ofSession digest: [UInt8], at time: Timestamp) async throws -> Member? {
        state.withLock { state in
            guard let session = state.sessions[digest], time < session.until else { return nil }
            return state.members.first { $0.id == session.member }
        }
    }
    func removeSession(_ digest: [UInt8]) async throws { state.withLock { $0.sessions[digest] = nil } }
    func endSessions(of member: String, except digest: [UInt8]?) async throws {
        state.withLock { state in state.sessions = state.sessions.filter { $0.value.member != member || $0.key == digest } }
    }

    func markSeen(_ thread: String, by member: String, at time: Timestamp, in project: ProjectID) async throws {
        state.withLock { $0.seen["\(project) \(member) \(thread)"] = time }
    }
    func markReviewed(_ thread: String, by name: String, at time: Timestamp?, in project: ProjectID) async throws -> Bool {
        state.withLock { state in
            state.reviewed["\(project) \(thread)"] = time == nil ? nil : name
            return state.conversations[project]?.contains { $0.thread.id == thread } ?? false
        }
    }

    func views(of member: String, in project: ProjectID) async throws -> [SavedView] {
        state.withLock { $0.views.filter { $0.owner == member || $0.isShared } }
    }
    func insert(_ view: SavedView, in project: ProjectID) async throws { state.withLock { $0.views.append(view) } }
    func removeView(_ id: String, of owner: String?, in project: ProjectID) async throws -> Bool {
        state.withLock { state in
            let count = state.views.count
            state.views.removeAll { $0.id == id && (owner == nil || $0.owner == owner) }
            return state.views.count < count
        }
    }

    func scoreNames(in project: ProjectID) async throws -> [(name: String, count: Int)] { [("tone", 2)] }
    func tags(in project: ProjectID) async throws -> [(tag: String, count: Int)] { [("vip", 1)] }
    func authorOfComment(_ id: String, in project: ProjectID) async throws -> String?? {
        guard project == Self.shop.number, id == "c-bob" else { return nil }
        return .some("Bob")
    }
    func threadOf(target: String, in project: ProjectID) async throws -> String? {
        state.withLock { state in
            let conversation = state.conversations[project]?.first { conversation in
                conversation.thread.id == target || target == "c-bob" || conversation.items.contains { $0.event.id == target }
            }
            return conversation?.thread.id
        }
    }

    func changes(after sequence: Int64, limit: Int) async throws -> [Change] {
        state.withLock { Array($0.changes.filter { $0.sequence > sequence }.prefix(limit)) }
    }
    func overview(in project: ProjectID, from: Timestamp, to: Timestamp, offsetMinutes: Int) async throws -> Overview {
        var figures = Figures()
        (figures.messages, figures.latencyP50) = (3, 120)
        return Overview(days: [DayFigures(day: "2026-11-18", figures: figures)], total: figures, previous: Figures())
    }
    func users(in project: ProjectID, matching words: String?, limit: Int, after cursor: String?) async throws -> Page<UserSummary> {
        Page(items: [try await user("u1", in: project)].compactMap(\.self), next: nil)
    }
    func user(_ id: String, in project: ProjectID) async throws -> UserSummary? {
        guard project == Self.shop.number, id == "u1" else { return nil }
        return UserSummary(id: id, props: nil, threads: 1, messages: 2, firstAt: Self.now, lastAt: Self.now, up: 1, down: 0)
    }
    func standing(of project: ProjectID) async throws -> (lastEventAt: Timestamp?, threads: Int) { (Self.now, 1) }

    func erase(user: String, in project: ProjectID) async throws -> Erasure {
        var erased = Erasure()
        erased.threads = user == "u1" && project == Self.shop.number ? 1 : 0
        return erased
    }
    func traces(of user: String, in project: ProjectID) async throws -> UserTraces { UserTraces(fingerprint: "f00d") }
    func users(ofFingerprint fingerprint: String, in project: ProjectID) async throws -> [String] { [] }
    func seal(of bytes: [UInt8]) async throws -> String { "5ea1" }
    func eraseThreads(inactiveSince time: Timestamp, in project: ProjectID, limit: Int) async throws -> Erasure { Erasure() }
    func quarantineGroups(in project: ProjectID) async throws -> [QuarantineGroup] {
        state.withLock { state in
            (state.quarantine[project] ?? []).map {
                QuarantineGroup(
                    reason: $0.reason, field: $0.field, type: $0.type, count: 1, firstAt: $0.receivedAt, lastAt: $0.receivedAt, sample: $0)
            }
        }
    }
    func note(_ entry: AuditEntry, in project: ProjectID?) async throws { state.withLock { $0.audit.append(entry) } }
    func audit(matching filter: AuditFilter, limit: Int, after cursor: String?) async throws -> Page<AuditEntry> {
        Page(items: state.withLock { $0.audit.reversed() }, next: nil)
    }
}
