/// The orders in which a capture's requests are sent.
enum Orders {
    /// Of more requests than this not every order is tried: 4! is 24.
    static let everyOrderOf = 3
    static let seeds: ClosedRange<UInt64> = 1...2

    /// Named variants of the recorded order, that one left out.
    static func of(_ calls: [Call]) throws -> [(name: String, calls: [Call])] {
        let single = try calls.flatMap { try $0.split() }
        var orders: [(String, [Call])] = [
            ("reversed", calls.reversed()),
            ("each twice", calls.flatMap { [$0, $0] }),
            ("all, and again from the end", calls + calls.reversed()),
            ("one item a request", single),
            ("one item a request, reversed", single.reversed()),
        ]
        if calls.count <= everyOrderOf {
            for (number, order) in permutations(of: calls).enumerated().dropFirst() { orders.append(("order \(number)", order)) }
        }
        for seed in seeds {
            var generator = SeededGenerator(seed)
            let inside = try calls.map { try $0.shuffled(using: &generator) }
            orders.append(("shuffle \(seed)", inside.shuffled(using: &generator)))
            orders.append(("shuffle \(seed), one item a request", single.shuffled(using: &generator)))
            orders.append(("shuffle \(seed), twice", (single + calls).shuffled(using: &generator)))
        }
        return distinct(orders, besides: calls)
    }

    /// What pages say put before, after and between what backends do.
    static func mixing(_ pages: [Call], into calls: [Call]) throws -> [(name: String, calls: [Call])] {
        let single = try calls.flatMap { try $0.split() }
        var orders: [(String, [Call])] = [
            ("pages last", calls + pages), ("pages last, reversed", calls.reversed() + pages.reversed()),
            ("pages first and last", pages + calls + pages), ("one item a request, pages last", single + pages),
        ]
        for place in calls.indices.dropFirst().prefix(3) {
            orders.append(("pages before request \(place)", Array(calls[..<place] + pages + calls[place...])))
        }
        if pages.count > 1 { orders.append(("between the pages", [pages[0]] + calls + pages.dropFirst())) }
        for seed in seeds {
            var generator = SeededGenerator(seed)
            orders.append(("shuffle \(seed)", (pages + calls).shuffled(using: &generator)))
            orders.append(("shuffle \(seed), one item a request", (pages + single).shuffled(using: &generator)))
        }
        return distinct(orders, besides: pages + calls)
    }

    /// Small captures have fewer orders than there are variants.
    private static func distinct(_ orders: [(name: String, calls: [Call])], besides calls: [Call]) -> [(name: String, calls: [Call])] {
        var seen: Set<[String]> = [calls.map(\.signature)]
        return orders.filter { seen.insert($0.calls.map(\.signature)).inserted }
    }

    private static func permutations(of calls: [Call]) -> [[Call]] {
        guard calls.count > 1 else { return [calls] }
        return calls.indices.flatMap { index in
            var rest = calls
            let first = rest.remove(at: index)
            return permutations(of: rest).map { [first] + $0 }
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers for the same seed, so that a failing case can be run again.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }
}
