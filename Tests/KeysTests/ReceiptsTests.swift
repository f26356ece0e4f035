import Events
import TestKit
import Testing

@testable import Keys

@Suite("Receipts")
struct ReceiptsTests {
    private let receipts = Receipts(sealer: Sealer(key: [UInt8](0..<32))!)
    private let shop = Project(number: ProjectID(1), id: "prj_shop", name: "shop")
    private let event = Sample.message(Sample.id(1))

    private func receipt() -> String { receipts.receipt(for: event.id, ContentDigest(event), in: shop, at: Sample.noon) }

    @Test("a receipt says when an ID was stored with what content, to every gateway with the same sealing key")
    func reads() {
        let other = Receipts(sealer: Sealer(key: [UInt8](0..<32))!)
        #expect(other.read(receipt(), for: event.id, in: shop) == Receipts.Word(at: Sample.noon, digest: ContentDigest(event)))
    }

    @Test("it holds for no other ID, project or installation")
    func bound() {
        #expect(receipts.read(receipt(), for: Sample.id(2), in: shop) == nil)
        #expect(receipts.read(receipt(), for: event.id, in: Project(number: ProjectID(1), id: "prj_other", name: "shop")) == nil)
        #expect(Receipts(sealer: Sealer(key: [UInt8](1..<33))!).read(receipt(), for: event.id, in: shop) == nil)
    }

    @Test("with any letter changed, missing or added it holds no more")
    func forged() {
        let letters = Array(receipt())
        for place in letters.indices {
            var changed = letters
            changed[place] = letters[place] == "A" ? "B" : "A"
            // The last letter of 40 bytes carries two bits that say nothing.
            if place < letters.count - 1 { #expect(receipts.read(String(changed), for: event.id, in: shop) == nil, "letter \(place)") }
            changed.remove(at: place)
            #expect(receipts.read(String(changed), for: event.id, in: shop) == nil, "without letter \(place)")
        }
        for text in ["", "r1.", "r2" + receipt().dropFirst(2), receipt() + "A", "r1.\u{e9}"] {
            #expect(receipts.read(text, for: event.id, in: shop) == nil)
        }
    }
}
