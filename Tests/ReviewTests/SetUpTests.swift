import Conversations
import Events
import Synchronization
import HTTPTypes
import Testing
@testable import Review

@Suite("Setting up")
struct SetUpTests {
    @Test("settings change one by one, and a wrong one says its rule")
    func settings() async throws {
        let client = ReviewClient.signedIn()
        let answer = try await client.asPage(
            .patch, "/v1/projects/prj_shop",
            body:
                #"{"origins":["https://shop.example"],"keyQuota":null,"addressQuota":{"perSecond":5,"burst":10},"scoring":"strict","retentionDays":30}"#
        )
        #expect(answer.status == 200)
        let changed = try #require(client.store.state.withLock { $0.updated })
        #expect(changed.settings.origins == ["https://shop.example"] && changed.settings.quotas[.key, .events] == nil)
        #expect(changed.settings.quotas[.address, .events] == Project.Quota(perSecond: 5, burst: 10))
        #expect(changed.settings.scoring == .strict && changed.settings.retentionDays == 30)
        #expect(changed.settings.inactiveAfterSeconds == 900)
        for (body, field) in [
            (#"{"origins":["shop"]}"#, "origins"), (#"{"origins":"x"}"#, "origins"),
            (#"{"keyQuota":{"perSecond":0,"burst":1}}"#, "keyQuota"),
            (#"{"quotas":{"threads":null}}"#, "quotas.threads"), (#"{"quotas":[]}"#, "quotas"),
            (#"{"quotas":{"thread.bytes":{"perSecond":1}}}"#, "quotas.thread.bytes"),
            (#"{"inactiveAfterSeconds":0}"#, "inactiveAfterSeconds"), (#"{"scoring":"lax"}"#, "scoring"),
            (#"{"retentionDays":0}"#, "retentionDays"),
            (#"{"allowsNullOrigin":"yes"}"#, "allowsNullOrigin"), (#"{"name":""}"#, "name"),
        ] {
            let refused = try await client.asPage(.patch, "/v1/projects/prj_shop", body: body)
            #expect(refused.status == 400 && refused.body.contains(#""field":"\#(field)""#), "\(body): \(refused.body)")
        }
    }

    @Test("a project is deleted by saying its name")
    func delete() async throws {
        let client = ReviewClient.signedIn()
        #expect(try await client.asPage(.delete, "/v1/projects/prj_shop", body: #"{"name":"Shop"}"#).status == 400)
        #expect(try await client.asPage(.delete, "/v1/projects/prj_shop", body: #"{"name":"shop"}"#).status == 204)
    }

    @Test("a new key's text is told once")
    func key() async throws {
        let client = ReviewClient.signedIn()
        let answer = try await client.asPage(
            .post, "/v1/keys?project=shop", body: #"{"lane":"secret","label":"ci","expiresAt":"2027-01-01T00:00:00Z"}"#)
        #expect(answer.status == 201)
        #expect(answer.body.contains(#""text":"sk_new""#) && answer.body.contains(#""expiresAt":"2027-01-01T00:00:00.000Z""#))
        #expect(try await client.asPage(.post, "/v1/keys?project=shop", body: #"{"lane":"both"}"#).status == 400)
        #expect(
            try await client.asPage(.post, "/v1/keys?project=shop", body: #"{"lane":"public","expiresAt":"2020-01-01T00:00:00Z"}"#).status
                == 400)
    }

    @Test("quarantine is mended, tried dry, replayed and thrown away")
    func quarantine() async throws {
        let client = ReviewClient.signedIn()
        let groups = try await client.asPage(.get, "/v1/quarantine/groups?project=shop")
        #expect(groups.body.hasPrefix(#"{"groups":[{"reason":"id_conflict","field":"id","type":"message","message":"Taken.","count":1"#))
        let dry = try await client.asPage(
            .post, "/v1/quarantine/replay?project=shop",
            body: #"{"reason":"id_conflict","field":"id","patch":{"id":"m9"},"trust":true,"dryRun":true}"#)
        #expect(dry.status == 200)
        let mending = try #require(client.office.mendings.withLock { $0.first })
        #expect(mending.patch == #"{"id":"m9"}"# && mending.trusts && mending.isDry)
        #expect(client.store.state.withLock { $0.audit.isEmpty })
        #expect(try await client.asPage(.delete, "/v1/quarantine?project=shop", body: #"{"ids":["q1"]}"#).body == #"{"removed":1}"#)
        #expect(client.store.state.withLock { $0.removedFromQuarantine } == ["q1"])
        #expect(client.store.state.withLock { $0.audit.map(\.action) } == ["quarantine.clear"])
    }

    @Test("erasing a user is written down without who it was")
    func erase() async throws {
        let client = ReviewClient.signedIn()
        let answer = try await client.asPage(.delete, "/v1/users/u1?project=shop")
        #expect(
            answer.body.hasPrefix(
                #"{"erased":{"threads":1,"messages":0,"runs":0,"events":0,"quarantined":0,"tombstones":0},"record":{"id":"era_"#))
        let entry = try #require(client.store.state.withLock { $0.audit.first })
        let record = try #require(entry.subject)
        #expect(entry.action == "user.erase" && record.hasPrefix("era_"))
        let detail = try #require(entry.detail?.string)
        // The record's ID is random, and may have any two letters in it.
        #expect(answer.body.hasSuffix(detail + "}") && !detail.replacing(record, with: "").contains("u1"))
    }

    @Test("views are kept under rules the list has", arguments: [("feedback=down&status=inactive", 201), ("status=gone", 400)])
    func views(query: String, status: Int) async throws {
        let client = ReviewClient.signedIn(as: StubStore.reader)
        #expect(try await client.asPage(.post, "/v1/views?project=shop", body: #"{"name":"Mine","query":"\#(query)"}"#).status == status)
        #expect(try await client.asPage(.post, "/v1/views?project=shop", body: #"{"name":"Ours","query":"","shared":true}"#).status == 403)
    }
}
