import Conversations
import Events
import GRDB

/// Keeps the links between runs and what they name, as both ends arrive in any order.
struct RunLinks {
    // Without statistics SQLite takes the primary key of these tables, which is the project: all of its runs, for each event.
    static let bindWaiting = "UPDATE run INDEXED BY run_parent SET link = 2 WHERE project = ? AND parent = ? AND (link = 1 OR id = parent)"
    // The trace that a run's ID says has no row (P-BIND-6): two entries less in indexes for each span.
    static let tracesOfRun =
        "SELECT trace FROM run_trace INDEXED BY run_trace_run WHERE project = ? AND run = ? ORDER BY rank, trace"
    static let runsOfTrace = """
        SELECT run FROM run_trace WHERE project = ?1 AND trace = ?2
        UNION SELECT id FROM run WHERE project = ?1 AND id > ?3 AND id < ?4
        """

    static let readParent = "SELECT parent FROM run WHERE project = ? AND id = ?"
    static let children = "SELECT id FROM run INDEXED BY run_parent WHERE project = ? AND parent = ?"
    static let insert = "INSERT INTO run (project, id, parent, link, thread, fallback) VALUES (?,?,?,?,?,?) ON CONFLICT DO NOTHING"
    static let setLink = "UPDATE run SET link = ?3 WHERE project = ?1 AND id = ?2 AND link <> ?3"
    static let insertTrace = "INSERT INTO run_trace VALUES (?,?,?,?) ON CONFLICT DO NOTHING"
    static let findMessage = "SELECT 1 FROM event WHERE project = ? AND id = ? AND space = 0 AND part = x''"

    /// The message of a trace: the first of those that were noted for it and are there, else the one whose ID it is, as that may be
    /// written.
    static let messageOfTrace = """
        SELECT coalesce(
            (SELECT message FROM message_trace t WHERE project = ?1 AND trace = ?2 AND EXISTS (
                SELECT 1 FROM event e WHERE e.project = ?1 AND e.id = t.message AND e.space = 0 AND e.part = x'') ORDER BY message),
            (SELECT id FROM event WHERE project = ?1 AND id = ?3 AND space = 0 AND part = x''),
            (SELECT id FROM event WHERE project = ?1 AND id = ?4 AND space = 0 AND part = x''),
            (SELECT id FROM event WHERE project = ?1 AND id = ?5 AND space = 0 AND part = x''),
            (SELECT id FROM event WHERE project = ?1 AND id = ?6 AND space = 0 AND part = x''))
        """

    /// What a message may find there before it, by the tables it stands in.
    struct Awaiting: OptionSet {
        let rawValue: Int
        static let runs = Self(rawValue: 1), votes = Self(rawValue: 2), scores = Self(rawValue: 4)
        static let noted = Self(rawValue: 8), traces = Self(rawValue: 16)
        static let all: Self = [.runs, .votes, .scores, .noted, .traces]
    }

    /// Which of these a project has any of. Many have none: their pages tell of chats, and no backend of runs.
    static let awaiting = """
        SELECT EXISTS (SELECT 1 FROM run WHERE project = ?1) + 2 * EXISTS (SELECT 1 FROM vote WHERE project = ?1)
            + 4 * EXISTS (SELECT 1 FROM score WHERE project = ?1) + 8 * EXISTS (SELECT 1 FROM message_trace WHERE project = ?1)
            + 16 * EXISTS (SELECT 1 FROM run_trace WHERE project = ?1)
        """
    static let runAwaits = "SELECT 1 FROM run INDEXED BY run_parent WHERE project = ? AND parent = ?"
    static let voteAwaits = "SELECT 1 FROM vote WHERE project = ? AND target = ?"
    static let scoreAwaits = "SELECT 1 FROM score WHERE project = ? AND target = ?"
    static let noteAwaits = "SELECT 1 FROM message_trace INDEXED BY message_trace_message WHERE project = ? AND message = ?"
    static let traceAwaits = """
        SELECT 1 FROM run_trace WHERE project = ?1 AND trace = ?2
        UNION ALL SELECT 1 FROM run WHERE project = ?1 AND id > ?3 AND id < ?4
        """

    /// What the run before found: spans of a trace come together, under the same parent. It holds as long as only such runs come that
    /// nothing hangs under yet.
    final class Latest {
        fileprivate var message: (project: ProjectID, trace: String, found: String?)?
        fileprivate var link: (project: ProjectID, parent: String, found: ParentLink)?

        func forget() { (message, link) = (nil, nil) }
    }

    let db: Database
    let project: ProjectID
    private let hot: HotStatements
    private let latest: Latest?

    init(db: Database, project: ProjectID, hot: HotStatements? = nil, latest: Latest? = nil) {
        (self.db, self.project, self.hot, self.latest) = (db, project, hot ?? HotStatements(db), latest)
    }

    /// P-BIND-2: a message binds the runs that were waiting for it, and the votes on it learn their thread.
    /// - Parameter awaiting: what the project may have any of.
    func messageArrived(_ id: String, trace: String?, thread: Int64?, awaiting: Awaiting = .all) throws {
        // P-BIND-6: the ID of a message doubles as a trace's, and a message may say which trace it went with.
        if let trace {
            try db.cachedStatement(sql: "INSERT INTO message_trace VALUES (?,?,?) ON CONFLICT DO NOTHING")
                .execute(arguments: [project.number, trace.lowercased(), id])
        }
        // A run that names its own ID was refused until a message of that ID came (P-BIND-3).
        if awaiting.contains(.runs), try stands(id, by: .runAwaits) {
            try db.cachedStatement(sql: Self.bindWaiting).execute(arguments: [project.number, id])
        }
        for (kind, name, table) in [(Awaiting.votes, HotStatement.Name.voteAwaits, "vote"), (.scores, .scoreAwaits, "score")]
        where try awaiting.contains(kind) && stands(id, by: name) {
            try db.cachedStatement(sql: "UPDATE \(table) SET thread = ? WHERE project = ? AND target = ? AND thread IS NOT ?")
                .execute(arguments: [thread, project.number, id, thread])
        }
        if !awaiting.isDisjoint(with: [.runs, .traces]), let own = TraceID(ofMessage: id), try stands(own) { try wakeRuns(of: own.text) }
        guard try trace != nil || awaiting.contains(.noted) && stands(id, by: .noteAwaits) else { return }
        let noted = try String.fetchAll(
            db.cachedStatement(sql: "SELECT trace FROM message_trace WHERE project = ? AND message = ?"), arguments: [project.number, id])
        for trace in noted { try wakeRuns(of: trace) }
    }

    /// Which of what messages may find the project has any of.
    func awaiting() throws -> Awaiting {
        let statement = try hot(.awaiting)
        statement.bind(project.number)
        return Awaiting(rawValue: Int(try statement.first { $0.integer(0) ?? 0 } ?? 0))
    }

    private func stands(_ id: String, by name: HotStatement.Name) throws -> Bool {
        let statement = try hot(name)
        statement.bind(project.number)
        statement.bind(id)
        return try statement.first { _ in true } ?? false
    }

    /// Whether a run is of that trace, or may be.
    private func stands(_ trace: TraceID) throws -> Bool {
        let statement = try hot(.traceAwaits)
        let ids = trace.runIDs
        statement.bind(project.number)
        statement.bind(trace.text)
        statement.bind(ids.after)
        statement.bind(ids.before)
        return try statement.first { _ in true } ?? false
    }

    /// P-TRACE-1: which trace a message went with was found out after it was sent.
    func traceNoted(_ trace: String, of message: String) throws {
        let trace = trace.lowercased()
        try db.cachedStatement(sql: "INSERT INTO message_trace VALUES (?,?,?) ON CONFLICT DO NOTHING")
            .execute(arguments: [project.number, trace, message])
        guard try messageExists(message) else { return }
        try wakeRuns(of: trace)
    }

    private func wakeRuns(of trace: String) throws {
        let ids = TraceID(trace)?.runIDs
        let waiting = try String.fetchAll(
            db.cachedStatement(sql: Self.runsOfTrace), arguments: [project.number, trace, ids?.after, ids?.before])
        for run in waiting { try fallBack(run) }
    }

    /// Finds the message of a run's traces, the nearest trace first.
    private func fallBack(_ run: String) throws {
        let named = try String.fetchAll(db.cachedStatement(sql: Self.tracesOfRun), arguments: [project.number, run])
        let found = try message(of: (TraceID(ofRun: run).map { [$0.text] } ?? []) + named)
        let before = try String.fetchOne(
            db.cachedStatement(sql: "SELECT fallback FROM run WHERE project = ? AND id = ?"), arguments: [project.number, run])
        guard before != found else { return }
        try db.cachedStatement(sql: "UPDATE run SET fallback = ? WHERE project = ? AND id = ?")
            .execute(arguments: [found, project.number, run])
        if let before { try noteMoved(before) }
    }

    /// The message of the first of these traces that has one.
    private func message(of traces: [String]) throws -> String? {
        if traces.count == 1, let known = latest?.message, known.project == project, known.trace.hasSameBytes(as: traces[0]) {
            return known.found
        }
        let found = try findMessage(of: traces)
        if traces.count == 1 { latest?.message = (project, traces[0], found) }
        return found
    }

    private func findMessage(of traces: [String]) throws -> String? {
        let find = try hot(.messageOfTrace)
        for trace in traces {
            find.bind(project.number)
            find.bind(trace)
            let ids = TraceID(trace)?.messageIDs
            for place in 0..<4 { find.bind(ids?[place]) }
            if let found = try find.first({ $0.text(0) }) ?? nil { return found }
        }
        return nil
    }

    /// Folds the run again from its parts and settles every link that this may change.
    /// - Parameters:
    ///   - part: the one that arrived; nil where parts only moved here.
    ///   - name: what an ID is called here, where it may be known by another name.
    ///   - threads: learns of turns.
    func partArrived(_ id: String, _ part: Run.Part? = nil, threads: inout ThreadRows, name: (String) throws -> String) throws {
        // A part that says what kind of run it is mostly is the first, and all there is: that it was not is found out by inserting it.
        if let part, case .run(let fields) = part.event.body, fields.kind != nil,
            try firstPartArrived(id, part, threads: &threads, name: name)
        {
            return
        }
        let before = try self.parent(of: id)
        let parts: [Run.Part]
        if let part, before == nil {
            parts = [part]
        } else {
            parts = try EventRows.fetch(db, project: project, runs: [id]).map { item in
                var event = item.event
                event.thread = event.thread ?? item.thread.flatMap(threads.knownName)
                return Run.Part(event: event, at: item.at, digest: item.digest)
            }
        }
        guard var run = Run(folding: parts) else { return }
        run.parent = try run.parent.map(name)
        let thread = try number(ofThread: run, threads)
        guard let before else {
            _ = try insert(run, thread: thread)
            return try turnArrived(run, of: parts, thread: thread, threads: &threads)
        }
        try turnArrived(run, of: parts, thread: thread, threads: &threads)
        latest?.forget()
        let own = TraceID(ofRun: id)
        let traces = run.namedTraces(besides: own)
        try note(traces: traces, of: id, besides: own)
        try db.cachedStatement(sql: "UPDATE run SET parent = ?, thread = ? WHERE project = ? AND id = ?")
            .execute(arguments: [run.parent, thread, project.number, id])
        // Under another name its ID may have said a trace that this one doesn't.
        if part == nil || own != nil || !traces.isEmpty { try fallBack(id) }
        if let named = before, named != run.parent { try noteMoved(named) }
        if part != nil, before == run.parent {
            _ = try settle(id)  // A later part that names the same parent, or none, moves no other link.
        } else {
            try settle(around: run, children: children(of: id), before: before)
        }
    }

    /// Answers whether it was the first; else nothing is changed.
    private func firstPartArrived(_ id: String, _ part: Run.Part, threads: inout ThreadRows, name: (String) throws -> String) throws -> Bool
    {
        guard var run = Run(folding: [part]) else { return false }
        run.parent = try run.parent.map(name)
        let thread = try number(ofThread: run, threads)
        guard try insert(run, thread: thread) else { return false }
        try turnArrived(run, of: [part], thread: thread, threads: &threads)
        return true
    }

    private func number(ofThread run: Run, _ threads: ThreadRows) throws -> Int64? {
        try run.thread.flatMap { name in
            try threads.knownNumber(of: name, in: project)
                ?? Int64.fetchOne(
                    db.cachedStatement(sql: "SELECT number FROM thread WHERE project = ? AND id = ?"), arguments: [project.number, name])
        }
    }

    private func turnArrived(_ run: Run, of parts: [Run.Part], thread: Int64?, threads: inout ThreadRows) throws {
        guard run.isTurn, let thread else { return }
        // By all of its parts, not by what is known so far: a start that comes after the end must not leave another time behind.
        for time in Run.turnTimes(of: parts) { try threads.applyTurn(at: time, roles: run.turnRoles, to: thread) }
        // Its messages may have been judged before.
        for table in ["score", "vote"] {
            try db.cachedStatement(sql: "UPDATE \(table) SET thread = ? WHERE project = ? AND target IN (?, ?) AND thread IS NULL")
                .execute(arguments: [thread, project.number, run.id, TurnFold.answerID(of: run.id)])
        }
    }

    /// Notes which traces a run names; the one that its ID says needs no row, and is the nearest.
    private func note(traces: [String], of run: String, besides own: TraceID?) throws {
        for (rank, trace) in traces.enumerated() {
            let insert = try hot(.insertTrace)
            insert.bind(project.number)
            insert.bind(trace)
            insert.bind(run)
            insert.bind(own == nil ? rank : rank + 1)
            try insert.run()
        }
    }

    /// A run that was not there: answers whether that is so, and else changes nothing.
    private func insert(_ run: Run, thread: Int64?) throws -> Bool {
        // Nothing hangs under most runs when they come, and no link but their own changes.
        let isLeaf = try !stands(run.id, by: .runAwaits)
        let link = try isLeaf ? linkOfLeaf(run.id, naming: run.parent) : link(of: run.id, naming: run.parent)
        let own = TraceID(ofRun: run.id)
        let traces = run.namedTraces(besides: own)
        let fallback = try message(of: own.map { [$0.text] + traces } ?? traces)
        let insert = try hot(.insertRun)
        insert.bind(project.number)
        insert.bind(run.id)
        insert.bind(run.parent)
        insert.bind(link.rawValue)
        insert.bind(thread)
        insert.bind(fallback)
        guard try insert.run() > 0 else { return false }
        try note(traces: traces, of: run.id, besides: own)
        if !isLeaf {
            latest?.forget()
            try settle(around: run, children: children(of: run.id), before: nil)
        }
        return true
    }

    /// Settles a run whose parent is another now, and all whose links that may change.
    private func settle(around run: Run, children: [String], before: String?) throws {
        var affected: Set<String> = [run.id]
        affected.formUnion(children)
        try collectAncestors(of: run.parent, into: &affected)
        try collectAncestors(of: before, into: &affected)
        for id in affected {
            // A circle is cut elsewhere now: what hung there hangs somewhere else.
            guard try settle(id), id != run.id else { continue }
            try noteMoved(id)
            if case .some(let parent?) = try parent(of: id) { try noteMoved(parent) }
        }
    }

    /// What stood under an ID stands elsewhere now: the follower looks at it again.
    func noteMoved(_ id: String) throws {
        try db.cachedStatement(sql: "INSERT INTO dirty VALUES (?,?) ON CONFLICT DO NOTHING").execute(arguments: [project.number, id])
    }

    /// Answers whether the link changed.
    private func settle(_ id: String) throws -> Bool {
        guard case .some(let parent) = try parent(of: id) else { return false }
        let link = try link(of: id, naming: parent)
        let update = try hot(.setLink)
        update.bind(project.number)
        update.bind(id)
        update.bind(link.rawValue)
        return try update.run() > 0
    }

    private func link(of id: String, naming parent: String?) throws -> ParentLink {
        try ParentLinks.link(of: id, naming: parent, messageExists: messageExists, parentOfRun: self.parent(of:))
    }

    /// The same of a run that nothing hangs under: no circle goes through it, so its siblings' links are its own.
    private func linkOfLeaf(_ id: String, naming parent: String?) throws -> ParentLink {
        guard let latest, let parent, !parent.hasSameBytes(as: id) else { return try link(of: id, naming: parent) }
        if let known = latest.link, known.project == project, known.parent.hasSameBytes(as: parent) { return known.found }
        let found = try link(of: id, naming: parent)
        latest.link = (project, parent, found)
        return found
    }

    private func collectAncestors(of parent: String?, into found: inout Set<String>) throws {
        var current = parent
        while let id = current, found.count < ParentLinks.maximumDepth, found.insert(id).inserted {
            current = try self.parent(of: id) ?? nil
        }
    }

    /// nil: no such run. `.some(nil)`: it names no parent.
    private func parent(of id: String) throws -> String?? {
        let read = try hot(.readParent)
        read.bind(project.number)
        read.bind(id)
        return try read.first { $0.text(0) }
    }

    private func children(of id: String) throws -> [String] {
        let read = try hot(.childrenOfRun)
        read.bind(project.number)
        read.bind(id)
        return try read.all { $0.text(0) ?? "" }
    }

    private func messageExists(_ id: String) throws -> Bool {
        let find = try hot(.findMessage)
        find.bind(project.number)
        find.bind(id)
        return try find.first { _ in true } ?? false
    }
}
