public import Events
public import Hummingbird
public import Ingest
public import Keys
public import Logging
import NIOCore
import HummingbirdCore
public import ServiceLifecycle
import HTTPTypes

/// The way in: sockets and HTTP on one port, bounded bodies, CORS, drain on shutdown. Knows no vendor and no database.
///
/// A request goes key → body → door → ingest → door → answer (`DoorHandler`, `DoorRoute`). A socket does the same in frames, on its
/// event loop, as its session says (`SocketHandler`, `Session`). Everything either of them refuses has a `Reason`, an
/// answer and a counter.
public struct Gateway: Sendable {
    /// Makes the desk at which a door asks for whom a passage lets in; nil where no key was needed.
    public typealias DeskMaker = @Sendable (Passage?, Transport) -> any Desk

    let doors: [any Door]
    let desk: DeskMaker
    let ingest: Ingest
    let keys: KeyRing
    let configuration: Configuration
    let clock: WallClock
    let logger: Logger
    let standing: @Sendable () async -> Standing

    let counters = Counters()
    let draining = Draining()
    let sockets: Sockets
    let gate: ConnectionGate
    let holdings: Holdings
    let places: Places

    /// - Parameter standing: how what is behind the gateway fares; asked by `/readyz` and `/metrics`.
    public init(
        doors: [any Door], ingest: Ingest, keys: KeyRing, desk: @escaping DeskMaker = { _, _ in NoDesk() },
        configuration: Configuration = Configuration(), clock: WallClock = .system,
        logger: Logger, standing: @escaping @Sendable () async -> Standing = { Standing() }
    ) {
        self.doors = doors
        self.desk = desk
        self.ingest = ingest
        self.keys = keys
        self.configuration = configuration
        self.clock = clock
        self.logger = logger
        self.standing = standing
        sockets = Sockets(drainSeconds: configuration.drainSeconds)
        gate = ConnectionGate(burst: configuration.socketBurst, perSecond: configuration.socketsPerSecond)
        holdings = Holdings(total: configuration.maximumHeldBytes)
        places = Places(
            perAddress: configuration.connectionsPerAddress, addresses: ClientAddress(trustedProxies: configuration.trustedProxies),
            logger: logger)
    }

    /// Adds the addresses of sockets and operations. Other rooms add theirs to the same router; the doors' entrances go before all.
    public func routes(into router: Router<GatewayContext>) {
        upgrades.add(to: router)
        OperationsRoutes(
            standing: standing, ingest: ingest, counters: counters, draining: draining, holdings: holdings, places: places,
            tls: configuration.tls
        ).add(
            to: router)
    }

    /// The server, to be run among the other services; list it behind those it needs, so that it goes first at shutdown.
    ///
    /// - Parameter onRunning: called once with the port it listens on.
    public func service(router: Router<GatewayContext>, onRunning: @escaping @Sendable (Int) async -> Void = { _ in }) -> some Service {
        let hall = DoorHandler.Hall(entrances: entrances, counters: counters, date: DateHeader(clock: clock))
        let answering = Answering(base: router.buildResponder(), entrances: hall.entrances, counters: counters, methods: methods)
        let (upgrades, places, tls) = (upgrades, places, configuration.tls)
        GatewayChannel.prepare()
        let application = Application(
            responder: answering,
            server: HTTPServerBuilder { responder in
                GatewayChannel(
                    responder: responder, tls: tls, hall: hall, pace: pace, places: places, upgrades: upgrades, reception: reception)
            },
            configuration: ApplicationConfiguration(
                address: .hostname(configuration.host, port: configuration.port),
                backlog: 1024,  // a wave of reconnects waits here rather than being refused
                availableConnectionsDelegate: .maximum(configuration.maximumConnections, logger: logger)),
            onServerRunning: { channel in
                try? await channel.eventLoop.submit { try channel.pipeline.syncOperations.addHandler(AcceptPause(), position: .first) }
                    .get()
                await onRunning(channel.localAddress?.port ?? 0)
            },
            logger: logger)
        return GatewayService(
            application: application, draining: draining, sockets: sockets, drainSeconds: configuration.drainSeconds, logger: logger)
    }

    // MARK: parts

    private var entrances: EntranceTable {
        EntranceTable(
            doors.flatMap { door in
                door.entrances.map { entrance in
                    DoorRoute(
                        door: door, entrance: entrance, ingest: ingest, keys: keys, desk: desk, addresses: addresses, clock: clock,
                        counters: counters, holdings: holdings)
                }
            })
    }

    private var addresses: ClientAddress { ClientAddress(trustedProxies: configuration.trustedProxies) }

    private var upgrades: SocketUpgrades {
        SocketUpgrades(
            doors: doors.compactMap { $0 as? any SocketDoor }, addresses: addresses,
            gate: gate, places: places, draining: draining)
    }

    private var reception: SocketReception {
        SocketReception(
            ingest: ingest, keys: keys, addresses: addresses, clock: clock, counters: counters, sockets: sockets,
            holdings: holdings, configuration: configuration.session)
    }

    private var pace: RequestGuard.Pace {
        RequestGuard.Pace(
            head: .milliseconds(Int64(configuration.headerTimeoutSeconds * 1000)),
            idle: .milliseconds(Int64(configuration.bodyIdleSeconds * 1000)),
            total: .milliseconds(Int64(configuration.bodyTotalSeconds * 1000)),
            keepAlive: .milliseconds(Int64(configuration.keepAliveSeconds * 1000)))
    }

    /// The addresses of the gateway's own routes.
    private var methods: [String: [HTTPRequest.Method]] {
        var methods: [String: [HTTPRequest.Method]] = [:]
        for path in OperationsRoutes.paths { methods[path] = [.get, .head] }
        for door in doors {
            if let door = door as? any SocketDoor { methods[door.socketPath] = [.get] }
        }
        return methods
    }
}
