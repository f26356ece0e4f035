extension JetStream {
    /// How to reach the servers and who we are there.
    public struct Configuration: Sendable {
        /// One or several servers of the same cluster, `nats://host:4222` or `tls://host:4222`; the cluster tells the others.
        public var servers = ["nats://127.0.0.1:4222"]
        /// What the servers show of this connection (`nats server report connections`).
        public var name = "parley"
        public var login = Login.none
        /// nil: as the address says, and the system's authorities for `tls://`.
        public var tls: TLS?
        /// How long one attempt to connect may take.
        public var connectWithin = Duration.seconds(2)
        /// Between two rounds through all servers: the first wait, doubled each time up to the longest. It tries for ever.
        public var reconnectAfter = Duration.milliseconds(100)
        public var reconnectAtMostAfter = Duration.seconds(5)
        /// How often a silent connection is asked whether it lives; twice unanswered, another server is looked for. The library's two
        /// minutes would leave a gateway behind a broken line for that long.
        public var pingEvery = Duration.seconds(3)
        /// How long a server may take nothing off the line before another is looked for.
        public var writeWithin = Duration.seconds(2)
        /// How long a question to the servers may take.
        public var answerWithin = Duration.seconds(5)

        public init() {}
    }

    public enum Login: Sendable {
        case none
        case password(user: String, Password)
        case token(Password)
        /// A `.creds` file, as `nsc` writes it.
        case credentials(file: String)
    }

    /// A secret that prints as `***`.
    public struct Password: Sendable, CustomStringConvertible, CustomDebugStringConvertible {
        let text: String
        public init(_ text: String) { self.text = text }
        public var description: String { "***" }
        public var debugDescription: String { "***" }
    }

    /// Files in PEM.
    public struct TLS: Sendable {
        /// Authorities to trust instead of the system's.
        public var authorities: String?
        /// Our own certificate, with what leads up to its authority, and its key, where servers ask for one.
        public var certificate: String?
        public var key: String?
        public init(authorities: String? = nil, certificate: String? = nil, key: String? = nil) {
            (self.authorities, self.certificate, self.key) = (authorities, certificate, key)
        }
    }

    /// What `/readyz` and the metrics show of the connection.
    public enum State: String, Sendable, CaseIterable { case connecting, connected, reconnecting, closed }

    /// A question that the servers did not answer as hoped.
    public enum Failure: Error, Sendable, Equatable, CustomStringConvertible {
        /// Nobody can be reached: the connection is away.
        case disconnected(String)
        /// No answer in time: it may have been done.
        case timedOut
        /// Nobody is there who could answer: no such stream, none that leads it now, or no JetStream.
        case noResponders
        /// The API's own answer (`err_code`, nats-io/nats-server server/errors.json).
        case refused(code: Int, String)
        /// An answer that is not one.
        case unreadable(String)
        case closed

        public var description: String {
            switch self {
            case .disconnected(let why): "no NATS server can be reached (\(why))"
            case .timedOut: "no answer from JetStream in time"
            case .noResponders: "nobody answers for the stream: it does not exist, or its cluster has no leader now"
            case .refused(let code, let text): "JetStream refused: \(text) (\(code))"
            case .unreadable(let what): "JetStream's answer can't be read: \(what)"
            case .closed: "the connection is closed"
            }
        }
    }
}
