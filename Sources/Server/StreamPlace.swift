import Logging
import NATSStream

/// Which JetStream carries events between gateways and the store, and as whom it is spoken to.
struct StreamPlace: Sendable, Equatable {
    /// `nats://host:4222` or `tls://host:4222`, servers of one cluster. A user and a password may stand in front of the host.
    var servers: [String]
    var replicas = 1
    /// A `.creds` file.
    var credentials: String?
    /// Authorities to trust instead of the system's, in PEM.
    var authorities: String?
    /// What the stream may take of each server's disk.
    var maximumGigabytes = 10
    /// What may wait on this machine's disk while the servers are away; 0: nothing, and senders are told `retry`.
    var spoolMegabytes = 0

    func connect(logger: Logger) throws -> JetStream {
        var configuration = JetStream.Configuration()
        configuration.servers = servers
        if let credentials { configuration.login = .credentials(file: credentials) }
        if let authorities { configuration.tls = JetStream.TLS(authorities: authorities) }
        do {
            return try JetStream(configuration, logger: logger)
        } catch {
            throw Complaint("The stream can't be reached as it is written: \(error). An address looks like nats://127.0.0.1:4222.")
        }
    }

    var settings: StreamSettings {
        var settings = StreamSettings()
        settings.replicas = replicas
        settings.maximumBytes = Int64(maximumGigabytes) << 30
        return settings
    }

    /// Where messages wait while the servers are away; nil where they don't.
    func openSpool(in folder: DataFolder) throws -> Spool? {
        guard spoolMegabytes > 0 else { return nil }
        do {
            return try Spool(file: folder.spoolFile, maximumBytes: Int64(spoolMegabytes) << 20)
        } catch {
            throw Complaint(error.description)
        }
    }

    /// Makes the stream where it is not there, and says how one that is there differs; refuses one that would lose events.
    func prepare(_ stream: JetStream, logger: Logger) async throws {
        guard await stream.connected(within: .seconds(10)) else {
            throw Complaint("No server of the stream answers (\(shown)): start them, or mend --stream.")
        }
        let report: StreamSettings.Report
        do {
            report = try await stream.prepare(settings)
        } catch {
            throw Complaint("The stream can't be made: \(error). Its servers need JetStream, and as many of them as there are replicas.")
        }
        let grave = report.graveDifferences
        guard grave.isEmpty else {
            throw Complaint(
                "The stream that is there would lose events: \(grave.map(\.description).joined(separator: "; ")). Change it, or remove it once it is drained."
            )
        }
        for difference in report.differences {
            logger.warning("the stream is not as the settings say", metadata: ["difference": "\(difference)"])
        }
    }

    /// The servers without what is in front of an `@`.
    var shown: String {
        servers.map { server in
            guard let at = server.lastIndex(of: "@"), let colon = server.firstIndex(of: ":") else { return server }
            return server[..<colon] + "://" + server[server.index(after: at)...]
        }.joined(separator: ", ")
    }
}
