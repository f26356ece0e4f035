import Conversations
import Events
import Foundation
import GRDB
import Logging
import TestKit
import Testing
@testable import SQLiteStore

@Suite("SQLite store")
struct SQLiteStoreTests {
    let directory = NSTemporaryDirectory() + "parley-store-" + UUID().uuidString
    let store: SQLiteStore

    init() throws { store = try SQLiteStore(directory: directory, logger: Logger(label: "test")) }

    private func withProject(_ body: (Project) async throws -> Void) async throws {
        let project = try await store.createProject(named: "test", settings: .init())
        try await body(project)
        try store.close()
        try FileManager.default.removeItem(atPath: directory)
    }

    @Test("keeps the contract of every store", arguments: StoreContract.all)
    func contract(_ clause: StoreContract.Clause) async throws {
        try await withProject { try await clause.holds(for: store, in: $0) }
    }

    @Test("commits with synchronous=FULL, whatever the pool set when it opened")
    func synchronous() async throws {
        try await withProject { _ in
            let checks = try await store.examine()
            #expect(checks.count == 3)
            for check in checks { #expect(check.isFine, "\(check.check): \(check.detail)") }
        }
    }

    @Test("finds words in messages, in any script, and nothing of another project")
    func search() async throws {
        try await withProject { project in
            let other = try await store.createProject(named: "other", settings: .init())
            let texts = ["The refund never arrived", "你好，我想退货", "wie geht's \"quoted\" AND (OR)", "Çok güzel"]
            for (number, text) in texts.enumerated() {
                _ = try await store.append([
                    Sample.delivery([Sample.message(Sample.id(number), thread: "t-\(number)", text)], project: project.number)
                ])
            }
            _ = try await store.append([Sample.delivery([Sample.message(Sample.id(9), thread: "t-9", "refund")], project: other.number)])
            while try await store.indexNextForTests() > 0 {}
            func find(_ words: String) async throws -> [String] {
                var filter = ThreadFilter()
                filter.words = words
                return try await store.threads(in: project, matching: filter, limit: 10, after: nil, now: Sample.time(20)).items.map(\.id)
            }
            #expect(try await find("refund") == ["t-0"])
            #expect(try await find("arrived ref") == ["t-0"])
            #expect(try await find("退货") == ["t-1"])
            #expect(try await find("\"quoted\" AND (") == ["t-2"])
            #expect(try await find("guzel") == ["t-3"])
            #expect(try await find("nothing") == [])
            #expect(try await find("*") == [])
        }
    }

    @Test("what is typed as one is found in a row, and nowhere else")
    func phrases() async throws {
        try await withProject { project in
            let other = try await store.createProject(named: "other", settings: .init())
            let texts = [
                "I don't know; order-1234, mail@shop.example", "t don order 1234", "退货我想", "我想退货", "Café-bar", "bar café",
                "a \u{10F70}b", "\u{E000}p\(other.number.number) refund", "e-mail",
                "Große Straße", "हिन्दी भाषा", "Cafe\u{301} ﬁnal İzmir ΟΔΟΣ",
            ]
            for (number, text) in texts.enumerated() {
                _ = try await store.append([
                    Sample.delivery([Sample.message(Sample.id(number), thread: "\(number)", text)], project: project.number)
                ])
            }
            let blocks = JSONText(trusted: Array(#"[{"type":"text","text":"shipped to"},{"type":"text","text":"B-17"}]"#.utf8))
            _ = try await store.append([
                Sample.delivery(
                    [
                        Event(
                            id: Sample.id(20), thread: "20", at: Sample.time(1),
                            body: .message(.init(role: .user, content: .blocks(blocks))))
                    ],
                    project: project.number)
            ])
            while try await store.indexNextForTests() > 0 {}
            func find(_ words: String, in project: Project) async throws -> [String] {
                var filter = ThreadFilter()
                filter.words = words
                return try await store.threads(in: project, matching: filter, limit: 20, after: nil, now: Sample.time(20)).items.map(\.id)
                    .sorted()
            }
            let expected: [(String, [String])] = [
                ("don't", ["0"]), ("DON'T know", ["0"]), ("order-1234", ["0", "1"]), ("order-123", ["0", "1"]), ("order-12", []),
                ("mail@shop.example", ["0"]), ("mail@shop", ["0"]), ("example.shop", []), ("想退", ["3"]), ("退货 我想", ["2", "3"]),
                ("cafe-bar", ["4"]), ("CAFÉ-B", []), ("cafe bar", ["4", "5"]), ("e-mail", ["8"]), ("e-ma", []), ("b-17", ["20"]),
                ("b-18", []), ("a\u{10F70}b", []), ("\u{E000}p\(project.number.number)", []), ("refund", ["7"]), ("-", []),
                ("straße", ["9"]), ("GROSSE", []), ("große-straße", ["9"]), ("straß", ["9"]), ("हिन्दी", ["10"]), ("भाषा", ["10"]),
                ("cafe\u{301}", ["11", "4", "5"]), ("ﬁnal", ["11"]), ("İzmir", ["11"]), ("οδος", ["11"]), ("''", []),
            ]
            for (words, threads) in expected { #expect(try await find(words, in: project) == threads, "\(words)") }
            #expect(try await find("refund", in: other) == [])
        }
    }

    @Test("drops what quarantine has no room for, and says so")
    func quarantineBounds() async throws {
        var configuration = SQLiteStore.Configuration()
        configuration.maximumQuarantineItems = 2
        let small = try SQLiteStore(directory: directory + "-small", configuration: configuration, logger: Logger(label: "test"))
        let project = try await small.createProject(named: "test", settings: .init())
        let asides = (0..<3).map {
            SetAside(id: "\($0)", type: "message", refusal: Refusal(.weakID), payload: JSONText(trusted: Array("{\"n\":\($0)}".utf8)))
        }
        let verdicts = try await small.append([Sample.delivery([], project: project.number, setAside: asides)])[0]
        #expect(verdicts.map(\.name) == [.quarantined, .quarantined, .dropped])
        #expect(verdicts[2].refusal?.reason == .quarantineFull)
        try await StoreContract.law(small, project)
    }

    @Test("says what to do about a file that is no database")
    func brokenFile() throws {
        let folder = directory + "-broken"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try Data(repeating: 0x41, count: 8192).write(to: URL(fileURLWithPath: folder + "/parley.sqlite"))
        #expect(throws: SQLiteStore.OpenFailure.self) { try SQLiteStore(directory: folder, logger: Logger(label: "test")) }
    }

    @Test("reads use an index: no query of the hot routes scans a table")
    func queryPlans() async throws {
        try await withProject { project in
            let plans = try await store.plansForTests(of: [
                "SELECT t.* FROM thread t WHERE t.project = 1 ORDER BY t.last_at DESC, t.number DESC LIMIT 50",
                "SELECT 1 FROM event WHERE project = 1 AND id = 'x' AND space = 0 AND part = x''",
                """
                SELECT * FROM event e WHERE e.project = 1 AND e.thread = 1
                    AND \(EventRows.isItem("e."))
                    AND (e.at > 1 OR (e.at = 1 AND e.id > 'x')) ORDER BY e.at, e.id LIMIT 10
                """,
                "SELECT id FROM run WHERE project = 1 AND parent = 'x'", RunLinks.awaiting,
                "UPDATE vote SET thread = 1 WHERE project = 1 AND target = 'x' AND thread IS NOT 1",
            ])
            for plan in plans { #expect(!plan.replacing("SCAN CONSTANT ROW", with: "").contains("SCAN"), "\(plan)") }
            // The project alone is no key: a large one would be read whole for each event.
            let narrow = try await store.plansForTests(of: [
                RunLinks.runAwaits, RunLinks.voteAwaits, RunLinks.scoreAwaits, RunLinks.noteAwaits, RunLinks.traceAwaits,
                RunLinks.bindWaiting, RunLinks.tracesOfRun,
                RunLinks.runsOfTrace,
                "SELECT trace FROM message_trace WHERE project = ? AND message = ?",
                "UPDATE run SET parent = ? WHERE project = ? AND parent = ?",
                "UPDATE run SET fallback = ? WHERE project = ? AND fallback = ?",
                "UPDATE OR IGNORE message_trace SET message = ? WHERE project = ? AND message = ?",
                "UPDATE OR IGNORE run_trace SET run = ? WHERE project = ? AND run = ?",
                "UPDATE comment SET target = ? WHERE project = ? AND target = ?",
                "UPDATE OR IGNORE event SET id = ? WHERE project = ? AND id = ? AND space IN (0, 1)",
                "SELECT id FROM run WHERE project = ? AND fallback IN (SELECT value FROM json_each(?))",
                "SELECT id FROM alias WHERE project = ? AND name = ?",
            ])
            for plan in narrow { #expect(!plan.contains("(project=?)"), "\(plan)") }
        }
    }
}
