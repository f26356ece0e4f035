import ArgumentParser
import Conversations
import Events
import Review

// What people write on the command line, read into our own words.

extension Project.Quota: ExpressibleByArgument {
    /// `50/s` or `50/s:1000`: so much a second, and the burst above it (without one, ten seconds' worth); `k` and `M` are thousands and
    /// millions.
    public init?(argument: String) {
        func number(_ text: Substring) -> Double? {
            let units: [Character: Double] = ["k": 1e3, "M": 1e6]
            guard let unit = text.last.flatMap({ units[$0] }) else { return Double(text) }
            return Double(text.dropLast()).map { $0 * unit }
        }
        let parts = argument.split(separator: ":", maxSplits: 1)
        guard let rate = parts.first, rate.hasSuffix("/s"), let perSecond = number(rate.dropLast(2)), perSecond > 0, perSecond <= 1e9 else {
            return nil
        }
        guard parts.count == 2 else {
            self.init(perSecond: perSecond, burst: max(1, perSecond * 10))
            return
        }
        guard let burst = number(parts[1]), burst >= 1, burst <= 1e9 else { return nil }
        self.init(perSecond: perSecond, burst: burst)
    }
}

/// A quota, or `none`.
enum QuotaArgument: ExpressibleByArgument {
    case none
    case quota(Project.Quota)

    init?(argument: String) {
        if argument == "none" {
            self = .none
        } else if let quota = Project.Quota(argument: argument) {
            self = .quota(quota)
        } else {
            return nil
        }
    }

    var quota: Project.Quota? { if case .quota(let quota) = self { quota } else { nil } }
}

/// A quota by its name: `thread=20/s:500`, `address.bytes=none`.
struct NamedQuotaArgument: ExpressibleByArgument {
    var owner: Project.Quotas.Owner
    var unit: Project.Quotas.Unit
    var quota: Project.Quota?

    init?(argument: String) {
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, let (owner, unit) = Project.Quotas.named(parts[0]), let quota = QuotaArgument(argument: parts[1]) else {
            return nil
        }
        (self.owner, self.unit, self.quota) = (owner, unit, quota.quota)
    }
}

/// A stretch of time: `90s`, `15m`, `12h`, `30d`.
struct TimeSpan: ExpressibleByArgument {
    var seconds: Double

    init?(argument: String) {
        let units: [Character: Double] = ["s": 1, "m": 60, "h": 3600, "d": 86400]
        guard let unit = argument.last.flatMap({ units[$0] }), let count = Double(argument.dropLast()), count > 0,
            count * unit <= 100 * 366 * 86400
        else {
            return nil
        }
        seconds = count * unit
    }
}

/// A moment: ISO 8601, or a stretch of time from now.
enum Moment: ExpressibleByArgument {
    case at(Timestamp)
    case span(TimeSpan)

    init?(argument: String) {
        if let span = TimeSpan(argument: argument) {
            self = .span(span)
        } else if let time = Timestamp(iso8601: argument) {
            self = .at(time)
        } else {
            return nil
        }
    }

    /// `30d` as 30 days ahead.
    func after(_ now: Timestamp) -> Timestamp {
        switch self {
        case .at(let time): time
        case .span(let span): now.advanced(bySeconds: span.seconds)
        }
    }

    /// `30d` as 30 days ago.
    func before(_ now: Timestamp) -> Timestamp {
        switch self {
        case .at(let time): time
        case .span(let span): now.advanced(bySeconds: -span.seconds)
        }
    }
}

extension Lane: ExpressibleByArgument {}
extension KeyRecord.Scope: CaseIterable, ExpressibleByArgument {
    public static var allCases: [KeyRecord.Scope] { [.project, .workspace] }
}
extension Event.Role: ExpressibleByArgument {}
extension Event.ThreadPatch.Status: CaseIterable, ExpressibleByArgument {
    public static var allCases: [Event.ThreadPatch.Status] { [.active, .inactive] }
}
extension ThreadFilter.FeedbackKind: CaseIterable, ExpressibleByArgument {
    public static var allCases: [ThreadFilter.FeedbackKind] { [.up, .down, .any, .none] }
}
extension Reason: ExpressibleByArgument {}

/// Which threads: the same filters as the read API and the review page.
struct ThreadFilterOptions: ParsableArguments {
    @Option(name: .customLong("search"), help: "Words that all stand in one message.")
    var words: String?
    @Option(help: "The user's ID.")
    var user: String?
    @Option(help: "A tag.")
    var tag: String?
    @Option(help: "A role that has a message in the thread.")
    var role: Event.Role?
    @Option(help: "Feedback in the thread.")
    var feedback: ThreadFilter.FeedbackKind?
    @Option(help: ArgumentHelp("Active since: ISO 8601, or 12h, 30d ago.", valueName: "time"))
    var from: Moment?
    @Option(help: ArgumentHelp("Active until: ISO 8601, or 12h, 30d ago.", valueName: "time"))
    var to: Moment?
    @Option(help: "The status.")
    var status: Event.ThreadPatch.Status?
    @Option(
        help: ArgumentHelp(
            "Any of the filters of the review page's address, as they stand in it: 'provenance=differs&score=quality<0.5'.",
            valueName: "parameters"))
    var filter: String?

    func filter(now: Timestamp) throws -> ThreadFilter {
        var filter = try filter.map { try ThreadFilter(parameters: $0) } ?? ThreadFilter()
        filter.words = words ?? filter.words
        filter.user = user ?? filter.user
        filter.tag = tag ?? filter.tag
        filter.role = role ?? filter.role
        filter.feedback = feedback ?? filter.feedback
        filter.from = from?.before(now) ?? filter.from
        filter.to = to?.before(now) ?? filter.to
        filter.status = status ?? filter.status
        return filter
    }
}
