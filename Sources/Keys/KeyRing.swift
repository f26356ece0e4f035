public import Events
public import Logging
public import Scrubbing
public import ServiceLifecycle
import Synchronization

/// Which project, which lane, which origin, and how much is left of the quota.
///
/// Holds every key and project in memory and reads them anew when the store says they changed, which it asks each
/// second, and at once when another node says so: a revoked key stops within that, on open sockets too. When the store can't be asked,
/// what is known stays.
public final class KeyRing: Service, Sendable {
    struct Ring {
        var keys: [[UInt8]: KeyRecord] = [:]
        /// The texts that opened one of them, so that a text is hashed once and not with each request; never more than there are keys.
        var digests: [String: [UInt8]] = [:]
        var projects: [ProjectID: (project: Project, origins: OriginPolicy)] = [:]
        /// What proofs of a project's users are looked at with, by project.
        var identity: [ProjectID: [UserProof.Key]] = [:]
        var revision = 0
        var storeRevision: Int64 = -1
        /// The texts of keys whose holders name IDs with them, with the project they name in; nil: in all.
        var namingKeys: [NamingKey] = []
        /// The rules of projects that have some, compiled; a refusal where they can't be.
        var scrubbers: [ProjectID: Result<Scrubber, Refusal>] = [:]
    }

    /// A key whose holder gives IDs names made with it.
    struct NamingKey: Sendable {
        var id: String
        var project: ProjectID?
        var text: String
        var owesNames: Bool
    }

    /// Many changes one after the other are read in as many goes as this allows.
    private static let shortestPause = Duration.milliseconds(100)

    let store: any ControlStore
    /// Well under the five seconds in which a revoked key has to stop.
    let pollInterval: Duration
    let sealer: Sealer?
    let clock: WallClock
    let logger: Logger
    /// nil where nothing is there to sign with.
    public let receipts: Receipts?
    let ring = Mutex(Ring())
    /// Whether any project has scrubbing rules: installations without pay for this look alone.
    private let scrubs = Atomic(false)
    let quotas: Mutex<QuotaBook>
    /// Of threads and sessions, which anybody makes as many of as he likes: those of keys and addresses must not be forgotten for them.
    let passingQuotas: Mutex<QuotaBook>
    /// What reaches other nodes; nil where this one is alone.
    let bus: (any Bus)?
    let nodes: Mutex<Nodes?>

    /// - Parameters:
    ///   - sealer: keeps the texts of keys that IDs are named with; without, they are known as long as the process lives.
    ///   - bus: what reaches other nodes that share the store. Quotas are shared over it where there is a sealer: the same for all.
    ///   - pollInterval: how often the store is asked, whatever the bus says or doesn't.
    public init(
        store: any ControlStore, sealer: Sealer? = nil, bus: (any Bus)? = nil, pollInterval: Duration = .seconds(1),
        clock: WallClock = .system, logger: Logger
    ) {
        self.store = store
        self.pollInterval = pollInterval
        self.sealer = sealer
        receipts = sealer.map { Receipts(sealer: $0) }
        self.clock = clock
        self.logger = logger
        self.bus = bus
        let nodes = bus == nil ? nil : sealer.map { Nodes(seal: NodeSeal(sealer: $0, node: .random(in: .min ... .max))) }
        quotas = Mutex(QuotaBook(isShared: nodes != nil))
        passingQuotas = Mutex(QuotaBook(isShared: nodes != nil))
        self.nodes = Mutex(nodes)
    }

    public func run() async throws {
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                // One at most waits: whoever looks then sees all that changed before.
                let (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
                group.addTask { await Self.every(self.pollInterval) { wake.yield() } }
                if let bus = self.bus {
                    group.addTask {
                        await bus.run { news in
                            switch news {
                            case .controlChanged: wake.yield()
                            case .message(let message): self.hear(message)
                            }
                        }
                    }
                    group.addTask { await Self.every(Self.reportInterval) { await self.report() } }
                }
                for await _ in wakes {
                    do {
                        try await self.refresh()
                    } catch {
                        self.logger.warning("keys could not be read again; the known ones stay", metadata: ["error": "\(error)"])
                    }
                    try? await Task.sleep(for: Self.shortestPause)
                }
            }
        }
    }

    private static func every(_ interval: Duration, _ work: @Sendable () async -> Void) async {
        while !Task.isCancelled {
            await work()
            try? await Task.sleep(for: interval)
        }
    }

    /// Reads keys and projects if they changed. Called once before the first request.
    public func refresh() async throws {
        let known = ring.withLock { $0.storeRevision }
        let current = try await store.controlRevision()
        guard current != known else { return }
        let projects = try await store.projects()
        let keys = try await store.keys()
        let unsealed = keys.compactMap { key -> NamingKey? in
            guard let sealed = key.sealed else { return nil }
            guard let text = sealer?.open(sealed, for: key.id) else {
                logger.warning(
                    "a key was sealed with another sealing key; IDs named with it can't be found by those names",
                    metadata: ["key": "\(key.id)"])
                return nil
            }
            return NamingKey(id: key.id, project: key.project, text: text, owesNames: key.owesNames)
        }
        let identity = await identityKeys(of: projects)
        let scrubbers = compiledRules(of: projects)
        ring.withLock { ring in
            // Another reading may have been faster: a revoked key must not come back with an older one.
            // But a store that says less than it did has lost its last changes (a standby took over without them), and its word counts.
            let hasFallenBack = current < known && ring.storeRevision == known
            guard current > ring.storeRevision || hasFallenBack else { return }
            ring.identity = identity
            // Under the lock with the rules, which are looked for behind it.
            scrubs.store(!scrubbers.isEmpty, ordering: .releasing)
            ring.scrubbers = scrubbers
            let sealed = Set(keys.lazy.filter { $0.sealed != nil }.map(\.id))
            ring.namingKeys = unsealed + ring.namingKeys.filter { !sealed.contains($0.id) }
            ring.projects = Dictionary(uniqueKeysWithValues: projects.map { ($0.number, ($0, OriginPolicy($0.settings))) })
            ring.keys = Dictionary(uniqueKeysWithValues: keys.map { ($0.digest, $0) })
            ring.digests = [:]
            ring.storeRevision = current
            ring.revision += 1
        }
    }

    private func identityKeys(of projects: [Project]) async -> [ProjectID: [UserProof.Key]] {
        var identity: [ProjectID: [UserProof.Key]] = [:]
        for project in projects {
            for key in project.settings.identityKeys {
                do throws(Refusal) {
                    let secret = key.sealed.flatMap { sealer?.open($0, for: key.id) }
                    identity[project.number, default: []].append(try await UserProof.Key(key, secret: secret))
                } catch {
                    logger.warning(
                        "an identity key can't be used; tokens signed with it prove nobody",
                        metadata: ["key": "\(key.id)", "error": "\(error.message)"])
                }
            }
        }
        return identity
    }

    /// Compiles the rules that changed.
    private func compiledRules(of projects: [Project]) -> [ProjectID: Result<Scrubber, Refusal>] {
        let known = ring.withLock { $0.scrubbers }
        var scrubbers: [ProjectID: Result<Scrubber, Refusal>] = [:]
        for project in projects where !project.settings.scrubbing.isEmpty {
            if case .success(let scrubber)? = known[project.number], scrubber.source == project.settings.scrubbing {
                scrubbers[project.number] = .success(scrubber)
                continue
            }
            do {
                scrubbers[project.number] = .success(try scrubber(project.settings.scrubbing, for: project))
            } catch {
                logger.error(
                    "a project's scrubbing rules can't be applied; nothing of it is stored until they can",
                    metadata: ["project": "\(project.id)", "error": "\(error.message)"])
                scrubbers[project.number] = .failure(
                    Refusal(.storeUnavailable, "The project's scrubbing rules can't be applied; the gateway's log says why."))
            }
        }
        return scrubbers
    }

    /// Rules as they would be applied to a project's events; refuses those that can't be.
    public func scrubber(_ rules: [ScrubbingRule], for project: Project) throws(Refusal) -> Scrubber {
        try Scrubber(rules, key: sealer?.scrubbingKey(of: project))
    }

    /// What scrubs a project's events; nil where it has no rules. Refuses where it has, and they can't be applied.
    public func scrubber(of project: ProjectID) throws(Refusal) -> Scrubber? {
        guard scrubs.load(ordering: .acquiring) else { return nil }
        return try ring.withLock { $0.scrubbers[project] }?.get()
    }

    /// Changes whenever keys or projects were read anew.
    public var revision: Int { ring.withLock { $0.revision } }

    /// Which project and lane a knock opens.
    public func open(_ knock: Knock) -> Result<Access, Refusal> {
        admit(knock).flatMap { passage in
            guard let project = passage.project else { return .failure(Refusal(.projectRequired, field: "project")) }
            return .success(passage.access(to: project))
        }
    }

    /// Who knocks, where the project may still be left to the body.
    public func admit(_ knock: Knock) -> Result<Passage, Refusal> {
        do { return .success(try passage(for: knock)) } catch { return .failure(error) }
    }

    private func passage(for knock: Knock) throws(Refusal) -> Passage {
        guard let sent = knock.key, !sent.isEmpty else { throw Refusal(.missingKey, field: "key") }
        guard let (key, own) = try find(sent) else { throw Refusal(.unknownKey, field: "key") }
        var overlooked: [Reason] = []
        try weigh(refusal(of: key), by: .key, of: own?.project, into: &overlooked)

        var entry = own
        if key.project != nil {
            guard own != nil else { throw Refusal(.projectUnknown) }
        } else if let wanted = knock.project {
            let projects = ring.withLock { $0.projects }
            guard let named = projects.values.first(where: { $0.project.name == wanted || $0.project.id == wanted }) else {
                throw Refusal(.projectUnknown, field: "project")
            }
            entry = named
        }
        switch key.lane {
        case .public:
            let isBackend = knock.mayLackOrigin && knock.origin == .missing
            if !isBackend { try weigh(entry?.origins.refusal(of: knock.origin), by: .origin, of: entry?.project, into: &overlooked) }
        case .secret:
            // Only a browser sends Origin of itself, and what a page holds the whole world can read.
            if knock.origin != .missing { throw Refusal(.secretKeyInBrowser, field: "key") }
        }
        return Passage(
            key: key, text: sent, project: entry?.project, knockedFrom: knock.origin, mayLackOrigin: knock.mayLackOrigin,
            address: AddressBlock(knock.address), overlooked: overlooked)
    }

    /// What a check's mode makes of what it found: thrown, counted or forgotten.
    private func weigh(
        _ refusal: Refusal?, by check: Project.Checks.Name, of project: Project?, into overlooked: inout [Reason]
    ) throws(Refusal) {
        guard let refusal else { return }
        switch project?.settings.checks[check] ?? .enforce {
        case .enforce: throw refusal
        case .dryRun: overlooked.append(refusal.reason)
        case .off: break
        }
    }

    /// Whether a token proves a user of the project; nobody looks at it where the project's mode is off.
    public func prove(_ token: String?, to project: Project) async -> Proof {
        guard let token, !token.isEmpty else { return .none }
        let (settings, keys) = ring.withLock { ring in
            (ring.projects[project.number]?.project.settings ?? project.settings, ring.identity[project.number] ?? [])
        }
        guard settings.checks[.identity] != .off else { return .none }
        return await UserProof(project: project, keys: keys).user(of: token, at: clock.now())
    }

    /// The same beside a running server, with what a project's settings say.
    public static func proof(of token: String, in project: Project, sealer: Sealer, at now: Timestamp) async -> Proof {
        var keys: [UserProof.Key] = []
        for key in project.settings.identityKeys {
            if let usable = try? await UserProof.Key(key, secret: key.sealed.flatMap { sealer.open($0, for: key.id) }) {
                keys.append(usable)
            }
        }
        return await UserProof(project: project, keys: keys).user(of: token, at: now)
    }

    /// How much a check has to say in a project now: settings may have changed since a socket was opened.
    public func mode(of check: Project.Checks.Name, in project: Project) -> Project.CheckMode {
        (ring.withLock { $0.projects[project.number]?.project.settings } ?? project.settings).checks[check]
    }

    /// The record of a key's text, with its project where it has one.
    private func find(_ text: String) throws(Refusal) -> (key: KeyRecord, own: (project: Project, origins: OriginPolicy)?)? {
        func record(_ digest: [UInt8], in ring: Ring) -> (key: KeyRecord, own: (project: Project, origins: OriginPolicy)?)? {
            ring.keys[digest].map { key in (key, key.project.flatMap { ring.projects[$0] }) }
        }
        if let known = ring.withLock({ ring in ring.digests[text].flatMap { record($0, in: ring) } }) { return known }
        let digest = try KeyText(reading: text).digest
        return ring.withLock { ring in
            let found = record(digest, in: ring)
            if found != nil { ring.digests[text] = digest }
            return found
        }
    }

    /// The access to what an item of a body is meant for. P-KEY-6: only a key of several projects lets a body choose among them; a
    /// project it names that is not there yet is made.
    public func access(by passage: Passage, to destination: Parcel.Destination) async -> Result<Access, Refusal> {
        let own: Result<Access, Refusal> =
            passage.project.map { .success(passage.access(to: $0)) } ?? .failure(Refusal(.projectRequired, field: "project"))
        switch destination {
        case .own: return own
        case .named(let name):
            guard passage.opensSeveral, passage.project == nil else { return own }
            do { return .success(passage.access(to: try await project(named: name, creating: true))) } catch { return .failure(error) }
        case .ofKey(let sent):
            guard sent != passage.text, let text = try? KeyText(reading: sent) else { return own }
            let number = ring.withLock { $0.keys[text.digest]?.project }
            guard let number, let project = ring.withLock({ $0.projects[number]?.project }) else { return own }
            guard passage.opensSeveral || passage.project?.number == number else { return own }
            return .success(passage.access(to: project, text: text.text))
        }
    }

    /// Takes a project away, for a key of several.
    public func delete(_ project: Project, by passage: Passage) async throws(Refusal) {
        guard passage.opensSeveral, passage.lane == .secret else {
            throw Refusal(
                .laneForbidden, field: "key", "A key of one project can't take that project away; an operator can: `parley project delete`."
            )
        }
        do {
            try await store.deleteProject(project.number)
            try await refresh()
        } catch {
            throw Refusal(.storeUnavailable)
        }
    }

    /// The access to a project that a passage opens; nil for any other.
    public func access(by passage: Passage, in project: Project) -> Access? {
        guard passage.opensSeveral || passage.project?.number == project.number else { return nil }
        return ring.withLock { $0.projects[project.number]?.project }.map { passage.access(to: $0) }
    }

    /// A project by its number.
    public func project(_ number: ProjectID) -> Project? { ring.withLock { $0.projects[number]?.project } }

    /// The projects a passage opens.
    public func projects(of passage: Passage) -> [Project] {
        if let project = passage.project, !passage.opensSeveral { return [project] }
        return ring.withLock { $0.projects.values.map(\.project) }.sorted { $0.number < $1.number }
    }

    /// A project by name or ID, for a key of several.
    public func project(named name: String, creating: Bool) async throws(Refusal) -> Project {
        func find() -> Project? {
            ring.withLock { ring in ring.projects.values.first { $0.project.name == name || $0.project.id == name }?.project }
        }
        if let project = find() { return project }
        guard creating else { throw Refusal(.projectUnknown, field: "project", "There is no project \(name.prefix(200)) for this key.") }
        guard !name.isEmpty, name.unicodeScalars.count <= 200 else {
            throw Refusal(.invalidField, field: "project", "A project's name is 1 to 200 characters.")
        }
        do {
            _ = try await store.createProject(named: name, settings: Project.Settings())
        } catch ControlFailure.nameTaken {
            // Another request or process was first.
        } catch {
            throw Refusal(.storeUnavailable)
        }
        try? await refresh()
        guard let project = find() else { throw Refusal(.storeUnavailable) }
        return project
    }

    /// The project a secret key reads, and the key's name of record. P-LANE-4: a public key is in every page, and reads nothing.
    public func read(with key: String, project: String?) -> Result<(project: Project, key: String), Refusal> {
        if let text = try? KeyText(reading: key), text.lane == .public {
            return .failure(
                Refusal(.laneForbidden, field: "key", "A public key reads nothing; send the project's secret key from a backend."))
        }
        return open(Knock(key: key, origin: .missing, address: "", project: project)).map { ($0.project, $0.key.id) }
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
        let checks = entry?.project.settings.checks ?? Project.Checks()
        if checks[.key] == .enforce, let refusal = refusal(of: key) { return refusal }
        guard access.lane == .public, checks[.origin] == .enforce, !(access.mayLackOrigin && access.knockedFrom == .missing) else {
            return nil
        }
        return entry?.origins.refusal(of: access.knockedFrom)
    }

    /// Whether any project allows that origin: for a CORS preflight, which carries no key.
    public func allowsSomewhere(origin: String) -> Bool {
        let policies = ring.withLock { $0.projects.values.map(\.origins) }
        return policies.contains { $0.refusal(of: Knock.Origin(header: origin)) == nil }
    }
}
