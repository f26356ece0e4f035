import Conversations
import Events
import Foundation
import GRDB
import Logging
import TestKit
import Testing
@testable import PostgresStore

@Suite("PostgreSQL store, search")
struct SearchTests {
    private func find(_ words: String, in project: Project, _ store: PostgresStore) async throws -> [String] {
        var filter = ThreadFilter()
        filter.words = words
        return try await store.threads(in: project, matching: filter, limit: 50, after: nil, now: Sample.time(20)).items.map(\.id).sorted()
    }

    private func say(_ texts: [String], in project: Project, _ store: PostgresStore) async throws {
        for (number, text) in texts.enumerated() {
            _ = try await store.append([
                Sample.delivery([Sample.message(Sample.id(number), thread: "\(number)", text)], project: project.number)
            ])
        }
    }

    @Test("what is typed as one is found in a row, and nowhere else, in any script, and nothing of another project")
    func phrases() async throws {
        try await withStore({ $0.partitions = 1 }) { store in
            let project = try await store.createProject(named: "test", settings: .init())
            let other = try await store.createProject(named: "other", settings: .init())
            try await say(
                [
                    "I don't know; order-1234, mail@shop.example", "t don order 1234", "退货我想", "我想退货", "Café-bar", "bar café",
                    "a \u{10F70}b", "\u{E000}p\(other.number.number) refund", "e-mail",
                    "Große Straße", "हिन्दी भाषा", "Cafe\u{301} ﬁnal İzmir ΟΔΟΣ", "wie geht's \"quoted\" AND (OR) \\ ' : * & | !",
                ], in: project, store)
            let blocks = JSONText(trusted: Array(#"[{"type":"text","text":"shipped to"},{"type":"text","text":"B-17"}]"#.utf8))
            _ = try await store.append([
                Sample.delivery(
                    [
                        Event(
                            id: Sample.id(20), thread: "20", at: Sample.time(1),
                            body: .message(.init(role: .user, content: .blocks(blocks))))
                    ], project: project.number)
            ])
            try await store.catchUpForTests()
            let expected: [(String, [String])] = [
                ("don't", ["0"]), ("DON'T know", ["0"]), ("order-1234", ["0", "1"]), ("order-123", ["0", "1"]), ("order-12", []),
                ("mail@shop.example", ["0"]), ("mail@shop", ["0"]), ("example.shop", []), ("想退", ["3"]), ("退货 我想", ["2", "3"]),
                ("cafe-bar", ["4"]), ("CAFÉ-B", []), ("cafe bar", ["4", "5"]), ("e-mail", ["8"]), ("e-ma", []), ("b-17", ["20"]),
                ("b-18", []), ("\u{E000}p\(project.number.number)", []), ("refund", ["7"]), ("-", []),
                ("straße", ["9"]), ("GROSSE", []), ("große-straße", ["9"]), ("straß", ["9"]), ("हिन्दी", ["10"]), ("भाषा", ["10"]),
                ("cafe\u{301}", ["11", "4", "5"]), ("ﬁnal", ["11"]), ("İzmir", ["11"]), ("οδος", ["11"]), ("''", []),
                ("\"quoted\" AND (", ["12"]), ("'", []), ("\\", []), ("*", []), (":*", []), ("& |", []), ("!", []), ("", []),
            ]
            for (words, threads) in expected { #expect(try await find(words, in: project, store) == threads, "\(words)") }
            #expect(try await find("refund", in: other, store) == [])
        }
    }

    @Test("of a word in very many messages the newest are found, exactly so many, and it is told")
    func partial() async throws {
        try await withStore({ $0.partitions = 1 }) { store in
            let project = try await store.createProject(named: "test", settings: .init())
            let other = try await store.createProject(named: "other", settings: .init())
            // Some way apart in the log, so that the windows are walked.
            for first in stride(from: 0, to: 21_000, by: 500) {
                let said = (first..<first + 500).map { number in
                    Sample.message(
                        Sample.id(number), thread: "t-\(number)",
                        (number % 2 == 0 ? "common" : "rather") + (number % 3000 == 0 ? " rare" : "")
                            + (number % 9 == 0 ? " commonplace" : ""),
                        at: Double(number))
                }
                _ = try await store.append([
                    Sample.delivery(said, project: project.number),
                    Sample.delivery(said.filter { $0.id.hasSuffix("7") }, project: other.number),
                ])
            }
            try await store.catchUpForTests()
            func list(_ words: String, _ limit: Int = 3000) async throws -> Page<ThreadSummary> {
                var filter = ThreadFilter()
                filter.words = words
                return try await store.threads(in: project, matching: filter, limit: limit, after: nil, now: Sample.time(20))
            }
            let common = try await list("common")
            let newest = stride(from: 20_998, through: 0, by: -2).prefix(2001).map { "t-\($0)" }
            #expect(common.isPartial && common.items.map(\.id) == newest)
            let rare = try await list("rare")
            #expect(!rare.isPartial && rare.items.map(\.id) == stride(from: 18_000, through: 0, by: -3000).map { "t-\($0)" })
            // As a beginning it finds what the newest 2000 have.
            let beginning = try await list("commonp")
            #expect(beginning.isPartial && beginning.items.count == 2001)
            #expect(try await list("common rare").items.map(\.id) == stride(from: 18_000, through: 0, by: -3000).map { "t-\($0)" })
        }
    }

    @Test("words are folded as SQLite's index folds them")
    func folding() throws {
        let queue = try DatabaseQueue()
        let theirs = try queue.write { db -> [Int64: [String]] in
            try db.execute(
                sql: """
                    CREATE VIRTUAL TABLE text USING fts5 (words, tokenize = 'unicode61 remove_diacritics 2');
                    CREATE VIRTUAL TABLE word USING fts5vocab (text, instance);
                    """)
            let insert = try db.cachedStatement(sql: "INSERT INTO text (rowid, words) VALUES (?,?)")
            for value in UInt32(0x21)...0x1FFFF {
                if let scalar = Unicode.Scalar(value) { try insert.execute(arguments: [Int64(value), String(scalar)]) }
            }
            return Dictionary(grouping: try GRDB.Row.fetchAll(db, sql: "SELECT doc, term FROM word"), by: { $0[0] as Int64 })
                .mapValues { $0.map { $0[1] } }
        }
        var others: [Unicode.Scalar] = []
        for value in UInt32(0x21)...0x1FFFF {
            guard let scalar = Unicode.Scalar(value), let words = theirs[Int64(value)] else { continue }
            var own: [String] = []
            SearchText.forEachWord(of: String(scalar)) { own.append(String(decoding: $0, as: UTF8.self)) }
            // What SQLite takes for a letter because its tables don't have it is none.
            if !own.isEmpty, own != words { others.append(scalar) }
        }
        // Its tables are of Unicode 6.1: later letters have no small form there. And one double mark is forgotten (Ǡ).
        let unexpected = others.filter { scalar in
            let age = scalar.properties.age ?? (99, 0)
            return (age.major, age.minor) <= (6, 1) && !["\u{1E0}", "\u{1E1}"].contains(scalar) && !(0x13A0...0x13F5).contains(scalar.value)
        }
        #expect(unexpected == [], "\(unexpected.map { String($0.value, radix: 16) })")
        #expect(others.count < 500)
    }

    @Test("a text of very many and very long words is indexed as far as there is place")
    func large() async throws {
        try await withStore({ $0.partitions = 1 }) { store in
            let project = try await store.createProject(named: "test", settings: .init())
            let many = (0..<200_000).map { "w\($0)" }.joined(separator: " ")
            let long = String(repeating: "é", count: 5000)
            try await say([many, "short " + long, String(repeating: "same ", count: 500_000) + "end"], in: project, store)
            try await store.catchUpForTests()
            #expect(try await find("w17", in: project, store) == ["0"])
            #expect(try await find(long, in: project, store) == ["1"])
            #expect(try await find("end", in: project, store) == ["2"])
        }
    }

    @Test("a row has each word once, in order, with those that say where it is")
    func rows() throws {
        let project = ProjectID(7)
        let row = try #require(
            SearchRow(sequence: 9000, project: project, text: "Zebra apple-APPLE! Äpfel 12 apples \u{6F22}\u{5B57} aardvarks aardvark a"))
        var words = ["12", "a", "aardvark", "aardvarks", "apfel", "apple", "apples", "zebra", "\u{6F22}", "\u{5B57}"]
        words += [SearchText.scope(project)] + SearchText.Window.levels.map { SearchText.block(9000 >> $0, at: $0) }
        words.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        #expect(String(decoding: row.words, as: UTF8.self) == words.map { "'\($0)' " }.joined())
        #expect(SearchRow(sequence: 1, project: project, text: " -!\u{301}") == nil)
    }

    @Test("of more words than there is place for some are left out, and nothing else", arguments: [1, 3])
    func tooMany(repeated: Int) throws {
        let project = ProjectID(7)
        let all = (0..<900_000).map { String($0, radix: 36) }
        let text = Array(repeating: all, count: repeated).joined().joined(separator: " ")
        let row = try #require(SearchRow(sequence: 9000, project: project, text: text))
        let words = String(decoding: row.words, as: UTF8.self).split(separator: " ").map { String($0.dropFirst().dropLast()) }
        let own = words.filter { $0.unicodeScalars.first == SearchText.scopeMark }
        func bytes(_ words: [String]) -> Int { words.reduce(0) { $0 + $1.utf8.count } }
        let count = bytes(words) - bytes(own)
        #expect(own.count == 1 + SearchText.Window.levels.count)
        #expect(Set(words).count == words.count && Set(words).subtracting(own).isSubset(of: all))
        #expect(count <= SearchRow.maximumBytes && count > SearchRow.maximumBytes - 10)
    }

    @Test("words that are there a million times are there once, among as many that are not")
    func often() throws {
        let rare = (0..<100_000).map { "w\($0)" }
        let text = rare.flatMap { ["a", "b", $0, "a", "c", "a", "b", "c", "a", "b"] }.joined(separator: " ")
        let row = try #require(SearchRow(sequence: 1, project: ProjectID(7), text: text))
        let words = String(decoding: row.words, as: UTF8.self).split(separator: " ").map { String($0.dropFirst().dropLast()) }
        #expect(words.count == rare.count + 3 + 1 + SearchText.Window.levels.count)
        #expect(Set(words).isSuperset(of: rare + ["a", "b", "c"]))
    }

    @Test("the plan of a stretch of the log says its words: every window has those of its rows")
    func windows() {
        for last in [0, 5, 8191, 8192, 1_000_000, 70_000_000] as [Int64] {
            let windows = SearchText.Window.all(upTo: last)
            #expect(windows.map(\.start) == windows.map(\.start).sorted(by: >))
            for (window, level) in zip(windows, SearchText.Window.levels) {
                // What is in it has one of its words; what has none is before it.
                for sequence in [last, window.start, max(window.start, last - 4000)] {
                    #expect(window.blocks.contains(SearchText.block(sequence >> level, at: level)))
                }
                #expect(window.start == 0 || !window.blocks.contains(SearchText.block((window.start - 1) >> level, at: level)))
            }
        }
    }
}
