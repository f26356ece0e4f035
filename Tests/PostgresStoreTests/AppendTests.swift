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
}
