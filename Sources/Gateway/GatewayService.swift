import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle

/// Runs the server and ends it in order: no newcomers, goodbyes in waves, acks for what was taken, then the end.
///
/// P-DRAIN-1: it returns within `drainSeconds` of a graceful shutdown, whatever clients do.
struct GatewayService<Responder: HTTPResponder>: Service where Responder.Context == GatewayContext {
    let application: Application<Responder>
    let draining: Draining
    let sockets: Sockets
    let drainSeconds: Double
    let logger: Logger

    private enum Ending: Sendable { case served, timeIsUp }

    func run() async throws {
        try await withThrowingTaskGroup(of: Ending.self) { group in
            group.addTask {
                try await application.run()
                // Sockets have no task in the server, so it may be done before they are.
                while sockets.open > 0 { try await Task.sleep(for: .milliseconds(20)) }
                return .served
            }
            group.addTask {
                try await gracefulShutdown()
                draining.begin()
                logger.info("draining", metadata: ["sockets": "\(sockets.open)", "seconds": "\(drainSeconds)"])
                try await Task.sleep(for: .seconds(drainSeconds))
                return .timeIsUp
            }
            defer { group.cancelAll() }
            if case .timeIsUp? = try await group.next() {
                logger.warning("some connections did not end in time", metadata: ["sockets": "\(sockets.open)"])
            }
        }
    }
}
