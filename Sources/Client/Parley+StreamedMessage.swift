import Foundation

extension Parley {
    /// A message that comes bit by bit; made by ``Thread/streamMessage(role:id:replyTo:retryOf:isRetry:tags:metadata:)``.
    ///
    /// It is recorded at ``end(interrupted:metadata:)``; one that nobody ends is recorded when the client is closed, as
    /// interrupted, if it is still held.
    public final class StreamedMessage: Sendable {
        public let id: String
        private let courier: Courier
        private let record: @Sendable (String, String, Int64, [String: JSON]) -> Void

        private struct State: Sendable {
            var text = ""
            var pace = Pace()
            var began: Int64?
            var ended = false
            /// The courier's name for it.
            var number = 0
        }

        private let state = Locked(State())

        /// `record` takes id, text, time of the first piece in milliseconds since 1970, and metadata.
        init(id: String, courier: Courier, record: @escaping @Sendable (String, String, Int64, [String: JSON]) -> Void) {
            self.id = id
            self.courier = courier
            self.record = record
            let number = courier.began { [weak self] in self?.end(interrupted: true) }
            state.withLock { $0.number = number }
        }

        deinit { courier.finished(state.withLock { $0.number }) }

        /// The next piece of the text. After the end it is ignored, with one warning.
        public func append(_ text: String) {
            let now = courier.wall
            let bound = courier.eventBytes
            let late = state.withLock { state in
                guard !state.ended else { return true }
                let began = state.began ?? now
                state.began = began
                // Bound: past the size of an event the message will be dropped as a whole, so no more of it is kept.
                if state.text.utf8.count <= bound { state.text += text }
                state.pace.shown(by: now - began, text.utf16.count)
                return false
            }
            if late { courier.warn("append after end of a streamed message is ignored") }
        }

        /// Records the message and gives back its id. `interrupted` says that the user, or a failure, cut it short. A second end is
        /// ignored, with one warning.
        @discardableResult
        public func end(interrupted: Bool = false, metadata: [String: JSON] = [:]) -> String {
            let now = courier.wall
            let whole: State? = state.withLock { state in
                guard !state.ended else { return nil }
                state.ended = true
                return state
            }
            guard let whole else {
                courier.warn("a second end of a streamed message is ignored")
                return id
            }
            courier.finished(whole.number)
            var more = metadata
            if interrupted { more["interrupted"] = true }
            if whole.began != nil { more["deltas"] = whole.pace.deltas }
            record(id, whole.text, whole.began ?? now, more)
            return id
        }
    }
}

/// How a text came: P-READ-6, `[[milliseconds since the first piece, UTF-16 units shown by then], …]`.
///
/// Bound: 200 entries. Past them the pause between two that are kept is doubled until they are few again; the last is always there.
struct Pace: Sendable {
    private static let bound = 200

    private struct Step: Sendable {
        let ms: Int64
        var shown: Int
    }

    private var kept: [Step] = []
    /// The latest, where it came too soon after the last kept one.
    private var latest: Step?
    private var pause: Int64 = 1
    private var total = 0

    mutating func shown(by ms: Int64, _ units: Int) {
        total += units
        // The clock may be set back; steps are in order.
        let step = Step(ms: max(ms, latest?.ms ?? kept.last?.ms ?? 0), shown: total)
        if let last = kept.last, step.ms - last.ms < pause {
            if step.ms == last.ms { kept[kept.count - 1].shown = total } else { latest = step }
            return
        }
        latest = nil
        kept.append(step)
        while kept.count >= Self.bound { thin() }
    }

    private mutating func thin() {
        pause *= 2
        var thinned: [Step] = []
        for step in kept {
            if let last = thinned.last, step.ms - last.ms < pause { latest = step } else { thinned.append(step) }
        }
        if let last = thinned.last, let tail = latest, tail.ms <= last.ms { latest = nil }
        kept = thinned
    }

    var deltas: JSON { .array((kept + (latest.map { [$0] } ?? [])).map { .array([.integer($0.ms), .integer(Int64($0.shown))]) }) }
}
