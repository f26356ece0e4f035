import Logging

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// How many files the process may have open: each connection is one, and many systems begin with 1,024 (`ulimit -n`).
enum OpenFiles {
    /// What the store, its readers, the log and the event loops have open beside connections.
    private static let others: UInt64 = 256

    /// Raises the limit to what so many connections need, as far as the system lets this user; says so where that is not enough.
    static func makeRoom(forConnections count: Int, logger: Logger) {
        #if canImport(Glibc)
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        #else
        let resource = RLIMIT_NOFILE
        #endif
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else { return }
        let needed = UInt64(count) + others
        guard UInt64(limit.rlim_cur) < needed else { return }
        limit.rlim_cur = min(limit.rlim_max, rlim_t(needed))
        _ = setrlimit(resource, &limit)
        if UInt64(limit.rlim_cur) < needed {
            logger.warning(
                "fewer files may be open than connections are allowed; those beyond wait (ulimit -n)",
                metadata: ["files": "\(limit.rlim_cur)", "connections": "\(count)"])
        }
    }
}
