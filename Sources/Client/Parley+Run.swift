import Foundation

extension Parley {
    /// Kinds of work.
    public enum Kind: String, Sendable, Hashable { case llm, agent, tool, chain, retriever, embedding }

    /// A piece of work under way; made by ``Parley/startRun(kind:name:parent:receipt:thread:input:model:provider:id:tags:metadata:)``.
    public final class Run: Sendable {
        public let id: String
        private let thread: String?
        private let courier: Courier

        init(id: String, thread: String?, courier: Courier) {
            self.id = id
            self.thread = thread
            self.courier = courier
        }

        /// Records how it ended. `success` is true unless there is an `error` or you say otherwise. `cost` is in US dollars. Called
        /// again, the later call counts, field by field (P-RUN-4).
        public func end(
            output: JSON? = nil, usage: [String: JSON] = [:], success: Bool? = nil, error: JSON? = nil, cost: Double? = nil,
            metadata: [String: JSON] = [:]
        ) {
            let now = courier.wall
            courier.track(
                "run", id: id,
                Parley.result(output, usage, success, error, cost).merging(
                    ["at": .integer(now), "endedAt": .integer(now), "thread": .optional(thread), "metadata": .members(metadata)]) { $1 })
        }
    }

    /// Records the start of a piece of work behind a message. Needs a secret key.
    ///
    /// - Parameters:
    ///   - name: 1-200 characters.
    ///   - parent: The id of the message or run it is done for, whether that has arrived or not.
    ///   - receipt: The receipt that `parent` was given with: it proves that the run is for that message. A wrong one puts the run in
    ///     quarantine (P-RCPT-2).
    ///   - thread: The conversation it belongs to.
    public func startRun(
        kind: Kind, name: String? = nil, parent: String? = nil, receipt: String? = nil, thread: String? = nil, input: JSON? = nil,
        model: String? = nil,
        provider: String? = nil, id: String? = nil, tags: [String] = [], metadata: [String: JSON] = [:]
    ) -> Run {
        let run = Run(id: courier.id(from: id), thread: thread, courier: courier)
        let now = courier.wall
        courier.track(
            "run", id: run.id,
            Parley.work(kind, name, parent, receipt, thread, input, model, provider, tags, metadata)
                .merging(["at": .integer(now), "startedAt": .integer(now)]) { $1 })
        return run
    }

    /// Records a piece of work that is over, and gives back its id. Needs a secret key. See ``startRun`` and ``Run/end`` for the fields.
    @discardableResult
    public func trackRun(
        kind: Kind, name: String? = nil, parent: String? = nil, receipt: String? = nil, thread: String? = nil, input: JSON? = nil,
        output: JSON? = nil,
        model: String? = nil, provider: String? = nil, usage: [String: JSON] = [:], success: Bool? = nil, error: JSON? = nil,
        cost: Double? = nil, startedAt: Date? = nil, endedAt: Date? = nil, id: String? = nil, tags: [String] = [],
        metadata: [String: JSON] = [:]
    ) -> String {
        let ended = endedAt.map { ($0.timeIntervalSince1970 * 1000).milliseconds } ?? courier.wall
        return courier.track(
            "run", id: id,
            Parley.work(kind, name, parent, receipt, thread, input, model, provider, tags, metadata)
                .merging(Parley.result(output, usage, success, error, cost)) { $1 }
                .merging(["at": .integer(ended), "startedAt": .time(startedAt), "endedAt": .integer(ended)]) { $1 })
    }

    private static func work(
        _ kind: Kind, _ name: String?, _ parent: String?, _ receipt: String?, _ thread: String?, _ input: JSON?, _ model: String?,
        _ provider: String?,
        _ tags: [String], _ metadata: [String: JSON]
    ) -> [String: JSON] {
        [
            "kind": .string(kind.rawValue), "name": .optional(name), "parent": .optional(parent),
            "receipt": .optional(parent == nil ? nil : receipt), "thread": .optional(thread),
            "input": input ?? .null, "model": .optional(model), "provider": .optional(provider), "tags": .tags(tags),
            "metadata": .members(metadata),
        ]
    }

    fileprivate static func result(_ output: JSON?, _ usage: [String: JSON], _ success: Bool?, _ error: JSON?, _ cost: Double?) -> [String:
        JSON]
    {
        [
            "output": output ?? .null, "usage": .members(usage), "success": .bool(success ?? (error ?? .null == .null)),
            "error": error ?? .null, "cost": cost.map { .number($0) } ?? .null,
        ]
    }
}
