import Events
import Synchronization

/// What the gateway did since it started. Counted once a request, frame batch or socket, never once an event; every
/// label is out of a closed list.
final class Counters: Sendable {
    struct Route: Hashable {
        var path: String
        var method: String
        var status: Int
    }

    struct Counts {
        var verdicts: [Verdict.Name: Int] = [:]
        var reasons: [Reason: Int] = [:]
        /// Requests, frames and sockets that were refused as a whole.
        var refusals: [Reason: Int] = [:]
        var receivedBytes: [Transport: Int] = [:]
        var requests: [Route: Int] = [:]
        var socketsOpened = 0
        var openSockets = 0
        var closes: [UInt16: Int] = [:]
    }

    private let counts = Mutex(Counts())

    var snapshot: Counts { counts.withLock { $0 } }

    func count(_ verdicts: [Verdict]) {
        var tally = Tally()
        tally.count(verdicts)
        counts.withLock { counts in
            counts.verdicts.merge(tally.verdicts, uniquingKeysWith: +)
            counts.reasons.merge(tally.reasons, uniquingKeysWith: +)
        }
    }

    func count(_ refusal: Refusal) { counts.withLock { $0.refusals[refusal.reason, default: 0] += 1 } }

    func count(bytes: Int, over transport: Transport) { counts.withLock { $0.receivedBytes[transport, default: 0] += bytes } }

    func countRequest(_ path: String, method: String, status: Int) {
        let route = Route(path: path, method: Self.methods.contains(method) ? method : "other", status: status)
        counts.withLock { $0.requests[route, default: 0] += 1 }
    }

    /// Methods are words of the client's; what is not here counts as one.
    private static let methods: Set<String> = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

    func socketOpened() {
        counts.withLock { counts in
            counts.socketsOpened += 1
            counts.openSockets += 1
        }
    }

    /// - Parameter code: the code of the close frame we sent; nil when the connection just ended.
    func socketClosed(code: UInt16?) {
        counts.withLock { counts in
            counts.openSockets -= 1
            // 1006: abnormal closure, the number that stands for a close without a frame (RFC 6455, section 7.4.1).
            counts.closes[code ?? 1006, default: 0] += 1
        }
    }
}
