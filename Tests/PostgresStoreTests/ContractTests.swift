import Events
import TestKit
import Testing
@testable import PostgresStore

@Suite("PostgreSQL store")
struct ContractTests {
    @Test("keeps the contract of every store", arguments: StoreContract.all)
    func contract(_ clause: StoreContract.Clause) async throws {
        try await withStore({ $0.partitions = 2 }) { store in
            let project = try await store.createProject(named: "test", settings: .init())
            try await clause.holds(for: store, in: project)
        }
    }
}
