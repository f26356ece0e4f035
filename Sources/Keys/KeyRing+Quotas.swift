public import Events
import Synchronization

extension KeyRing {
    /// A quota may refill so slowly that no number of seconds says when.
    private static let longestWait = 86_400.0

    /// What quotas say of some more events.
    public enum Spending: Sendable, Equatable {
        case fits
        /// They don't fit, but that is only counted.
        case overlooked(Reason)
        case refused(Refusal)
    }

    /// Takes events off the quotas of the key, the address, the session and the project: all of them or none.
    /// - Parameter bytes: what they say, about; asked for where something is limited by it.
    public func spend(_ events: Int, bytes: @autoclosure () -> Int = 0, by access: Access) -> Spending {
        guard let (quotas, project) = quotas(of: access) else { return .fits }
        lazy var size = bytes()
        func claims(_ owner: Project.Quotas.Owner, _ id: String) -> [QuotaBook.Claim] {
            Project.Quotas.Unit.allCases.compactMap { unit in
                quotas[owner, unit].map {
                    .init(
                        name: .init(project: project, owner: owner, unit: unit, id: id), quota: $0, amount: unit == .events ? events : size)
                }
            }
        }
        let now = clock.now()
        if let session = access.session, let short = take(claims(.session, session), from: passingQuotas, at: now) {
            return verdict(short, in: access.project)
        }
        let lasting = claims(.key, access.key.id) + claims(.address, access.address.text) + claims(.project, "")
        return take(lasting, from: self.quotas, at: now).map { verdict($0, in: access.project) } ?? .fits
    }

    /// Takes events off the quotas of the thread they are for.
    public func spend(_ events: Int, bytes: Int, in thread: String, by access: Access) -> Spending {
        guard let (quotas, project) = quotas(of: access) else { return .fits }
        let claims: [QuotaBook.Claim] = [(Project.Quotas.Unit.events, events), (.bytes, bytes)].compactMap { unit, amount in
            quotas[.thread, unit].map {
                .init(name: .init(project: project, owner: .thread, unit: unit, id: thread), quota: $0, amount: amount)
            }
        }
        return take(claims, from: passingQuotas, at: clock.now()).map { verdict($0, in: access.project) } ?? .fits
    }

    /// Whether threads have quotas in the project the access is to.
    public func limitsThreads(_ access: Access) -> Bool {
        guard let (quotas, _) = quotas(of: access) else { return false }
        return quotas[.thread, .events] != nil || quotas[.thread, .bytes] != nil
    }

    private func take(_ claims: [QuotaBook.Claim], from book: borrowing Mutex<QuotaBook>, at now: Timestamp) -> (
        wait: Double, short: QuotaBook.Name
    )? {
        claims.isEmpty ? nil : book.withLock { $0.take(claims, at: now) }
    }

    private func verdict(_ shortage: (wait: Double, short: QuotaBook.Name), in project: Project) -> Spending {
        guard mode(of: .quota, in: project) == .enforce else { return .overlooked(.rateLimited) }
        let owner =
            switch shortage.short.owner {
            case .key: "This key"
            case .address: "This address"
            case .session: "This socket"
            case .thread: "This conversation"
            case .project: "This project"
            }
        return .refused(
            Refusal(
                .rateLimited, "\(owner) has used up its quota of \(shortage.short.unit.rawValue).",
                retryAfterMilliseconds: max(1, Int64(min(shortage.wait * 1000, Self.longestWait * 1000).rounded(.up)))))
    }

    /// What is left of the tighter quota of events, the key's or the address's: limit, remaining, and seconds until it is full again.
    /// nil: no limit.
    public func quota(of access: Access) -> (limit: Int, remaining: Int, resetSeconds: Int)? {
        guard let (quotas, project) = quotas(of: access) else { return nil }
        let now = clock.now()
        return [(Project.Quotas.Owner.key, access.key.id), (.address, access.address.text)].compactMap { owner, id in
            quotas[owner, .events].map { quota in
                let name = QuotaBook.Name(project: project, owner: owner, unit: .events, id: id)
                let remaining = self.quotas.withLock { $0.remaining(name, quota, at: now) }
                let reset = quota.perSecond > 0 ? (quota.burst - remaining) / quota.perSecond : 3600
                return (limit: Int(quota.burst), remaining: Int(remaining), resetSeconds: Int(min(reset, Self.longestWait).rounded(.up)))
            }
        }.min { $0.remaining < $1.remaining }
    }

    /// A secret key is a backend of the project's own: quotas are for what the whole world can use.
    private func quotas(of access: Access) -> (Project.Quotas, ProjectID)? {
        guard access.lane == .public else { return nil }
        let settings = ring.withLock { $0.projects[access.project.number]?.project.settings } ?? access.project.settings
        return settings.checks[.quota] == .off ? nil : (settings.quotas, access.project.number)
    }
}
