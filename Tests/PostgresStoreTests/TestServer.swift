import Foundation
import Logging
@testable import PostgresStore

/// A PostgreSQL server of this test process's own: made once, with fsync on, gone with the process.
///
/// A shell stands between: it stops the server and removes its folder as soon as the process that holds the other end of its input is
/// gone, however it went.
final class TestServer: Sendable {
    struct Missing: Error, CustomStringConvertible { let description: String }

    static let shared = Result { try TestServer() }

    let folder: String
    private let shell: Process

    /// Where the programs of the server are, newest first.
    private static func programs() throws -> String {
        let manager = FileManager.default
        var places = (try? manager.contentsOfDirectory(atPath: "/usr/lib/postgresql")) ?? []
        places.sort { (Int($0) ?? 0) > (Int($1) ?? 0) }
        var candidates = places.map { "/usr/lib/postgresql/\($0)/bin" }
        candidates += ["/opt/homebrew/opt/postgresql@17/bin", "/opt/homebrew/bin", "/usr/local/bin", "/usr/bin"]
        for place in candidates where manager.isExecutableFile(atPath: place + "/initdb") { return place }
        throw Missing(description: "No PostgreSQL server is installed, which these tests need: apt-get install postgresql (15 or later).")
    }

    private init() throws {
        let programs = try Self.programs()
        folder = NSTemporaryDirectory() + "/parley-postgres-" + UUID().uuidString.prefix(8)
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        // The server refuses to run as root.
        let asOther = getuid() == 0 ? "setpriv --reuid=nobody --regid=nogroup --clear-groups" : ""
        let script = """
            set -e
            cd '\(folder)'
            if [ -n "\(asOther)" ]; then chown nobody:nogroup .; fi
            \(asOther) '\(programs)/initdb' -D data -U parley --auth=trust --encoding=UTF8 --locale=C --no-sync >initdb.log 2>&1
            \(asOther) '\(programs)/postgres' -D data -c listen_addresses= -c unix_socket_directories='\(folder)' -c max_connections=400 \
                -c max_locks_per_transaction=256 -c shared_buffers=64MB -c fsync=on -c autovacuum_naptime=5 >server.log 2>&1 </dev/null &
            server=$!
            cat >/dev/null
            kill -INT $server 2>/dev/null || true
            wait $server || true
            cd /
            rm -rf '\(folder)'
            """
        let shell = Process()
        shell.executableURL = URL(fileURLWithPath: "/bin/sh")
        shell.arguments = ["-c", script]
        let line = Pipe()
        shell.standardInput = line
        self.shell = shell
        try shell.run()
        // Held open until this process ends.
        Self.lines.append(line)
        try awaitServer()
    }

    private nonisolated(unsafe) static var lines: [Pipe] = []

    private func awaitServer() throws {
        // Some seconds on a busy machine; a server that can't start says so at once.
        for _ in 0..<600 {
            if let log = try? String(contentsOfFile: folder + "/server.log", encoding: .utf8), log.contains("ready to accept connections") {
                return
            }
            guard shell.isRunning else { break }
            Thread.sleep(forTimeInterval: 0.1)
        }
        let logs = ["initdb.log", "server.log"].compactMap { try? String(contentsOfFile: folder + "/" + $0, encoding: .utf8) }
        throw Missing(description: "The test server did not start: \(logs.joined(separator: "\n"))")
    }

    /// How to reach a database of it.
    func connection(to database: String) -> ConnectionString {
        ConnectionString("host=\(folder) user=parley dbname=\(database)")
    }

    /// A pool for statements of the test itself.
    func pool(of database: String = "postgres") -> Pool {
        var configuration = Pool.Configuration(connection: connection(to: database))
        configuration.maximumReaders = 2
        configuration.maximumWriters = 2
        return Pool(configuration, logger: Logger(label: "test"))
    }

    /// An empty database, of that one test.
    func makeDatabase(like template: String = "template0") async throws -> String {
        let name = "test_" + UUID().uuidString.replacingOccurrences(of: "-", with: "").lowercased()
        let pool = pool()
        defer { pool.close() }
        _ = try await pool.withoutTransaction { try $0.execute("CREATE DATABASE \(name) TEMPLATE \(template) ENCODING 'UTF8'") }
        return name
    }

    func removeDatabase(_ name: String) async throws {
        let pool = pool()
        defer { pool.close() }
        _ = try await pool.withoutTransaction { try $0.execute("DROP DATABASE \(name) WITH (FORCE)") }
    }
}

/// Databases with nothing but the tables in them, one for each number of partitions; a copy takes a tenth of the time that making them does.
private actor Templates {
    static let shared = Templates()
    private var making: [Int: Task<String, any Error>] = [:]

    func template(partitions: Int) async throws -> String {
        let task =
            making[partitions]
            ?? Task {
                let server = try TestServer.shared.get()
                let name = try await server.makeDatabase()
                let pool = Pool(Pool.Configuration(connection: server.connection(to: name)), logger: Logger(label: "test"))
                defer { pool.close() }
                try await Migrations.migrate(pool, partitions: partitions)
                return name
            }
        making[partitions] = task
        return try await task.value
    }
}

/// Runs `body` with a new database of its own.
func withDatabase(like template: String = "template0", _ body: (TestServer, String) async throws -> Void) async throws {
    let server = try TestServer.shared.get()
    let name = try await server.makeDatabase(like: template)
    do {
        try await body(server, name)
    } catch {
        try? await server.removeDatabase(name)
        throw error
    }
    try await server.removeDatabase(name)
}

/// Runs `body` with a pool on a new, empty database.
func withPool(_ change: (inout Pool.Configuration) -> Void = { _ in }, _ body: (Pool) async throws -> Void) async throws {
    try await withDatabase { server, name in
        var configuration = Pool.Configuration(connection: server.connection(to: name))
        change(&configuration)
        let pool = Pool(configuration, logger: Logger(label: "test"))
        defer { pool.close() }
        try await body(pool)
    }
}

/// Runs `body` with a store on a new database.
func withStore(
    _ change: (inout PostgresStore.Configuration) -> Void = { _ in }, _ body: (PostgresStore) async throws -> Void
) async throws {
    var configuration = try PostgresStore.Configuration(connection: TestServer.shared.get().connection(to: "postgres"))
    change(&configuration)
    let template = try await Templates.shared.template(partitions: configuration.partitions)
    try await withDatabase(like: template) { server, name in
        configuration.connection = server.connection(to: name)
        let store = try await PostgresStore(configuration: configuration, logger: Logger(label: "test"))
        defer { store.close() }
        try await body(store)
    }
}
