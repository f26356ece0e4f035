import Foundation

extension Parley {
    /// A conversation.
    public final class Thread: Sendable {
        public let id: String
        private let own: User?
        private let courier: Courier
        /// The last message of each role, for `isRetry`.
        private let last = Locked<[Role: String]>([:])

        init(id: String, user: User?, courier: Courier) {
            self.id = id
            own = user
            self.courier = courier
        }

        /// Records a message and gives back its id at once: hand it to the backend as the parent of its runs.
        ///
        /// - Parameters:
        ///   - id: An id of your own, 1-128 characters and as hard to guess as a UUID. Without it a new UUIDv7.
        ///   - replyTo: The message this one answers.
        ///   - retryOf: The message this one says again, after an edit or a regenerate.
        ///   - isRetry: Instead of `retryOf`: says again the thread's last message of the same role.
        ///   - at: When it was said. Without it now.
        @discardableResult
        public func trackMessage(
            role: Role, content: String, id: String? = nil, replyTo: String? = nil, retryOf: String? = nil, isRetry: Bool = false,
            tags: [String] = [], metadata: [String: JSON] = [:], at: Date? = nil
        ) -> String {
            track(role, .string(content), id, replyTo, retryOf, isRetry, tags, metadata, JSON.time(at))
        }

        /// The same for a message that is more than text. A block is an object with a `type`.
        @discardableResult
        public func trackMessage(
            role: Role, blocks: [[String: JSON]], id: String? = nil, replyTo: String? = nil, retryOf: String? = nil, isRetry: Bool = false,
            tags: [String] = [], metadata: [String: JSON] = [:], at: Date? = nil
        ) -> String {
            track(role, .array(blocks.map { .object($0) }), id, replyTo, retryOf, isRetry, tags, metadata, JSON.time(at))
        }

        /// A message that comes bit by bit, such as a model's answer. It is recorded once, whole, when it ends; how it came is kept with
        /// it, so that a replay shows its real pace.
        public func streamMessage(
            role: Role = .assistant, id: String? = nil, replyTo: String? = nil, retryOf: String? = nil, isRetry: Bool = false,
            tags: [String] = [], metadata: [String: JSON] = [:]
        ) -> StreamedMessage {
            StreamedMessage(id: courier.id(from: id), courier: courier) { id, text, at, more in
                self.track(
                    role, .string(text), id, replyTo, retryOf, isRetry, tags, metadata.merging(more) { $1 }, .integer(at))
            }
        }

        /// Records anything else that happened: opened a document, tapped, went idle. `name` has 1-200 characters.
        public func trackEvent(_ name: String, metadata: [String: JSON] = [:]) {
            courier.track("event", ["thread": .string(id), "name": .string(name), "user": user, "metadata": .members(metadata)])
        }

        private var user: JSON { (own.map { User(id: $0.id) } ?? courier.user)?.json ?? .null }

        @discardableResult
        private func track(
            _ role: Role, _ content: JSON, _ given: String?, _ replyTo: String?, _ retryOf: String?, _ isRetry: Bool, _ tags: [String],
            _ metadata: [String: JSON], _ at: JSON
        ) -> String {
            let id = courier.id(from: given)
            let before = last.withLock { last in
                defer { last[role] = id }
                return last[role]
            }
            courier.track(
                "message", id: id,
                [
                    "thread": .string(self.id), "role": .string(role.rawValue), "content": content, "replyTo": .optional(replyTo),
                    "retryOf": .optional(retryOf ?? (isRetry ? before : nil)), "tags": .tags(tags), "user": user,
                    "metadata": .members(metadata),
                    "at": at,
                ])
            return id
        }
    }
}
