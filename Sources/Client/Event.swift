import Foundation

extension Parley {
    /// Who speaks.
    public enum Role: String, Sendable, Hashable { case user, assistant, system, tool }

    /// A vote.
    public enum Thumb: String, Sendable, Hashable { case up, down }

    /// Who is at the keyboard, by the name your own system has for them.
    public struct User: Sendable, Hashable {
        /// 1-128 characters.
        public var id: String
        /// What reviewers should see about the user.
        public var props: [String: JSON]

        public init(id: String, props: [String: JSON] = [:]) {
            self.id = id
            self.props = props
        }

        var json: JSON { .object(props.isEmpty ? ["id": .string(id)] : ["id": .string(id), "props": .object(props)]) }
    }

    /// What is about to be recorded, as ``Options/beforeSend`` sees it.
    public struct Event: Sendable, Hashable {
        /// The thing's own id for a message or a run, the event's for all other types.
        public let id: String
        /// `message`, `event`, `feedback`, `identify`, `thread` or `run`.
        public let type: String
        /// The other fields under the names of the protocol: `content`, `metadata`, `user`, …
        public var fields: [String: JSON]
    }

    /// What became of an event.
    public struct Verdict: Sendable, Hashable {
        public enum Outcome: String, Sendable, Hashable {
            /// The gateway has it on disk.
            case stored
            /// The gateway had it already, from an earlier try: as good as stored.
            case duplicate
            /// Its id is taken by other content.
            case conflict
            /// The gateway keeps it aside; `reason` says what is wrong with it.
            case quarantined
            /// It is gone; `reason` says why.
            case dropped
            /// The gateway could not take it now; it is sent again. The only one that is not final.
            case retry
        }

        /// What `trackMessage` and the others gave back.
        public let id: String
        /// The type of the event.
        public let type: String
        public let outcome: Outcome
        /// Unless stored or a duplicate: a code of the gateway's closed list of reasons, or one of this client's own: `queue_full`,
        /// `expired`, `unserializable`, `before_send`, `before_send_failed`, `closed`, `http_STATUS`.
        public let reason: String?
        /// The gateway's signed word that it is stored, where ``Options/receipts`` asked for it.
        public let receipt: String?

        init(id: String, type: String, outcome: Outcome, reason: String?, receipt: String? = nil) {
            (self.id, self.type, self.outcome, self.reason, self.receipt) = (id, type, outcome, reason, receipt)
        }
    }

    /// What the gateway says of a receipt.
    public struct Receipt: Sendable, Hashable {
        public let isValid: Bool
        /// When the thing was stored, ISO 8601; of a valid one.
        public let at: String?
    }
}
