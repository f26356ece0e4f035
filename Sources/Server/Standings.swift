import Events
import Gateway
import Keys
import NATSStream
import Synchronization

/// How the store, the stream and the drain fare, for `/readyz` and `/metrics`.
///
/// Looked at anew at most once a second and for at most two: whoever asks thousands of times costs the store no more, and a store that
/// does not answer keeps nobody waiting.
final class Standings: Sendable {
    private let store: any OpenStore
    private let keys: KeyRing
    private let stream: (line: JetStream, settings: StreamSettings, sink: StreamSink)?
    private let spool: Spool?
    private let drain: Drain?
    private let state = Mutex((standing: Standing(), at: ContinuousClock.Instant?.none, looking: Task<Standing, Never>?.none))

    private static let fresh = Duration.seconds(1)
    private static let patience = Duration.seconds(2)

    init(
        store: any OpenStore, keys: KeyRing, stream: (line: JetStream, settings: StreamSettings, sink: StreamSink)?, spool: Spool?,
        drain: Drain?
    ) {
        (self.store, self.keys, self.stream, self.spool, self.drain) = (store, keys, stream, spool, drain)
    }

    var now: Standing {
        get async {
            let looking: Task<Standing, Never> = state.withLock { state in
                if let looking = state.looking { return looking }
                if let at = state.at, .now - at < Self.fresh {
                    let standing = state.standing
                    return Task { standing }
                }
                let looking = Task { await self.look() }
                state.looking = looking
                return looking
            }
            return await looking.value
        }
    }

    private func look() async -> Standing {
        async let isThere = answers { [store] in (try? await store.controlRevision()) != nil }
        async let lag = lag()
        var standing = Standing()
        // With a stream in front events are taken while the store is away.
        standing.parts.append(.init("store", isWell: await isThere, isNeeded: stream == nil, detail: await isThere ? "" : "no answer"))
        if let neighbourhood = keys.neighbourhood { add(neighbourhood, to: &standing) }
        if let stream { add(stream, lag: await lag, to: &standing) }
        if let spool { add(spool, to: &standing) }
        if let drain { add(drain, to: &standing) }
        let made = standing
        state.withLock { $0 = (made, .now, nil) }
        return made
    }

    private func add(_ stream: (line: JetStream, settings: StreamSettings, sink: StreamSink), lag: StreamLag?, to standing: inout Standing)
    {
        let isConnected = stream.line.state == .connected
        let behind = lag.map { "\($0.behind) waiting for the store" } ?? ""
        standing.parts.append(
            .init("stream", isWell: isConnected, isNeeded: spool == nil, detail: isConnected ? behind : stream.line.state.rawValue))
        let figures = stream.sink.figures
        standing.metrics += [
            .init("parley_stream_connected", .gauge, "Whether a server of the stream is connected.", isConnected ? 1 : 0),
            .init(
                "parley_stream_reconnections_total", .counter, "How often another server had to be found.",
                Double(stream.line.reconnections)),
            .init(
                "parley_stream_acknowledged_total", .counter, "Messages the stream's servers acknowledged.", Double(figures.acknowledged)),
            .init("parley_stream_repeated_total", .counter, "Attempts to publish beyond the first.", Double(figures.repeated)),
            .init("parley_stream_failed_total", .counter, "Deliveries given up; their senders were told retry.", Double(figures.failed)),
            .init("parley_stream_in_flight_bytes", .gauge, "Bytes that wait for the servers' word.", Double(figures.bytesInFlight)),
        ]
        guard let lag else { return }
        standing.metrics += [
            .init("parley_stream_behind_messages", .gauge, "Messages that are not in the store yet.", Double(lag.behind)),
            .init("parley_stream_bytes", .gauge, "What the stream holds.", Double(lag.bytes)),
            .init("parley_stream_bytes_limit", .gauge, "What it may hold.", Double(lag.maximumBytes)),
            .init("parley_stream_parked_messages", .gauge, "Messages that neither the store nor quarantine took.", Double(lag.parked)),
        ]
        if let oldest = lag.oldest {
            standing.metrics.append(
                .init(
                    "parley_stream_oldest_seconds", .gauge, "When the oldest of those came that are not in the store yet, in Unix time.",
                    Double(oldest.microseconds) / 1e6))
        }
    }

    private func add(_ spool: Spool, to standing: inout Standing) {
        let figures = spool.figures
        let isFull = figures.bytes >= figures.maximumBytes * 99 / 100
        standing.parts.append(
            .init(
                "spool", isWell: !isFull,
                detail: figures.messages == 0
                    ? "" : "\(figures.messages) messages wait here for the stream\(isFull ? ", and no more fit" : "")"))
        standing.metrics += [
            .init("parley_spool_messages", .gauge, "Messages on this machine that wait for the stream.", Double(figures.messages)),
            .init("parley_spool_bytes", .gauge, "What they take.", Double(figures.bytes)),
            .init("parley_spool_bytes_limit", .gauge, "What they may take.", Double(figures.maximumBytes)),
            .init("parley_spool_refused_messages", .gauge, "Of them, those the stream's servers will not have.", Double(figures.refused)),
        ]
    }

    private func add(_ nodes: KeyRing.Neighbourhood, to standing: inout Standing) {
        let alone = "changes are looked for each second, quotas are this node's own"
        let detail =
            !nodes.line.isConnected
            ? alone : nodes.hearsItself ? "\(nodes.nodes) other nodes" : "nothing is heard, not even itself: \(alone)"
        standing.parts.append(.init("bus", isWell: nodes.line.isConnected && nodes.hearsItself, isNeeded: false, detail: detail))
        standing.metrics += [
            .init("parley_bus_connected", .gauge, "Whether this node hears what others say.", nodes.line.isConnected ? 1 : 0),
            .init("parley_bus_reconnections_total", .counter, "How often it had to listen anew.", Double(nodes.line.reconnections)),
            .init("parley_bus_nodes", .gauge, "Other nodes heard of in the last 15 seconds.", Double(nodes.nodes)),
            .init("parley_bus_said_total", .counter, "Messages to other nodes.", Double(nodes.messagesSaid)),
            .init("parley_bus_heard_total", .counter, "Messages of other nodes.", Double(nodes.messagesHeard)),
            .init("parley_bus_failures_total", .counter, "Messages that could not be said.", Double(nodes.failures)),
            .init(
                "parley_bus_ignored_total", .counter, "Messages of which nothing was taken.",
                samples: nodes.refused.map { ([("fault", $0.fault)], Double($0.count)) }),
        ]
    }

    private func add(_ drain: Drain, to standing: inout Standing) {
        let figures = drain.figures
        let waits = !figures.waitingForStore.isEmpty
        standing.parts.append(
            .init(
                "drain", isWell: !waits, isNeeded: false,
                detail: waits ? "\(figures.waitingForStore.count) shards wait for the store" : "\(figures.shards.count) shards"))
        standing.metrics += [
            .init("parley_drain_shards", .gauge, "Shards of the stream that this drain works.", Double(figures.shards.count)),
            .init("parley_drain_waiting_shards", .gauge, "Of them, those that wait for the store.", Double(figures.waitingForStore.count)),
            .init("parley_drain_events_total", .counter, "Events brought to the store.", Double(figures.events)),
            .init("parley_drain_deliveries_total", .counter, "Deliveries brought to the store.", Double(figures.deliveries)),
            .init("parley_drain_refusals_total", .counter, "Commits the store refused or could not make.", Double(figures.refusals)),
            .init("parley_drain_set_aside_total", .counter, "Messages set aside in quarantine.", Double(figures.setAside)),
            .init("parley_drain_parked_total", .counter, "Messages that not even quarantine took.", Double(figures.parked)),
        ]
    }

    private func lag() async -> StreamLag? {
        guard let stream, stream.line.state == .connected else { return nil }
        return await within(Self.patience) { try? await stream.line.lag(of: stream.settings) } ?? nil
    }

    private func answers(_ ask: @escaping @Sendable () async -> Bool) async -> Bool { await within(Self.patience, ask) ?? false }

    /// The answer, or nil where there is none by then; what is asked goes on meanwhile, and nobody waits for it.
    private func within<Answer: Sendable>(_ time: Duration, _ ask: @escaping @Sendable () async -> Answer) async -> Answer? {
        let first = First<Answer>()
        Task { first.give(await ask()) }
        Task {
            try? await Task.sleep(for: time)
            first.give(nil)
        }
        return await first.value
    }
}

/// The first of several answers.
private final class First<Answer: Sendable>: Sendable {
    private enum State {
        case open
        case awaited(CheckedContinuation<Answer?, Never>)
        case given(Answer?)
        case over
    }
    private let state = Mutex(State.open)

    func give(_ answer: Answer?) {
        let waiter: CheckedContinuation<Answer?, Never>? = state.withLock { state in
            switch state {
            case .open: state = .given(answer)
            case .awaited(let waiter):
                state = .over
                return waiter
            case .given, .over: break
            }
            return nil
        }
        waiter?.resume(returning: answer)
    }

    /// To be asked once.
    var value: Answer? {
        get async {
            await withCheckedContinuation { waiter in
                let given: Answer?? = state.withLock { state in
                    guard case .given(let answer) = state else {
                        state = .awaited(waiter)
                        return nil
                    }
                    state = .over
                    return .some(answer)
                }
                if let given { waiter.resume(returning: given) }
            }
        }
    }
}
