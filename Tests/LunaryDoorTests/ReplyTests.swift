import Events
import LunaryDoor
import Testing

@Suite("Replies of the Lunary door")
struct ReplyTests {
    let door = LunaryDoor()

    private func reply(_ body: String, _ verdicts: [Verdict]) throws -> Reply {
        let request = door.request(body.utf8)
        return door.reply(to: verdicts, of: try door.decode(request), for: request)
    }

    private func text(_ reply: Reply) -> String { String(decoding: reply.body, as: UTF8.self) }

    private static let three = """
        {"events":[\
        {"event":"chat","runId":"m-1","parentRunId":"t","message":{"role":"user","content":"x","feedback":{"thumb":"up"}},"threadTags":["a"]},\
        {"event":"feedback","runId":"m-1","feedback":{"thumb":"down"}},\
        5,\
        {"event":"end","type":"llm","runId":"r-1"}]}
        """

    @Test("one result an event, in order, whatever it became")
    func results() throws {
        let reply = try reply(
            Self.three, [.stored, .duplicate, .stored, .stored, .quarantined(Refusal(.invalidField, "No.")), .duplicate])
        #expect(reply.status == 200 && reply.isReadableByPages)
        #expect(
            text(reply)
                == #"{"results":[{"id":"m-1","success":true},{"id":"m-1","success":true},{"success":false,"error":"invalid_field: No."},{"id":"r-1","success":true}]}"#
        )
    }

    @Test("what went wrong beside an event is told with it")
    func companions() throws {
        let reply = try reply(
            Self.three,
            [
                .stored, .stored, .dropped(Refusal(.quarantineFull, "Full.")), .stored, .quarantined(Refusal(.invalidField, "No.")),
                .conflict(Refusal(.idConflict, "Taken.")),
            ])
        #expect(
            text(reply)
                == #"{"results":[{"id":"m-1","success":false,"error":"quarantine_full: Full."},{"id":"m-1","success":true},{"success":false,"error":"invalid_field: No."},{"id":"r-1","success":false,"error":"id_conflict: Taken."}]}"#
        )
    }

    @Test("an empty batch has an empty answer")
    func empty() throws { #expect(text(try reply(#"{"events":[]}"#, [])) == #"{"results":[]}"#) }

    @Test("what may succeed later is an error that no page can read, so that its queue stays")
    func overload() throws {
        let verdicts: [Verdict] = [.stored, .stored, .stored, .stored, .stored, .retry(Refusal(.overloaded, retryAfterMilliseconds: 1500))]
        let reply = try reply(Self.three, verdicts)
        #expect(reply.status == 503 && !reply.isReadableByPages && reply.retryAfterSeconds == 2)
        for reason in Reason.allCases {
            let reply = door.reply(to: Refusal(reason), at: door.ingest, contentType: nil)
            #expect(reply.isReadableByPages != reason.isTemporary)
            #expect(reply.status == (reason.isTemporary ? 503 : reason.httpStatus))
        }
    }

    @Test("a refusal names its reason, its field and the rule")
    func refusal() {
        let reply = door.reply(to: Refusal(.unknownKey, field: "key", "No such key."), at: door.ingest, contentType: nil)
        #expect(reply.status == 401)
        #expect(text(reply) == #"{"message":"No such key.","error":"unknown_key","field":"key","doc":"/docs/reasons#unknown_key"}"#)
    }

    @Test("every entrance takes the key where the SDKs put it, and a public key without an origin")
    func entrances() {
        for entrance in door.entrances {
            #expect(entrance.keyPlaces == [.bearer, .header("X-API-Key")] && entrance.servesBackends && entrance.underAnyPrefix)
        }
        #expect(door.ingest.publicBodyLimit == 20 << 20 && door.ingest.secretBodyLimit == 20 << 20 && !door.ingest.asks)
    }
}
