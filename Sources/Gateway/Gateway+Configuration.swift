extension Gateway {
    /// Bounds and addresses; every default works.
    public struct Configuration: Sendable {
        public var host = "127.0.0.1"
        public var port = 8787
        /// What connections are encrypted with; nil where they are not, or a proxy does it.
        public var tls: TLSIdentity?
        /// Addresses or blocks (`10.0.0.0/8`, `::1`) whose `X-Forwarded-For` is believed.
        public var trustedProxies: [AddressRange] = []

        /// Connections that are open at once; more wait in the kernel's backlog.
        public var maximumConnections = 10_000
        /// Connections that one address (an IPv6 /56) has open at once, sockets among them. Offices and mobile carriers put many people
        /// behind one.
        public var connectionsPerAddress = 1000
        /// Bytes of bodies and messages that are on their way, all connections together (`Holdings`). The largest body of a backend, 64 MiB
        /// from OpenTelemetry, has to fit into half of it.
        public var maximumHeldBytes = 160 * 1024 * 1024
        /// New sockets of one address (an IPv6 /56): so many at once, then so many a second. An office or a mobile
        /// carrier behind one address reloads pages too.
        public var socketBurst = 200.0
        public var socketsPerSecond = 20.0

        /// How long the first request's head may take.
        public var headerTimeoutSeconds = 10.0
        /// How long a body may pause, and how long it may take as a whole.
        public var bodyIdleSeconds = 10.0
        public var bodyTotalSeconds = 60.0
        /// How long a connection may rest between two requests; longer than the 60 s of common proxies, so that they
        /// close first and never send into a connection that is just being closed.
        public var keepAliveSeconds = 75.0

        public var session = Session.Configuration()
        /// How long open requests and sockets get to finish at shutdown.
        public var drainSeconds = 20.0

        public init() {}
    }
}
