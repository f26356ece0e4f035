import Events
import NativeDoor
import TestKit
import Testing

@Suite("Frames of the native door")
struct FrameTests {
    let door = NativeDoor()

    private func decode(_ frame: String) -> ClientFrame { door.decode(frame: Array(frame.utf8), lane: .public) }

    private func isMalformed(_ frame: ClientFrame) -> Bool { if case .malformed = frame { true } else { false } }

    @Test("hello, auth and heartbeat are read, and what is unknown in them passed over")
    func small() {
        guard case .hello("parley.js/0.1", nil, false) = decode(#"{"type":"hello","client":"parley.js/0.1","token":null}"#) else {
            return #expect(Bool(false))
        }
        guard case .hello("x", "jwt", true) = decode(#"{"token":"jwt","receipts":true,"colour":"red","client":"x","type":"hello"}"#) else {
            return #expect(Bool(false))
        }
        guard case .auth("jwt") = decode(#"{"type":"auth","token":"jwt"}"#) else { return #expect(Bool(false)) }
        guard case .heartbeat = decode(#"{"type":"heartbeat"}"#) else { return #expect(Bool(false)) }
    }

    @Test("a batch brings its number, its clock and its events, bad ones in their place")
    func batch() {
        let frame = decode(
            #"{"type":"batch","batch":7,"sentAt":1795262400000,"events":[{"type":"event","id":"a","name":"n"},{"type":"event","id":"b"},3]}"#
        )
        guard case .batch(let number, let parcel) = frame else { return #expect(Bool(false), "\(frame)") }
        #expect(number == 7 && parcel.sentAt == Sample.noon && parcel.items.map(\.id) == ["a", "b", nil])
        guard case .batch(1, let empty) = decode(#"{"type":"batch","batch":1,"events":[]}"#) else { return #expect(Bool(false)) }
        #expect(empty.items.isEmpty && empty.sentAt == nil)
    }

    @Test("a type nobody knows is told apart from a broken frame, and cut to a bearable length")
    func unknown() {
        guard case .unknown("dance") = decode(#"{"type":"dance","batch":"x"}"#) else { return #expect(Bool(false)) }
        guard case .unknown(let type) = decode(#"{"type":"\#(String(repeating: "x", count: 10_000))"}"#) else {
            return #expect(Bool(false))
        }
        #expect(type.count == 64)
    }

    @Test(
        "a frame with a wrong shape is malformed",
        arguments: [
            "", "hello?", "[1,2]", "1", "null", "\"hello\"", "{}", #"{"batch":1,"events":[]}"#, #"{"type":7}"#, #"{"type":null}"#,
            #"{"type":"batch"}"#,
            #"{"type":"batch","batch":1}"#, #"{"type":"batch","batch":1,"events":{}}"#, #"{"type":"batch","batch":1,"events":null}"#,
            #"{"type":"batch","events":[]}"#,
            #"{"type":"batch","batch":0,"events":[]}"#, #"{"type":"batch","batch":-1,"events":[]}"#,
            #"{"type":"batch","batch":1.5,"events":[]}"#,
            #"{"type":"batch","batch":"1","events":[]}"#, #"{"type":"batch","batch":1e300,"events":[]}"#,
            #"{"type":"batch","batch":1,"events":[],"sentAt":"soon"}"#,
            #"{"type":"batch","batch":1,"events":[],"sentAt":{}}"#, #"{"type":"auth"}"#, #"{"type":"auth","token":5}"#,
            #"{"type":"auth","token":null}"#,
            #"{"type":"hello"}"#, #"{"type":"hello","client":5}"#, #"{"type":"hello","client":"x","token":5}"#,
            #"{"type":"batch","batch":1,"events":["# + String(repeating: "[", count: 63) + String(repeating: "]", count: 63) + "]}",
        ])
    func malformed(_ frame: String) { #expect(isMalformed(decode(frame))) }

    @Test("a frame that is not UTF-8 is malformed")
    func invalidUTF8() { #expect(isMalformed(door.decode(frame: [0x22, 0xFF, 0x22], lane: .public))) }

    @Test(
        "what the server says is written to the letter",
        arguments: [
            (
                ServerFrame.welcome(
                    session: "s_7Qm2", time: Sample.noon, limits: SocketLimits(eventBytes: 65536, batchBytes: 262144, batchEvents: 500),
                    credits: 1000, heartbeatMilliseconds: 25000),
                #"{"type":"welcome","session":"s_7Qm2","time":"2026-11-21T12:00:00.000Z","limits":{"eventBytes":65536,"batchBytes":262144,"batchEvents":500},"credits":1000,"heartbeatMs":25000,"identity":"claimed"}"#
            ),
            (.ack(batch: 1, credits: 16, results: []), #"{"type":"ack","batch":1,"credits":16}"#),
            (
                .ack(
                    batch: 2, credits: 0,
                    results: [
                        .init(index: 4, id: nil, verdict: .quarantined(Refusal(.missingField, field: "id", "id is required."))),
                        .init(index: 5, id: "b", verdict: .retry(Refusal(.overCredits, "Wait.", retryAfterMilliseconds: 200))),
                    ]),
                #"{"type":"ack","batch":2,"credits":0,"results":[{"index":4,"verdict":"quarantined","reason":"missing_field","message":"id is required.","field":"id","doc":"/docs/reasons#missing_field"},{"id":"b","index":5,"verdict":"retry","reason":"over_credits","message":"Wait.","retryAfterMs":200,"doc":"/docs/reasons#over_credits"}]}"#
            ),
            (.credits(64), #"{"type":"credits","credits":64}"#),
            (.heartbeat(time: Sample.noon), #"{"type":"heartbeat","time":"2026-11-21T12:00:00.000Z"}"#),
            (.auth(identity: .claimed, reason: "identity_off"), #"{"type":"auth","identity":"claimed","reason":"identity_off"}"#),
            (.auth(identity: .verified, reason: nil), #"{"type":"auth","identity":"verified"}"#),
            (
                .error(code: 4001, name: "unknown_key", refusal: Refusal(.unknownKey, "No project has this key.")),
                #"{"type":"error","code":4001,"name":"unknown_key","message":"No project has this key.","doc":"/docs/reasons#unknown_key","temporary":false}"#
            ),
            (
                .error(code: 4005, name: "malformed_frame", refusal: Refusal(.malformedJSON, "A frame is JSON.")),
                #"{"type":"error","code":4005,"name":"malformed_frame","message":"A frame is JSON.","doc":"/docs/reasons#malformed_frame","temporary":false}"#
            ),
            (
                .goodbye(code: 4200, reason: "draining", afterMilliseconds: 1234),
                #"{"type":"goodbye","code":4200,"reason":"draining","afterMs":1234}"#
            ),
        ])
    func written(_ frame: ServerFrame, _ text: String) { #expect(String(decoding: door.encode(frame), as: UTF8.self) == text) }

    @Test("an ack names every event that was not stored by its place, duplicates too")
    func ackOfDuplicate() {
        let frame = ServerFrame.ack(batch: 1, credits: 16, results: [.init(index: 3, id: "a", verdict: .duplicate)])
        #expect(
            String(decoding: door.encode(frame), as: UTF8.self)
                == #"{"type":"ack","batch":1,"credits":16,"results":[{"id":"a","index":3,"verdict":"duplicate"}]}"#)
    }
}
