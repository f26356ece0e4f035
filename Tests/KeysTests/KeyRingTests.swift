import Events
import Keys
import Logging
import Synchronization
import TestKit
import Testing

@Suite("Key ring")
struct KeyRingTests {
    /// A clock that stands still until it is moved.
    final class HandClock: Sendable {
        private let time = Mutex(Sample.noon)
        func move(to time: Timestamp) { self.time.withLock { $0 = time } }
        var wall: WallClock { WallClock { self.time.withLock { $0 } } }
    }

    let store = MemoryControlStore()
    let clock = HandClock()
    let ring: KeyRing

    init() { ring = KeyRing(store: store, clock: clock.wall, logger: Logger(label: "test")) }

    private func project(_ name: String = "shop", _ change: (inout Project.Settings) -> Void = { _ in }) async throws -> Project {
        var settings = Project.Settings()
        settings.origins = ["https://shop.example"]
        change(&settings)
        return try await store.createProject(named: name, settings: settings)
    }

    private func key(_ lane: Lane, of project: Project?, scope: KeyRecord.Scope = .project, expiresAt: Timestamp? = nil) async throws -> (
        text: String, record: KeyRecord
    ) {
        let (text, record) = KeyRecord.issue(lane, scope: scope, project: project?.number, expiresAt: expiresAt, at: Sample.noon)
        await store.insert(record)
        try await ring.refresh()
        return (text.text, record)
    }

    private func open(_ key: String?, _ origin: Knock.Origin = .missing, project: String? = nil) -> Result<Access, Refusal> {
        ring.open(Knock(key: key, origin: origin, address: "192.0.2.1", project: project))
    }

    private func reason(_ key: String?, _ origin: Knock.Origin = .missing, project: String? = nil) -> Reason? {
        if case .failure(let refusal) = open(key, origin, project: project) { refusal.reason } else { nil }
    }

    @Test("a public key opens its project from an allowed origin, a secret key from none")
    func opens() async throws {
        let project = try await project()
        let (publicKey, secretKey) = try await (key(.public, of: project), key(.secret, of: project))
        let access = try open(publicKey.text, .named("https://shop.example")).get()
        #expect(
            access.project == project && access.lane == .public && access.origin == "https://shop.example"
                && access.address.text == "192.0.2.1")
        let source = access.source(over: .beacon)
        #expect(
            source
                == Source(
                    project: project.number, key: publicKey.record.id, lane: .public, origin: "https://shop.example", transport: .beacon))
        #expect(try open(secretKey.text).get().lane == .secret)
    }

    @Test("no key, a misspelt one and an unknown one are told apart")
    func keys() async throws {
        let project = try await project()
        let known = try await key(.public, of: project).text
        #expect(reason(nil) == .missingKey && reason("") == .missingKey)
        #expect(reason(String(known.dropLast()) + "-") == .malformedKey)
        #expect(reason(KeyText.make(.public).text) == .unknownKey)
        #expect(reason(KeyText.make(.secret).text) == .unknownKey)
    }

    @Test("a key that was revoked stops with the next refresh, and what is open knows")
    func revoked() async throws {
        let project = try await project()
        let (text, record) = try await key(.secret, of: project)
        let access = try open(text).get()
        #expect(ring.recheck(access) == nil)
        let revision = ring.revision
        #expect(await store.revokeKey(record.id, at: Sample.noon))
        try await ring.refresh()
        #expect(reason(text) == .revokedKey)
        #expect(ring.recheck(access)?.reason == .revokedKey)
        #expect(ring.revision > revision)
    }

    @Test("a key expires with the clock, without a refresh")
    func expires() async throws {
        let project = try await project()
        let text = try await key(.secret, of: project, expiresAt: Sample.time(60)).text
        clock.move(to: Sample.time(59.999))
        let access = try open(text).get()
        #expect(ring.recheck(access) == nil)
        clock.move(to: Sample.time(60))
        #expect(reason(text) == .expiredKey)
        #expect(ring.recheck(access)?.reason == .expiredKey)
    }

    @Test("a workspace key names its project, by name or ID; a project's own key needs not")
    func workspace() async throws {
        let (shop, blog) = try await (project("shop"), project("blog"))
        let workspace = try await key(.secret, of: nil, scope: .workspace).text
        #expect(reason(workspace) == .projectRequired)
        #expect(reason(workspace, project: "nowhere") == .projectUnknown)
        #expect(try open(workspace, project: "blog").get().project == blog)
        #expect(try open(workspace, project: shop.id).get().project == shop)
        let own = try await key(.secret, of: shop).text
        #expect(try open(own, project: "blog").get().project == shop)
    }

    @Test(
        "a secret key that comes from a browser is refused, whatever its origin",
        arguments: [Knock.Origin.null, .named("https://shop.example"), .named("")])
    func secretInBrowser(_ origin: Knock.Origin) async throws {
        let text = try await key(.secret, of: project()).text
        #expect(reason(text, origin) == .secretKeyInBrowser)
    }

    @Test("origins are the project's own, and its switches are looked at")
    func origins() async throws {
        let strict = try await key(.public, of: project("strict")).text
        let open = try await key(
            .public,
            of: project("open") {
                $0.allowsMissingOrigin = true; $0.allowsNullOrigin = true; $0.origins = ["https://other.example"]
            }
        ).text
        #expect(reason(strict, .missing) == .originMissing && reason(strict, .null) == .originNull)
        #expect(reason(strict, .named("https://other.example")) == .originForbidden)
        #expect(reason(open, .missing) == nil && reason(open, .null) == nil)
        #expect(reason(open, .named("https://shop.example")) == .originForbidden)
        #expect(ring.allowsSomewhere(origin: "https://other.example") && ring.allowsSomewhere(origin: "https://shop.example"))
        #expect(ring.allowsSomewhere(origin: "null"))
        #expect(!ring.allowsSomewhere(origin: "https://evil.example"))
    }

    @Test(
        "what is open ends when its origin is taken off the list", arguments: [Knock.Origin.named("https://shop.example"), .null, .missing])
    func originWithdrawn(_ origin: Knock.Origin) async throws {
        var project = try await project {
            $0.allowsMissingOrigin = true; $0.allowsNullOrigin = true
        }
        let text = try await key(.public, of: project).text
        let access = try open(text, origin).get()
        #expect(ring.recheck(access) == nil)
        project.settings = Project.Settings()
        await store.update(project)
        try await ring.refresh()
        #expect(reason(text, origin) != nil)
        #expect(ring.recheck(access) != nil)
    }

    @Test("keys and projects are read again only when the store says they changed")
    func refreshes() async throws {
        let project = try await project()
        _ = try await key(.public, of: project)
        let reads = await store.reads
        for _ in 0..<3 { try await ring.refresh() }
        #expect(await store.reads == reads)
        _ = try await key(.public, of: project)
        #expect(await store.reads == reads + 1)
    }

    @Test("a store that has lost its last changes is believed, and so is what changes in it then")
    func fallenBack() async throws {
        let project = try await project()
        let (stays, record) = try await key(.secret, of: project)
        let lost = try await key(.secret, of: project).text
        #expect(reason(lost) == nil)
        await store.fallBack()
        try await ring.refresh()
        #expect(reason(lost) == .unknownKey && reason(stays) == nil)
        #expect(await store.revokeKey(record.id, at: Sample.noon))
        try await ring.refresh()
        #expect(reason(stays) == .revokedKey)
    }

    @Test("when the store can't be asked, what is known stays")
    func storeGone() async throws {
        let project = try await project()
        let text = try await key(.secret, of: project).text
        await store.fail(true)
        await #expect(throws: MemoryControlStore.Unavailable.self) { try await ring.refresh() }
        #expect(reason(text) == nil)
    }

    @Test("a public key spends the quotas of its key and of its address, a secret key none")
    func quotas() async throws {
        let project = try await project {
            $0.quotas[.key, .events] = .init(perSecond: 10, burst: 100)
            $0.quotas[.address, .events] = .init(perSecond: 1, burst: 20)
        }
        let (publicKey, secretKey) = try await (key(.public, of: project).text, key(.secret, of: project).text)
        let origin = Knock.Origin.named("https://shop.example")
        let first = try open(publicKey, origin).get()
        let second = try ring.open(Knock(key: publicKey, origin: origin, address: "192.0.2.2")).get()
        #expect(ring.spend(20, by: first) == .fits)
        guard case .refused(let refusal) = ring.spend(1, by: first) else {
            Issue.record("more than the quota fits")
            return
        }
        #expect(refusal.reason == .rateLimited && refusal.retryAfterMilliseconds == 1000)
        #expect(ring.spend(20, by: second) == .fits)
        let quota = try #require(ring.quota(of: first))
        #expect(quota.limit == 20 && quota.remaining == 0 && quota.resetSeconds == 20)
        clock.move(to: Sample.time(5))
        #expect(ring.spend(5, by: first) == .fits && ring.spend(1, by: first) != .fits)
        let secret = try open(secretKey).get()
        #expect(ring.spend(1_000_000, by: secret) == .fits && ring.quota(of: secret) == nil)
    }

    @Test(
        "whoever has a quota is slowed down by it alone, in events and in bytes",
        arguments: Project.Quotas.Owner.allCases, Project.Quotas.Unit.allCases)
    func owners(_ owner: Project.Quotas.Owner, _ unit: Project.Quotas.Unit) async throws {
        let project = try await project {
            $0.quotas = .none
            $0.quotas[owner, unit] = .init(perSecond: 1, burst: 10)
        }
        let texts = [try await key(.public, of: project).text, try await key(.public, of: project).text]
        func access(_ key: Int, _ address: Int, _ session: Int) throws -> Access {
            let knock = Knock(key: texts[key], origin: .named("https://shop.example"), address: "192.0.2.\(address)")
            var access = try ring.open(knock).get()
            access.session = "\(session)"
            return access
        }
        func spend(_ access: Access, _ thread: String) -> Reason? {
            let amounts = unit == .events ? (10, 1_000_000) : (1_000_000, 10)
            let spendings = [
                ring.spend(amounts.0, bytes: amounts.1, by: access), ring.spend(amounts.0, bytes: amounts.1, in: thread, by: access),
            ]
            for case .refused(let refusal) in spendings {
                #expect(refusal.message.contains("quota of \(unit.rawValue)") && refusal.retryAfterMilliseconds == 10_000)
                return refusal.reason
            }
            return nil
        }
        let first = try access(0, 1, 1)
        #expect(ring.limitsThreads(first) == (owner == .thread))
        #expect(spend(first, "t-1") == nil && spend(first, "t-1") == .rateLimited)
        let others: [Project.Quotas.Owner: (Access, String)] = [
            .key: (try access(1, 1, 1), "t-1"), .address: (try access(0, 2, 1), "t-1"), .session: (try access(0, 1, 2), "t-1"),
            .thread: (try access(0, 1, 1), "t-2"),
        ]
        for (other, (access, thread)) in others { #expect(spend(access, thread) == (other == owner ? nil : .rateLimited), "\(other)") }
    }

    @Test("a project without quotas limits nobody")
    func noQuotas() async throws {
        let project = try await project { $0.quotas = .none }
        let access = try await open(key(.public, of: project).text, .named("https://shop.example")).get()
        #expect(ring.spend(1_000_000, by: access) == .fits && ring.quota(of: access) == nil)
    }

    @Test(
        "a check in dry run lets pass what it would refuse, and says so; one that is off says nothing",
        arguments: Project.CheckMode.allCases)
    func modes(_ mode: Project.CheckMode) async throws {
        let project = try await project {
            for check in [Project.Checks.Name.key, .origin, .quota] { $0.checks[check] = mode }
            $0.quotas[.key, .events] = .init(perSecond: 0, burst: 1)
        }
        let revoked = try await key(.public, of: project)
        _ = await store.revokeKey(revoked.record.id, at: Sample.noon)
        let live = try await key(.public, of: project)
        let found = [open(revoked.text, .named("https://shop.example")), open(live.text, .named("https://evil.example"))]
        switch mode {
        case .enforce:
            #expect(
                found.map { found -> Reason? in if case .failure(let refusal) = found { refusal.reason } else { nil } }
                    == [.revokedKey, .originForbidden])
            let access = try open(live.text, .named("https://shop.example")).get()
            #expect(ring.spend(1, by: access) == .fits)
            #expect(
                ring.spend(1, by: access)
                    == .refused(Refusal(.rateLimited, "This key has used up its quota of events.", retryAfterMilliseconds: 3_600_000)))
        case .dryRun, .off:
            let overlooked = try found.map { try $0.get().overlooked }
            #expect(overlooked == (mode == .off ? [[], []] : [[.revokedKey], [.originForbidden]]))
            let access = try found[1].get()
            #expect(ring.recheck(access) == nil)
            #expect(ring.spend(1, by: access) == .fits)
            #expect(ring.spend(1, by: access) == (mode == .off ? .fits : .overlooked(.rateLimited)))
        }
    }

    @Test("an open socket's access ends when its check is enforced again")
    func modeTightened() async throws {
        var project = try await project { $0.checks[.origin] = .off }
        let access = try await open(key(.public, of: project).text, .named("https://evil.example")).get()
        #expect(ring.recheck(access) == nil)
        project.settings.checks[.origin] = .enforce
        await store.update(project)
        try await ring.refresh()
        #expect(ring.recheck(access)?.reason == .originForbidden)
    }

    @Test("a quota that hardly ever refills says a day, and ends nothing")
    func endlessWait() async throws {
        let project = try await project { $0.quotas[.key, .events] = .init(perSecond: 1e-300, burst: 1) }
        let access = try await open(key(.public, of: project).text, .named("https://shop.example")).get()
        #expect(ring.spend(1, by: access) == .fits)
        #expect(
            ring.spend(1, by: access)
                == .refused(Refusal(.rateLimited, "This key has used up its quota of events.", retryAfterMilliseconds: 86_400_000)))
        #expect(ring.quota(of: access)?.resetSeconds == 86_400)
    }
}
