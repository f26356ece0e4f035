import Events
import Logging
import Testing
@testable import PostgresStore

@Suite("PostgreSQL store, opened")
struct OpeningTests {
    @Test("several nodes set the same database up at once, once", arguments: [1, 8])
    func together(partitions: Int) async throws {
        try await withDatabase { server, name in
            var configuration = PostgresStore.Configuration(connection: server.connection(to: name))
            configuration.partitions = partitions
            let stores = try await withThrowingTaskGroup(of: PostgresStore.self) { [configuration] group in
                for _ in 0..<6 {
                    group.addTask { try await PostgresStore(configuration: configuration, logger: Logger(label: "test")) }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            defer { for store in stores { store.close() } }
            let (rows, parts) = try await stores[0].pool.read { db in
                (
                    try Int.fetchOne(db, sql: "SELECT count(*) FROM control") ?? 0,
                    try Int.fetchOne(
                        db, sql: "SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent WHERE c.relname = 'event'")
                )
            }
            #expect(rows == 1 && parts == (partitions == 1 ? 0 : partitions))
            for check in try await stores[0].examine() { #expect(check.isFine, "\(check.check): \(check.detail)") }
        }
    }

    @Test("a database of a newer version is refused with a sentence")
    func newer() async throws {
        try await withDatabase { server, name in
            var configuration = PostgresStore.Configuration(connection: server.connection(to: name))
            configuration.partitions = 1
            let store = try await PostgresStore(configuration: configuration, logger: Logger(label: "test"))
            _ = try await store.pool.write { try $0.execute("UPDATE parley SET version = 99") }
            store.close()
            await #expect {
                _ = try await PostgresStore(configuration: configuration, logger: Logger(label: "test"))
            } throws: { "\($0)".contains("newer Parley (version 99") }
        }
    }

    @Test("a database that is not there is told in words")
    func absent() async throws {
        let server = try TestServer.shared.get()
        await #expect {
            _ = try await PostgresStore(
                configuration: .init(connection: server.connection(to: "nowhere")), logger: Logger(label: "test"))
        } throws: { "\($0)".contains("\"nowhere\" does not exist") }
    }

    @Test("every key of what is a project's leads with it")
    func keys() async throws {
        try await withStore({ $0.partitions = 2 }) { store in
            let others = try await store.pool.read { db in
                try String.fetchAll(
                    db,
                    sql: """
                        SELECT t.relname || ': ' || i.relname FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid
                        JOIN pg_class i ON i.oid = x.indexrelid
                        WHERE t.relnamespace = 'public'::regnamespace AND x.indisunique
                            AND EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attname = 'project')
                            AND (SELECT attname FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum = x.indkey[0]) <> 'project'
                            AND t.relname NOT IN ('key', 'audit')
                        """)
            }
            #expect(others == [])
        }
    }
}
