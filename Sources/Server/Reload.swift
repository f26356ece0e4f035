import Logging
import ServiceLifecycle
import Synchronization
import UnixSignals

/// Reads the configuration anew at each SIGHUP, and takes over what a running server can.
///
/// All of it or nothing: what can't be read, or what one of the takers refuses, is said in the log, and the old stays. Flags and the
/// environment are those of the start and still win over the file. What takes a restart is named in the log when it changed.
struct Reload: Service {
    /// Something that can change while the server runs.
    struct Taker: Sendable {
        var name: String
        /// Looks whether the new can be had, and throws where it can't; answers what makes it so. Called for every taker before anything is
        /// changed.
        var prepare: @Sendable (_ new: ServerConfiguration) async throws -> @Sendable () -> Void
    }

    let live: LiveConfiguration
    let read: @Sendable () async throws -> ServerConfiguration
    let takers: [Taker]
    let logger: Logger

    func run() async throws {
        let signals = await UnixSignalsSequence(trapping: .sighup)
        for await _ in signals.cancelOnGracefulShutdown() { await reload() }
    }

    func reload() async {
        do {
            let new = try await read()
            let changes = live.current.changes(to: new)
            var steps: [@Sendable () -> Void] = []
            for taker in takers {
                do {
                    steps.append(try await taker.prepare(new))
                } catch {
                    throw Complaint("\(taker.name): \(error)")
                }
            }
            for step in steps { step() }
            live.take(new)
            let taken = changes.filter(\.key.isReloadable)
            let later = changes.filter { !$0.key.isReloadable }
            var metadata: Logger.Metadata = [:]
            for change in taken { metadata[change.key.rawValue] = "\(change.old) -> \(change.new)" }
            logger.notice("the configuration was read again", metadata: metadata)
            if !later.isEmpty {
                logger.warning(
                    "some settings changed that take a restart; the server goes on with the old ones",
                    metadata: Dictionary(uniqueKeysWithValues: later.map { ($0.key.rawValue, "\($0.old) -> \($0.new)") }))
            }
        } catch {
            logger.error("the new configuration was refused; the old one stays", metadata: ["error": "\(error)"])
        }
    }
}

/// The configuration as it stands, for those who ask each time.
final class LiveConfiguration: Sendable {
    private let value: Mutex<ServerConfiguration>

    init(_ configuration: ServerConfiguration) { value = Mutex(configuration) }

    var current: ServerConfiguration { value.withLock { $0 } }

    /// Takes what can be taken over; the rest stays as the server was started with, so that it is named again at the next reload.
    fileprivate func take(_ new: ServerConfiguration) {
        value.withLock { current in
            current.publicURL = new.publicURL
            current.queuedEvents = new.queuedEvents
            current.logLevel = new.logLevel
        }
    }
}

extension ServerConfiguration.Key {
    /// Whether a running server takes a change over.
    fileprivate var isReloadable: Bool {
        switch self {
        case .publicUrl, .queuedEvents, .logLevel: true
        case .listen, .data, .store, .stream, .streamReplicas, .streamGigabytes, .streamSpoolMegabytes, .streamCredentials,
            .streamAuthorities, .drain, .demo,
            .tlsCertificate, .tlsKey, .trustedProxies, .maximumConnections, .connectionsPerAddress, .heldMegabytes,
            .drainSeconds, .logFormat, .otlpTraces, .otlpTracesRatio, .json:
            false
        }
    }
}

extension ServerConfiguration {
    fileprivate func changes(to new: Self) -> [(key: Key, old: String, new: String)] {
        Key.allCases.compactMap { key in
            let (old, new) = (text(of: key), new.text(of: key))
            return old == new ? nil : (key, old, new)
        }
    }

    private func text(of key: Key) -> String {
        switch key {
        case .listen: listen.text
        case .data: data.path
        case .store: data.shownDatabase ?? "none"
        case .stream: stream?.shown ?? "none"
        case .streamReplicas: "\(stream?.replicas ?? 1)"
        case .streamGigabytes: "\(stream?.maximumGigabytes ?? 10)"
        case .streamSpoolMegabytes: "\(stream?.spoolMegabytes ?? 0)"
        case .streamCredentials: stream?.credentials ?? "none"
        case .streamAuthorities: stream?.authorities ?? "none"
        case .drain: "\(drains)"
        case .demo: "\(demo)"
        case .publicUrl: publicURL ?? "none"
        case .trustedProxies: trustedProxies.map { "\($0)" }.joined(separator: ",")
        case .tlsCertificate: tls?.certificate ?? "none"
        case .tlsKey: tls?.key ?? "none"
        case .maximumConnections: "\(maximumConnections)"
        case .connectionsPerAddress: "\(connectionsPerAddress)"
        case .heldMegabytes: "\(heldMegabytes)"
        case .queuedEvents: "\(queuedEvents)"
        case .drainSeconds: "\(drainSeconds)"
        case .logLevel: logLevel.rawValue
        case .logFormat: logFormat.rawValue
        case .otlpTraces: traces?.url ?? "none"
        case .otlpTracesRatio: "\(traces?.ratio ?? 1)"
        case .json: "\(json)"
        }
    }
}
