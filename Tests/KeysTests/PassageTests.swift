import Events
import Logging
import TestKit
import Testing
@testable import Keys

/// Keys that choose their project in the body, keys of backends without an Origin, and keys that IDs are named with.
@Suite("Passages")
struct PassageTests {
    let store = MemoryControlStore()
    let sealer = Sealer(key: [UInt8](0..<32))!

    private func ring(_ sealer: Sealer?) async throws -> KeyRing {
        let ring = KeyRing(store: store, sealer: sealer, logger: Logger(label: "test"))
        try await ring.refresh()
        return ring
    }

    private func key(_ lane: Lane, _ scope: KeyRecord.Scope = .project, of project: Project?) async -> (text: String, id: String) {
        let (text, record) = KeyRecord.issue(lane, scope: scope, project: project?.number, at: Sample.noon)
        await store.insert(record)
        return (text.text, record.id)
    }

    private func passage(_ ring: KeyRing, _ key: String, project: String? = nil) throws -> Passage {
        try ring.admit(Knock(key: key, origin: .missing, address: "192.0.2.1", project: project, mayLackOrigin: true)).get()
    }

    @Test("a body chooses its project only where the key opens several, and a new one is made")
    func destinations() async throws {
        let shop = try await store.createProject(named: "shop", settings: .init())
        let (wide, narrow) = (await key(.secret, .workspace, of: nil), await key(.secret, of: shop))
        let ring = try await ring(nil)
        func name(_ key: String, _ destination: Parcel.Destination, in project: String? = nil) async throws -> String? {
            try? await ring.access(by: passage(ring, key, project: project), to: destination).get().project.name
        }
        #expect(try await name(wide.text, .named("new")) == "new")
        #expect(try await name(wide.text, .named("shop")) == "shop")
        #expect(try await name(wide.text, .own) == nil)
        #expect(try await name(wide.text, .own, in: "shop") == "shop")
        // The request itself names one: the body does not choose again.
        #expect(try await name(wide.text, .named("other"), in: "shop") == "shop")
        #expect(try await name(narrow.text, .named("other")) == "shop")
        #expect(try await name(wide.text, .named("")) == nil)
        #expect(try await store.projects().map(\.name).sorted() == ["new", "shop"])
    }

    @Test("a project goes with its keys, and only at the word of a key of several")
    func delete() async throws {
        let shop = try await store.createProject(named: "shop", settings: .init())
        let (wide, narrow) = (await key(.secret, .workspace, of: nil), await key(.secret, of: shop))
        let ring = try await ring(nil)
        await #expect(throws: Refusal.self) { try await ring.delete(shop, by: passage(ring, narrow.text)) }
        #expect(try await store.projects().count == 1)
        try await ring.delete(shop, by: passage(ring, wide.text))
        #expect(try await store.projects().isEmpty)
        #expect(throws: Refusal(.unknownKey, field: "key")) { try passage(ring, narrow.text) }
    }

    @Test("a key in the body counts where the caller may write to its project")
    func keyInBody() async throws {
        let (shop, other) = (
            try await store.createProject(named: "shop", settings: .init()),
            try await store.createProject(named: "other", settings: .init())
        )
        let (wide, narrow, foreign) = (await key(.secret, .workspace, of: nil), await key(.secret, of: shop), await key(.secret, of: other))
        let ring = try await ring(nil)
        let chosen = try await ring.access(by: passage(ring, wide.text), to: .ofKey(foreign.text)).get()
        #expect(chosen.project.name == "other" && chosen.text == foreign.text && chosen.key.id == wide.id)
        #expect(try await ring.access(by: passage(ring, narrow.text), to: .ofKey(foreign.text)).get().project.name == "shop")
        #expect(try await ring.access(by: passage(ring, narrow.text), to: .ofKey("nonsense")).get().project.name == "shop")
        #expect(ring.projects(of: try passage(ring, wide.text)).map(\.name) == ["shop", "other"])
        #expect(ring.projects(of: try passage(ring, narrow.text)).map(\.name) == ["shop"])
        #expect(ring.access(by: try passage(ring, narrow.text), in: other) == nil)
    }

    @Test("a public key may lack an Origin where SDKs of backends come in, and nowhere else; a wrong one is refused everywhere")
    func backends() async throws {
        let shop = try await store.createProject(named: "shop", settings: .init())
        let key = await key(.public, of: shop)
        let ring = try await ring(nil)
        func reason(_ origin: Knock.Origin, _ mayLack: Bool) -> Reason? {
            let knock = Knock(key: key.text, origin: origin, address: "192.0.2.1", mayLackOrigin: mayLack)
            if case .failure(let refusal) = ring.admit(knock) { return refusal.reason } else { return nil }
        }
        #expect(reason(.missing, true) == nil && reason(.missing, false) == .originMissing)
        #expect(reason(.named("https://evil.example"), true) == .originForbidden && reason(.null, true) == .originNull)
        let access = try ring.open(Knock(key: key.text, origin: .missing, address: "192.0.2.1", mayLackOrigin: true)).get()
        #expect(ring.recheck(access) == nil)
    }

    @Test("a key that IDs are named with is known again after a restart, and its text is nowhere in the store")
    func naming() async throws {
        let shop = try await store.createProject(named: "shop", settings: .init())
        let other = try await store.createProject(named: "other", settings: .init())
        let key = await key(.secret, of: shop)
        let first = try await ring(sealer)
        #expect(first.namingKeys(in: shop.number).isEmpty)
        await first.noteNaming(with: key.text)
        await first.noteNaming(with: key.text)
        await first.noteNaming(with: "sk_nonsense")
        #expect(first.namingKeys(in: shop.number) == [key.text] && first.namingKeys(in: other.number).isEmpty)
        let sealed = try #require(try await store.keys().first?.sealed)
        #expect(!String(decoding: sealed, as: UTF8.self).contains(key.text.dropFirst(3)))
        let again = try await ring(sealer)
        #expect(again.namingKeys(in: shop.number) == [key.text])
        // Without the sealing key, or with another, the text can't be had.
        #expect(try await ring(nil).namingKeys(in: shop.number).isEmpty)
        #expect(try await ring(Sealer(key: [UInt8](repeating: 9, count: 32))).namingKeys(in: shop.number).isEmpty)
    }

    @Test("what is sealed for one key opens for no other, nor when a bit of it has changed")
    func sealing() throws {
        let sealed = try #require(sealer.seal("sk_secret", for: "key_1"))
        #expect(sealer.open(sealed, for: "key_1") == "sk_secret" && sealer.open(sealed, for: "key_2") == nil)
        #expect(sealer.seal("sk_secret", for: "key_1") != sealed)
        for index in sealed.indices {
            var changed = sealed
            changed[index] ^= 1
            #expect(sealer.open(changed, for: "key_1") == nil)
        }
        for length in 0..<sealed.count { #expect(sealer.open(Array(sealed.prefix(length)), for: "key_1") == nil) }
        #expect(Sealer(key: [1, 2, 3]) == nil)
    }
}
