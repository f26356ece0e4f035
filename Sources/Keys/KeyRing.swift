public import Events
public import Logging
public import ServiceLifecycle
import Synchronization

/// Which project, which lane, which origin, and how much is left of the quota.
///
/// Holds every key and project in memory and reads them anew when the store says they changed, which it asks each
/// second: a revoked key stops within that, on open sockets too. When the store can't be asked, what is known stays.
public final class KeyRing: Service, Sendable {
    private struct Ring {
        var keys: [[UInt8]: KeyRecord] = [:]
        var projects: [ProjectID: (project: Project, origins: OriginPolicy)] = [:]
        var revision = 0
        var storeRevision: Int64 = -1
    }

    /// Well under the five seconds in which a revoked key has to stop.
    static let pollInterval = Duration.seconds(1)

    private let store: any ControlStore
    private let clock: WallClock
    private let logger: Logger
    private let ring = Mutex(Ring())
    private let quotas = Mutex(QuotaBook())

    public init(store: any ControlStore, clock: WallClock = .system, logger: Logger) {
        self.store = store
        self.clock = clock
        self.logger = logger
    }

    public func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    try await self.refresh()
                } catch {
                    self.logger.warning("keys could not be read again; the known ones stay", metadata: ["error": "\(error)"])
                }
                try? await Task.sleep(for: Self.pollInterval)
            }
        }
    }

    /// Reads keys and projects if they changed. Called once before the first request.
    public func refresh() async throws {
        let current = try await store.controlRevision()
        guard current != ring.withLock({ $0.storeRevision }) else { return }
        let projects = try await store.projects()
        let keys = try await store.keys()
        ring.withLock { ring in
            ring.projects = Dictionary(uniqueKeysWithValues: projects.map { ($0.number, ($0, OriginPolicy($0.settings))) })
            ring.keys = Dictionary(uniqueKeysWithValues: keys.map { ($0.digest, $0) })
            ring.storeRevision = current
            ring.revision += 1
        }
    }

    /// Changes whenever keys or projects were read anew.
    public var revision: Int { ring.withLock { $0.revision } }

    /// Which project and lane a knock opens.
    public func open(_ knock: Knock) -> Result<Access, Refusal> {
        do { return .success(try access(for: knock)) } catch { return .failure(error) }
    }

    private func access(for knock: Knock) throws(Refusal) -> Access {
        guard let sent = knock.key, !sent.isEmpty else { throw Refusal(.missingKey, field: "key") }
        let text = try KeyText(reading: sent)
        let digest = text.digest
        let found = ring.withLock { ring in ring.keys[digest].map { ($0, ring.projects) } }
        guard let (key, projects) = found else { throw Refusal(.unknownKey, field: "key") }
        if let refusal = refusal(of: key) { throw refusal }

        let project: Project
        let origins: OriginPolicy
        if let number = key.project {
            guard let entry = projects[number] else { throw Refusal(.projectUnknown) }
            (project, origins) = entry
        } else {
            guard let wanted = knock.project else { throw Refusal(.projectRequired, field: "project") }
            guard let entry = projects.values.first(where: { $0.project.name == wanted || $0.project.id == wanted }) else {
                throw Refusal(.projectUnknown, field: "project")
            }
            (project, origins) = entry
        }

        var origin: String?
        if case .named(let text) = knock.origin { origin = text }
        switch key.lane {
        case .public:
            if let refusal = origins.refusal(of: knock.origin) { throw refusal }
        case .secret:
            // Only a browser sends Origin of itself, and what a page holds the whole world can read.
            if knock.origin != .missing { throw Refusal(.secretKeyInBrowser, field: "key") }
        }
        return Access(
            project: project, key: key, origin: origin, knockedFrom: knock.origin, address: AddressBlock(knock.address))
    }

    /// The project a secret key reads. P-LANE-4: a public key is in every page, and reads nothing.
    public func read(with key: String, project: String?) -> Result<Project, Refusal> {
        if let text = try? KeyText(reading: key), text.lane == .public {
            return .failure(
                Refusal(.laneForbidden, field: "key", "A public key reads nothing; send the project's secret key from a backend."))
        }
        return open(Knock(key: key, origin: .missing, address: "", project: project)).map(\.project)
    }

    private func refusal(of key: KeyRecord) -> Refusal? {
        if key.revokedAt != nil { return Refusal(.revokedKey, field: "key") }
        if let expiresAt = key.expiresAt, expiresAt <= clock.now() { return Refusal(.expiredKey, field: "key") }
        return nil
    }

    /// Whether an access still holds; asked on each batch and each tick of an open socket.
    public func recheck(_ access: Access) -> Refusal? {
        let (key, entry) = ring.withLock { ($0.keys[access.key.digest], $0.projects[access.project.number]) }
        guard let key else { return Refusal(.unknownKey, field: "key") }
        if let refusal = refusal(of: key) { return refusal }
        guard access.lane == .public else { return nil }
        return entry?.origins.refusal(of: access.knockedFrom)
    }

    /// Takes events off the quotas of the key and the address; nil when all fit.
    public func spend(_ events: Int, by access: Access) -> Refusal? {
        let wanted = limits(of: access)
        guard !wanted.isEmpty else { return nil }
        let now = clock.now()
        guard let wait = quotas.withLock({ $0.take(events, from: wanted, at: now) }) else { return nil }
        return Refusal(.rateLimited, retryAfterMilliseconds: max(1, Int64((wait * 1000).rounded(.up))))
    }

    /// What is left of the tighter quota: limit, remaining, and seconds until it is full again. nil: no limit.
    public func quota(of access: Access) -> (limit: Int, remaining: Int, resetSeconds: Int)? {
        let now = clock.now()
        return limits(of: access).map { name, quota in
            let remaining = quotas.withLock { $0.remaining(name, quota, at: now) }
            let reset = quota.perSecond > 0 ? (quota.burst - remaining) / quota.perSecond : 3600
            return (limit: Int(quota.burst), remaining: Int(remaining), resetSeconds: Int(reset.rounded(.up)))
        }.min { $0.remaining < $1.remaining }
    }

    /// A secret key is a backend of the project's own: quotas are for what the whole world can use.
    private func limits(of access: Access) -> [(QuotaBook.Name, Project.Quota)] {
        guard access.lane == .public else { return [] }
        let settings = ring.withLock { $0.projects[access.project.number]?.project.settings } ?? access.project.settings
        var limits: [(QuotaBook.Name, Project.Quota)] = []
        if let quota = settings.keyQuota { limits.append((.init(project: access.project.number, owner: access.key.id), quota)) }
        if let quota = settings.addressQuota { limits.append((.init(project: access.project.number, owner: access.address.text), quota)) }
        return limits
    }

    /// Whether any project allows that origin: for a CORS preflight, which carries no key.
    public func allowsSomewhere(origin: String) -> Bool {
        let policies = ring.withLock { $0.projects.values.map(\.origins) }
        return policies.contains { $0.refusal(of: Knock.Origin(header: origin)) == nil }
    }
}
