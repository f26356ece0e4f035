import Configuration
import Events
import Gateway
import Logging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// How a server runs. Read from flags, then the environment, then the file, then the defaults here.
///
/// | key in the file | flag | environment | default |
/// |---|---|---|---|
/// | `listen` | `--listen` | `PARLEY_LISTEN` | `127.0.0.1:8787` |
/// | `data` | `--data` | `PARLEY_DATA` | `./parley-data` |
/// | `store` | `--store` | `PARLEY_STORE` | a SQLite file in the data folder |
/// | `stream` | `--stream`, once each | `PARLEY_STREAM`, with commas | none: events go straight to the store |
/// | `streamReplicas` | `--stream-replicas` | `PARLEY_STREAM_REPLICAS` | `1` |
/// | `streamGigabytes` | `--stream-gigabytes` | `PARLEY_STREAM_GIGABYTES` | `10` |
/// | `streamSpoolMegabytes` | `--stream-spool-megabytes` | `PARLEY_STREAM_SPOOL_MEGABYTES` | `0`: none |
/// | `streamCredentials` | `--stream-credentials` | `PARLEY_STREAM_CREDENTIALS` | none |
/// | `streamAuthorities` | `--stream-authorities` | `PARLEY_STREAM_AUTHORITIES` | the system's |
/// | `drain` | `--drain` | `PARLEY_DRAIN` | `false` |
/// | `demo` | `--demo` | `PARLEY_DEMO` | `false` |
/// | `publicUrl` | `--public-url` | `PARLEY_PUBLIC_URL` | where it listens |
/// | `tlsCertificate` | `--tls-certificate` | `PARLEY_TLS_CERTIFICATE` | none: nothing is encrypted |
/// | `tlsKey` | `--tls-key` | `PARLEY_TLS_KEY` | none |
/// | `trustedProxies` | `--trusted-proxy`, once each | `PARLEY_TRUSTED_PROXIES`, with commas | none |
/// | `maximumConnections` | `--maximum-connections` | `PARLEY_MAXIMUM_CONNECTIONS` | `10000` |
/// | `connectionsPerAddress` | `--connections-per-address` | `PARLEY_CONNECTIONS_PER_ADDRESS` | `1000` |
/// | `heldMegabytes` | `--held-megabytes` | `PARLEY_HELD_MEGABYTES` | `160` |
/// | `queuedEvents` | `--queued-events` | `PARLEY_QUEUED_EVENTS` | `20000` |
/// | `drainSeconds` | `--drain-seconds` | `PARLEY_DRAIN_SECONDS` | `20` |
/// | `logLevel` | `--log-level` | `PARLEY_LOG_LEVEL` | `info` |
/// | `logFormat` | `--log-format` | `PARLEY_LOG_FORMAT` | `text` |
/// | `otlpTraces` | `--otlp-traces` | `PARLEY_OTLP_TRACES` | none: the gateway traces nothing of its own |
/// | `otlpTracesRatio` | `--otlp-traces-ratio` | `PARLEY_OTLP_TRACES_RATIO` | `1` |
/// | (none) | (none) | `OTEL_EXPORTER_OTLP_HEADERS`, `name=value` with commas | none |
/// | `json` | `--json` | `PARLEY_JSON` | `false` |
/// | (none) | `--config` | `PARLEY_CONFIG` | no file |
/// | (none) | (none) | `PARLEY_INACTIVE_AFTER`, or `OPIK_TRACE_THREAD_TIMEOUT_TO_MARK_AS_INACTIVE` | `15m` |
/// | (none) | (none) | `PARLEY_SEALING_KEY`; of nodes that share a store the same | `sealing.key` in the data folder |
/// | (none) | (none) | `PARLEY_PARTITIONS`, in how many parts PostgreSQL keeps the large tables, noted at the first start | `8` |
///
/// A running server takes `publicUrl`, `queuedEvents` and `logLevel` over from a changed file at SIGHUP (`Reload`).
/// Origins, quotas and times of a project are the project's own: `parley project set`.
struct ServerConfiguration: Sendable {
    static let defaultData = "./parley-data"

    var listen = ListenAddress(host: "127.0.0.1", port: 8787)
    var data = DataFolder(path: defaultData)
    /// What carries events to the store; nil: they go straight there.
    var stream: StreamPlace?
    /// Whether it takes events and shows the review page; a drain does neither.
    var takesEvents = true
    /// Whether it brings what the stream holds to the store.
    var drains = false
    var demo = false
    /// The address pages and people use, where a proxy stands in front.
    var publicURL: String?
    /// Files in PEM, the key without a passphrase; looked at while the server runs, so that a renewed pair is shown by itself.
    var tls: (certificate: String, key: String)?
    /// Addresses or blocks whose X-Forwarded-For is believed.
    var trustedProxies: [AddressRange] = []
    /// Sockets and requests open at once; each costs about 30 kB.
    var maximumConnections = 10_000
    /// Of them, from one address (an IPv6 /56). A proxy that is not among the trusted is one address.
    var connectionsPerAddress = 1000
    /// Memory for bodies and messages that are on their way, all together; beyond, senders are told to try again. One body of a backend gets
    /// half of it at most, one of a page a sixth.
    var heldMegabytes = 160
    /// Events in front of the store; beyond, senders are told to try again.
    var queuedEvents = 20_000
    /// How long open connections get to finish once the server is told to stop; below the 30 s that containers are given.
    var drainSeconds = 20
    var logLevel = Logger.Level.info
    var logFormat = LeveledLogHandler.Format.text
    /// Where the gateway's own spans go, if anywhere.
    var traces: TraceExporter.Configuration?
    var json = false

    enum Key: String, CaseIterable {
        case listen, data, store, stream, streamReplicas, streamGigabytes, streamSpoolMegabytes, streamCredentials, streamAuthorities,
            drain, demo, publicUrl,
            tlsCertificate, tlsKey, trustedProxies, maximumConnections, connectionsPerAddress,
            heldMegabytes, queuedEvents,
            drainSeconds, logLevel, logFormat, otlpTraces, otlpTracesRatio, json
    }
}

extension ServerConfiguration {
    /// Where a program on this machine finds it.
    func address(port: Int) -> String {
        var listen = listen
        listen.port = port
        return "\(tls == nil ? "http" : "https")://\(listen.reachable)"
    }
}

/// A host and a port, `127.0.0.1:8787` or `[::1]:8787`; port 0 takes a free one.
struct ListenAddress: Sendable, Equatable {
    var host: String
    var port: Int

    init(host: String, port: Int) { (self.host, self.port) = (host, port) }

    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]), (0...65535).contains(port) else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() } else if host.contains(":") { return nil }
        guard !host.isEmpty else { return nil }
        self.init(host: String(host), port: port)
    }

    var text: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// The address a browser on this machine can open, without what stands before `://`.
    var reachable: String { ["0.0.0.0": "127.0.0.1:\(port)", "::": "[::1]:\(port)"][host] ?? text }
}

extension ServerConfiguration {
    /// Reads the configuration.
    /// - Parameters:
    ///   - flags: what stood on the command line; it comes first.
    ///   - file: a JSON object of the keys above, from `--config` or `PARLEY_CONFIG`.
    ///   - listen: where nothing else is said.
    static func read(
        flags: [Key: ConfigContent], file: String?, listeningAt listen: ListenAddress = ListenAddress(host: "127.0.0.1", port: 8787),
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) async throws -> Self {
        var providers: [any ConfigProvider] = [
            InMemoryProvider(
                name: "command line",
                values: Dictionary(
                    uniqueKeysWithValues: flags.map { (AbsoluteConfigKey([$0.key.rawValue]), ConfigValue($0.value, isSecret: false)) })),
            EnvironmentVariablesProvider(environmentVariables: environment).prefixKeys(with: "parley"),
        ]
        if let file = file ?? environment["PARLEY_CONFIG"] { providers.append(try await provider(of: file)) }
        let reader = ConfigReader(providers: providers)

        func value<Value>(_ key: Key, _ what: String, _ read: (ConfigKey) async throws -> Value?) async throws -> Value? {
            do {
                return try await read(ConfigKey(key.rawValue))
            } catch {
                throw Complaint("The setting \(key.rawValue) is not \(what): see `parley serve --help`.")
            }
        }

        var configuration = Self()
        configuration.listen = listen
        if let text = try await value(.listen, "text", { try await reader.fetchString(forKey: $0) }) {
            guard let listen = ListenAddress(text) else {
                throw Complaint("\(text.forTerminal()) is no address to listen on: write HOST:PORT, like 127.0.0.1:8787 or [::1]:8787.")
            }
            configuration.listen = listen
        }
        if let path = try await value(.data, "text", { try await reader.fetchString(forKey: $0) }) { configuration.data.path = path }
        configuration.data.database = DataFolder.address(try await value(.store, "text") { try await reader.fetchString(forKey: $0) })
        if let servers = try await value(.stream, "a list of texts", { try await reader.fetchStringArray(forKey: $0) }), !servers.isEmpty {
            for server in servers where !server.hasPrefix("nats://") && !server.hasPrefix("tls://") {
                throw Complaint("An address of the stream begins with nats:// or tls://, but this is \(server.forTerminal()).")
            }
            var stream = StreamPlace(servers: servers)
            if let replicas = try await value(.streamReplicas, "a whole number", { try await reader.fetchInt(forKey: $0) }) {
                guard [1, 3, 5].contains(replicas) else { throw Complaint("streamReplicas is 1, 3 or 5, not \(replicas).") }
                stream.replicas = replicas
            }
            if let gigabytes = try await value(.streamGigabytes, "a whole number", { try await reader.fetchInt(forKey: $0) }) {
                guard (1...1_000_000).contains(gigabytes) else {
                    throw Complaint("streamGigabytes is between 1 and 1000000, not \(gigabytes).")
                }
                stream.maximumGigabytes = gigabytes
            }
            if let megabytes = try await value(.streamSpoolMegabytes, "a whole number", { try await reader.fetchInt(forKey: $0) }) {
                guard (0...1_000_000).contains(megabytes) else {
                    throw Complaint("streamSpoolMegabytes is between 0 and 1000000, not \(megabytes).")
                }
                stream.spoolMegabytes = megabytes
            }
            stream.credentials = try await value(.streamCredentials, "text") { try await reader.fetchString(forKey: $0) }
            stream.authorities = try await value(.streamAuthorities, "text") { try await reader.fetchString(forKey: $0) }
            configuration.stream = stream
            guard configuration.data.database != nil else {
                throw Complaint("A stream leads to a store that several share: name a PostgreSQL with --store.")
            }
        }
        configuration.drains = try await value(.drain, "true or false") { try await reader.fetchBool(forKey: $0) } ?? false
        if configuration.drains, configuration.stream == nil { throw Complaint("There is nothing to drain: name a stream with --stream.") }
        if let url = try await value(.publicUrl, "text", { try await reader.fetchString(forKey: $0) }) {
            guard url.hasPrefix("http://") || url.hasPrefix("https://") else {
                throw Complaint("The public URL begins with http:// or https://, but this is \(url.forTerminal()).")
            }
            configuration.publicURL = url.hasSuffix("/") ? String(url.dropLast()) : url
        }
        let certificate = try await value(.tlsCertificate, "text") { try await reader.fetchString(forKey: $0) }
        let key = try await value(.tlsKey, "text") { try await reader.fetchString(forKey: $0) }
        switch (certificate, key) {
        case (nil, nil): break
        case (let certificate?, let key?): configuration.tls = (certificate, key)
        case (_?, nil): throw Complaint("A certificate goes with its key: name the key's file with --tls-key.")
        case (nil, _?): throw Complaint("A key goes with its certificate: name the certificate's file with --tls-certificate.")
        }
        if let proxies = try await value(.trustedProxies, "a list of texts", { try await reader.fetchStringArray(forKey: $0) }) {
            configuration.trustedProxies = try proxies.map { text in
                guard let range = AddressRange(text) else {
                    throw Complaint("The trusted proxy \(text.forTerminal()) is no address or block: write it like 10.0.0.0/8 or ::1.")
                }
                return range
            }
        }
        if let url = try await value(.otlpTraces, "text", { try await reader.fetchString(forKey: $0) }) {
            guard url.hasPrefix("http://") || url.hasPrefix("https://") else {
                throw Complaint(
                    "The address for traces begins with http:// or https://, like http://127.0.0.1:4318/v1/traces, but this is \(url.forTerminal())."
                )
            }
            configuration.traces = TraceExporter.Configuration(url: url)
        }
        if let ratio = try await value(.otlpTracesRatio, "a number", { try await reader.fetchDouble(forKey: $0) }) {
            guard (0...1).contains(ratio) else { throw Complaint("The ratio of traces is 0 to 1, but this is \(ratio).") }
            configuration.traces?.ratio = ratio
        }
        configuration.traces?.headers = (ProcessInfo.processInfo.environment["OTEL_EXPORTER_OTLP_HEADERS"] ?? "").split(separator: ",")
            .compactMap { pair in
                let parts = pair.split(separator: "=", maxSplits: 1).map { String($0.drop { $0 == " " }) }
                return parts.count == 2 ? (parts[0], parts[1]) : nil
            }
        if let text = try await value(.logFormat, "text", { try await reader.fetchString(forKey: $0) }) {
            guard let format = LeveledLogHandler.Format(rawValue: text) else {
                throw Complaint("There is no log format \(text.forTerminal()): use text or json.")
            }
            configuration.logFormat = format
        }
        if let text = try await value(.logLevel, "text", { try await reader.fetchString(forKey: $0) }) {
            guard let level = Logger.Level(rawValue: text) else {
                throw Complaint(
                    "There is no log level \(text.forTerminal()): use \(Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")).")
            }
            configuration.logLevel = level
        }
        func count(_ key: Key, _ range: ClosedRange<Int>, into target: WritableKeyPath<Self, Int>) async throws {
            guard let number = try await value(key, "a whole number", { try await reader.fetchInt(forKey: $0) }) else { return }
            guard range.contains(number) else {
                throw Complaint("\(key.rawValue) is between \(range.lowerBound) and \(range.upperBound), not \(number).")
            }
            configuration[keyPath: target] = number
        }
        try await count(.maximumConnections, 1...1_000_000, into: \.maximumConnections)
        try await count(.connectionsPerAddress, 1...1_000_000, into: \.connectionsPerAddress)
        try await count(.heldMegabytes, 8...1_000_000, into: \.heldMegabytes)
        try await count(.queuedEvents, 1000...10_000_000, into: \.queuedEvents)
        try await count(.drainSeconds, 0...3600, into: \.drainSeconds)
        configuration.demo = try await value(.demo, "true or false") { try await reader.fetchBool(forKey: $0) } ?? configuration.demo
        configuration.json = try await value(.json, "true or false") { try await reader.fetchBool(forKey: $0) } ?? configuration.json
        return configuration
    }

    private static func provider(of file: String) async throws -> any ConfigProvider {
        guard let data = FileManager.default.contents(atPath: file) else {
            throw Complaint("The configuration file \(file) can't be read: check its name and its rights.")
        }
        var unknown: String?
        do {
            try JSONDocument.read(data) { json in
                guard json.kind == .object else { throw JSONDocument.Fault.malformed }
                json.forEachMember { key, _ in
                    let name = String(decoding: key, as: UTF8.self)
                    if Key(rawValue: name) == nil { unknown = name }
                }
            }
            if let unknown {
                let near = Key.allCases.map(\.rawValue).min { $0.distance(to: unknown) < $1.distance(to: unknown) } ?? ""
                throw Complaint("\(file) sets \(unknown.forTerminal()), which is no setting: did you mean \(near)?")
            }
            let path = InMemoryProvider(values: ["filePath": ConfigValue(.string(file), isSecret: false)])
            return try await FileProvider<JSONSnapshot>(config: ConfigReader(provider: path))
        } catch is JSONDocument.Fault {
            throw Complaint("The configuration file \(file) is not a JSON object: mend it, or see `parley serve --help` for the keys.")
        }
    }
}
