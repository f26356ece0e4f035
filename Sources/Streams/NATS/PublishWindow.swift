import Dispatch
import Synchronization

/// How much may be on its way to the servers without their word for it: so many messages, so many bytes.
///
/// Whoever finds it full waits in line, until there is room or his time is over.
final class PublishWindow: Sendable {
    struct Weight: Sendable {
        var messages = 0
        var bytes = 0
    }

    private struct State {
        var used = Weight()
        var line: [(ticket: UInt64, weight: Weight, continuation: CheckedContinuation<Bool, Never>)] = []
        var lastTicket: UInt64 = 0
    }

    let size: Weight
    private let state = Mutex(State())
    private let timing = DispatchQueue(label: "parley.nats.window")

    init(size: Weight) { self.size = size }

    var used: Weight { state.withLock { $0.used } }

    /// Whether it fits now. What is larger than all of it fits when nothing else is there.
    private func fits(_ weight: Weight, _ used: Weight) -> Bool {
        used.messages == 0 || used.messages + weight.messages <= size.messages && used.bytes + weight.bytes <= size.bytes
    }

    /// Waits for room; false where there was none in time.
    func enter(_ weight: Weight, within time: Duration) async -> Bool {
        await withCheckedContinuation { continuation in
            let ticket: UInt64? = state.withLock { state in
                if state.line.isEmpty, fits(weight, state.used) {
                    state.used.messages += weight.messages
                    state.used.bytes += weight.bytes
                    return nil
                }
                state.lastTicket += 1
                state.line.append((state.lastTicket, weight, continuation))
                return state.lastTicket
            }
            guard let ticket else { return continuation.resume(returning: true) }
            timing.asyncAfter(deadline: .now() + time.seconds) { self.giveUp(ticket) }
        }
    }

    func leave(_ weight: Weight) {
        let next = state.withLock { state in
            state.used.messages -= weight.messages
            state.used.bytes -= weight.bytes
            return admit(&state)
        }
        for continuation in next { continuation.resume(returning: true) }
    }

    private func admit(_ state: inout State) -> [CheckedContinuation<Bool, Never>] {
        var admitted: [CheckedContinuation<Bool, Never>] = []
        while let first = state.line.first, fits(first.weight, state.used) {
            state.used.messages += first.weight.messages
            state.used.bytes += first.weight.bytes
            admitted.append(state.line.removeFirst().continuation)
        }
        return admitted
    }

    private func giveUp(_ ticket: UInt64) {
        let (late, next) = state.withLock { state in
            guard let place = state.line.firstIndex(where: { $0.ticket == ticket }) else {
                return (nil as CheckedContinuation<Bool, Never>?, [CheckedContinuation<Bool, Never>]())
            }
            let late = state.line.remove(at: place).continuation
            // Behind it may stand what is small enough.
            return (late, admit(&state))
        }
        late?.resume(returning: false)
        for continuation in next { continuation.resume(returning: true) }
    }
}
