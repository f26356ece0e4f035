import Conversations
import Events
import Foundation
import GRDB
import Logging
import TestKit
import Testing
@testable import SQLiteStore

/// Folders of earlier versions, opened by this one. `Frozen/rows.json` has the rows of a store that was used; each version gets those of
/// its tables and columns, and this program must read out of them what stood there.
@Suite("Upgrades")
struct UpgradeTests {
    static let earlier = 1...5
    static let frozen = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Frozen/rows.json")
    let directory = NSTemporaryDirectory() + "parley-upgrade-" + UUID().uuidString

    /// What was said, in the words that the rows have too.
    static let talk: [Event] = {
        var answer = Sample.message(Sample.id(2), role: .assistant, "The refund is on its way", at: 2)
        if case .message(var message) = answer.body {
            message.replyTo = Sample.id(1)
            answer.body = .message(message)
        }
        var failed = Sample.runEnd("run-2", at: 4)
        if case .run(var part) = failed.body {
            part.success = false
            part.error = "\"timeout\""
            part.parent = "nobody-said-this"
            failed.body = .run(part)
        }
        return [
            Sample.message(Sample.id(1), "Where is my refund?", at: 1, user: "u1", tags: ["billing"]), answer,
            Sample.runStart("run-1", parent: Sample.id(1)), Sample.runEnd("run-1", output: "\"The refund is on its way\""), failed,
            Sample.feedback("fb-1", on: Sample.id(2), .up),
            Event(
                id: "score-1", at: Sample.time(5),
                body: .score(.init(target: Sample.id(2), name: "quality", value: 0.5, category: nil, reason: nil, author: "judge"))),
        ]
    }()
    static let guest = Sample.message(Sample.id(9), thread: "t-2", "Do you sell xylophones?", at: 6)
    static let remark = Event(
        id: "remark-1", at: Sample.time(7), body: .comment(.init(target: Sample.id(2), text: "well put", author: "Ann")))
    static let forgotten = Sample.message(Sample.id(20), thread: "t-3", "forget this", at: 8, user: "gone")
    static let aside = SetAside(id: "0", type: "message", refusal: Refusal(.weakID), payload: "{\"type\":\"message\",\"id\":\"0\"}")

    @Test("a folder of each earlier version is read as before, search and facts included", arguments: earlier)
    func upgrade(version: Int) async throws {
        try build(version)
        let store = try SQLiteStore(directory: directory, logger: Logger(label: "test"))
        try await store.catchUpForTests()
        let project = try #require(try await store.projects().first)
        #expect(project.name == "shop" && project.settings.origins == ["https://shop.example"])
        #expect(try await store.keys().map(\.lane).sorted { $0.rawValue < $1.rawValue } == [.public, .secret])

        // The conversation, and all that hangs on it.
        let now = Sample.time(20)
        let read = try #require(try await store.conversation("t-1", in: project, limit: 50, after: nil, now: now))
        #expect(read.items.map(\.event.id) == [Sample.id(1), Sample.id(2)] && read.thread.messageCount == 2)
        #expect(read.thread.user?.id == "u1" && read.thread.tags == ["billing"])
        #expect(read.items[0].runs.map(\.run.id) == ["run-1"] && read.items[0].runs.first?.run.output == "\"The refund is on its way\"")
        #expect(read.items[1].feedback.up == 1 && read.items[1].scores.map(\.name) == ["quality"])
        #expect(try await store.run("run-2", in: project.number)?.0.run.failed == true)

        // What lists are narrowed by.
        func threads(_ change: (inout ThreadFilter) -> Void = { _ in }) async throws -> [String] {
            var filter = ThreadFilter()
            change(&filter)
            return try await store.threads(in: project, matching: filter, limit: 10, after: nil, now: now).items.map(\.id)
        }
        #expect(try await threads() == ["t-2", "t-1"])
        #expect(try await threads { $0.words = "refund" } == ["t-1"])
        #expect(try await threads { $0.words = "xylophones" } == ["t-2"])
        #expect(try await threads { $0.user = "u1" } == ["t-1"])
        #expect(try await threads { $0.tag = "billing" } == ["t-1"])
        #expect(try await threads { $0.feedback = .up } == ["t-1"])
        #expect(try await threads { $0.score = .value("quality", .atMost, 0.5) } == ["t-1"])
        #expect(try await threads { $0.provenance = .anonymous } == ["t-2"])
        #expect(try await threads { $0.provenance = .verified } == ["t-1"])
        let day = try await store.overview(in: project.number, from: Sample.time(-3600), to: Sample.time(3600), offsetMinutes: 0).total
        #expect(day.messages == 3 && day.conversations == 2 && day.runs == 2 && day.errors == 1 && day.up == 1)
        #expect(try await store.users(in: project.number, matching: nil, limit: 10, after: nil).items.map(\.id) == ["u1"])
        #expect(try await store.quarantineCounts(in: project.number) == [.weakID: 1])
        try await StoreContract.law(store, project)

        // What it was said to hold, it holds: the same again is a duplicate, another under its ID a conflict, and new things are taken.
        func append(_ event: Event) async throws -> Verdict.Name? {
            try await store.append([Sample.delivery([event], project: project.number)])[0].first?.name
        }
        for event in Self.talk { #expect(try await append(event) == .duplicate, "\(event.id)") }
        #expect(try await append(Sample.message(Sample.id(1), "Something else", at: 1)) == .conflict)
        #expect(try await append(Sample.message(Sample.id(30), "Hello again", at: 9)) == .stored)
        if version >= 2 { #expect(read.items[1].comments.map(\.text) == ["well put"]) }
        if version >= 3 {
            #expect(try await append(Self.forgotten) == .dropped)
            #expect(try await store.members().map(\.name) == ["Ann"])
            #expect(try await store.audit(in: project.number, limit: 9, after: nil).items.map(\.action) == ["user.erase"])
        }
        for check in try await store.examine() { #expect(check.isFine, "\(check.check): \(check.detail)") }
        try store.close()
        try FileManager.default.removeItem(atPath: directory)
    }

    @Test("a backup of an earlier version stays of it", arguments: [2, 4])
    func backup(version: Int) throws {
        try build(version)
        try SQLiteStore.copy(directory: directory, to: directory + "/copy.sqlite") { _, _ in }
        let (original, copy) = (directory + "/" + SQLiteStore.fileName, directory + "/copy.sqlite")
        let contents = try SQLiteStore.contents(ofFile: copy, isThorough: true)
        #expect(contents.schema == version && contents.counts["event"] ?? 0 > 7)
        #expect(try SQLiteStore.contents(ofFile: original, isThorough: true) == contents)
        try FileManager.default.removeItem(atPath: directory)
    }

    @Test("a folder of a later version is left alone, and said to be one")
    func later() throws {
        try build(SQLiteStore.schema)
        let file = directory + "/" + SQLiteStore.fileName
        let queue = try DatabaseQueue(path: file)
        try queue.write { try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('1000')") }
        try queue.close()
        let failure = #expect(throws: SQLiteStore.OpenFailure.self) {
            try SQLiteStore(directory: directory, logger: Logger(label: "test"))
        }
        #expect(failure?.description.contains("newer Parley") == true)
        try FileManager.default.removeItem(atPath: directory)
    }

    // MARK: rows

    /// Makes a folder of a version, with the rows that are frozen, as far as the version has tables and columns for them.
    private func build(_ version: Int) throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let pool = try DatabasePool(path: directory + "/" + SQLiteStore.fileName)
        try Migrations.migrator.migrate(pool, upTo: String(version))
        let tables = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: Self.frozen)) as? [String: [[String: Any]]])
        try pool.write { db in
            // Keys are of projects.
            try db.execute(sql: "PRAGMA defer_foreign_keys = ON")
            for (table, rows) in tables.sorted(by: { $0.key < $1.key }) where try db.tableExists(table) {
                let columns = try Set(db.columns(in: table).map(\.name))
                if table == "control" { try db.execute(sql: "DELETE FROM control") }
                for row in rows {
                    // Remarks came with the second version.
                    if version < 2, row["type"] as? String == "comment" { continue }
                    let row = row.filter { columns.contains($0.key) && !($0.value is NSNull) }.sorted { $0.key < $1.key }
                    let values = row.map {
                        $0.value as? [String: String] == nil ? $0.value : Data(hex: ($0.value as! [String: String])["x"]!)
                    }
                    try db.execute(
                        sql:
                            "INSERT INTO \(table) (\(row.map(\.key).joined(separator: ","))) VALUES (\(row.map { _ in "?" }.joined(separator: ",")))",
                        arguments: StatementArguments(values)!)
                }
            }
        }
        try pool.close()
    }

    /// Writes the rows anew, out of a store of this version: only when a test of upgrades needs what they don't have. Rows that are
    /// derived beside the commits are left out, as in a folder whose server ended before it came to them.
    @Test("rows are frozen", .enabled(if: ProcessInfo.processInfo.environment["PARLEY_FREEZE"] != nil))
    func freeze() async throws {
        let store = try SQLiteStore(directory: directory, logger: Logger(label: "test"))
        var settings = Project.Settings()
        settings.origins = ["https://shop.example"]
        let project = try await store.createProject(named: "shop", settings: settings)
        for (number, lane) in Lane.allCases.enumerated() {
            try await store.insert(
                KeyRecord(
                    id: "key_\(lane.rawValue)", lane: lane, scope: .project, project: project.number,
                    digest: [UInt8](repeating: UInt8(number), count: 32),
                    shown: "\(lane.rawValue)…", label: nil, createdAt: Sample.noon, expiresAt: nil, revokedAt: nil))
        }
        try await store.insert(Member(id: "mem_1", name: "Ann", role: .admin, createdAt: Sample.noon))
        for event in Self.talk + [Self.remark, Self.forgotten] {
            _ = try await store.append([Sample.delivery([event], project: project.number)])
        }
        _ = try await store.append([Sample.delivery([Self.guest], project: project.number, lane: .public, setAside: [Self.aside])])
        _ = try await store.erase(user: "gone", in: project.number)
        try await store.note(AuditEntry(at: Sample.noon, by: "Ann", action: "user.erase"), in: project.number)
        let derived: Set<String> = [
            "search", "search_data", "search_idx", "search_docsize", "search_config", "search_content", "search_state", "follower", "dirty",
            "fact", "reply", "figure", "counted", "blank", "grdb_migrations", "sqlite_sequence",
        ]
        let rows = try await store.pool.read { db in
            var tables: [String: [[String: Any]]] = [:]
            for table in try String.fetchAll(db, sql: "SELECT name FROM sqlite_master WHERE type = 'table'") where !derived.contains(table)
            {
                tables[table] = try Row.fetchAll(db, sql: "SELECT * FROM \(table)").map { row in
                    Dictionary(
                        uniqueKeysWithValues: row.map { column, value in
                            switch value.storage {
                            case .null: (column, NSNull() as Any)
                            case .int64(let number): (column, number)
                            case .double(let number): (column, number)
                            case .string(let text): (column, text)
                            case .blob(let data): (column, ["x": data.map { String(format: "%02x", $0) }.joined()])
                            }
                        })
                }
            }
            return try JSONSerialization.data(withJSONObject: tables.filter { !$0.value.isEmpty }, options: [.sortedKeys, .prettyPrinted])
        }
        try FileManager.default.createDirectory(at: Self.frozen.deletingLastPathComponent(), withIntermediateDirectories: true)
        try rows.write(to: Self.frozen)
        try store.close()
    }
}

extension Data {
    fileprivate init(hex: String) {
        var digits = hex.utf8.makeIterator()
        self.init()
        while let high = digits.next(), let low = digits.next() {
            append(UInt8(Character(Unicode.Scalar(high)).hexDigitValue! << 4 | Character(Unicode.Scalar(low)).hexDigitValue!))
        }
    }
}
