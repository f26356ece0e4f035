public import Events

/// A quota that refills steadily up to its burst.
public struct TokenBucket: Sendable, Equatable {
    private var tokens: Double
    private var filledAt: Timestamp

    public init(_ quota: Project.Quota, at now: Timestamp) { (tokens, filledAt) = (quota.burst, now) }

    private mutating func fill(_ quota: Project.Quota, at now: Timestamp) {
        if now > filledAt {
            tokens = min(quota.burst, tokens + (now.seconds - filledAt.seconds) * quota.perSecond)
            filledAt = now
        }
    }

    /// Takes `count` tokens, or none and says how many seconds to wait. More than the burst can ever hold is let through
    /// when the bucket is full, and owed: a large batch waits its time once instead of for ever.
    public mutating func take(_ count: Int, of quota: Project.Quota, at now: Timestamp) -> Double? {
        fill(quota, at: now)
        let wanted = Double(count)
        if tokens >= min(wanted, quota.burst) {
            tokens -= wanted
            return nil
        }
        guard quota.perSecond > 0 else { return 3600 }
        return (min(wanted, quota.burst) - tokens) / quota.perSecond
    }

    public mutating func giveBack(_ count: Int, of quota: Project.Quota) { tokens = min(quota.burst, tokens + Double(count)) }

    public mutating func remaining(of quota: Project.Quota, at now: Timestamp) -> Double {
        fill(quota, at: now)
        return max(0, tokens)
    }

    /// Whether it is as full as a new one, and can be forgotten.
    public mutating func isFull(_ quota: Project.Quota, at now: Timestamp) -> Bool {
        fill(quota, at: now)
        return tokens >= quota.burst
    }
}

/// The buckets of all that quotas are kept of.
struct QuotaBook {
    struct Name: Hashable {
        var project: ProjectID
        var owner: Project.Quotas.Owner
        var unit: Project.Quotas.Unit
        var id: String
    }

    /// What somebody wants, of which quota.
    struct Claim {
        var name: Name
        var quota: Project.Quota
        var amount: Int
    }

    /// Beyond this many, full buckets are forgotten (a full bucket and a new one are the same), then any.
    static let maximumBuckets = 100_000

    private var buckets: [Name: (bucket: TokenBucket, quota: Project.Quota)] = [:]

    /// Takes all that is claimed or nothing; answers how many seconds to wait where a quota is short, and which it is.
    mutating func take(_ claims: [Claim], at now: Timestamp) -> (wait: Double, short: Name)? {
        for (index, claim) in claims.enumerated() {
            var entry = bucket(claim.name, claim.quota, at: now)
            let wait = entry.take(claim.amount, of: claim.quota, at: now)
            buckets[claim.name] = (entry, claim.quota)
            guard let wait else { continue }
            for taken in claims[..<index] { buckets[taken.name]?.bucket.giveBack(taken.amount, of: taken.quota) }
            return (wait, claim.name)
        }
        return nil
    }

    mutating func remaining(_ name: Name, _ quota: Project.Quota, at now: Timestamp) -> Double {
        var entry = bucket(name, quota, at: now)
        return entry.remaining(of: quota, at: now)
    }

    private mutating func bucket(_ name: Name, _ quota: Project.Quota, at now: Timestamp) -> TokenBucket {
        if let entry = buckets[name], entry.quota == quota { return entry.bucket }
        if buckets.count >= Self.maximumBuckets {
            buckets = buckets.filter { _, entry in
                var bucket = entry.bucket
                return !bucket.isFull(entry.quota, at: now)
            }
            if buckets.count >= Self.maximumBuckets { buckets.removeAll() }
        }
        return TokenBucket(quota, at: now)
    }
}
