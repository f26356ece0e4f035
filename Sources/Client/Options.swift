import Foundation

extension Parley {
    /// Settings; each has a working default.
    public struct Options: Sendable {
        /// Sees each event before it is recorded, on the thread that tracks it, and gives back what to record: the event, changed or
        /// not, or nil to drop it (`before_send`). If it throws, the event is dropped (`before_send_failed`). The id and the type stay.
        public var beforeSend: (@Sendable (Event) throws -> Event?)?

        /// Hears every verdict, in order, on a queue of the client's own. See also ``Parley/verdicts``.
        public var onVerdict: (@Sendable (Verdict) -> Void)?

        /// A folder for what has no verdict yet, made where it is missing. Nil, the default, keeps everything in memory: chat text
        /// does not touch the disk before somebody has consented to it. With it, what a crash or a quit leaves behind is sent at the next
        /// start, under the same ids: the newest 200 events, 256 KB, not older than 24 hours. Several processes may share a folder.
        public var storage: URL?

        /// Whether verdicts are to come with receipts: the gateway's signed word that an event is stored, for whoever is handed it together
        /// with the event's id. See ``Verdict/receipt`` and ``Parley/verifyReceipt(_:of:)``.
        public var receipts = false

        /// The `Origin` of requests with a public key, `https://shop.example`. Apps have none by themselves: either name one that
        /// the project allows, or allow its absence with `parley project set NAME --allow-missing-origin true`.
        public var origin: String?

        /// How many events may wait. Without it 1,000 with a public key, 10,000 with a secret one.
        public var queueEvents: Int?

        /// How many bytes of events may wait. Without it 1 MiB with a public key, 32 MiB with a secret one.
        public var queueBytes: Int?

        /// Takes warnings, each text once, 50 at most. Without it they go to standard error.
        public var log: (@Sendable (String) -> Void)?

        public init() {}
    }
}

extension Outbox.Limits {
    init(secret: Bool, options: Parley.Options) {
        self.init(
            // A long chat with the network away; or a server's few minutes.
            events: max(1, options.queueEvents ?? (secret ? 10_000 : 1000)),
            // A secret key's largest event must fit.
            bytes: max(1, options.queueBytes ?? (secret ? 32 << 20 : 1 << 20)),
            // P-LIMIT-1; a secret key's body has the same limit as its event (P-LIMIT-2), so the words around it need room.
            eventBytes: secret ? (20 << 20) - 128 : 65_536,
            // Half of what P-LIMIT-2 lets a public key send, and what the socket's welcome announces.
            bodyEvents: 500,
            bodyBytes: 262_144)
    }
}
