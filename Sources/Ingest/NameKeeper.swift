public import Events
public import Keys
public import Logging
public import ServiceLifecycle

/// Follows up when a key turns out to name IDs: what was stored before gets those names too, beside the commits.
public struct NameKeeper: Service {
    private let keys: KeyRing
    private let schemes: [IDScheme]
    private let logger: Logger

    public init(keys: KeyRing, schemes: [IDScheme], logger: Logger) {
        self.keys = keys
        self.schemes = schemes
        self.logger = logger
    }

    public func run() async throws {
        guard !schemes.isEmpty else { return try await gracefulShutdown() }
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                var isMore = false
                do {
                    isMore = try await keys.payOwedNames(schemes)
                } catch {
                    logger.warning("stored IDs could not be named; trying again", metadata: ["error": "\(error)"])
                }
                try? await Task.sleep(for: isMore ? .milliseconds(20) : .milliseconds(500))
            }
        }
    }
}
