import ArgumentParser
import Configuration
import Events

/// `parley drain`: brings what the stream holds to the store, and does nothing else.
struct DrainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain", abstract: "Bring events from the stream to the store.",
        discussion: """
            Several may run, on as many machines: they share the stream's shards among them, and those of one that dies are taken over \
            within ten seconds. It answers /healthz, /readyz and /metrics at --listen and takes no events itself. All options are those of \
            `parley serve`, from the environment and a file, too.
            """)

    @Option(help: ArgumentHelp("The address for /readyz and /metrics (PARLEY_LISTEN; default: 127.0.0.1:8790).", valueName: "host:port"))
    var listen: String?
    @OptionGroup var data: DataOptions
    @OptionGroup var stream: StreamOptions
    @Option(help: ArgumentHelp("A file of settings in JSON (PARLEY_CONFIG).", valueName: "file"))
    var config: String?
    @Option(
        help: ArgumentHelp("trace, debug, info, notice, warning, error or critical (PARLEY_LOG_LEVEL; default: info).", valueName: "level"))
    var logLevel: String?
    @Option(help: ArgumentHelp("text, or json: an object a line (PARLEY_LOG_FORMAT; default: text).", valueName: "format"))
    var logFormat: String?

    func run() async throws {
        try await ServerRun(try await read()).run {
            try await read()
        } onRunning: { run, port in
            let url = run.configuration.address(port: port)
            if run.configuration.json {
                try Console.json { json in json.object { $0.field("url", url) } }
            } else {
                try Console.line("Parley drains \(run.configuration.stream?.shown ?? ""); it says how it fares at \(url)/readyz")
            }
        }
    }

    private func read() async throws -> ServerConfiguration {
        var flags: [ServerConfiguration.Key: ConfigContent] = [:]
        flags[.listen] = listen.map { .string($0) }
        flags[.data] = data.path.map { .string($0) }
        flags[.store] = data.store.map { .string($0) }
        flags[.json] = data.json ? .bool(true) : nil
        flags[.drain] = .bool(true)
        flags[.logLevel] = logLevel.map { .string($0) }
        flags[.logFormat] = logFormat.map { .string($0) }
        stream.add(to: &flags)
        var configuration = try await ServerConfiguration.read(
            flags: flags, file: config, listeningAt: ListenAddress(host: "127.0.0.1", port: 8790))
        configuration.takesEvents = false
        configuration.demo = false
        return configuration
    }
}
