import Events
import Foundation
import TestKit
import Testing

@testable import NATSStream

@Suite("A delivery as messages of a stream, and back")
struct DeliveryCodecTests {
    private let codec = DeliveryCodec(maximumBytes: 8 << 20)

    @Test("whatever a delivery says comes back unchanged")
    func roundTrip() throws {
        var random = SplitMix(state: 7)
        for _ in 0..<600 {
            let delivery = random.delivery()
            let encoded = codec.encode(delivery, id: "d")
            #expect(encoded.bodies.count == 1 && encoded.refused.isEmpty)
            expectSame(try DeliveryCodec.decode(encoded.bodies[0]), delivery)
        }
    }

    @Test("a delivery cut into pieces has each event once, in order, and its tally once")
    func pieces() throws {
        var random = SplitMix(state: 11)
        let small = DeliveryCodec(preferredBytes: 6000, maximumBytes: 8 << 20)
        for _ in 0..<100 {
            let delivery = random.delivery()
            let encoded = small.encode(delivery, id: "d")
            let parts = try encoded.bodies.map { try DeliveryCodec.decode($0) }
            var whole = parts[0]
            for part in parts.dropFirst() {
                #expect(part.tally.isEmpty)
                #expect(part.source == delivery.source && part.receivedAt == delivery.receivedAt && part.scoring == delivery.scoring)
                whole.events += part.events
                whole.setAside += part.setAside
            }
            expectSame(whole, delivery)
        }
    }

    @Test("an event that no message can hold is dropped, with the setting that would let it through, and counted")
    func tooLarge() throws {
        let tight = DeliveryCodec(preferredBytes: 10_000, maximumBytes: 20_000)
        let events = [Sample.message("m-1"), Sample.message("m-2", String(repeating: "x", count: 30_000)), Sample.message("m-3")]
        let encoded = tight.encode(Sample.delivery(events, project: ProjectID(3)), id: "d")
        guard case .dropped(let refusal) = encoded.refused[1] else {
            Issue.record("not dropped")
            return
        }
        #expect(refusal.reason == .eventTooLarge && refusal.message.contains("max_payload"))
        #expect(encoded.refused.count == 1)
        let decoded = try encoded.bodies.map { try DeliveryCodec.decode($0) }
        #expect(decoded.flatMap(\.events).map(\.event.id) == ["m-1", "m-3"])
        #expect(decoded[0].tally.received == 3 && decoded[0].tally.verdicts == [.dropped: 1])
        for body in encoded.bodies { #expect(body.count <= 20_000) }
    }

    @Test("others read events as CloudEvents 1.0, with the event of the protocol as data")
    func cloudEvents() throws {
        var delivery = Sample.delivery([Sample.message("m-1", thread: "t-9", user: "u-1")], project: ProjectID(3), lane: .public)
        delivery.source.origin = "https://shop.example"
        let body = codec.encode(delivery, id: "d").bodies[0]
        let batch = try #require(JSONSerialization.jsonObject(with: Data(body)) as? [[String: Any]])
        let first = batch[0]
        #expect(first["type"] as? String == "chat.parley.delivery.v1")
        #expect(first["id"] as? String == "d")
        let element = batch[1]
        #expect(element["specversion"] as? String == "1.0")
        #expect(element["id"] as? String == "message/m-1")
        #expect(element["source"] as? String == "/projects/3/keys/key_test")
        #expect(element["type"] as? String == "chat.parley.message.v1")
        #expect(element["subject"] as? String == "t-9")
        #expect(element["time"] as? String == Sample.noon.description)
        #expect(element["datacontenttype"] as? String == "application/json")
        #expect(element["provenance"] as? String == "claimed")
        let data = try #require(element["data"] as? [String: Any])
        #expect(data["id"] as? String == "m-1" && data["type"] as? String == "message" && data["content"] as? String == "Hello")
        // Attribute names are lower-case letters and digits (CloudEvents 1.0, section 3).
        for name in element.keys { #expect(name.allSatisfy { $0.isASCII && ($0.isLowercase || $0.isNumber) }) }
    }

    @Test(
        "what is no delivery of this version is told to be none",
        arguments: ["", "{}", "[]", "[1]", "nonsense", #"[{"type":"chat.parley.delivery.v2","data":{}}]"#])
    func strangers(body: String) {
        #expect(throws: DeliveryCodec.Fault.self) { try DeliveryCodec.decode(Array(body.utf8)) }
    }

    @Test("a body that was changed in any byte is either read or told to be none, and nothing else happens")
    func damage() {
        var random = SplitMix(state: 3)
        for _ in 0..<300 {
            var body = codec.encode(random.delivery(), id: "d").bodies[0]
            for _ in 0..<3 { body[Int.random(in: body.indices, using: &random)] = UInt8.random(in: 0...255, using: &random) }
            _ = try? DeliveryCodec.decode(body)
        }
    }

    private func expectSame(_ a: Delivery, _ b: Delivery) {
        #expect(a.source == b.source)
        #expect(a.receivedAt == b.receivedAt)
        #expect(a.tally == b.tally)
        #expect(a.scoring == b.scoring)
        #expect(a.events.count == b.events.count)
        for (one, other) in zip(a.events, b.events) {
            #expect(one.event == other.event)
            #expect(one.at == other.at)
            #expect(one.digest == other.digest)
            #expect(one.digest == ContentDigest(one.event))
            #expect(one.names == other.names)
            #expect(one.usesSchemeNames == other.usesSchemeNames)
            #expect(one.pairsShareIDs == other.pairsShareIDs)
            #expect(one.payload == other.payload)
        }
        #expect(a.setAside.count == b.setAside.count)
        for (one, other) in zip(a.setAside, b.setAside) {
            #expect(one.id == other.id && one.type == other.type && one.refusal == other.refusal)
            #expect(one.payload.bytes == other.payload.bytes)
        }
    }
}
