import ArgumentParser
import Configuration

/// What a server and a drain take about the stream between them.
struct StreamOptions: ParsableArguments {
    @Option(
        name: .customLong("stream"),
        help: ArgumentHelp(
            "A NATS server with JetStream, like nats://127.0.0.1:4222: events wait there for the store; may be repeated for servers of one cluster (PARLEY_STREAM, with commas).",
            valueName: "url"))
    var servers: [String] = []
    @Option(
        help: ArgumentHelp(
            "On how many servers each event is before it is acknowledged: 1, 3 or 5 (PARLEY_STREAM_REPLICAS; default: 1).",
            valueName: "count"))
    var streamReplicas: Int?
    @Option(
        help: ArgumentHelp(
            "What the stream may take of each server's disk (PARLEY_STREAM_GIGABYTES; default: 10).", valueName: "gigabytes"))
    var streamGigabytes: Int?
    @Option(
        help: ArgumentHelp(
            "What may wait in the data folder while the stream's servers are away; 0: senders are told to come again (PARLEY_STREAM_SPOOL_MEGABYTES; default: 0).",
            valueName: "megabytes"))
    var streamSpoolMegabytes: Int?
    @Option(help: ArgumentHelp("A .creds file to sign in with (PARLEY_STREAM_CREDENTIALS).", valueName: "file"))
    var streamCredentials: String?
    @Option(
        help: ArgumentHelp("Authorities to trust, in PEM (PARLEY_STREAM_AUTHORITIES; default: the system's).", valueName: "file"))
    var streamAuthorities: String?

    func add(to flags: inout [ServerConfiguration.Key: ConfigContent]) {
        flags[.stream] = servers.isEmpty ? nil : .stringArray(servers)
        flags[.streamReplicas] = streamReplicas.map { .int($0) }
        flags[.streamGigabytes] = streamGigabytes.map { .int($0) }
        flags[.streamSpoolMegabytes] = streamSpoolMegabytes.map { .int($0) }
        flags[.streamCredentials] = streamCredentials.map { .string($0) }
        flags[.streamAuthorities] = streamAuthorities.map { .string($0) }
    }
}
