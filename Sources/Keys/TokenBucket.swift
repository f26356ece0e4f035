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

    /// Takes out what was taken elsewhere, whether it is there or not; what is missing is owed, and refilled before anything else is had.
    /// - Parameter debt: beyond so many nothing is owed; but `count` itself always is where nothing was owed before.
    mutating func owe(_ count: Int, of quota: Project.Quota, atMost debt: Double, at now: Timestamp) {
        fill(quota, at: now)
        tokens = max(tokens - Double(count), min(tokens, -max(debt, Double(count))))
    }

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

    /// Whether other nodes are told what is taken.
    let isShared: Bool

    private struct Entry {
        var bucket: TokenBucket
        var quota: Project.Quota
        /// What was taken here and other nodes don't know of.
        var unsaid = 0
    }

    private var buckets: [Name: Entry] = [:]
    /// Names of buckets of which something may be unsaid: not to go through all of them each second.
    private var touched: Set<Name> = []

    init(isShared: Bool = false) { self.isShared = isShared }

    /// Takes all that is claimed or nothing; answers how many seconds to wait where a quota is short, and which it is.
    mutating func take(_ claims: [Claim], at now: Timestamp) -> (wait: Double, short: Name)? {
        for (index, claim) in claims.enumerated() {
            var entry = entry(claim.name, claim.quota, at: now)
            let wait = entry.bucket.take(claim.amount, of: claim.quota, at: now)
            if isShared, wait == nil, claim.amount > 0, claim.name.owner != .session {
                if entry.unsaid == 0 { touched.insert(claim.name) }
                entry.unsaid += claim.amount
            }
            buckets[claim.name] = entry
            guard let wait else { continue }
            for taken in claims[..<index] {
                buckets[taken.name]?.bucket.giveBack(taken.amount, of: taken.quota)
                if isShared, taken.name.owner != .session { buckets[taken.name]?.unsaid -= taken.amount }
            }
            return (wait, claim.name)
        }
        return nil
    }

    /// What was taken and not said, which now is: of so many quotas at most, those first of which the greatest share was taken.
    mutating func takeUnsaid(atMost count: Int) -> [SpendingReport.Entry] {
        guard !touched.isEmpty else { return [] }
        var names = Array(touched)
        if names.count > count {
            let shares = names.map { name in buckets[name].map { Double($0.unsaid) / max(1, $0.quota.burst) } ?? 0 }
            names = zip(names, shares).sorted { $0.1 > $1.1 }.prefix(count).map(\.0)
        }
        var entries: [SpendingReport.Entry] = []
        entries.reserveCapacity(names.count)
        for name in names {
            touched.remove(name)
            guard let unsaid = buckets[name]?.unsaid, unsaid > 0 else { continue }
            buckets[name]?.unsaid = 0
            entries.append(.init(name: name, amount: unsaid))
        }
        return entries
    }

    /// Takes out what another node took.
    /// - Parameter peers: how many there are. What they can take too much together, when all of them start full and are told two seconds late,
    ///   is what a bucket may owe.
    mutating func owe(_ claims: [Claim], to peers: Int, at now: Timestamp) {
        for claim in claims {
            var entry = entry(claim.name, claim.quota, at: now)
            let debt = Double(max(1, peers)) * (claim.quota.burst + 2 * claim.quota.perSecond)
            entry.bucket.owe(claim.amount, of: claim.quota, atMost: debt, at: now)
            buckets[claim.name] = entry
        }
    }

    mutating func remaining(_ name: Name, _ quota: Project.Quota, at now: Timestamp) -> Double {
        var entry = entry(name, quota, at: now)
        return entry.bucket.remaining(of: quota, at: now)
    }

    private mutating func entry(_ name: Name, _ quota: Project.Quota, at now: Timestamp) -> Entry {
        let known = buckets[name]
        if let known, known.quota == quota { return known }
        if known == nil, buckets.count >= Self.maximumBuckets {
            buckets = buckets.filter { _, entry in
                var bucket = entry.bucket
                return entry.unsaid > 0 || !bucket.isFull(entry.quota, at: now)
            }
            if buckets.count >= Self.maximumBuckets { buckets.removeAll() }
        }
        return Entry(bucket: TokenBucket(quota, at: now), quota: quota, unsaid: known?.unsaid ?? 0)
    }
}
