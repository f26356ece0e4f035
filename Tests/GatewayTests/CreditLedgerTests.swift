import Testing

@testable import Gateway

@Suite struct CreditLedgerTests {
    @Test("credits are held, uncommitted or withheld, and never more or fewer than there are")
    func conservation() {
        var ledger = CreditLedger(total: 100)
        var random = SplitMix(state: 7)
        var out: [Int] = []
        for _ in 0..<2000 {
            switch random.next() % 3 {
            case 0:
                let events = Int(random.next() % 40)
                let held = ledger.held
                #expect(ledger.charge(events) == (events <= held))
                if events <= held { out.append(events) }
            case 1:
                if let events = out.popLast() { ledger.settle(events) }
            default:
                _ = ledger.grant(pressure: Double(random.next() % 101) / 100)
            }
            #expect(ledger.held >= 0)
            #expect(ledger.uncommitted == out.reduce(0, +))
            #expect(ledger.withheld >= 0)
        }
        for events in out { ledger.settle(events) }
        _ = ledger.grant(pressure: 0)
        #expect(ledger.held == 100)
    }
}

/// A random generator with a seed: Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
private struct SplitMix {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
