import Conversations
import Events
import Logging
import ServiceLifecycle

/// Erases, hour by hour, conversations that are older than their projects keep them.
struct Retention: Service {
    let store: any ControlStore & ReviewStore
    let clock: WallClock
    let logger: Logger

    private static let pause = Duration.seconds(3600)
    /// Threads in one go: a second or two of writing, between which events are committed.
    private static let atOnce = 100

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    try await sweep()
                } catch is CancellationError {
                    return
                } catch {
                    logger.warning("retention could not sweep; trying again in an hour", metadata: ["error": "\(error)"])
                }
                try? await Task.sleep(for: Self.pause)
            }
        }
    }

    /// Erases what is due in every project.
    func sweep() async throws {
        for project in try await store.projects() {
            guard let days = project.settings.retentionDays else { continue }
            let due = clock.now().advanced(bySeconds: -Double(days) * 86400)
            var threads = 0
            while true {
                try Task.checkCancellation()
                let erased = try await store.eraseThreads(inactiveSince: due, in: project.number, limit: Self.atOnce)
                threads += erased.threads
                guard erased.threads == Self.atOnce else { break }
            }
            guard threads > 0 else { continue }
            var writer = JSONWriter()
            writer.object {
                $0.field("threads", threads); $0.field("days", days)
            }
            try await store.note(
                AuditEntry(at: clock.now(), by: "parley", action: "retention", detail: JSONText(trusted: writer.bytes)), in: project.number)
            logger.info("conversations past their retention were erased", metadata: ["project": "\(project.id)", "threads": "\(threads)"])
        }
    }
}
