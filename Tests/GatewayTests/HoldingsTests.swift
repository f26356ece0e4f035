import Keys
import Testing

@testable import Gateway

@Suite struct HoldingsTests {
    private static let megabyte = 1 << 20
    private let holdings = Holdings(total: 60 * megabyte)

    private func page(_ address: String, key: String = "key_1") -> Holding {
        Holding(holdings, for: Holdings.Holder(address: AddressBlock(address), key: key, isPublic: true))
    }

    private func backend(_ key: String) -> Holding { Holding(holdings, for: Holdings.Holder(address: nil, key: key, isPublic: false)) }

    /// Grows by a megabyte at a time, as far as it goes.
    private func fill(_ holding: Holding) -> Int {
        var megabytes = 0
        while holding.resize(to: (megabytes + 1) * Self.megabyte) { megabytes += 1 }
        return megabytes
    }

    @Test("what is held is given back when it shrinks and when it ends")
    func givenBack() {
        do {
            let holding = page("192.0.2.1")
            #expect(holding.resize(to: 1000) && holding.resize(to: 400))
            #expect(holdings.held == 400)
        }
        #expect(holdings.held == 0)
    }

    @Test("one address gets a third of what pages may hold, however many bodies it opens, and the next one still gets its part")
    func addresses() {
        let first = [page("192.0.2.1"), page("192.0.2.1")]
        #expect(first.map(fill).reduce(0, +) == 10)
        let second = page("192.0.2.2", key: "key_2")
        #expect(fill(second) == 6)
    }

    @Test("a key gets two thirds of what pages may hold, from however many addresses")
    func keys() {
        let crowd = (1...50).map { page("192.0.2.\($0)") }
        #expect(crowd.map(fill).reduce(0, +) == 20)
        #expect(fill(page("192.0.2.99", key: "key_2")) == 3)
    }

    @Test("small bodies need room and nothing else")
    func small() {
        let crowd = (1...50).map { page("192.0.2.\($0)") }
        for holding in crowd { _ = fill(holding) }
        #expect(page("192.0.2.1").resize(to: Holdings.smallBytes))
        #expect(!page("192.0.2.1").resize(to: Holdings.smallBytes + 1))
    }

    @Test("pages together hold half at most, a backend half of what is left")
    func lanes() {
        let pages = (1...100).map { page("192.0.2.\($0)", key: "key_\($0)") }
        #expect(pages.map(fill).reduce(0, +) <= 30)
        #expect(backend("key_a").resize(to: 15 * Self.megabyte))
        #expect(!backend("key_b").resize(to: 31 * Self.megabyte))
    }

    @Test("the largest body fits where nothing else is held", arguments: [true, false])
    func largest(isPublic: Bool) {
        let holding = isPublic ? page("192.0.2.1") : backend("key_a")
        #expect(holding.resize(to: holdings.largest(isPublic: isPublic) + Holdings.smallBytes))
        #expect(!holding.resize(to: holdings.total))
    }
}
