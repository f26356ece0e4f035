import Conversations
import Events
import Foundation
import Logging
import TestKit
import Testing
@testable import PostgresStore
@testable import SQLiteStore

/// The two stores, side by side.
@Suite("PostgreSQL store, reading")
struct ReadingTests {
    /// Everything that can be asked of what `MadeUp` makes.
    private static let filters: [(name: String, filter: ThreadFilter)] = {
        var filters: [(String, ThreadFilter)] = []
        func filter(_ name: String, _ narrow: (inout ThreadFilter) -> Void) {
            var filter = ThreadFilter()
            narrow(&filter)
            filters.append((name, filter))
        }
        filter("all") { _ in }
        for user in ["u0", "u1", "u2", "nobody"] { filter("user \(user)") { $0.user = user } }
        for tag in ["a0", "a1", "a2", "none"] { filter("tag \(tag)") { $0.tag = tag } }
        for role in Event.Role.allCases { filter("role \(role)") { $0.role = role } }
        for kind in [ThreadFilter.FeedbackKind.up, .down, .any, .none] { filter("feedback \(kind)") { $0.feedback = kind } }
        for seconds in [0.0, 20, 39] {
            filter("from \(seconds)") { $0.from = Sample.time(seconds) }
            filter("to \(seconds)") { $0.to = Sample.time(seconds) }
        }
        for status in [Event.ThreadPatch.Status.active, .inactive] { filter("\(status)") { $0.status = status } }
        for kind in ThreadFilter.ProvenanceKind.allCases { filter("provenance \(kind)") { $0.provenance = kind } }
        for state in ThreadFilter.RunState.allCases { filter("runs \(state)") { $0.runs = state } }
        for has in [true, false] {
            filter("error \(has)") { $0.hasError = has }
            filter("reviewed \(has)") { $0.isReviewed = has }
            filter("seen \(has)") { ($0.isSeen, $0.viewer) = (has, "mem_1") }
        }
        filter("any score") { $0.score = .any }
        filter("no score") { $0.score = ThreadFilter.ScoreCondition.none }
        for name in ["n0", "n1"] {
            filter("score \(name)") { $0.score = .named(name) }
            filter("category \(name)") { $0.score = .category(name, "c") }
            for comparison in ThreadFilter.Comparison.allCases {
                filter("score \(name) \(comparison)") { $0.score = .value(name, comparison, 0.5) }
            }
        }
        for words in ["hello", "HELL", "grüße", "gruße 😀", "e\u{301}", "answer 1", "ans", "nothing"] {
            filter("words \(words)") { $0.words = words }
        }
        filter("several") { ($0.user, $0.feedback, $0.words) = ("u1", .any, "hello") }
        filter("several more") { ($0.tag, $0.role, $0.status) = ("a1", .assistant, .active) }
        return filters
    }()

    private static let ids: [String] = {
        let ids = (0..<8).flatMap { [Sample.id($0), "run-\($0)", "run-\($0):answer"] } + (0..<4).map { "t-\($0)" } + ["unknown"]
        return ids + ids.map { MadeUp.name(of: $0) } + (0..<30).map { "co-\($0)" }
    }()

    @Test("any events are read as SQLite reads them, whichever way and however narrowed", arguments: 1...8)
    func likeSQLite(seed: Int) async throws {
        let folder = NSTemporaryDirectory() + "parley-twin-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let embedded = try SQLiteStore(directory: folder, logger: Logger(label: "test"))
        try await withStore({ $0.partitions = 2 }) { shared in
            var settings = Project.Settings()
            settings.scoring = Project.Scoring.allCases[seed % Project.Scoring.allCases.count]
            settings.inactiveAfterSeconds = 100
            let project = try await embedded.createProject(named: "a", settings: settings)
            let twin = try await shared.createProject(named: "a", settings: settings)
            #expect(project.number == twin.number)
            var made = MadeUp(seed: UInt64(seed))
            for _ in 0..<40 {
                let batch = (0..<(1 + made.number(6))).map { _ in made.delivery(project.number) }
                let expected = try await embedded.append(batch)
                #expect(try await shared.append(batch) == expected)
                // Facts and views follow at any time.
                if made.chance(20) { try await catchUp(embedded, shared) }
            }
            for store in [embedded, shared] as [any Store] {
                for number in 0..<4 {
                    try await store.markSeen("t-\(number)", by: "mem_1", at: Sample.time(Double(number * 12)), in: project.number)
                }
                _ = try await store.markReviewed("t-1", by: "Ann", at: Sample.time(60), in: project.number)
                _ = try await store.markReviewed("t-2", by: "Ann", at: Sample.time(3), in: project.number)
            }
            try await compare(embedded, shared, project)
            try await catchUp(embedded, shared)
            try await compare(embedded, shared, project)
        }
        try embedded.close()
    }

    private func catchUp(_ embedded: SQLiteStore, _ shared: PostgresStore) async throws {
        while try await embedded.indexNext() > 0 {}
        while try await embedded.followNext() > 0 {}
        while try await embedded.viewNext() {}
        try await shared.catchUpForTests()
    }

    private func compare(_ embedded: SQLiteStore, _ shared: PostgresStore, _ project: Project) async throws {
        for (index, now) in [Sample.time(50), Sample.time(125), Sample.time(1000)].enumerated() {
            // When it is asked changes what is active, and nothing else.
            for (name, filter) in Self.filters where index == 0 || filter.status != nil || name == "all" {
                let expected = try await list(embedded, project, filter, now)
                same(try await list(shared, project, filter, now), expected, "\(name) at \(now)")
            }
        }
        let number = project.number
        for id in Self.ids {
            for limit in [3, 200] {
                let expected = try await conversation(embedded, id, project, limit)
                same(try await conversation(shared, id, project, limit), expected, "conversation \(id), \(limit) a page")
            }
            let message = try await embedded.message(id, in: number)
            #expect(try await shared.message(id, in: number) == message, "message \(id)")
            let run = try await embedded.run(id, in: number)
            let found = try await shared.run(id, in: number)
            #expect(found?.node == run?.node && found?.message == run?.message, "run \(id)")
            let feedback = try await embedded.feedback(on: id, in: number)
            #expect(try await shared.feedback(on: id, in: number) == feedback, "feedback on \(id)")
            let projects = try await embedded.projectOfRun(id)
            #expect(try await shared.projectOfRun(id) == projects)
            let thread = try await embedded.threadOf(target: id, in: number)
            #expect(try await shared.threadOf(target: id, in: number) == thread, "thread of \(id)")
            let author = try await embedded.authorOfComment(id, in: number)
            #expect(try await shared.authorOfComment(id, in: number) == author)
        }
        for filter in [
            RunFilter(), RunFilter(thread: "t-1"), RunFilter(before: "run-5"), RunFilter(before: "run-6", thread: "t-2"),
            RunFilter(under: "run-1"), RunFilter(under: Sample.id(3)),
        ] {
            for limit in [2, 100] {
                let runs = try await embedded.runs(in: number, matching: filter, limit: limit)
                #expect(try await shared.runs(in: number, matching: filter, limit: limit) == runs, "\(filter)")
            }
        }
        let log = try await embedded.events(after: 0, in: nil, limit: 10_000)
        for found in [
            try await shared.events(after: 0, in: nil, limit: 10_000), try await shared.events(after: 0, in: number, limit: 10_000),
        ] {
            #expect(found.map(\.event) == log.map(\.event) && found.map(\.receivedAt) == log.map(\.receivedAt))
            #expect(found.map(\.source) == log.map(\.source) && found.map(\.sequence) == found.map(\.sequence).sorted())
        }
        let last = try await shared.lastSequence()
        #expect(try await shared.events(after: last, in: nil, limit: 10).isEmpty)
        for type in ["event", "run", "queue"] {
            let events = try await embedded.events(ofType: type, in: number).map(\.event)
            #expect(try await shared.events(ofType: type, in: number).map(\.event) == events)
        }
        let pending = try await embedded.pendingLinks(in: number)
        #expect(try await shared.pendingLinks(in: number) == pending)
        let (tags, names) = (try await embedded.tags(in: number), try await embedded.scoreNames(in: number))
        let (foundTags, foundNames) = (try await shared.tags(in: number), try await shared.scoreNames(in: number))
        #expect(foundTags.map(\.tag) == tags.map(\.tag) && foundTags.map(\.count) == tags.map(\.count))
        #expect(foundNames.map(\.name) == names.map(\.name) && foundNames.map(\.count) == names.map(\.count))
        for summary in try await list(shared, project, ThreadFilter(), Sample.time(50), keepsNumbers: true) {
            let found = try await shared.thread(number: summary.number)
            #expect(found?.project == number && found?.id == summary.id)
        }
    }

    /// Records what is told otherwise, line by line.
    private func same<Answer: Equatable>(_ found: Answer, _ expected: Answer, _ name: String, at place: SourceLocation = #_sourceLocation) {
        guard found != expected else { return }
        func lines(_ answer: Answer) -> [String] {
            var text = ""
            dump(answer, to: &text)
            return text.split(separator: "\n").map { String($0) }
        }
        let difference = lines(found).difference(from: lines(expected))
        let differences = (difference.removals.prefix(20) + difference.insertions.prefix(20)).map { change in
            switch change {
            case .insert(let line, let text, _): "+\(line): \(text)"
            case .remove(let line, let text, _): "-\(line): \(text)"
            }
        }
        Issue.record("\(name):\n\(differences.joined(separator: "\n"))", sourceLocation: place)
    }

    /// The list, page by page; without numbers, which need not be the same, and what is of one time by name, since numbers part it.
    private func list(
        _ store: any Store, _ project: Project, _ filter: ThreadFilter, _ now: Timestamp, keepsNumbers: Bool = false
    ) async throws -> [ThreadSummary] {
        var found: [ThreadSummary] = []
        var cursor: String?
        repeat {
            let page = try await store.threads(in: project, matching: filter, limit: 3, after: cursor, now: now)
            #expect(!page.isPartial)
            found += page.items
            cursor = page.next
        } while cursor != nil
        guard !keepsNumbers else { return found }
        #expect(found.map(\.lastAt) == found.map(\.lastAt).sorted(by: >))
        for index in found.indices { found[index].number = 0 }
        return found.sorted { ($0.lastAt, $1.id) > ($1.lastAt, $0.id) }
    }

    private func conversation(_ store: any Store, _ id: String, _ project: Project, _ limit: Int) async throws -> [Conversation] {
        var pages: [Conversation] = []
        var cursor: String?
        repeat {
            guard var page = try await store.conversation(id, in: project, limit: limit, after: cursor, now: Sample.time(60)) else { break }
            cursor = page.next
            page.thread.number = 0
            pages.append(page)
        } while cursor != nil
        return pages
    }
}
