import Keys
import NIOCore
import Synchronization

/// How often one address may open sockets: a token bucket for each, so that a flood costs a refused upgrade and no more.
final class ConnectionGate: Sendable {
    private struct Bucket {
        var tokens: Double
        var at: NIODeadline
    }

    /// About a megabyte. When this many addresses wait for tokens, those that have theirs back are forgotten first; if
    /// none has, a newcomer is let in, since `maximumConnections` still holds.
    private static let maximumBuckets = 16_384

    private let burst: Double
    private let perSecond: Double
    private let buckets = Mutex<[AddressBlock: Bucket]>([:])

    init(burst: Double, perSecond: Double) {
        self.burst = burst
        self.perSecond = perSecond
    }

    /// Takes a token; nil when there was one, else the milliseconds until there is.
    func wait(for address: AddressBlock, at now: NIODeadline) -> Int64? {
        buckets.withLock { buckets in
            if buckets.count >= Self.maximumBuckets, buckets[address] == nil {
                buckets = buckets.filter { refilled($0.value, at: now) < burst }
                guard buckets.count < Self.maximumBuckets else { return nil }
            }
            var tokens = buckets[address].map { refilled($0, at: now) } ?? burst
            defer { buckets[address] = Bucket(tokens: tokens, at: now) }
            guard tokens < 1 else {
                tokens -= 1
                return nil
            }
            return perSecond > 0 ? Int64(((1 - tokens) / perSecond * 1000).rounded(.up)) : 60_000
        }
    }

    private func refilled(_ bucket: Bucket, at now: NIODeadline) -> Double {
        min(burst, bucket.tokens + Double((now - bucket.at).nanoseconds) / 1e9 * perSecond)
    }
}
