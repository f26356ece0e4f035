import Conversations
import Events
import Foundation
import Logging
import TestKit
import Testing
@testable import PostgresStore

/// How PostgreSQL runs what is read, whatever it is narrowed to.
@Suite("Plans of the list, PostgreSQL")
struct ListPlanTests {
    static let filters: [(name: String, filter: ThreadFilter)] = {
        func filter(_ name: String, _ narrow: (inout ThreadFilter) -> Void) -> (String, ThreadFilter) {
            var filter = ThreadFilter()
            narrow(&filter)
            return (name, filter)
        }
        return [
            filter("all") { _ in }, filter("user") { $0.user = "u7" }, filter("tag") { $0.tag = "rare" },
            filter("tag often") { $0.tag = "often" }, filter("user's words") { $0.role = .user }, filter("tool") { $0.role = .tool },
            filter("up") { $0.feedback = .up }, filter("down") { $0.feedback = .down }, filter("any vote") { $0.feedback = .any },
            filter("no vote") { $0.feedback = ThreadFilter.FeedbackKind.none }, filter("any score") { $0.score = .any },
            filter("no score") { $0.score = ThreadFilter.ScoreCondition.none }, filter("score") { $0.score = .named("quality") },
            filter("score rare") { $0.score = .value("quality", .below, 0.001) },
            filter("score often") { $0.score = .value("quality", .atLeast, 0.5) },
            filter("category") { $0.score = .category("kind", "spam") },
            filter("active") { $0.status = .active }, filter("inactive") { $0.status = .inactive },
            filter("verified") { $0.provenance = .verified }, filter("claimed") { $0.provenance = .claimed },
            filter("anonymous") { $0.provenance = .anonymous }, filter("confirmed") { $0.provenance = .confirmed },
            filter("differs") { $0.provenance = .differs }, filter("error") { $0.hasError = true },
            filter("no error") { $0.hasError = false },
            filter("orphan") { $0.runs = .orphan }, filter("pending") { $0.runs = .pending }, filter("reviewed") { $0.isReviewed = true },
            filter("unreviewed") { $0.isReviewed = false }, filter("seen") { ($0.isSeen, $0.viewer) = (true, "mem_1") },
            filter("unseen") { ($0.isSeen, $0.viewer) = (false, "mem_1") }, filter("from") { $0.from = Sample.time(-3600) },
            filter("to") { $0.to = Sample.time(-3600) }, filter("words") { $0.words = "hello" },
            filter("rare words") { $0.words = "zebra" },
            filter("error and tool and down") { ($0.hasError, $0.role, $0.feedback) = (true, .tool, .down) },
        ]
    }()

    @Test("nothing that is read walks through a large table", .timeLimit(.minutes(5)))
    func plans() async throws {
        try await withStore({ $0.partitions = 2 }) { store in
            let project = try await Many.fill(store, threads: 12_000, messages: 2)
            let large = Set(try await Self.largeTables(store))
            // All that this is about has something in it.
            for table in [
                "event", "thread", "thread_tag", "run", "vote", "score", "comment", "person", "fact", "search", "seen", "reviewed",
            ] {
                #expect(large.contains { $0 == table || $0.hasPrefix(table + "_") }, "\(table) is small")
            }
            for (name, statement) in try await Self.statements(store, project) {
                let plan = try await store.plan(of: statement)
                // What follows the commits asks for some hundred rows: other processes would only be waited for.
                #expect(!name.hasPrefix("next to") || !plan.contains("Gather"), "\(name):\n\(plan)")
                let lines = plan.split(separator: "\n").map { String($0) }
                for (line, next) in zip(lines, lines.dropFirst() + [""]) {
                    guard let table = Self.table(scannedIn: line), large.contains(table) else { continue }
                    #expect(!line.contains("Seq Scan"), "\(name):\n\(plan)")
                    // From end to end an index is no better, but where it is the order that is asked for, or has nothing else in it.
                    if !["next unviewed", "last received"].contains(name) {
                        #expect(next.contains("Index Cond"), "\(name):\n\(plan)")
                    }
                }
            }
            // The walk is in the order of the list: nothing is sorted.
            let walk = ThreadQuery(ThreadFilter(), project: project, now: Sample.time(20)).page(of: nil, after: nil, limit: 50)
            let plan = try await store.plan(of: walk)
            #expect(plan.contains("Index Only Scan Backward using thread_") && !plan.contains("Bitmap"), "\(plan)")
        }
    }

    /// The table that a line of a plan walks through: `Index Scan using run_0_pkey on run_0 r`.
    private static func table(scannedIn line: String) -> String? {
        guard line.contains("Seq Scan") || line.contains("Index Scan") || line.contains("Index Only Scan") else { return nil }
        return line.components(separatedBy: " on ").dropFirst().first.flatMap { $0.split(separator: " ").first.map(String.init) }
    }

    /// Tables, and parts of tables, in which a walk is felt.
    private static func largeTables(_ store: PostgresStore) async throws -> [String] {
        try await store.pool.read { db in
            try String.fetchAll(
                db,
                sql: """
                    SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND reltuples > 1000
                    """)
        }
    }

    /// All statements that reading is made of, with arguments as they come.
    private static func statements(
        _ store: PostgresStore, _ project: Project
    ) async throws -> [(name: String, statement: (sql: String, arguments: Arguments))] {
        var statements: [(String, (sql: String, arguments: Arguments))] = []
        let start = try ThreadQuery.Start("\(Sample.time(-3600).microseconds)~9")
        let numbers = try await store.pool.read { try Int64.fetchAll($0, sql: "SELECT number FROM thread ORDER BY number") }
        for (name, filter) in filters {
            let query = ThreadQuery(filter, project: project, now: Sample.time(20))
            statements.append((name, query.page(of: nil, after: nil, limit: 50)))
            statements.append((name + ", next page", query.page(of: nil, after: start, limit: 50)))
            statements.append((name + ", of some", query.page(of: Array(numbers.prefix(10)), after: nil, limit: 50)))
            statements.append((name + ", of many", query.page(of: Array(numbers.prefix(8000)), after: nil, limit: 50)))
            for driver in query.drivers {
                statements.append((name + ", driver", ThreadQuery.bounded(driver).statement(in: project.number)))
            }
        }
        let one = project.number.number
        let ids = (0..<200).map { Sample.id($0 * 7) }
        let runs = (0..<200).map { "run-\($0 * 3)" }
        let names = (0..<50).map { "t-\($0 * 5)" }
        let threads = Array(numbers.prefix(50))
        // The columns of a fold, in their order: a number or a text, and whether there are turns.
        var folds: Arguments = []
        for kind in "nnnnntntntnttnttnt" {
            if kind == "n" { folds.append([Int64?](repeating: nil, count: 50)) } else { folds.append([String?](repeating: nil, count: 50)) }
        }
        folds.append([Bool](repeating: false, count: 50))
        folds.append(threads)
        typealias Reader = ConversationReader
        let others: [(String, String, Arguments)] = [
            ("thread of a name", Reader.threadOfName, [one, "t-7"]), ("items", Reader.items, [one, numbers[7], -1, "", 100]),
            ("excerpts", Reader.excerpts, [one, ids]), ("votes in threads", Reader.votesInThreads, [one, threads]),
            ("tags", Reader.tagsOfThreads, [one, threads]), ("props", Reader.propsOfPeople, [one, (0..<50).map { "u\($0)" }]),
            ("facts", Reader.factsInThreads, [one, threads, 1, 5]), ("reviews", Reader.reviewsOfThreads, [one, threads]),
            ("sights", Reader.sightsOfThreads, [one, threads, "mem_1"]), ("votes", Reader.votesOnTargets, [one, ids]),
            ("scores", Reader.scoresOnTargets, [one, names]), ("comments", Reader.commentsOnTargets, [one, ids]),
            ("runs under", Reader.tree, [one, ids, ids, 5000]), ("runs of a thread", Reader.treeOfThread, [one, numbers[3], 5000]),
            ("links", Reader.links, [one, runs]), ("parts", EventRows.ofRuns, [one, runs]),
            ("ancestry", Reader.ancestry, [one, "run-3", 64]),
            ("message", EventRows.ofMessage, [one, Sample.id(3)]), ("messages among", Reader.messagesAmong, [one, runs]),
            ("thread of a run", Reader.threadOfRun, [one, "run-3"]), ("thread of a message", Reader.threadOfMessage, [one, Sample.id(3)]),
            ("predecessors", Reader.predecessors, [one, ids, Array(numbers.prefix(200)), ids.map { _ in Sample.noon.microseconds }]),
            ("next item", Reader.nextItem, [one, numbers[7], 0]), ("other answers", Reader.otherAnswers, [one, Sample.id(3), "x"]),
            ("runs", Reader.runs(isBelow: false, isOfThread: false), [one, 100]),
            ("runs below", Reader.runs(isBelow: true, isOfThread: false), [one, 100, "run-5"]),
            ("runs of a thread by themselves", Reader.runs(isBelow: true, isOfThread: true), [one, 100, "run-5", "t-3"]),
            ("log", PostgresStore.log, [100, 1_000_000, 500]),
            ("log of a project", PostgresStore.logOfProject, [one, 100, 1_000_000, 500]),
            ("queues", PostgresStore.ofType("type = 'queue'"), [one]), ("pending", PostgresStore.pendingLinks, [one]),
            ("project of a run", PostgresStore.projectsOfRun, ["run-3"]),
            ("thread of a number", PostgresStore.threadByNumber, [numbers[3]]),
            ("next to index", SearchText.next, [100, 1_000_000, 256, 1 << 24]), ("newest word", SearchReader.newest, [one]),
            ("a word", SearchReader.matches, [one, "'\(SearchText.scope(project.number))'&'zebra'", Int64.min, Int64.max, 2001]),
            ("threads of words", SearchReader.threadsOfMatches, [one, Array(1...2000)]),
            ("texts of words", SearchReader.textsOfMatches, [one, Array(1...250)]),
            ("users", PostgresStore.latestOfEach, [one, 51, Int64.max, Int64.max]),
            ("users, next page", PostgresStore.latestOfEach, [one, 51, Sample.time(-3600).microseconds, 9]),
            ("users with a common word", PostgresStore.latestOfEachMatching, [one, 51, Int64.max, Int64.max, "u"]),
            ("people", PostgresStore.people, [one]), ("one of many people", PostgresStore.oneOfMany, [one, 2000]),
            ("people with a word", PostgresStore.peopleMatching, [one, 2001, "u7"]),
            ("users with a word", PostgresStore.latestOfThese, [one, 51, Int64.max, Int64.max, (0..<50).map { "u\($0)" }]),
            ("counts of a user", PostgresStore.countsOfUser, [one, "u7"]), ("votes of a user", PostgresStore.votesOfUser, [one, "u7"]),
            ("props of a user", PostgresStore.propsOfUser, [one, "u7"]), ("times of a user", PostgresStore.timesOfUser, [one, 7]),
            ("changes", PostgresStore.changesAfter, [100, 1_000_000, 500]),
            ("last received", PostgresStore.lastReceived, [one]), ("last stored", PostgresStore.lastStored, [one]),
            ("places of runs", RunPlaces.ancestry, [one, runs]), ("messages of runs", RunPlaces.messages, [one, runs]),
            ("next to follow", Follower.next, [100, 1_000_000, 512]), ("turned", Follower.turned, [one, threads]),
            ("replies", Follower.replies, [one, ids]), ("answers", Follower.places, [one, ids]),
            ("messages of", Follower.messagesOf, [one, ids]), ("scored threads", Follower.scoredThreads, [one, threads]),
            ("threads of", Follower.threadsOf, [one, threads]), ("names among", Follower.namesAmong, [one, ids]),
            ("facts standing", FactRows.standing, [one, runs]), ("threads there", FactRows.threads, [one, threads]),
            ("counted", FigureRows.countedOf, [one, runs.map { "r:" + $0 }]),
            ("threads that changed", ThreadRows.update, [one, threads, names] + folds),
            ("next unviewed", PostgresStore.nextUnviewed, []), ("newer", PostgresStore.hasNewer, [one, numbers[7], 1_000_000]),
            ("items to erase", Eraser.items, [one, threads, 500]), ("runs to erase", Eraser.runsOfThreads, [one, threads, 500]),
            ("beside to erase", Eraser.beside, [one, threads, 500]), ("of a person", Eraser.ofPerson, [one, 7, 500]),
            ("left in a thread", Eraser.leftInThread, [one, numbers[7]]),
            ("days", OverviewReader.conversations, [one, Sample.time(-7200).microseconds, Sample.time(0).microseconds, 0]),
            ("votes by day", OverviewReader.votes, [one, Sample.time(-7200).microseconds, Sample.time(0).microseconds, 0]),
        ]
        return statements + others.map { ($0.0, ($0.1, $0.2)) }
    }

    /// `PARLEY_BIG=100000` threads of ten messages; prints how long each filter takes.
    @Test("answers fast among very many threads", .enabled(if: ProcessInfo.processInfo.environment["PARLEY_BIG"] != nil))
    func big() async throws {
        let count = Int(ProcessInfo.processInfo.environment["PARLEY_BIG"]!) ?? 100_000
        try await withStore { store in
            var began = ContinuousClock.now
            let project = try await Many.fill(store, threads: count, messages: 10)
            print("BIG filled in \(ContinuousClock.now - began)")
            for (name, filter) in Self.filters {
                var times: [Double] = []
                var found = 0
                for _ in 0..<7 {
                    began = .now
                    found = try await store.threads(in: project, matching: filter, limit: 50, after: nil, now: Sample.time(600)).items.count
                    times.append((ContinuousClock.now - began) / .milliseconds(1))
                }
                print("BIG \(name): \(found) in \(times.sorted().map { String(format: "%.1f", $0) }) ms")
            }
            began = .now
            _ = try await store.conversation("t-77", in: project, limit: 50, after: nil, now: Sample.time(600))
            print("BIG conversation: \(ContinuousClock.now - began)")
        }
    }
}

extension PostgresStore {
    /// How the server would run a statement with these arguments.
    fileprivate func plan(of statement: (sql: String, arguments: Arguments)) async throws -> String {
        try await pool.read { db in
            try String.fetchAll(db, sql: "EXPLAIN (COSTS OFF) " + statement.sql, arguments: statement.arguments).joined(
                separator: "\n")
        }
    }
}

/// Very many threads, in two projects.
enum Many {
    static func fill(_ store: PostgresStore, threads count: Int, messages: Int) async throws -> Project {
        let project = try await store.createProject(named: "big", settings: .init())
        let other = try await store.createProject(named: "other", settings: .init())
        for first in stride(from: 0, to: count, by: 200) {
            let numbers = first..<min(first + 200, count)
            _ = try await store.append([
                Sample.delivery(numbers.flatMap { conversation($0, of: count, messages) }, project: project.number),
                Sample.delivery(numbers.filter { $0 % 10 == 0 }.flatMap { conversation($0, of: count, messages) }, project: other.number),
            ])
        }
        try await store.catchUpForTests()
        _ = try await store.pool.write { db in
            // Marks of every third.
            try db.execute("INSERT INTO seen SELECT project, number, 'mem_1', last_at FROM thread WHERE number % 3 = 0")
            try db.execute("INSERT INTO reviewed SELECT project, number, 'Ann', last_at FROM thread WHERE number % 3 = 1")
        }
        _ = try await store.pool.withoutTransaction { try $0.execute("VACUUM ANALYZE") }
        return project
    }

    private static func conversation(_ number: Int, of count: Int, _ messages: Int) -> [Event] {
        let start = Double(number - count) * 60
        var events: [Event] = (0..<messages).map { index in
            Sample.message(
                Sample.id(number * 10 + index), thread: "t-\(number)", role: index % 2 == 0 ? .user : .assistant,
                "hello number \(number) of \(index)" + (number % 5000 == 0 ? " zebra" : ""), at: start + Double(index),
                user: "u\(number % 20_000)",
                tags: index == 0 ? [number % 1000 == 0 ? "rare" : "often"] : [])
        }
        if number % 3 == 0 {
            var start = Sample.runStart("run-\(number)", parent: number % 6 == 0 ? Sample.id(number * 10) : "absent-\(number)", at: start)
            start.thread = "t-\(number)"
            events += [start, Sample.runEnd("run-\(number)", at: Double(number - count) * 60 + 1)]
        }
        if number % 500 == 0 { events.append(Sample.message("tool-\(number)", thread: "t-\(number)", role: .tool, at: start + 3)) }
        if number % 4 == 0 {
            events.append(Sample.feedback("fb-\(number)", on: Sample.id(number * 10 + 1), number % 8 == 0 ? .up : .down, at: start))
            events.append(
                Event(id: "co-\(number)", at: Sample.time(start), body: .comment(.init(target: Sample.id(number * 10), text: "look"))))
        }
        events.append(
            Event(
                id: "s-\(number)", at: Sample.time(start + 30),
                body: .score(.init(target: "t-\(number)", name: "quality", value: Double(number) / Double(count)))))
        return events
    }
}
