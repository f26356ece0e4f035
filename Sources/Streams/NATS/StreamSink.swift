public import Events
import Logging
import Synchronization

/// Publishes deliveries to the stream and answers when its servers have them.
///
/// **What `stored` means here.** The servers acknowledged the message: with one replica the server has written it to its file, with
/// three a majority has. Written is not yet on disk: a server syncs its files every two minutes unless its configuration says
/// `jetstream { sync_interval: always }`. So one replica without that survives the server's end but not the machine's (power,
/// kernel); three replicas on three machines survive any one of them, and lose the last moments only where a majority loses power at
/// once. The store then decides who was first: an event that is `stored` here may turn out there to be the `duplicate` of another
/// gateway's, or a `conflict`, which quarantine then shows beside the original.
///
/// **What comes twice.** Each message has an ID made once for its delivery, and is sent again with the same ID until it is
/// acknowledged or `patience` ends, well inside the window in which the servers know IDs again. A sender who was told `retry` sends
/// again what may be in the stream by then: the store calls that a `duplicate`.
///
/// **When it refuses.** Nobody acknowledges in time: `unavailable`; the stream has reached its size, or the servers their disk:
/// `diskFull`; too much is on its way: `overloaded`. Of several deliveries some may be acknowledged and some not: events of the
/// latter are answered `retry` one by one, and it throws only where none was acknowledged.
///
/// **With a spool** what the servers do not take within some seconds waits on this machine's disk instead, is `stored`, and is sent as soon
/// as they are back (`forward`), with the IDs it had; until then nobody waits for them. The stream's order and the order of arrival then
/// differ, which the store allows. Only a spool that is full is answered `retry`.
public final class StreamSink: EventSink {
    public struct Configuration: Sendable {
        /// After which time without an answer a message is sent again.
        public var acknowledgeWithin = Duration.seconds(2)
        /// After which time a delivery is given up; capped at half of the duplicate window.
        public var patience = Duration.seconds(8)
        /// On the way at once, over all callers; further ones wait in line for as long as `patience`.
        public var maximumMessagesInFlight = 4096
        public var maximumBytesInFlight = 64 << 20
        /// A delivery is cut between events where its message would grow beyond this.
        public var preferredMessageBytes = 1 << 20
        public init() {}
    }

    /// What was done since the start, and what is under way.
    public struct Figures: Sendable, Equatable {
        /// Messages the servers acknowledged.
        public var acknowledged = 0
        /// Those among them that they had already: the answer to an earlier attempt was lost.
        public var known = 0
        /// Attempts beyond the first.
        public var repeated = 0
        /// Deliveries given up.
        public var failed = 0
        /// Events too large for any message.
        public var tooLarge = 0
        /// Messages that went to the spool.
        public var spooled = 0
        public var messagesInFlight = 0
        public var bytesInFlight = 0
    }

    private let stream: JetStream
    private let settings: StreamSettings
    private let configuration: Configuration
    private let patience: Duration
    private let window: PublishWindow
    private let spool: Spool?
    /// Whether the servers took nothing when they were last asked, so that what comes need not wait for them.
    private let state = Mutex((figures: Figures(), isClosed: false, isAway: false))

    /// - Parameter spool: where messages wait while the servers are away; without one their senders are told `retry`.
    public init(_ stream: JetStream, settings: StreamSettings, configuration: Configuration = Configuration(), spool: Spool? = nil) {
        self.stream = stream
        self.settings = settings
        self.configuration = configuration
        self.spool = spool
        // One attempt and a bit, where there is something better to do than to wait.
        let patience = spool == nil ? configuration.patience : min(configuration.patience, configuration.acknowledgeWithin * 1.5)
        self.patience = min(patience, settings.duplicateWindow / 2)
        window = PublishWindow(size: .init(messages: configuration.maximumMessagesInFlight, bytes: configuration.maximumBytesInFlight))
    }

    public var figures: Figures {
        var figures = state.withLock { $0.figures }
        let used = window.used
        (figures.messagesInFlight, figures.bytesInFlight) = (used.messages, used.bytes)
        return figures
    }

    /// Takes nothing more; what is under way is still answered. The connection stays whoever's it is.
    public func close() { state.withLock { $0.isClosed = true } }

    public func append(_ deliveries: [Delivery]) async throws(SinkFailure) -> [[Verdict]] {
        if state.withLock({ $0.isClosed }) { throw SinkFailure(.draining, "the stream's sink is closed") }
        let end = ContinuousClock.now + patience
        let goesDirect = await isDirect()
        // The servers' limit is known once one was met.
        guard let maximumPayload = await maximumPayload(direct: goesDirect) else {
            count { $0.failed += deliveries.count }
            throw SinkFailure(.unavailable, JetStream.Failure.disconnected("\(stream.state)").description)
        }
        if deliveries.isEmpty, !goesDirect, spool?.isFull ?? true {
            throw SinkFailure(.unavailable, JetStream.Failure.disconnected("\(stream.state)").description)
        }
        let codec = DeliveryCodec(
            preferredBytes: configuration.preferredMessageBytes, maximumBytes: min(maximumPayload, settings.maximumMessageBytes))
        // The first are on their way while the next are still being written.
        var refused: [[Int: Verdict]] = []
        var messages: [Message] = []
        var rounds: [Round] = []
        var sent = 0
        var bytes = 0
        for (place, delivery) in deliveries.enumerated() {
            let id = randomName()
            let encoded = codec.encode(delivery, id: id)
            refused.append(encoded.refused)
            let subject = settings.shards.subject(of: delivery.source.project)
            for (part, body) in encoded.bodies.enumerated() {
                messages.append(Message(delivery: place, subject: subject, id: "\(id)-\(part)", body: body))
                bytes += body.count
            }
            if goesDirect, messages.count - sent >= stretch.messages || bytes >= stretch.bytes {
                rounds += await begin(Array(sent..<messages.count), messages, until: end)
                (sent, bytes) = (messages.count, 0)
            }
        }
        if goesDirect { rounds += await begin(Array(sent..<messages.count), messages, until: end) }
        count { $0.tooLarge += refused.reduce(0) { $0 + $1.count } }

        let failures: [JetStream.Failure?]
        if goesDirect {
            failures = await spooled(await finish(rounds, messages, until: end), messages)
        } else {
            failures = await spooled(messages.map { _ in .disconnected("\(stream.state)") }, messages)
        }
        var failed: [Int: SinkFailure] = [:]
        for (message, failure) in zip(messages, failures) { if let failure { failed[message.delivery] = Self.sinkFailure(failure) } }
        count { $0.failed += failed.count }
        if let (_, failure) = failed.first, failed.count == deliveries.count { throw failure }
        return deliveries.enumerated().map { place, delivery in
            let failure = failed[place]
            return (0..<delivery.events.count + delivery.setAside.count).map { item in
                // Said in the tally of a message, and so only with it.
                if let failure { return .retry(failure.refusal) }
                if let verdict = refused[place][item] { return verdict }
                // P-ACK-2: every message of the delivery was acknowledged.
                return item < delivery.events.count ? .stored : .quarantined(delivery.setAside[item - delivery.events.count].refusal)
            }
        }
    }

    private struct Message: Sendable {
        var delivery: Int
        var subject: String
        var id: String
        var body: [UInt8]
    }

    /// What is sent in one go: small enough that the servers have something to do early, and that callers take turns.
    private var stretch: PublishWindow.Weight {
        PublishWindow.Weight(
            messages: max(1, min(256, configuration.maximumMessagesInFlight / 4)), bytes: configuration.maximumBytesInFlight / 4)
    }

    /// Waits for answers, and sends again what has none until it has or there is no hope; nil for each message that is acknowledged.
    private func finish(_ first: [Round], _ messages: [Message], until end: ContinuousClock.Instant) async -> [JetStream.Failure?] {
        var failures = [JetStream.Failure?](repeating: nil, count: messages.count)
        var rounds = first
        var pause = Duration.milliseconds(50)
        while true {
            var again: [Int] = []
            for round in rounds {
                await round.wait()
                let (results, known) = round.results
                count {
                    $0.acknowledged += results.count { $0 == nil }
                    $0.known += known
                }
                for (place, failure) in zip(round.places, results) {
                    failures[place] = failure
                    if let failure, Self.mayPass(failure) { again.append(place) }
                }
            }
            guard !again.isEmpty, ContinuousClock.now + pause < end else { return failures }
            // A cancelled caller waits no more; what he is told stays true.
            guard (try? await Task.sleep(for: pause)) != nil else { return failures }
            pause = min(pause * 2, .seconds(1))
            guard await stream.connected(within: max(.zero, end - .now)) else { return failures }
            count { $0.repeated += again.count }
            rounds = await begin(again, messages, until: end)
        }
    }

    /// Sends messages once each, a stretch at a time, as soon as there is room for it.
    private func begin(_ places: [Int], _ messages: [Message], until end: ContinuousClock.Instant) async -> [Round] {
        var rounds: [Round] = []
        var rest = places[...]
        while !rest.isEmpty {
            var weight = PublishWindow.Weight()
            var count = 0
            for place in rest {
                let size = messages[place].body.count
                if count > 0, count == stretch.messages || weight.bytes + size > stretch.bytes { break }
                count += 1
                weight.bytes += size
            }
            weight.messages = count
            let these = Array(rest.prefix(count))
            rest = rest.dropFirst(count)
            guard await window.enter(weight, within: max(.zero, end - .now)) else {
                rounds.append(Round(places: these, failure: .refused(code: Self.stalled, "too much is on its way to the servers")))
                continue
            }
            // Its room is free with the last answer, whoever waits for it.
            let round = Round(places: these) { [window, weight] in window.leave(weight) }
            let outgoing = these.map { place in
                JetStream.Outgoing(
                    subject: messages[place].subject,
                    headers: [
                        ("Nats-Msg-Id", messages[place].id), ("Nats-Expected-Stream", settings.name),
                        ("Content-Type", "application/cloudevents-batch+json"),
                    ], body: messages[place].body)
            }
            stream.publish(outgoing, within: configuration.acknowledgeWithin) { index, result in round.note(index, result) }
            rounds.append(round)
        }
        return rounds
    }

    // MARK: while the servers are away

    /// Whether to ask the servers at all.
    private func isDirect() async -> Bool {
        guard spool != nil else { return await stream.connected(within: patience) }
        return stream.state == .connected && !state.withLock { $0.isAway }
    }

    private func maximumPayload(direct: Bool) async -> Int? {
        if let size = stream.maximumPayload { return size }
        return direct ? nil : await spool?.maximumPayload()
    }

    /// Keeps in the spool what the servers did not take for now; what is left has failed.
    private func spooled(_ failures: [JetStream.Failure?], _ messages: [Message]) async -> [JetStream.Failure?] {
        guard let spool else { return failures }
        let places = failures.indices.filter { failures[$0].map(Self.isForNow) ?? false }
        guard !places.isEmpty else { return failures }
        var failures = failures
        do {
            try await spool.put(places.map { Spool.Message(subject: messages[$0].subject, id: messages[$0].id, body: messages[$0].body) })
            for place in places { failures[place] = nil }
            state.withLock { state in
                state.figures.spooled += places.count
                state.isAway = true
            }
        } catch {
            stream.logger.error("the spool did not take what the stream didn't", metadata: ["why": "\(error.description)"])
            if error.cause == .diskFull { for place in places { failures[place] = .refused(code: Self.outOfSpace[0], error.description) } }
        }
        return failures
    }

    /// Whether another time may be better; a window that is full is this gateway's own, and what is closed does not open again.
    private static func isForNow(_ failure: JetStream.Failure) -> Bool {
        switch failure {
        case .disconnected, .timedOut, .noResponders, .unreadable: true
        case .refused(let code, _): !neverFits.contains(code) && code != stalled
        case .closed: false
        }
    }

    /// Brings what is in the spool to the servers as soon as they take it; until cancelled.
    public func forward() async {
        guard let spool else { return }
        var pause = Duration.milliseconds(200)
        var noted: Int?
        while !Task.isCancelled {
            if let size = stream.maximumPayload, size != noted {
                await spool.note(maximumPayload: size)
                noted = size
            }
            let isWaiting = spool.figures.messages > spool.figures.refused
            if !isWaiting { state.withLock { $0.isAway = false } }
            do {
                if isWaiting, await stream.connected(within: .seconds(1)), try await forwardNext(from: spool) {
                    pause = .milliseconds(200)
                    continue
                }
            } catch {
                stream.logger.error("the spool can't be read", metadata: ["why": "\(error)"])
            }
            pause = isWaiting ? min(pause * 2, .seconds(5)) : .milliseconds(200)
            try? await Task.sleep(for: pause)
        }
    }

    /// Whether the servers took anything.
    private func forwardNext(from spool: Spool) async throws -> Bool {
        let next = try await spool.next(256, bytes: 8 << 20)
        let messages = next.map { Message(delivery: 0, subject: $0.message.subject, id: $0.message.id, body: $0.message.body) }
        let end = ContinuousClock.now + configuration.acknowledgeWithin
        let failures = await finish(await begin(Array(messages.indices), messages, until: end), messages, until: end)
        try await spool.remove(zip(next, failures).filter { $1 == nil }.map(\.0))
        let hopeless = zip(next, failures).filter { _, failure in
            guard case .refused(let code, _) = failure else { return false }
            return Self.neverFits.contains(code)
        }
        if !hopeless.isEmpty {
            try await spool.setAside(hopeless.map(\.0.number), because: "\(hopeless[0].1!)")
            stream.logger.error(
                "the stream's servers refuse messages of the spool",
                metadata: ["messages": "\(hopeless.count)", "why": "\(hopeless[0].1!)"])
        }
        let taken = failures.contains { $0 == nil }
        if taken { state.withLock { $0.isAway = false } }
        return taken || !hopeless.isEmpty
    }

    private func count(_ change: (inout Figures) -> Void) { state.withLock { change(&$0.figures) } }

    // MARK: what a refusal means

    /// Our own, for a window that stayed full.
    private static let stalled = 0
    /// nats-io/nats-server server/errors.json.
    private static let tooManyRequests = [10167, stalled]
    private static let outOfSpace = [10023, 10028, 10047, 10077]
    private static let neverFits = [10054]

    /// Whether sending it again soon may help.
    private static func mayPass(_ failure: JetStream.Failure) -> Bool {
        switch failure {
        case .disconnected, .timedOut, .noResponders: true
        case .refused(let code, _): !outOfSpace.contains(code) && !neverFits.contains(code) && code != stalled
        case .unreadable, .closed: false
        }
    }

    private static func sinkFailure(_ failure: JetStream.Failure) -> SinkFailure {
        switch failure {
        case .refused(let code, _) where outOfSpace.contains(code): SinkFailure(.diskFull, failure.description)
        case .refused(let code, _) where tooManyRequests.contains(code): SinkFailure(.overloaded, failure.description)
        case .closed: SinkFailure(.draining, failure.description)
        default: SinkFailure(.unavailable, failure.description)
        }
    }
}

/// The answers to messages sent together: one suspension for all of them.
private final class Round: Sendable {
    private struct State {
        var failures: [JetStream.Failure?]
        var known = 0
        var open: Int
        var continuation: CheckedContinuation<Void, Never>?
    }

    /// Which messages.
    let places: [Int]
    private let completed: @Sendable () -> Void
    private let state: Mutex<State>

    init(places: [Int], completed: @escaping @Sendable () -> Void) {
        (self.places, self.completed) = (places, completed)
        state = Mutex(State(failures: Array(repeating: .timedOut, count: places.count), open: places.count))
    }

    /// One that was not even sent.
    init(places: [Int], failure: JetStream.Failure) {
        (self.places, completed) = (places, {})
        state = Mutex(State(failures: Array(repeating: failure, count: places.count), open: 0))
    }

    func note(_ index: Int, _ result: Result<Answer, JetStream.Failure>) {
        let (failure, isKnown) = Self.read(result)
        let (isLast, continuation) = state.withLock { state in
            state.failures[index] = failure
            if isKnown { state.known += 1 }
            state.open -= 1
            return (state.open == 0, state.open == 0 ? state.continuation : nil)
        }
        if isLast { completed() }
        continuation?.resume()
    }

    func wait() async {
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state in
                if state.open > 0 { state.continuation = continuation }
                return state.open == 0
            }
            if isOver { continuation.resume() }
        }
    }

    var results: ([JetStream.Failure?], known: Int) { state.withLock { ($0.failures, $0.known) } }

    /// A publication's acknowledgement: `{"stream":"PARLEY","seq":7}`, with `"duplicate":true` where the ID is known, or `{"error":…}`.
    private static func read(_ result: Result<Answer, JetStream.Failure>) -> (failure: JetStream.Failure?, isKnown: Bool) {
        switch result {
        case .failure(let failure): return (failure, false)
        case .success(let answer):
            do {
                return try JSONDocument.read(answer.body, isOurs: true) { json in
                    if let error = json["error"] {
                        let code = error["err_code"]?.integer.map { Int($0) } ?? -1
                        return (.refused(code: code, error["description"]?.string ?? "no reason given"), false)
                    }
                    guard let sequence = json["seq"]?.integer, sequence > 0 else { return (.unreadable("no sequence"), false) }
                    return (nil, json["duplicate"]?.bool ?? false)
                }
            } catch {
                return (.unreadable("an acknowledgement that is no JSON"), false)
            }
        }
    }
}
