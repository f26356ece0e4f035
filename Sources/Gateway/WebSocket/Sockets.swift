import NIOCore
import Synchronization

/// All open sockets, by event loop: one sweep a loop and second looks after time-outs, keys and credits, so that an idle
/// socket has no timer of its own.
final class Sockets: Sendable {
    /// The sockets of one loop; touched on that loop only.
    private final class Floor {
        var handlers: [ObjectIdentifier: SocketHandler] = [:]
        /// Those that have more to say than one turn takes, in their order.
        var waiting: CircularBuffer<SocketHandler> = []
        var areTurnsDue = false
        var sweep: RepeatedTask?
        var isDraining = false
    }

    private struct State {
        var floors: [ObjectIdentifier: NIOLoopBound<Floor>] = [:]
        var open = 0
        var drainBegan: Int64?
    }

    static let sweepInterval = TimeAmount.seconds(1)
    /// While draining, goodbyes and closes are due in between.
    static let drainSweepInterval = TimeAmount.milliseconds(50)
    /// Between two goodbyes, when there is time enough for all: 500 clients a second come back elsewhere.
    private static let goodbyeSpacing: Int64 = 2
    /// Over how long the clients' return is spread on top.
    private static let maximumReturnDelay: Int64 = 5000

    private let drainMilliseconds: Int64
    private let state = Mutex(State())

    init(drainSeconds: Double) { drainMilliseconds = Int64(drainSeconds * 1000) }

    var open: Int { state.withLock { $0.open } }

    /// Milliseconds of the steady clock.
    static var uptime: Int64 { Int64(NIODeadline.now().uptimeNanoseconds / 1_000_000) }

    func add(_ handler: SocketHandler, on loop: any EventLoop) {
        let floor = state.withLock { state in
            state.open += 1
            if let floor = state.floors[ObjectIdentifier(loop)] { return floor }
            let floor = NIOLoopBound(Floor(), eventLoop: loop)
            state.floors[ObjectIdentifier(loop)] = floor
            return floor
        }.value
        floor.handlers[ObjectIdentifier(handler)] = handler
        if floor.sweep == nil { startSweep(of: floor, every: floor.isDraining ? Self.drainSweepInterval : Self.sweepInterval, on: loop) }
    }

    func remove(_ handler: SocketHandler, on loop: any EventLoop) {
        let bound = state.withLock { state in
            state.open -= 1
            return state.floors[ObjectIdentifier(loop)]
        }
        guard let floor = bound?.value else { return }
        floor.handlers[ObjectIdentifier(handler)] = nil
        if floor.handlers.isEmpty {
            floor.sweep?.cancel()
            floor.sweep = nil
        }
    }

    /// How long sockets that have more to say take turns before the loop looks after all others, and how long it then has at least.
    private static let turnsMilliseconds: Int64 = 2
    private static let turnPause = TimeAmount.milliseconds(1)

    /// Gives a socket that has more to say its next turn, once the others have had theirs: what came on other connections, and the turns
    /// of those that wait already. One task a loop, for tasks that set up tasks would keep the loop from its connections.
    func giveTurn(to handler: SocketHandler, on loop: any EventLoop) {
        guard let floor = state.withLock({ $0.floors[ObjectIdentifier(loop)] })?.value else { return }
        floor.waiting.append(handler)
        scheduleTurns(of: floor, on: loop)
    }

    private func scheduleTurns(of floor: Floor, on loop: any EventLoop) {
        guard !floor.areTurnsDue, !floor.waiting.isEmpty else { return }
        floor.areTurnsDue = true
        let bound = NIOLoopBound(floor, eventLoop: loop)
        loop.scheduleTask(in: Self.turnPause) { [self] in
            let floor = bound.value
            let end = Self.uptime + Self.turnsMilliseconds
            repeat { floor.waiting.popFirst()?.takeTurn() } while !floor.waiting.isEmpty && Self.uptime < end
            floor.areTurnsDue = false
            scheduleTurns(of: floor, on: loop)
        }
    }

    /// P-DRAIN-2: goodbyes go out in waves over the first half of the time there is; the second half is for acks.
    func drain(_ handler: SocketHandler, on loop: any EventLoop) {
        let now = Self.uptime
        let (bound, open, began) = state.withLock { state in
            let began = state.drainBegan ?? now
            state.drainBegan = began
            return (state.floors[ObjectIdentifier(loop)], state.open, began)
        }
        let spread = min(drainMilliseconds / 2, Int64(open) * Self.goodbyeSpacing)
        let goodbyeAt = now + Int64.random(in: 0...max(0, spread))
        let deadline = began + drainMilliseconds * 9 / 10
        handler.drain(
            goodbyeAt: goodbyeAt,
            // Its close comes that much later, and the time there is ends it in any case.
            afterMilliseconds: Int64.random(in: 0...max(0, min(Self.maximumReturnDelay, Int64(open) * 10, deadline - goodbyeAt))),
            deadline: deadline)
        guard let floor = bound?.value, !floor.isDraining else { return }
        floor.isDraining = true
        startSweep(of: floor, every: Self.drainSweepInterval, on: loop)
    }

    private func startSweep(of floor: Floor, every interval: TimeAmount, on loop: any EventLoop) {
        floor.sweep?.cancel()
        let bound = NIOLoopBound(floor, eventLoop: loop)
        floor.sweep = loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
            for handler in bound.value.handlers.values { handler.tick() }
        }
    }
}
