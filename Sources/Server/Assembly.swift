import AgnostDoor
import Conversations
import Events
import Gateway
import Hummingbird
import Ingest
import Keys
import Logging
import LunaryDoor
import NATSStream
import NativeDoor
import OTLPDoor
import OpikDoor
import PostgresStore
import Review
import SQLiteStore
import ServiceLifecycle
import StoreMigration
import UnixSignals
import WebSnippet

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// A store that the server and each command beside it open: a file in the data folder, or a database that several nodes share.
protocol OpenStore: Store {
    /// What runs beside the commits, the search index for one, until cancelled.
    func runUpkeep() async throws
    /// Looks for damage, and for what an ack would not mean, and says what it finds.
    func examine() async throws -> [(check: String, isFine: Bool, detail: String)]
    /// Ends what the review page's sign-ins have opened.
    func endAllSessions() async throws
    func close() throws
    /// What reaches other nodes that share it; nil where there can be none.
    func openBus() -> (any Bus)?
}

extension SQLiteStore: OpenStore {
    func openBus() -> (any Bus)? { nil }
}

extension PostgresStore: OpenStore {
    func openBus() -> (any Bus)? { makeBus() }
}

/// The rooms of a server, wired: the only place that names doors, stream and store.
///
/// ```
/// Gateway ─► Door ─► Keys ─► Ingest ─► GroupCommit ─► [ Stream ─► Drain ─► ] Store ─► Review
/// ```
struct Assembly: Sendable {
    /// To add a vendor: its door, here.
    static var doors: [any Door] { [NativeDoor(), LunaryDoor(), OpikDoor(), AgnostDoor(), OTLPDoor()] }

    /// The other names that these dialects give to IDs.
    static var schemes: [IDScheme] { doors.compactMap(\.idScheme) }

    /// Opens what a folder, or the address beside it, names; brings its tables up to date.
    static func openStore(in folder: DataFolder, clock: WallClock = .system, logger: Logger) async throws -> any OpenStore {
        if let address = folder.database { return try await openDatabase(at: address, clock: clock, logger: logger) }
        var configuration = SQLiteStore.Configuration()
        configuration.inactiveAfterSeconds = try inactiveAfterSeconds()
        do {
            return try SQLiteStore(directory: folder.path, configuration: configuration, clock: clock, logger: logger)
        } catch let failure as SQLiteStore.OpenFailure {
            throw Complaint(failure.description)
        }
    }

    private static func openDatabase(at address: String, admitsUnfinished: Bool = false, clock: WallClock, logger: Logger) async throws
        -> PostgresStore
    {
        var configuration = PostgresStore.Configuration(connection: ConnectionString(address))
        configuration.admitsUnfinished = admitsUnfinished
        configuration.inactiveAfterSeconds = try inactiveAfterSeconds()
        if let text = ProcessInfo.processInfo.environment["PARLEY_PARTITIONS"], !text.isEmpty {
            guard let partitions = Int(text), (1...1024).contains(partitions) else {
                throw Complaint("PARLEY_PARTITIONS is \(text.forTerminal()): write a number from 1 to 1024.")
            }
            configuration.partitions = partitions
        }
        do {
            return try await PostgresStore(configuration: configuration, clock: clock, logger: logger)
        } catch let failure as PostgresStore.OpenFailure {
            throw Complaint(failure.description)
        }
    }

    // The database's file, for backups.
    static var databaseName: String { SQLiteStore.fileName }
    static var databaseSideNames: [String] { SQLiteStore.sideFileNames }
    static var databaseSchema: Int { SQLiteStore.schema }

    static func copyDatabase(of folder: DataFolder, to target: String, onStep: (_ done: Int64, _ total: Int64) throws -> Void) throws {
        do {
            try SQLiteStore.copy(directory: folder.path, to: target, onStep: onStep)
        } catch let failure as SQLiteStore.FileFailure {
            throw Complaint(failure.description)
        }
    }

    static func contents(ofDatabase file: String, isThorough: Bool) throws -> Backup.Contents {
        do {
            let contents = try SQLiteStore.contents(ofFile: file, isThorough: isThorough)
            return Backup.Contents(schema: contents.schema, counts: contents.counts)
        } catch let failure as SQLiteStore.FileFailure {
            throw Complaint(failure.description)
        }
    }

    /// Opens the database that a folder's data is copied to, which makes its tables where they are not there. `work` gets what carries its
    /// search index on for a while.
    static func withTarget<Result>(of folder: DataFolder, _ work: (_ index: (Duration) async throws -> Void) async throws -> Result)
        async throws -> Result
    {
        var logger = Logger(label: "parley") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .error
        let store = try await openDatabase(at: folder.database ?? "", admitsUnfinished: true, clock: .system, logger: logger)
        defer { store.close() }
        return try await work { try await store.index(within: $0) }
    }

    /// What copies a folder's file to the database at its address.
    static func migration(of folder: DataFolder, comparing: Bool) throws -> Migration {
        try Migration(
            folder: folder.path, to: ConnectionString(folder.database ?? ""), comparing: comparing,
            now: WallClock.system.now().microseconds)
    }

    /// The time after which threads are inactive in projects that do not say, from the environment: ours, or the one that Opik's
    /// server reads.
    private static func inactiveAfterSeconds() throws -> Double {
        for name in ["PARLEY_INACTIVE_AFTER", "OPIK_TRACE_THREAD_TIMEOUT_TO_MARK_AS_INACTIVE"] {
            guard let text = ProcessInfo.processInfo.environment[name], !text.isEmpty else { continue }
            guard let span = TimeSpan(argument: text) else {
                throw Complaint("\(name) is \(text.forTerminal()): write a time like 30s, 15m or 1h.")
            }
            return span.seconds
        }
        return Project.Settings.standardInactiveAfterSeconds
    }

    let configuration: ServerConfiguration
    let live: LiveConfiguration
    let store: any OpenStore
    let keys: KeyRing
    let commits: GroupCommit
    let ingest: Ingest
    let tls: TLSIdentity?
    let traces: TraceExporter?
    let drain: Drain?
    private let forwarding: Forwarding?
    let standings: Standings
    let clock: WallClock
    let logger: Logger

    /// - Parameters:
    ///   - sealer: see `KeyRing`.
    ///   - stream: what carries events to the store, if anything; its place is in the configuration.
    ///   - spool: where events wait on this machine while the stream is away, if they do.
    ///   - tls: what connections are encrypted with, if anything.
    init(
        _ configuration: ServerConfiguration, store: any OpenStore, stream: JetStream? = nil, spool: Spool? = nil, sealer: Sealer?,
        tls: TLSIdentity? = nil,
        clock: WallClock = .system, logger: Logger
    ) {
        self.configuration = configuration
        live = LiveConfiguration(configuration)
        self.store = store
        self.tls = tls
        self.clock = clock
        self.logger = logger
        // Who takes no events has nothing to say of quotas, and no use for what others say.
        let bus = configuration.takesEvents ? store.openBus() : nil
        keys = KeyRing(store: NotedControl(store: store), sealer: sealer, bus: bus, clock: clock, logger: logger)
        var bounds = GroupCommit.Configuration()
        bounds.maximumQueuedEvents = configuration.queuedEvents
        let settings = configuration.stream?.settings ?? StreamSettings()
        let sink = stream.map { StreamSink($0, settings: settings, spool: spool) }
        if let stream, let sink, let place = configuration.stream, spool != nil {
            forwarding = Forwarding(stream: stream, place: place, sink: sink, logger: logger)
        } else {
            forwarding = nil
        }
        drain = configuration.drains ? stream.map { Drain($0, settings: settings, into: store, logger: logger) } : nil
        standings = Standings(
            store: store, keys: keys, stream: stream.flatMap { line in sink.map { (line, settings, $0) } }, spool: spool, drain: drain)
        commits = GroupCommit(sink: sink ?? store, configuration: bounds, logger: logger)
        let traces = configuration.traces.map { TraceExporter($0, logger: logger) }
        self.traces = traces
        ingest = Ingest(keys: keys, commits: commits, schemes: Self.schemes, watch: traces?.note)
    }

    /// Serves until SIGINT or SIGTERM. Services end in reverse order: the gateway drains first, while group commit still
    /// commits what it hands on.
    /// - Parameters:
    ///   - read: reads the configuration anew, for a reload.
    ///   - onRunning: called once with the port that is listened on.
    func serve(
        rereading read: @escaping @Sendable () async throws -> ServerConfiguration, onRunning: @escaping @Sendable (Int) async -> Void
    ) async throws {
        try await keys.refresh()
        let router = Router(context: GatewayContext.self)
        let gateway = Gateway(
            doors: configuration.takesEvents ? Self.doors : [], ingest: ingest, keys: keys, desk: desk, configuration: gatewayConfiguration,
            clock: clock, logger: logger,
            standing: { [standings] in await standings.now })
        gateway.routes(into: router)
        if configuration.takesEvents { addPages(to: router) }

        let watch = ([tls, traces, drain.map(Draining.init), forwarding] as [(any Service)?]).compactMap(\.self)
        var group = ServiceGroupConfiguration(
            services: watch + [
                keys, Upkeep(store: store), NameKeeper(keys: keys, schemes: Self.schemes, logger: logger),
                Retention(store: store, clock: clock, logger: logger),
                Reload(live: live, read: read, takers: takers, logger: logger), commits,
                gateway.service(router: router, onRunning: onRunning),
            ],
            gracefulShutdownSignals: [.sigint, .sigterm],
            cancellationSignals: [.sigquit],
            logger: logger)
        // What is not done by then is cut off; its senders have no verdict and send again.
        group.maximumGracefulShutdownDuration = .seconds(configuration.drainSeconds + 5)
        try await ServiceGroup(configuration: group).run()
    }

    private func addPages(to router: Router<GatewayContext>) {
        for file in WebSnippet.files {
            let caching = file.isImmutable ? "public, max-age=31536000, immutable" : StaticFile.untilMended
            StaticFile(path: file.path, contentType: file.contentType, bytes: file.bytes, cacheControl: caching).add(to: router)
        }
        Review(
            store: store, authenticator: ReadAuthority(keys: keys),
            office: ReviewOffice(store: store, ingest: ingest, keys: keys, clock: clock), clock: clock,
            isServedOverHTTPS: { [live] in live.current.publicURL?.hasPrefix("https://") ?? false }, logger: logger
        ).addRoutes(to: router)
    }

    /// What changes with a reload; projects, keys, origins and quotas are read anew each second anyway, and now.
    private var takers: [Reload.Taker] {
        [
            Reload.Taker(name: "certificate") { [tls] _ in { tls?.reload() } },
            Reload.Taker(name: "log level") { new in { LeveledLogHandler.set(new.logLevel) } },
            Reload.Taker(name: "queue") { [commits] new in { commits.setMaximumQueuedEvents(new.queuedEvents) } },
            Reload.Taker(name: "projects and keys") { [keys] _ in
                try await keys.refresh()
                return {}
            },
        ]
    }

    private var desk: Gateway.DeskMaker {
        { [keys, ingest, store, clock] passage, transport in
            guard let passage else { return NoDesk() }
            return ReadDesk(
                passage: passage, transport: transport, keys: keys, ingest: ingest, schemes: Self.schemes, store: store, clock: clock)
        }
    }

    private var gatewayConfiguration: Gateway.Configuration {
        var gateway = Gateway.Configuration()
        gateway.host = configuration.listen.host
        gateway.port = configuration.listen.port
        gateway.tls = tls
        gateway.trustedProxies = configuration.trustedProxies
        gateway.maximumConnections = configuration.maximumConnections
        gateway.connectionsPerAddress = configuration.connectionsPerAddress
        gateway.maximumHeldBytes = configuration.heldMegabytes << 20
        gateway.drainSeconds = Double(configuration.drainSeconds)
        return gateway
    }
}

/// Brings what the stream holds to the store; what is in hand at the end is committed first.
private struct Draining: Service {
    let drain: Drain
    func run() async throws {
        await withGracefulShutdownHandler {
            await drain.run()
        } onGracefulShutdown: {
            drain.close()
        }
    }
}

/// Brings to the stream what waits on this machine. Where the servers were away at the start the stream is made once they are there.
private struct Forwarding: Service {
    let stream: JetStream
    let place: StreamPlace
    let sink: StreamSink
    let logger: Logger

    func run() async throws {
        await cancelWhenGracefulShutdown {
            async let forwarding: Void = sink.forward()
            while !Task.isCancelled {
                do {
                    try await place.prepare(stream, logger: logger)
                    break
                } catch {
                    logger.error("events wait on this machine's disk", metadata: ["why": "\(error)"])
                    try? await Task.sleep(for: .seconds(5))
                }
            }
            await forwarding
        }
    }
}

/// The store's own work beside the commits.
private struct Upkeep: Service {
    let store: any OpenStore
    func run() async throws {
        try await cancelWhenGracefulShutdown { try await store.runUpkeep() }
    }
}
