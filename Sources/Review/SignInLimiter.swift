import Events
import Synchronization

/// How often somebody may try to sign in, by the name they give: a burst of tries, then one each few seconds.
///
/// Holds at most `maximumNames` names; beyond, those that have all their tries back are forgotten, and where all are busy a new
/// name is refused until one is.
final class SignInLimiter: Sendable {
    private static let burst = 10.0
    private static let perSecond = 0.2
    private static let maximumNames = 10_000

    private struct Bucket {
        var tries: Double
        var at: Timestamp
    }
    private let buckets = Mutex<[String: Bucket]>([:])

    /// Takes a try; throws `rate_limited` with the time to wait where there is none left.
    func take(_ name: String, at now: Timestamp) throws(Refusal) {
        let wait: Double? = buckets.withLock { buckets in
            if buckets[name] == nil, buckets.count >= Self.maximumNames {
                buckets = buckets.filter { Self.tries($0.value, now) < Self.burst }
                guard buckets.count < Self.maximumNames else { return 60 }
            }
            let left = buckets[name].map { Self.tries($0, now) } ?? Self.burst
            guard left >= 1 else { return (1 - left) / Self.perSecond }
            buckets[name] = Bucket(tries: left - 1, at: now)
            return nil
        }
        if let wait {
            throw Refusal(
                .rateLimited, "Too many tries to sign in; wait \(Int(wait.rounded(.up))) s.", retryAfterMilliseconds: Int64(wait * 1000))
        }
    }

    /// A success gives the tries back.
    func forgive(_ name: String) { buckets.withLock { $0[name] = nil } }

    private static func tries(_ bucket: Bucket, _ now: Timestamp) -> Double {
        min(burst, bucket.tries + max(0, Double(now.microseconds - bucket.at.microseconds) / 1_000_000) * perSecond)
    }
}
