import Conversations
import Events

/// Keeps the links between runs and what they name, as both ends arrive in any order.
struct RunLinks {
    let set: WorkingSet

    init(_ set: WorkingSet) { self.set = set }

    /// P-BIND-2: a message binds the runs that were waiting for it, and the votes on it learn their thread.
    func messageArrived(_ id: String, trace: String?, thread: Int64?) throws {
        // P-BIND-6: the ID of a message doubles as a trace's, and a message may say which trace it went with.
        if let trace { try set.add(trace: trace.lowercased(), ofMessage: id) }
        // A run that names its own ID was refused until a message of that ID came (P-BIND-3).
        for child in try set.children(of: id) {
            guard var row = try set.run(child.id), row.link == .pending || child == set.key(id) else { continue }
            row.link = .bound
            set.setRun(child.id, row)
        }
        if try set.hasVotes(on: id) { set.later.add(Self.placeVotes, [set.project.number, id, thread]) }
        if try set.hasScores(on: id) { set.later.add(Self.placeScores, [set.project.number, id, thread]) }
        if let own = TraceID(ofMessage: id)?.text, try !set.runs(ofTrace: own).isEmpty { try wakeRuns(of: own) }
        for trace in try set.traces(ofMessage: id) { try wakeRuns(of: trace) }
    }

    private static let placeVotes =
        "UPDATE vote SET thread = $3 WHERE project = $1 AND target = $2 AND thread IS DISTINCT FROM $3"
    private static let placeScores =
        "UPDATE score SET thread = $3 WHERE project = $1 AND target = $2 AND thread IS DISTINCT FROM $3"

    /// P-TRACE-1: which trace a message went with was found out after it was sent.
    func traceNoted(_ trace: String, of message: String) throws {
        let trace = trace.lowercased()
        try set.add(trace: trace, ofMessage: message)
        guard try messageExists(message) else { return }
        try wakeRuns(of: trace)
    }

    private func wakeRuns(of trace: String) throws {
        for run in try set.runs(ofTrace: trace) { try fallBack(run.id) }
    }

    /// Finds the message of a run's traces, the nearest trace first.
    private func fallBack(_ run: String) throws {
        let found = try message(of: set.traces(ofRun: run).map(\.trace))
        guard var row = try set.run(run), row.fallback != found else { return }
        let before = row.fallback
        row.fallback = found
        set.setRun(run, row)
        if let before { set.noteMoved(before) }
    }

    /// The message of the first of these traces that has one: the first of those that were noted for it and are there, else the one whose
    /// ID it is, as that may be written.
    private func message(of traces: [String]) throws -> String? {
        for trace in traces {
            let noted = try set.messages(ofTrace: trace).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            for message in noted where try messageExists(message) { return message }
            for id in TraceID(trace)?.messageIDs ?? [] where try messageExists(id) { return id }
        }
        return nil
    }

    /// Folds the run again from its parts and settles every link that this may change.
    /// - Parameters:
    ///   - part: the one that arrived; nil where parts only moved here.
    ///   - name: what an ID is called here, where it may be known by another name.
    func partArrived(_ id: String, _ part: Run.Part? = nil, name: (String) throws -> String) throws {
        let before = try set.run(id)
        // The first of them is all there is.
        let parts = if let part, before == nil { [part] } else { try set.parts(of: id) }
        guard var run = Run(folding: parts) else { return }
        run.parent = try run.parent.map(name)
        let thread = try run.thread.flatMap { try set.threads.number(of: $0) }
        // By all of its parts, not by what is known so far: a start that comes after the end must not leave another time behind.
        if run.isTurn, let thread {
            for time in Run.turnTimes(of: parts) { try set.threads.applyTurn(at: time, roles: run.turnRoles, to: thread) }
            // Its messages may have been judged before.
            let targets = [id, TurnFold.answerID(of: id)]
            for table in ["score", "vote"] {
                set.later.add(
                    "UPDATE \(table) SET thread = $3 WHERE project = $1 AND target = ANY($2) AND thread IS NULL",
                    [set.project.number, targets, thread])
            }
        }
        let own = TraceID(ofRun: id)
        let traces = (own.map { [$0.text] } ?? []) + run.namedTraces(besides: own)
        for (rank, trace) in traces.enumerated() { try set.add(trace: trace, ofRun: id, rank: rank) }
        guard let before else {
            set.setRun(
                id, .init(parent: run.parent, link: try link(of: id, naming: run.parent), thread: thread, fallback: try message(of: traces))
            )
            // Nothing hangs under most runs when they come, and no link but their own changes.
            let children = try set.children(of: id)
            if !children.isEmpty { try settle(around: run, children: children, before: nil) }
            return
        }
        var row = before
        (row.parent, row.thread) = (run.parent, thread)
        set.setRun(id, row)
        // Under another name its ID may have said a trace that this one doesn't.
        if part == nil || !traces.isEmpty { try fallBack(id) }
        if let named = before.parent, named != run.parent { set.noteMoved(named) }
        if part != nil, before.parent == run.parent {
            _ = try settle(id)  // A later part that names the same parent, or none, moves no other link.
        } else {
            try settle(around: run, children: set.children(of: id), before: before.parent)
        }
    }

    /// Settles a run whose parent is another now, and all whose links that may change.
    private func settle(around run: Run, children: Set<OwnedID>, before: String?) throws {
        var affected: Set<OwnedID> = [set.key(run.id)]
        affected.formUnion(children)
        try collectAncestors(of: run.parent, into: &affected)
        try collectAncestors(of: before, into: &affected)
        for key in affected {
            // A circle is cut elsewhere now: what hung there hangs somewhere else.
            guard try settle(key.id), key != set.key(run.id) else { continue }
            set.noteMoved(key.id)
            if let parent = try set.run(key.id)?.parent { set.noteMoved(parent) }
        }
    }

    /// Answers whether the link changed.
    private func settle(_ id: String) throws -> Bool {
        guard var row = try set.run(id) else { return false }
        let link = try link(of: id, naming: row.parent)
        guard link != row.link else { return false }
        row.link = link
        set.setRun(id, row)
        return true
    }

    private func link(of id: String, naming parent: String?) throws -> ParentLink {
        try ParentLinks.link(of: id, naming: parent, messageExists: messageExists) { id in try set.run(id).map(\.parent) }
    }

    private func collectAncestors(of parent: String?, into found: inout Set<OwnedID>) throws {
        var current = parent
        while let id = current, found.count < ParentLinks.maximumDepth, found.insert(set.key(id)).inserted {
            current = try set.run(id)?.parent
        }
    }

    private func messageExists(_ id: String) throws -> Bool { try set.message(id) != nil }
}
