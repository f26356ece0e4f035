import ArgumentParser
import Configuration
import Conversations
import Events
import Gateway
import Logging

/// `parley serve`: takes events, answers reads, shows the review page.
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the server.",
        discussion: """
            Every option is also an environment variable (PARLEY_LISTEN, PARLEY_TRUSTED_PROXIES, …) and a key in the file \
            that --config names, a JSON object: listen, data, store, stream, streamReplicas, streamGigabytes, streamSpoolMegabytes, streamCredentials, streamAuthorities, drain, demo, publicUrl, tlsCertificate, tlsKey, trustedProxies, maximumConnections, \
            connectionsPerAddress, heldMegabytes, queuedEvents, drainSeconds, logLevel, logFormat, otlpTraces, otlpTracesRatio, json. Flags win over the environment, that over the file. \
            SIGHUP reads the file again: logLevel, queuedEvents and publicUrl are taken over, the others take a restart; a file with a fault \
            is refused and the old settings stay. The log says what changed.
            """)

    @Option(help: ArgumentHelp("The address to listen on (PARLEY_LISTEN; default: 127.0.0.1:8787).", valueName: "host:port"))
    var listen: String?
    @OptionGroup var data: DataOptions
    @Option(help: ArgumentHelp("A file of settings in JSON (PARLEY_CONFIG).", valueName: "file"))
    var config: String?
    @OptionGroup var stream: StreamOptions
    @Flag(help: "Bring what the stream holds to the store, too (PARLEY_DRAIN); `parley drain` does nothing else.")
    var drain = false
    @Flag(help: "Make the project `demo` at the first start and print how to use it (PARLEY_DEMO).")
    var demo = false
    @Option(help: ArgumentHelp("The address pages and people use, where a proxy stands in front (PARLEY_PUBLIC_URL).", valueName: "url"))
    var publicUrl: String?
    @Option(
        help: ArgumentHelp(
            "A file of certificates in PEM, the server's first: encrypts all connections (PARLEY_TLS_CERTIFICATE). Read anew when it changes.",
            valueName: "file"))
    var tlsCertificate: String?
    @Option(help: ArgumentHelp("The file of its key in PEM, without a passphrase (PARLEY_TLS_KEY).", valueName: "file"))
    var tlsKey: String?
    @Option(
        name: .customLong("trusted-proxy"),
        help: ArgumentHelp(
            "An address or block whose X-Forwarded-For is believed; may be repeated (PARLEY_TRUSTED_PROXIES, with commas).",
            valueName: "cidr"))
    var trustedProxies: [String] = []
    @Option(help: ArgumentHelp("Connections open at once (PARLEY_MAXIMUM_CONNECTIONS; default: 10000).", valueName: "count"))
    var maximumConnections: Int?
    @Option(
        help: ArgumentHelp(
            "Of them, from one address; a proxy is one unless it is trusted (PARLEY_CONNECTIONS_PER_ADDRESS; default: 1000).",
            valueName: "count"))
    var connectionsPerAddress: Int?
    @Option(
        help: ArgumentHelp(
            "Memory for bodies and messages on their way, all together (PARLEY_HELD_MEGABYTES; default: 160).", valueName: "megabytes"))
    var heldMegabytes: Int?
    @Option(help: ArgumentHelp("Events that may wait for the store (PARLEY_QUEUED_EVENTS; default: 20000).", valueName: "count"))
    var queuedEvents: Int?
    @Option(
        help: ArgumentHelp("How long open connections get to finish at the end (PARLEY_DRAIN_SECONDS; default: 20).", valueName: "seconds"))
    var drainSeconds: Int?
    @Option(
        help: ArgumentHelp("trace, debug, info, notice, warning, error or critical (PARLEY_LOG_LEVEL; default: info).", valueName: "level"))
    var logLevel: String?
    @Option(
        help: ArgumentHelp("text, or json: an object a line (PARLEY_LOG_FORMAT; default: text).", valueName: "format"))
    var logFormat: String?
    @Option(
        help: ArgumentHelp(
            "Where the gateway's own OpenTelemetry spans go, like http://127.0.0.1:4318/v1/traces (PARLEY_OTLP_TRACES; default: nowhere).",
            valueName: "url"))
    var otlpTraces: String?
    @Option(help: ArgumentHelp("Of which share of batches, 0 to 1 (PARLEY_OTLP_TRACES_RATIO; default: 1).", valueName: "ratio"))
    var otlpTracesRatio: Double?

    func run() async throws {
        let configuration = try await ServerConfiguration.read(flags: flags, file: config)
        try await ServerRun(configuration).run { [flags, config] in
            try await ServerConfiguration.read(flags: flags, file: config)
        } onRunning: { run, port in
            try await greet(run, port: port)
        }
    }

    private var flags: [ServerConfiguration.Key: ConfigContent] {
        var flags: [ServerConfiguration.Key: ConfigContent] = [:]
        flags[.listen] = listen.map { .string($0) }
        flags[.data] = data.path.map { .string($0) }
        flags[.store] = data.store.map { .string($0) }
        stream.add(to: &flags)
        flags[.drain] = drain ? .bool(true) : nil
        flags[.demo] = demo ? .bool(true) : nil
        flags[.json] = data.json ? .bool(true) : nil
        flags[.publicUrl] = publicUrl.map { .string($0) }
        flags[.tlsCertificate] = tlsCertificate.map { .string($0) }
        flags[.tlsKey] = tlsKey.map { .string($0) }
        flags[.trustedProxies] = trustedProxies.isEmpty ? nil : .stringArray(trustedProxies)
        flags[.maximumConnections] = maximumConnections.map { .int($0) }
        flags[.connectionsPerAddress] = connectionsPerAddress.map { .int($0) }
        flags[.heldMegabytes] = heldMegabytes.map { .int($0) }
        flags[.queuedEvents] = queuedEvents.map { .int($0) }
        flags[.drainSeconds] = drainSeconds.map { .int($0) }
        flags[.logLevel] = logLevel.map { .string($0) }
        flags[.logFormat] = logFormat.map { .string($0) }
        flags[.otlpTraces] = otlpTraces.map { .string($0) }
        flags[.otlpTracesRatio] = otlpTracesRatio.map { .double($0) }
        return flags
    }

    private func greet(_ run: ServerRun.Running, port: Int) async throws {
        let (configuration, demo, store) = (run.configuration, run.demo, run.store)
        let url = configuration.publicURL ?? configuration.address(port: port)
        try configuration.data.noteServing(at: url)
        var link: String?
        if demo != nil {
            let admin = try await ReviewLink.member(named: ReviewLink.admin, in: store, now: WallClock.system.now())
            link = try await ReviewLink.make(for: admin, at: url, store: store, now: WallClock.system.now()).url
        }
        if configuration.json {
            try Console.json { json in
                json.object {
                    $0.field("url", url)
                    $0.field(ifPresent: "publicKey", demo?.publicKey)
                    $0.field(ifPresent: "reviewLink", link)
                }
            }
            return
        }
        guard let demo, let link else { return try Console.line("Parley listens on \(url)") }
        try Console.line(
            """

            Parley listens on \(url)

              Demo chat      \(Demo.chat)  (served by demo/backend.py, which scripts/run starts)
              Review page    \(link)
                             (signs in once, within 24 hours; `parley review link` makes another)
              Public key     \(demo.publicKey)
              Secret key     in \(configuration.data.demoFile)
              For your page  \(PageSnippet(url: url, key: demo.publicKey).text)

            """)
    }
}
