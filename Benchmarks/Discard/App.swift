import Events
import Gateway
import Hummingbird
import Ingest
import Keys
import Logging
import NativeDoor
import ServiceLifecycle
import UnixSignals

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// `parley-discard PORT`: the gateway as it is, native door, keys and admission among it, in front of a sink that keeps nothing and
/// calls everything stored. It is for measuring the way in without a store, and for nothing else: that is why `parley` has no such mode.
///
/// Prints `{"url":…,"publicKey":…}` once it listens, on loopback only. Ends with SIGTERM.
@main
struct App {
    static func main() async throws {
        guard CommandLine.arguments.count == 2, let port = Int(CommandLine.arguments[1]), (0...65535).contains(port) else {
            fatalError("usage: parley-discard PORT")
        }
        let logger = Logger(label: "discard") { _ in SwiftLogNoOpLogHandler() }
        let controls = OneProject()
        let keys = KeyRing(store: controls, logger: logger)
        try await keys.refresh()
        let commits = GroupCommit(sink: DiscardingSink(), logger: logger)
        var configuration = Gateway.Configuration()
        configuration.host = "127.0.0.1"
        configuration.port = port
        configuration.maximumConnections = 12_000
        configuration.connectionsPerAddress = 12_000
        let gateway = Gateway(
            doors: [NativeDoor()], ingest: Ingest(keys: keys, commits: commits), keys: keys, configuration: configuration, logger: logger)
        let router = Router(context: GatewayContext.self)
        gateway.routes(into: router)
        let service = gateway.service(router: router) { [text = controls.text] port in
            let line = #"{"url":"http://127.0.0.1:\#(port)","publicKey":"\#(text)"}"# + "\n"
            _ = line.withCString { write(STDOUT_FILENO, $0, strlen($0)) }
        }
        try await ServiceGroup(
            services: [keys, commits, service], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger
        ).run()
    }
}

/// Calls everything stored and keeps nothing.
private struct DiscardingSink: EventSink {
    func append(_ deliveries: [Delivery]) async throws(SinkFailure) -> [[Verdict]] {
        deliveries.map { delivery in
            [Verdict](repeating: .stored, count: delivery.events.count) + delivery.setAside.map { .quarantined($0.refusal) }
        }
    }
}

/// One project without quotas, with one public key for pages of this machine.
private struct OneProject: ControlStore {
    private let project: Project
    private let key: KeyRecord
    let text: String

    init() {
        var settings = Project.Settings()
        settings.origins = ["http://127.0.0.1:*"]
        settings.quotas = .none
        project = Project(number: ProjectID(1), id: "prj_discard", name: "discard", settings: settings)
        let issued = KeyRecord.issue(.public, project: project.number, at: WallClock.system.now())
        key = issued.record
        text = issued.text.text
    }

    func controlRevision() async throws -> Int64 { 1 }
    func projects() async throws -> [Project] { [project] }
    func keys() async throws -> [KeyRecord] { [key] }
    func giveNames(ofKey id: String, _ names: @escaping @Sendable (String) -> [String]) async throws -> Bool { true }

    func createProject(named name: String, settings: Project.Settings) async throws -> Project { throw ControlFailure.nameTaken(name) }
    func update(_ project: Project) async throws { throw Unchangeable() }
    func deleteProject(_ number: ProjectID) async throws { throw Unchangeable() }
    func insert(_ key: KeyRecord) async throws { throw Unchangeable() }
    func keep(sealed: [UInt8], ofKey id: String) async throws { throw Unchangeable() }
    func revokeKey(_ id: String, at time: Timestamp) async throws -> Bool { throw Unchangeable() }

    private struct Unchangeable: Error {}
}
