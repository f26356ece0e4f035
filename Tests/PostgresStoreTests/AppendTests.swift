import Conversations
import Events
import Foundation
import Logging
import TestKit
import Testing
@testable import PostgresStore
@testable import SQLiteStore

@Suite("PostgreSQL store, appending")
struct AppendTests {
    @Test("any events leave the same rows and verdicts as in SQLite, in whichever batches they come", arguments: 0..<4)
    func likeSQLite(group: Int) async throws {
        let folder = NSTemporaryDirectory() + "parley-twin-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let embedded = try SQLiteStore(directory: folder, logger: Logger(label: "test"))
        try await withStore({ $0.partitions = 2 }) { shared in
            for seed in group * 8..<group * 8 + 8 { try await compare(embedded, shared, seed: seed) }
        }
        try embedded.close()
    }

    private func compare(_ embedded: SQLiteStore, _ shared: PostgresStore, seed: Int) async throws {
        var made = MadeUp(seed: UInt64(seed))
        let project = try await embedded.createProject(named: "\(seed)", settings: .init())
        let twin = try await shared.createProject(named: "\(seed)", settings: .init())
        #expect(project.number == twin.number)
        for _ in 0..<12 {
            let batch = (0..<(1 + made.number(6))).map { _ in made.delivery(project.number) }
            let expected = try await embedded.append(batch)
            let found = try await shared.append(batch)
            #expect(found == expected, "seed \(seed)")
        }
        let (expected, found) = (try await Tables.of(embedded, project.number), try await Tables.of(shared, project.number))
        for table in expected.keys.sorted() {
            let (missing, extra) = (Set(expected[table]!).subtracting(found[table]!), Set(found[table]!).subtracting(expected[table]!))
            #expect(missing.isEmpty && extra.isEmpty, "seed \(seed), \(table): missing \(missing.sorted()), instead \(extra.sorted())")
            #expect(expected[table]!.count == found[table]!.count && !found[table]!.isEmpty, "seed \(seed), \(table)")
        }
    }

    @Test("a store that lacks what came before in a stream refuses what follows, says how far it is, and takes all in order")
    func fallenBack() async throws {
        try await withStore { store in
            let project = try await store.createProject(named: "test", settings: .init())
            func delivery(_ number: Int, after: UInt64) -> Delivery {
                let message = Sample.message(Sample.id(number), thread: "t", at: Double(number))
                var delivery = Sample.delivery([message], project: project.number)
                delivery.position = StreamPosition(stream: "PARLEY", shard: 3, sequence: UInt64(number), storedAt: Int64(number))
                delivery.position?.after = after
                return delivery
            }
            #expect(try await store.reached("PARLEY", shard: 3) == StreamMark())
            _ = try await store.append([delivery(1, after: 0), delivery(2, after: 0)])
            #expect(try await store.reached("PARLEY", shard: 3) == StreamMark(sequence: 2, storedAt: 2))
            do throws(SinkFailure) {
                _ = try await store.append([delivery(9, after: 7)])
                Issue.record("it took what comes after something it lacks")
            } catch {
                #expect(error.cause == .behind)
            }
            #expect(try await store.append([delivery(2, after: 1), delivery(5, after: 2)]) == [[], [.stored]])
            #expect(try await store.reached("PARLEY", shard: 3) == StreamMark(sequence: 5, storedAt: 5))
        }
    }

    @Test("an append reads what it asks for and not all of a project, also while the tables are young", arguments: [1, 2])
    func lookups(partitions: Int) async throws {
        try await withStore({ ($0.partitions, $0.maximumWriters) = (partitions, 1) }) { store in
            // No statistics but those that are there without: as in the first minute of a database.
            for table in Migrations.partitioned {
                let parts = partitions == 1 ? [table] : (0..<partitions).map { "\(table)_\($0)" }
                for part in parts {
                    _ = try await store.pool.write { try $0.execute("ALTER TABLE \(part) SET (autovacuum_enabled = off)") }
                }
            }
            let project = try await store.createProject(named: "test", settings: .init())
            var (number, runs) = (0, 0)
            let batches = [Int](repeating: 1, count: 20) + [Int](repeating: 100, count: 120)
            for size in batches {
                let events = (0..<size).map { _ in
                    number += 1
                    return Sample.message(Sample.id(number), thread: "t-\(number / 20)", at: Double(number), user: "u\(number / 100)")
                }
                // Spans whose IDs say their trace, which each message asks for.
                let spans = (0..<size / 5).map { place in
                    var part = Event.RunPart()
                    part.kind = .llm
                    let trace = Sample.id(100_000 + number).replacing("-", with: "")
                    part.parent = "\(trace)-00000000000000aa"
                    return Event(id: "\(trace)-\(String(format: "%016x", place))", at: Sample.time(Double(number)), body: .run(part))
                }
                runs += spans.count
                _ = try await store.append([Sample.delivery(events + spans, project: project.number)])
            }
            let total = number + runs
            _ = try await store.pool.write { try $0.execute("SELECT pg_stat_force_next_flush()") }
            let read = try await store.pool.write { db in
                try db.fetchAll("SELECT relname, sum(idx_tup_read)::bigint FROM pg_stat_user_indexes GROUP BY relname").map { row in
                    (table: row[0] as String, read: (row[1] as Int64?) ?? 0)
                }
            }
            // A young table is read whole until the plans are made anew: so much and no more.
            for (table, rows) in read { #expect(rows < 2 * total, "\(rows) rows of \(table) for \(total) events") }
        }
    }
}
