@testable import Ingest
import Events
import TestKit
import Testing

@Suite("Admission")
struct AdmissionTests {
    private func verdict(_ event: Event, _ lane: Lane) -> Verdict? {
        switch Admission().decide(.event(event), lane: lane, sentAt: nil, receivedAt: Sample.noon) {
        case .admitted: nil
        case .refused(let verdict, _): verdict
        }
    }

    @Test(
        "an ID that others could guess is kept aside from a public key, and admitted from a secret one",
        arguments: [
            "0", "1", "42", "null", "NULL", "undefined", "[object Object]", "NaN", "none", "true", "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "7234567890123456789", "f23456789abcde0",
            "z23456789a", "2026-11-21-02-51",
            "a-b-c-d-e-f-g-h-i-j", "----------------------------------------", "aaaaaaaaaaaaaaaaaaaaaaaa", "abababababababababababab",
            "00000000000000000000000001", "message-1",
        ])
    func weak(_ id: String) {
        let event = Sample.message(id)
        let verdict = verdict(event, .public)
        #expect(verdict?.name == .quarantined && verdict?.refusal?.reason == .weakID && verdict?.refusal?.field == "id")
        #expect(self.verdict(event, .secret) == nil)
    }

    @Test(
        "an ID with 64 bits is admitted",
        arguments: [
            "0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d10", "0197F3C2-5B1E-7C40-9D2A-6F1B8E4A7D10", "72345678901234567890", "f23456789abcdef0",
            "z23456789ab", "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "msg_7Qm2xK9pLw", "chatcmpl-8Zk3Pq1LmN", "V1StGXR8_Z5jdHi6B-myT",
        ])
    func strong(_ id: String) { #expect(verdict(Sample.message(id), .public) == nil) }

    @Test("threads, targets and replies only point, and may be short")
    func pointers() {
        var message = Sample.message(Sample.id(1), thread: "1")
        if case .message(var content) = message.body {
            (content.replyTo, content.retryOf) = ("2", "3")
            message.body = .message(content)
        }
        #expect(verdict(message, .public) == nil)
        #expect(verdict(Event(id: Sample.id(2), body: .feedback(.init(target: "1", thumb: .up))), .public) == nil)
    }

    @Test("a public key writes all that a page sees, and nothing that only a backend may say")
    func lanes() {
        let id = Sample.id(1)
        let pages: [Event.Body] = [
            .message(.init(role: .user, content: .text("x"))), .event(name: "n"), .feedback(.init(target: "m", thumb: .up)), .identify,
            .clientReport(reasons: "{}"), .thread(.init(tags: ["a"])), .other(type: "later"),
        ]
        let backends: [(Event.Body, String)] = [
            (Sample.runStart(id, parent: nil).body, "type"), (Sample.runEnd(id).body, "type"),
            (.score(.init(target: "m", name: "n", value: 1)), "type"),
            (.thread(.init(status: .inactive)), "status"), (.thread(.init(status: .active)), "status"),
        ]
        for body in pages {
            for lane in Lane.allCases { #expect(verdict(Event(id: id, thread: "t", body: body), lane) == nil) }
        }
        for (body, field) in backends {
            let event = Event(id: id, thread: "t", body: body)
            let refused = verdict(event, .public)
            #expect(refused?.name == .quarantined && refused?.refusal?.reason == .laneForbidden && refused?.refusal?.field == field)
            #expect(verdict(event, .secret) == nil)
        }
    }

    @Test("what is kept aside is kept whole")
    func keptWhole() throws {
        var event = Sample.message("0", "Hello", user: "u")
        event.unknown = "{\"later\":1}"
        guard case .refused(_, let aside?) = Admission().decide(.event(event), lane: .public, sentAt: nil, receivedAt: Sample.noon) else {
            return #expect(Bool(false), "it was admitted")
        }
        #expect(aside.id == "0" && aside.type == "message" && aside.refusal.reason == .weakID)
        #expect(try JSONDocument.read(aside.payload.bytes) { try Event($0) } == event)
    }

    @Test("what its door refused is dropped when nothing of it is kept, else set aside")
    func refusedItems() {
        let refusal = Refusal(.missingField, field: "id")
        for (payload, name) in [(nil as JSONText?, Verdict.Name.dropped), ("{}", .quarantined)] {
            let item = Parcel.Item.refused(RefusedItem(id: nil, type: "message", refusal: refusal, payload: payload))
            guard case .refused(let verdict, let aside) = Admission().decide(item, lane: .public, sentAt: nil, receivedAt: Sample.noon)
            else {
                return #expect(Bool(false), "it was admitted")
            }
            #expect(verdict.name == name && verdict.refusal == refusal && aside?.payload == payload)
        }
    }

    private static let hour = 3600.0

    @Test(
        "a clock that was off by more than five seconds is put right",
        arguments: [
            // said, sent, and the time that counts, in seconds from receipt
            (-10.0, nil, -10.0), (-10, 0.0, -10), (-10, -5, -10), (-10, 5, -10), (-10, -5.001, -4.999), (-hour, -hour, 0), (hour, hour, 0),
            (-hour, 0, -hour),
            (hour - 60, hour, -60), (-2 * hour, -hour, -hour), (60, nil, 5), (4, nil, 4), (hour, nil, 5), (10, -hour, 5),
        ] as [(Double, Double?, Double)])
    func clock(_ said: Double, _ sent: Double?, _ expected: Double) {
        let event = Sample.message(Sample.id(1), at: said)
        let time = Admission.time(of: event, sentAt: sent.map(Sample.time), receivedAt: Sample.noon)
        #expect(abs(time.microseconds - Sample.time(expected).microseconds) <= 1)
    }

    @Test("without a time of its own an event happened on receipt, and a run when it ended or began")
    func noTime() {
        func time(_ event: Event) -> Timestamp { Admission.time(of: event, sentAt: Sample.time(-3600), receivedAt: Sample.noon) }
        #expect(time(Sample.message(Sample.id(1), at: nil)) == Sample.noon)
        var (start, end) = (Sample.runStart("r", parent: nil, at: -3605), Sample.runEnd("r", at: -3603))
        (start.at, end.at) = (nil, nil)
        #expect(time(start) == Sample.time(-5) && time(end) == Sample.time(-3))
    }

    @Test(
        "a corrected time can be written and read again, whatever the sender's clock says",
        arguments: [
            ("1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"), ("1970-01-01T00:00:00Z", "2026-11-21T13:00:00Z"),
            ("9999-12-31T23:59:59Z", "1970-01-01T00:00:00Z"),
            ("2000-01-01T00:00:00Z", "2100-01-01T00:00:00Z"),
        ])
    func extremes(_ at: String, _ sentAt: String) {
        var event = Sample.message(Sample.id(1))
        event.at = Timestamp(iso8601: at)
        let time = Admission.time(of: event, sentAt: Timestamp(iso8601: sentAt), receivedAt: Sample.noon)
        #expect(Timestamp(iso8601: time.description) == time)
        #expect(time <= Sample.time(5))
    }

    @Test("the sender's clock is no content: the digest stays when the time is put right")
    func digest() {
        let event = Sample.message(Sample.id(1), at: -3600)
        let digests = [nil, Sample.time(-3600), Sample.noon].map { sentAt -> ContentDigest? in
            if case .admitted(let admitted, _) = Admission().decide(.event(event), lane: .public, sentAt: sentAt, receivedAt: Sample.noon) {
                admitted.digest
            } else {
                nil
            }
        }
        #expect(Set(digests) == [ContentDigest(event)])
    }

    private func lenient(_ json: String, _ mode: Project.CheckMode) throws -> (event: Event?, overlooked: [Reason]) {
        let payload = try JSONDocument.read(Array(json.utf8)) { JSONText($0) }
        let item: Parcel.Item
        do {
            item = .event(try JSONDocument.read(payload.bytes) { try Event($0) })
        } catch let refusal as Refusal {
            item = .refused(RefusedItem(id: nil, type: nil, refusal: refusal, payload: payload))
        }
        let decision = Admission().decide(item, lane: .public, schema: mode, sentAt: nil, receivedAt: Sample.noon)
        guard case .admitted(let admitted, let overlooked) = decision else { return (nil, []) }
        return (admitted.event, overlooked)
    }

    @Test(
        "what breaks a rule but can be stored is refused, counted or let pass, as the mode says",
        arguments: [
            (#"{"type":"event","id":"1","name":"n"}"#, Reason.weakID, nil),
            (#"{"type":"event","id":"ID","name":"n","lane":"secret"}"#, .reservedField, nil),
            (#"{"type":"message","id":"ID","thread":"t","role":"user","content":"x","tags":5}"#, .invalidField, #"{"invalid":{"tags":5}}"#),
            (#"{"type":"event","id":"ID","name":"n","user":{"id":7}}"#, .invalidField, #"{"invalid":{"user":{"id":7}}}"#),
            (#"{"type":"event","id":"ID","name":"n","at":"soon","more":1}"#, .invalidField, #"{"invalid":{"at":"soon"},"more":1}"#),
        ] as [(String, Reason, String?)])
    func schemaModes(_ json: String, _ reason: Reason, _ kept: String?) throws {
        let json = json.replacingID()
        #expect(try lenient(json, .enforce).event == nil)
        let dry = try lenient(json, .dryRun)
        #expect(dry.overlooked == [reason])
        let off = try lenient(json, .off)
        #expect(off.overlooked == [] && off.event == dry.event)
        let unknown = try #require(off.event).unknown
        #expect(unknown?.canonical == kept.map { Array($0.utf8) })
        // It can be written and read again.
        let event = try #require(off.event)
        #expect(try JSONDocument.read(event.json().bytes) { try Event($0) } == event)
    }

    @Test(
        "what can't be stored at all is refused in every mode",
        arguments: [
            #"{"type":"message","id":"ID","thread":"t","role":"user"}"#,
            #"{"type":"message","id":"ID","thread":"t","role":"king","content":"x"}"#,
            #"{"type":"message","thread":"t","role":"user","content":"x"}"#, #"[]"#, #"{"type":"message","id":5}"#,
        ])
    func unstorable(_ json: String) throws { #expect(try lenient(json.replacingID(), .off).event == nil) }

    @Test("no user's ID begins with the mark of those who are proven, from either lane", arguments: Lane.allCases)
    func mark(_ lane: Lane) {
        var event = Sample.message(Sample.id(1))
        event.user = Event.User(id: "\u{1}ann")
        #expect(verdict(event, lane)?.refusal?.field == "user.id")
    }
}

extension String {
    fileprivate func replacingID() -> String {
        split(separator: "ID", omittingEmptySubsequences: false).joined(separator: Sample.id(1))
    }
}
