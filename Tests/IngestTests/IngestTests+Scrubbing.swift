import Events
import Ingest
import Keys
import TestKit
import Testing

extension IngestTests {
    private static let secret = "ann@shop.example"

    private func stored() async -> [Delivery] { await sink.commits.flatMap(\.self) }

    @Test("what a project's rules find reaches neither the store nor quarantine")
    func scrubbed() async throws {
        let house = try await house(scrubbing: ["email=mask", "card=hash"])
        let payload: JSONText = #"{"content":{"x":"ann@shop.example"},"type":"message"}"#
        let parcel = Parcel(items: [
            .event(Sample.message(Sample.id(1), "mail \(Self.secret)")),
            .event(Sample.message("0", "weak ID, \(Self.secret)")),
            .refused(RefusedItem(id: nil, type: "message", refusal: Refusal(.missingField), payload: payload)),
            .event(Sample.message(Sample.id(2), "nothing")),
        ])
        let verdicts = try await running(house) { await house.accept(parcel) }
        #expect(verdicts.map(\.name) == [.stored, .quarantined, .quarantined, .stored])
        let delivery = try #require(await stored().first)
        #expect(delivery.events.map(\.event) == [Sample.message(Sample.id(1), "mail [email]"), Sample.message(Sample.id(2), "nothing")])
        #expect(delivery.setAside.count == 2)
        for aside in delivery.setAside {
            #expect(!aside.payload.string.contains(Self.secret))
            #expect(aside.payload.string.contains("[email]"))
        }
        #expect(house.ingest.scrubbedByKind == ["email": 3])
    }

    @Test("the same event sent twice is a duplicate, and its digest that of the scrubbed text")
    func scrubbedTwice() async throws {
        let house = try await house(scrubbing: ["email=hash"])
        let item = Parcel.Item.event(Sample.message(Sample.id(1), Self.secret))
        let verdicts = try await running(house) {
            [await house.accept(Parcel(items: [item])), await house.accept(Parcel(items: [item, item]))]
        }
        #expect(verdicts.map { $0.map(\.name) } == [[.stored], [.duplicate, .duplicate]])
        let event = try #require(await stored().first?.events.first)
        #expect(event.digest == ContentDigest(event.event))
    }

    @Test("what people say of a conversation and what is replayed goes through the rules too")
    func scrubbedElsewhere() async throws {
        let house = try await house(scrubbing: ["email=mask"])
        let comment = Event(
            id: Sample.id(5), body: .comment(Event.Comment(target: Sample.id(1), text: "ask \(Self.secret)", author: "Ann")))
        try await running(house) {
            _ = await house.ingest.accept([comment], from: "mem_1", in: house.page.project, receivedAt: Sample.noon)
            _ = await house.ingest.replay(
                [.event(Sample.message(Sample.id(6), Self.secret))], from: house.page.source(over: .http), lane: .secret,
                receivedAt: Sample.noon)
        }
        let texts = await stored().flatMap(\.events).map { $0.event.json().string }
        #expect(texts.count == 2)
        #expect(texts.allSatisfy { $0.contains("[email]") && !$0.contains(Self.secret) })
    }

    @Test("a project without rules has nothing that scrubs, and its events stay as they are")
    func unscrubbed() async throws {
        let house = try await house()
        _ = try await running(house) { await house.accept(Parcel(items: [.event(Sample.message(Sample.id(1), Self.secret))])) }
        #expect(await stored().first?.events.map(\.event) == [Sample.message(Sample.id(1), Self.secret)])
        #expect(house.ingest.scrubbedByKind.isEmpty)
    }

    @Test("where a project's rules can't be applied nothing of it is stored, and senders try again")
    func brokenRules() async throws {
        let house = try await house(scrubbing: ["pattern:(=mask"])
        let verdicts = try await running(house) {
            await house.accept(Parcel(items: [.event(Sample.message(Sample.id(1), Self.secret))]))
        }
        #expect(verdicts.map { $0.refusal?.reason } == [.storeUnavailable])
        #expect(verdicts.map(\.name) == [.retry])
        #expect(await sink.total.holds)
        #expect(await stored().allSatisfy { $0.events.isEmpty && $0.setAside.isEmpty })
    }
}
