import Conversations
import Events
import Foundation
import GRDB
import Logging
import TestKit
import Testing
@testable import SQLiteStore

/// How SQLite runs the list, whatever it is narrowed to.
@Suite("Plans of the list")
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

    @Test("no filter reads a table from end to end")
    func plans() async throws {
        let directory = NSTemporaryDirectory() + "parley-plans-" + UUID().uuidString
        let store = try SQLiteStore(directory: directory, logger: Logger(label: "test"))
        let project = try await store.createProject(named: "test", settings: .init())
        for (name, filter) in Self.filters {
            let query = ThreadQuery(filter, project: project, now: Sample.time(20))
            var statements = [query.statement(from: nil, after: nil, limit: 50).sql]
            for driver in query.drivers { statements += [query.statement(from: driver, after: nil, limit: 50).sql, driver.sql] }
            for plan in try await store.plansForTests(of: statements) {
                for table in ["t", "thread", "event", "e", "run", "vote", "v", "score", "s", "fact", "f", "r"] {
                    #expect(
                        !plan.split(separator: "; ").contains { $0 == "SCAN \(table)" || $0.hasPrefix("SCAN \(table) ") },
                        "\(name): \(plan)")
                }
            }
            // The walk is in the order of the list: nothing is sorted.
            let walk = try await store.plansForTests(of: [statements[0]])[0]
            #expect(!walk.contains("TEMP B-TREE"), "\(name): \(walk)")
        }
        let others = try await store.plansForTests(of: [
            ThreadQuery.matches, ThreadQuery.matchesWithTexts, SQLiteStore.latestOfEach, SQLiteStore.latestOfEachMatching,
            SQLiteStore.latestOfThese, SQLiteStore.people, SQLiteStore.oneOfMany, SQLiteStore.peopleMatching, SQLiteStore.countsOfUser,
            SQLiteStore.votesOfUser,
            OverviewReader.conversations, OverviewReader.votes, OverviewReader.counts, Follower.replies, Follower.subjects, Follower.turned,
            Follower.places, ConversationReader.predecessor,
            ConversationReader.nextItem, Targets.threadOfTurn,
        ])
        for plan in others {
            for table in ["t", "thread", "event", "e", "run", "vote", "v", "score", "figure", "p", "person"] {
                #expect(!plan.split(separator: "; ").contains { $0 == "SCAN \(table)" || $0.hasPrefix("SCAN \(table) ") }, "\(plan)")
            }
        }
        // The project alone is no key.
        for plan in try await store.plansForTests(of: [ConversationReader.tagsOfThread, ConversationReader.commentsOnTargets]) {
            #expect(!plan.contains("(project=?)"), "\(plan)")
        }
        try store.close()
        try FileManager.default.removeItem(atPath: directory)
    }

    /// `PARLEY_BIG=100000` threads of ten messages; prints how long each filter takes. `PARLEY_BIG_DIRECTORY`: kept and used again.
    @Test("answers fast among very many threads", .enabled(if: ProcessInfo.processInfo.environment["PARLEY_BIG"] != nil))
    func big() async throws {
        let environment = ProcessInfo.processInfo.environment
        let count = Int(environment["PARLEY_BIG"]!) ?? 100_000
        let directory = environment["PARLEY_BIG_DIRECTORY"] ?? NSTemporaryDirectory() + "parley-big-" + UUID().uuidString
        let store = try SQLiteStore(directory: directory, logger: Logger(label: "test"))
        var project: Project! = try await store.projects().first
        if project == nil {
            project = try await store.createProject(named: "big", settings: .init())
            for first in stride(from: 0, to: count, by: 100) {
                let events = (first..<min(first + 100, count)).flatMap { Self.conversation($0, of: count) }
                _ = try await store.append([Sample.delivery(events, project: project.number)])
            }
        }
        while try await store.indexNext(2000) > 0 {}
        while try await store.followNext(1000) > 0 {}
        while try await store.viewNext() {}
        for (name, filter) in Self.filters {
            var times: [Double] = []
            var found = 0
            for _ in 0..<5 {
                let start = ContinuousClock.now
                found = try await store.threads(in: project, matching: filter, limit: 50, after: nil, now: Sample.time(600)).items.count
                times.append((ContinuousClock.now - start) / .milliseconds(1))
            }
            print("BIG \(name): \(found) in \(times.sorted().map { String(format: "%.1f", $0) }) ms")
        }
        for (name, work) in [
            ("users", { _ = try await store.users(in: project.number, matching: nil, limit: 50, after: nil) }),
            ("users, part", { _ = try await store.users(in: project.number, matching: "99", limit: 50, after: nil) }),
            (
                "overview",
                {
                    _ = try await store.overview(
                        in: project.number, from: Sample.time(-90 * 86_400), to: Sample.time(600), offsetMinutes: 60)
                }
            ),
            ("standing", { _ = try await store.standing(of: project.number) }),
        ] as [(String, () async throws -> Void)] {
            let start = ContinuousClock.now
            try await work()
            print("BIG \(name): \(ContinuousClock.now - start)")
        }
        try store.close()
        if environment["PARLEY_BIG_DIRECTORY"] == nil { try FileManager.default.removeItem(atPath: directory) }
    }

    private static func conversation(_ number: Int, of count: Int) -> [Event] {
        let start = Double(number - count) * 60
        var events: [Event] = (0..<10).map { index in
            Sample.message(
                Sample.id(number * 10 + index), thread: "t-\(number)", role: index % 2 == 0 ? .user : .assistant,
                "hello number \(number) of \(index)" + (number % 5000 == 0 ? " zebra" : ""), at: start + Double(index),
                user: "u\(number % 20_000)",
                tags: index == 0 ? [number % 1000 == 0 ? "rare" : "often"] : [])
        }
        if number % 3 == 0 { events.append(Sample.runStart("run-\(number)", parent: Sample.id(number * 10), at: start)) }
        if number % 500 == 0 { events.append(Sample.message("tool-\(number)", thread: "t-\(number)", role: .tool, at: start + 3)) }
        if number % 4 == 0 {
            events.append(Sample.feedback("fb-\(number)", on: Sample.id(number * 10 + 1), number % 8 == 0 ? .up : .down, at: start))
        }
        events.append(
            Event(
                id: "s-\(number)", at: Sample.time(start + 30),
                body: .score(.init(target: "t-\(number)", name: "quality", value: Double(number) / Double(count)))))
        return events
    }
}
