import Conversations
import Events

extension WorkingSet {
    /// What to do with a pipeline's answers.
    typealias Taking = (Pipeline.Answers) throws -> Void

    /// Asks what these events will ask, so far as that can be told from them.
    func prefetch(_ events: some Sequence<(event: Event, lane: Lane)>, _ pipeline: inout Pipeline) -> [Taking] {
        var wanted = Wanted()
        for (event, lane) in events { wanted.add(event, lane) }
        return wanted.ask(self, &pipeline)
    }

    /// Asks what IDs are called here, for events whose senders may use other names.
    func prefetchNames(_ events: some Sequence<AdmittedEvent>, _ pipeline: inout Pipeline) -> [Taking] {
        var names: Set<OwnedID> = []
        var others: Set<OwnedID> = []
        for admitted in events {
            for ids in admitted.names {
                for name in ids.names { others.insert(key(name)) }
            }
            guard admitted.usesSchemeNames || !admitted.names.isEmpty else { continue }
            _ = admitted.event.renaming {
                names.insert(self.key($0)); return $0
            }
        }
        names.formUnion(others)
        names = names.filter { aliases[$0] == nil }
        var taking: [Taking] = []
        if !names.isEmpty {
            let ids = names.map(\.id)
            let place = pipeline.add(Aliases.select, [project.number, ids])
            taking.append { [self] answers in
                for id in ids { aliases[key(id)] = .some(nil) }
                for row in answers[place] { aliases[key(row[0])] = .some(row[1] as String) }
            }
        }
        if !others.isEmpty {
            let ids = others.map(\.id)
            let place = pipeline.add(Aliases.selectStoredUnder, [project.number, ids])
            taking.append { [self] answers in
                for id in ids { isStoredUnder[key(id)] = false }
                for row in answers[place] { isStoredUnder[key(row[0])] = true }
            }
        }
        return taking
    }
}

/// IDs that a batch's events will be asked about, each once.
private struct Wanted {
    /// Messages and events that are neither they nor runs.
    private var identities: Set<String> = []
    private var arriving: Set<String> = []
    private var runs: Set<String> = []
    private var parents: Set<String> = []
    private var threads: Set<String> = []
    private var taggedThreads = false
    private var people: Set<String> = []
    private var votes: [(target: String, voter: String)] = []
    /// Traces that messages go with, and those that runs are part of.
    private var ofMessages: Set<String> = []
    private var ofRuns: Set<String> = []

    mutating func add(_ event: Event, _ lane: Lane) {
        if let thread = event.thread { threads.insert(thread) }
        if let user = event.user { people.insert(user.key) }
        if lane == .public, event.hasTags { taggedThreads = true }
        switch event.body {
        case .message(let message):
            identities.insert(event.id)
            arriving.insert(event.id)
            if let own = TraceID(ofMessage: event.id)?.text { ofMessages.insert(own) }
            if let trace = message.trace { ofMessages.insert(trace.lowercased()) }
        case .run(let part):
            runs.insert(event.id)
            if let parent = part.parent {
                parents.insert(parent)
                identities.insert(parent)
            }
            for trace in event.runTraces {
                ofRuns.insert(trace)
                identities.formUnion(TraceID(trace)?.messageIDs ?? [])
            }
        case .feedback(let feedback):
            identities.formUnion([event.id, feedback.target])
            if let vote = Vote(event, at: Timestamp(microseconds: 0)) { votes.append((vote.target, vote.voter)) }
        case .trace(let target, let trace):
            identities.formUnion([event.id, target])
            ofMessages.insert(trace.lowercased())
        case .score(let score):
            identities.formUnion([event.id, score.target])
            threads.insert(score.target)
        default: identities.insert(event.id)
        }
    }

    func ask(_ set: WorkingSet, _ pipeline: inout Pipeline) -> [WorkingSet.Taking] {
        let project = set.project.number
        var taking: [WorkingSet.Taking] = []
        /// Asks with a list of IDs, where there are any, and hands on the list and the rows.
        func ask(_ sql: String, _ ids: Set<String>, _ take: @escaping ([String], Rows) throws -> Void) {
            guard !ids.isEmpty else { return }
            let ids = Array(ids)
            let place = pipeline.add(sql, [project, ids])
            taking.append { try take(ids, $0[place]) }
        }
        func keys(_ ids: Set<String>) -> Set<OwnedID> { Set(ids.lazy.map(set.key)) }
        let (identityKeys, arrivingKeys, runKeys) = (keys(identities), keys(arriving), keys(runs))
        let (traceKeysOfMessages, traceKeysOfRuns) = (keys(ofMessages), keys(ofRuns))
        ask(WorkingSet.selectIdentities, identities) { _, rows in
            set.messages.note(asked: identityKeys)
            set.others.note(asked: identityKeys)
            for row in rows {
                let identity = WorkingSet.identity(row)
                if row[1] as Int == Event.IDSpace.message.rawValue {
                    set.messages[set.key(row[0])] = identity
                } else {
                    set.others[set.key(row[0])] = identity
                }
            }
        }
        ask(EventRows.ofRuns, runs) { ids, rows in
            for id in ids { set.parts[set.key(id)] = [] }
            for row in rows {
                let item = try EventRows.item(row)
                set.parts[set.key(item.event.id)]!.append(WorkingSet.part(item))
            }
        }
        // A later part of a run needn't say which thread it is in.
        ask(ThreadRows.selectOfRuns, runs) { set.threads.keep([], $1) }
        ask(WorkingSet.selectAncestry, runs.union(parents)) { set.keepAncestry(of: $0, $1) }
        ask(WorkingSet.selectChildren, runs.isEmpty ? arriving : arriving.union(runs)) { _, rows in
            set.children.note(asked: arrivingKeys)
            set.children.note(asked: runKeys)
            set.keepChildren(rows)
        }
        ask(WorkingSet.selectVotedOn, arriving) { _, rows in
            set.isVotedOn.note(asked: arrivingKeys)
            for row in rows { set.isVotedOn[set.key(row[0])] = true }
        }
        ask(WorkingSet.selectScored, arriving.union(threads)) { [threads] _, rows in
            set.isScored.note(asked: arrivingKeys)
            for thread in threads { set.isScored[set.key(thread)] = false }
            for row in rows { set.isScored[set.key(row[0])] = true }
        }
        ask(WorkingSet.selectTracesOfMessages, arriving) { _, rows in
            set.tracesOfMessage.note(asked: arrivingKeys)
            for row in rows { set.tracesOfMessage[set.key(row[0])]!.insert(row[1]) }
        }
        ask(WorkingSet.selectMessagesOfTraces, ofRuns.isEmpty ? ofMessages : ofRuns.union(ofMessages)) { _, rows in
            set.messagesOfTrace.note(asked: traceKeysOfMessages)
            set.messagesOfTrace.note(asked: traceKeysOfRuns)
            for row in rows { set.messagesOfTrace[set.key(row[0])]!.insert(row[1]) }
        }
        ask(WorkingSet.selectRunsOfTraces, ofMessages) { _, rows in
            set.runsOfTrace.note(asked: traceKeysOfMessages)
            for row in rows { set.runsOfTrace[set.key(row[0])]!.insert(set.key(row[1])) }
        }
        if !ofRuns.isEmpty {
            ask(WorkingSet.selectTracesOfRuns, runs) { ids, rows in
                for id in ids { set.tracesOfRun[set.key(id)] = WorkingSet.ownTrace(ofRun: id) }
                for row in rows { set.tracesOfRun[set.key(row[0])]!.append((row[2], row[1])) }
            }
        }
        if !threads.isEmpty {
            let names = Array(threads)
            let place = pipeline.add(ThreadRows.select, [project, names, taggedThreads])
            taking.append { set.threads.keep(names, $0[place]) }
        }
        ask(WorkingSet.selectPeople, people.filter { set.people[set.key($0)] == nil }) { names, rows in
            for name in names { set.people[set.key(name)] = .some(nil) }
            for row in rows { set.people[set.key(row[0])] = WorkingSet.Person(number: row[1], props: row[2]) }
        }
        if !votes.isEmpty {
            let place = pipeline.add(Self.selectVotes, [project, votes.map(\.target), votes.map(\.voter)])
            let keys = votes.map { WorkingSet.VoteKey(target: set.key($0.target), voter: set.key($0.voter)) }
            taking.append { answers in
                for key in keys { set.votes[key] = .some(nil) }
                for row in answers[place] {
                    let vote = Vote(row)
                    set.votes[.init(target: set.key(vote.target), voter: set.key(vote.voter))] = vote
                }
            }
        }
        return taking
    }

    /// OFFSET 0 keeps the planner from turning it into a walk over all votes of the project.
    private static let selectVotes = """
        SELECT v.* FROM (SELECT DISTINCT * FROM unnest($2::text[], $3::text[]) AS u(t, w)) AS wanted
        CROSS JOIN LATERAL (SELECT \(Vote.columns) FROM vote WHERE project = $1 AND target = wanted.t AND voter = wanted.w OFFSET 0) AS v
        """
}
