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
    @Test("any events leave the same rows and verdicts as in SQLite, in whichever batches they come", arguments: 1...24)
    func likeSQLite(seed: Int) async throws {
        let folder = NSTemporaryDirectory() + "parley-twin-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let embedded = try SQLiteStore(directory: folder, logger: Logger(label: "test"))
        try await withStore({ $0.partitions = 2 }) { shared in
            var made = MadeUp(seed: UInt64(seed))
            let (a, b) = (
                try await embedded.createProject(named: "a", settings: .init()),
                try await shared.createProject(named: "a", settings: .init())
            )
            #expect(a.number == b.number)
            for _ in 0..<12 {
                let batch = (0..<(1 + made.number(6))).map { _ in made.delivery(a.number) }
                let expected = try await embedded.append(batch)
                let found = try await shared.append(batch)
                #expect(found == expected)
            }
            let (expected, found) = (try await Tables.of(embedded, a.number), try await Tables.of(shared, a.number))
            for table in expected.keys.sorted() {
                let (missing, extra) = (Set(expected[table]!).subtracting(found[table]!), Set(found[table]!).subtracting(expected[table]!))
                #expect(missing.isEmpty && extra.isEmpty, "\(table): missing \(missing.sorted()), instead \(extra.sorted())")
                #expect(expected[table]!.count == found[table]!.count)
            }
        }
        try embedded.close()
    }
}
