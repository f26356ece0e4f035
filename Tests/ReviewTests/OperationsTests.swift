import Events
import HTTPTypes
import Testing
@testable import Review

@Suite("Quarantine and outcomes")
struct OperationsTests {
    @Test("an item in quarantine, with what differs and the counts")
    func quarantine() async throws {
        let answer = try await ReviewClient().ask("/v1/quarantine", key: "sk_shop")
        #expect(
            answer.body
                == #"{"items":[{"id":"q1","reason":"id_conflict","field":"id","message":"Taken.","eventId":"m1","type":"message","receivedAt":"2026-11-18T11:06:47.000Z","lane":"public","origin":"https://shop.example","payload":{"id":"m1"},"differs":[{"field":"content","stored":"a","received":null}]}],"counts":{"id_conflict":1},"next":null}"#
        )
        #expect(try await ReviewClient().ask("/v1/quarantine?reason=weak_id", key: "sk_shop").body.hasPrefix(#"{"items":[],"counts""#))
        #expect(try await ReviewClient().ask("/v1/quarantine?reason=bad", key: "sk_shop").status == 400)
    }

    @Test("a replay gives each item a new verdict", arguments: [#"{"ids":["q1"]}"#, #"{"reason":"id_conflict"}"#])
    func replay(body: String) async throws {
        let stored = try await ReviewClient().ask(.post, "/v1/quarantine/replay", key: "sk_shop", body: body)
        #expect(stored.body == #"{"results":[{"index":0,"item":"q1","id":"m1","verdict":"stored"}],"next":null}"#)
        let again = try await ReviewClient(verdict: .conflict(Refusal(.idConflict, field: "id", "Still taken.")))
            .ask(.post, "/v1/quarantine/replay", key: "sk_shop", body: body)
        #expect(
            again.body
                == #"{"results":[{"index":0,"item":"q1","id":"m1","verdict":"conflict","reason":"id_conflict","field":"id","message":"Still taken.","doc":"/docs/reasons#id_conflict"}],"next":null}"#
        )
    }

    @Test(
        "a replay that names nothing is refused",
        arguments: [
            ("{}", 400), (#"{"ids":[]}"#, 400), (#"{"ids":[1]}"#, 400), (#"{"ids":"q1"}"#, 400), (#"{"reason":"bad"}"#, 400),
            (#"{"ids":["q2"]}"#, 404),
        ])
    func nothingToReplay(body: String, status: Int) async throws {
        #expect(try await ReviewClient().ask(.post, "/v1/quarantine/replay", key: "sk_shop", body: body).status == status)
    }

    @Test("one project's key replays nothing of another")
    func foreignReplay() async throws {
        #expect(try await ReviewClient().ask(.post, "/v1/quarantine/replay", key: "sk_bank", body: #"{"ids":["q1"]}"#).status == 404)
        #expect(
            try await ReviewClient().ask(.post, "/v1/quarantine/replay", key: "sk_bank", body: #"{"reason":"id_conflict"}"#).body
                == #"{"results":[],"next":null}"#)
    }

    @Test("outcomes by key and minute, and their sum")
    func outcomes() async throws {
        let row =
            #""minute":"2026-11-18T11:07:00.000Z","received":3,"stored":2,"duplicate":0,"conflict":1,"quarantined":0,"dropped":0,"retry":0,"reasons":{"id_conflict":1}"#
        let total =
            #"{"received":6,"stored":4,"duplicate":0,"conflict":2,"quarantined":0,"dropped":0,"retry":0,"reasons":{"id_conflict":2}}"#
        let answer = try await ReviewClient().ask("/v1/outcomes?from=2026-11-18", key: "sk_shop")
        #expect(answer.body == #"{"outcomes":[{"key":"key_a",\#(row)},{"key":"key_b",\#(row)}],"total":\#(total)}"#)
    }
}
