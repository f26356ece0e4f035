import Conversations
import Events
import Gateway
import Logging
import NATSStream

/// A server's life, for the commands that run one: what they need is opened, wired, served and closed.
struct ServerRun {
    /// What is there while it runs.
    struct Running: Sendable {
        var configuration: ServerConfiguration
        var store: any OpenStore
        var demo: Demo?
    }

    let configuration: ServerConfiguration

    init(_ configuration: ServerConfiguration) { self.configuration = configuration }

    /// Serves until SIGINT or SIGTERM.
    /// - Parameters:
    ///   - read: reads the configuration anew, for a reload.
    ///   - onRunning: called once with the port that is listened on.
    func run(
        rereading read: @escaping @Sendable () async throws -> ServerConfiguration,
        onRunning: @escaping @Sendable (Running, Int) async throws -> Void
    ) async throws {
        LeveledLogHandler.set(configuration.logLevel)
        LoggingSystem.bootstrap { label in
            LeveledLogHandler(label: label, format: configuration.logFormat)
        }
        let logger = Logger(label: "parley")

        let tls = try configuration.tls.map { files in
            do {
                return try TLSIdentity(certificate: files.certificate, key: files.key, logger: logger)
            } catch {
                throw Complaint("\(error)")
            }
        }

        OpenFiles.makeRoom(forConnections: configuration.maximumConnections, logger: logger)
        let clock = WallClock.system
        let lease = try configuration.data.serve()
        defer { lease.end() }
        let store = try await Assembly.openStore(in: configuration.data, clock: clock, logger: logger)
        defer { try? store.close() }
        let stream = try configuration.stream?.connect(logger: logger)
        let spool = configuration.takesEvents ? try configuration.stream?.openSpool(in: configuration.data) : nil
        defer { try? spool?.close() }
        if let stream, let place = configuration.stream, spool == nil { try await place.prepare(stream, logger: logger) }
        let demo = configuration.demo ? try await Demo.open(in: configuration.data, store: store, now: clock.now()) : nil
        let running = Running(configuration: configuration, store: store, demo: demo)
        do {
            try await Assembly(
                configuration, store: store, stream: stream, spool: spool, sealer: try configuration.data.sealer(), tls: tls, clock: clock,
                logger: logger
            ).serve(rereading: read) { port in
                do {
                    try await onRunning(running, port)
                } catch {
                    logger.warning("the start could not be announced", metadata: ["error": "\(error)"])
                }
            }
        } catch {
            throw explained(error, configuration)
        }
        await stream?.close()
    }

    /// What the system says when it won't let us listen, as a sentence to act on.
    private func explained(_ error: any Error, _ configuration: ServerConfiguration) -> any Error {
        let text = "\(error)"
        let address = configuration.listen.text
        if text.contains("Address already in use") || text.contains("errno: 98") || text.contains("errno: 48") {
            return Complaint(
                "\(address) is in use by another program: end that one (perhaps a Parley that still runs), or choose another with --listen."
            )
        }
        if text.contains("Permission denied") || text.contains("errno: 13") {
            return Complaint("This user may not listen on \(address): choose a port above 1023 with --listen.")
        }
        if text.contains("Cannot assign requested address") || text.contains("errno: 99") || text.contains("errno: 49") {
            return Complaint("\(configuration.listen.host) is no address of this machine: listen on 127.0.0.1 or 0.0.0.0.")
        }
        if text.contains("getaddrinfo") || text.contains("unknown host") || text.contains("SocketAddressError") {
            return Complaint("The host \(configuration.listen.host.forTerminal()) is not known: write an address, like 127.0.0.1:8787.")
        }
        return error
    }
}
