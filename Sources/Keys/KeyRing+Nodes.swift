public import Events
import Logging
import Synchronization

/// What nodes that share a store say to each other: that projects or keys changed, and what they took off quotas.
///
/// Each node keeps its own buckets, says once a second what it took out of them, and takes out of them what others say they took. So with N
/// nodes, over any stretch of t seconds, a quota lets at most
///
///     burst + rate × t  +  (N − 1) × (burst + rate × d)
///
/// through, where d is how long a node's word takes to reach the others, the second it waits included: what the others can have taken by
/// then that one does not know of. Whatever is taken too much is owed, and waited off by all of them: over long the rate holds. A batch larger
/// than the burst stands in the burst's place. While words don't come, each node holds its quotas by itself.
extension KeyRing {
    /// How nodes that share the store fare, as this one sees it.
    public struct Neighbourhood: Sendable {
        public var line: BusFigures
        /// Other nodes heard of in the last 15 seconds.
        public var nodes = 0
        /// Whether this node hears itself; false where the line swallows what is said.
        public var hearsItself = false
        public var messagesSaid = 0
        public var messagesHeard = 0
        /// Messages that could not be said.
        public var failures = 0
        /// Messages of which nothing was taken, by what was wrong with them.
        public var refused: [(fault: String, count: Int)] = []
    }

    struct Nodes {
        var seal: NodeSeal
        var messagesSaid = 0
        var messagesHeard = 0
        var failures = 0
        var refused: [NodeSeal.Fault: Int] = [:]
        /// When this node last said something, and last heard itself.
        var saidAt: Timestamp?
        var heardItselfAt: Timestamp?
    }

    static let reportInterval = Duration.seconds(1)
    /// A node that has nothing to say says so this often.
    private static let signOfLife = 5.0
    /// Quotas reported a second, of what outlasts and of what passes each; the rest follows in the next. At some 40 bytes each, that is some
    /// thirty notifications of PostgreSQL.
    private static let reportedAtOnce = 4000

    /// nil where the node is alone.
    public var neighbourhood: Neighbourhood? {
        guard let bus else { return nil }
        let now = clock.now()
        return nodes.withLock { nodes in
            var neighbourhood = Neighbourhood(line: bus.figures)
            guard let nodes else { return neighbourhood }
            neighbourhood.nodes = nodes.seal.peers(at: now)
            neighbourhood.hearsItself = nodes.heardItselfAt.map { now.seconds - $0.seconds < NodeSeal.patience } ?? false
            (neighbourhood.messagesSaid, neighbourhood.messagesHeard) = (nodes.messagesSaid, nodes.messagesHeard)
            neighbourhood.failures = nodes.failures
            neighbourhood.refused = NodeSeal.Fault.allCases.map { ($0.rawValue, nodes.refused[$0] ?? 0) }
            return neighbourhood
        }
    }

    /// Says what was taken off quotas since the last time, or that there is nothing to say, now and then.
    func report() async {
        guard let bus else { return }
        let now = clock.now()
        let taken = [
            quotas.withLock { $0.takeUnsaid(atMost: Self.reportedAtOnce) },
            passingQuotas.withLock { $0.takeUnsaid(atMost: Self.reportedAtOnce) },
        ]
        let messages: [[UInt8]] = nodes.withLock { nodes in
            guard nodes != nil else { return [] }
            var pieces = SpendingReport(entries: taken.flatMap { $0 }).pieces(ofAtMost: bus.longestMessage - NodeSeal.overhead)
            if pieces.isEmpty {
                if let saidAt = nodes!.saidAt, now.seconds - saidAt.seconds < Self.signOfLife, now >= saidAt { return [] }
                pieces = [[]]
            }
            nodes!.saidAt = now
            return pieces.map { nodes!.seal.seal($0) }
        }
        guard !messages.isEmpty else { return }
        do {
            try await bus.publish(messages)
            nodes.withLock { $0?.messagesSaid += messages.count }
        } catch {
            // Not said again: what was taken this second is refilled by the time others could hear of it.
            nodes.withLock { $0?.failures += messages.count }
            logger.debug("other nodes could not be told what quotas have spent", metadata: ["error": "\(error)"])
        }
    }

    /// Takes off quotas what another node took.
    func hear(_ message: [UInt8]) {
        let now = clock.now()
        let (report, peers, isFirstFault): (SpendingReport?, Int, NodeSeal.Fault?) = nodes.withLock { nodes in
            guard nodes != nil else { return (nil, 0, nil) }
            var fault: NodeSeal.Fault
            switch nodes!.seal.open(message, at: now) {
            case .own:
                nodes!.heardItselfAt = now
                return (nil, 0, nil)
            case .said(let words):
                if let report = SpendingReport(bytes: words) {
                    nodes!.messagesHeard += 1
                    return (report, nodes!.seal.peers(at: now), nil)
                }
                fault = .garbled
            case .refused(let found): fault = found
            }
            nodes!.refused[fault, default: 0] += 1
            return (nil, 0, nodes!.refused[fault] == 1 ? fault : nil)
        }
        if let fault = isFirstFault {
            logger.warning(
                "a message between nodes was ignored, as are all like it; do all nodes have the same sealing key and version?",
                metadata: ["fault": "\(fault.rawValue)"])
        }
        guard let report, !report.entries.isEmpty else { return }
        var quotasOfProjects: [ProjectID: Project.Quotas?] = [:]
        func quota(of name: QuotaBook.Name) -> Project.Quota? {
            if quotasOfProjects[name.project] == nil {
                let settings = ring.withLock { $0.projects[name.project]?.project.settings }
                quotasOfProjects[name.project] = .some(settings.flatMap { $0.checks[.quota] == .off ? nil : $0.quotas })
            }
            return quotasOfProjects[name.project]??[name.owner, name.unit]
        }
        let debits = report.entries.compactMap { entry in
            quota(of: entry.name).map { QuotaBook.Claim(name: entry.name, quota: $0, amount: entry.amount) }
        }
        let (passing, lasting) = (debits.filter { $0.name.owner == .thread }, debits.filter { $0.name.owner != .thread })
        if !passing.isEmpty { passingQuotas.withLock { $0.owe(passing, to: peers, at: now) } }
        if !lasting.isEmpty { quotas.withLock { $0.owe(lasting, to: peers, at: now) } }
    }
}
