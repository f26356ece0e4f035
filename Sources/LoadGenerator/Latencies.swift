import NIOCore

/// A histogram of durations with logarithmic buckets: 64 in each power of two, so a percentile is off by at most 1.6 %.
struct Latencies: Sendable {
    // 64 exact buckets below 64 µs, then 64 for each doubling; 32 doublings reach 76 hours.
    private var buckets = [Int](repeating: 0, count: 64 * 33)
    private(set) var count = 0
    private(set) var longest: Int64 = 0

    mutating func record(_ duration: TimeAmount) {
        let micros = max(0, duration.nanoseconds / 1000)
        longest = max(longest, micros)
        count += 1
        buckets[min(Latencies.bucket(of: micros), buckets.count - 1)] += 1
    }

    /// The duration in milliseconds that the share `q` of all did not exceed; the bucket's upper edge.
    func milliseconds(at q: Double) -> Double {
        guard count > 0 else { return 0 }
        let rank = max(1, Int((Double(count) * q).rounded(.up)))
        var seen = 0
        for (bucket, n) in buckets.enumerated() {
            seen += n
            if seen >= rank { return Double(min(longest, Latencies.upperEdge(of: bucket))) / 1000 }
        }
        return Double(longest) / 1000
    }

    private static func bucket(of micros: Int64) -> Int {
        guard micros >= 64 else { return Int(micros) }
        let doublings = 63 - micros.leadingZeroBitCount - 6
        return 64 * (doublings + 1) + Int(micros >> Int64(doublings)) - 64
    }

    private static func upperEdge(of bucket: Int) -> Int64 {
        guard bucket >= 64 else { return Int64(bucket) }
        let doublings = bucket / 64 - 1
        return (Int64(bucket % 64 + 64 + 1) << Int64(doublings)) - 1
    }
}
