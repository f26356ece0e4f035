#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// What this process uses, as far as the system tells (proc(5) on Linux; elsewhere nothing but processor time and descriptors).
struct ProcessFigures: Sendable {
    var processorSeconds: Double?
    var residentBytes: Int?
    var openDescriptors: Int?
    var mostDescriptors: Int?
    var startSeconds: Double?

    init() {
        var usage = rusage()
        #if canImport(Glibc)
        // An enum there, a number in the declarations that take it.
        let (who, descriptors) = (Int32(RUSAGE_SELF.rawValue), Int32(RLIMIT_NOFILE.rawValue))
        #else
        let (who, descriptors) = (RUSAGE_SELF, RLIMIT_NOFILE)
        #endif
        if getrusage(who, &usage) == 0 {
            processorSeconds = [usage.ru_utime, usage.ru_stime].reduce(0) { $0 + Double($1.tv_sec) + Double($1.tv_usec) / 1e6 }
        }
        var limit = rlimit()
        if getrlimit(descriptors, &limit) == 0 { mostDescriptors = Int(clamping: limit.rlim_cur) }
        if let folder = opendir("/proc/self/fd") {
            var count = -3  // itself, `.` and `..`
            while readdir(folder) != nil { count += 1 }
            closedir(folder)
            openDescriptors = count
        }
        if let pages = Self.words(of: "/proc/self/statm").dropFirst().first.flatMap({ Int($0) }) {
            residentBytes = pages * Int(getpagesize())
        }
        startSeconds = Self.start
    }

    /// Ticks since the machine's start are field 22 of `stat`, the twentieth behind the name in brackets; that start is `btime`.
    private static let start: Double? = {
        let stat = words(of: "/proc/self/stat")
        let machine = words(of: "/proc/stat")
        guard let name = stat.lastIndex(where: { $0.hasSuffix(")") }), stat.indices.contains(name + 20),
            let ticks = Double(stat[name + 20]),
            let key = machine.firstIndex(of: "btime"), machine.indices.contains(key + 1), let boot = Double(machine[key + 1])
        else { return nil }
        return boot + ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
    }()

    private static func words(of path: String) -> [Substring] {
        guard let file = fopen(path, "r") else { return [] }
        defer { fclose(file) }
        var text: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 4096)
        while case let count = fread(&part, 1, part.count, file), count > 0 { text += part[..<count] }
        return String(decoding: text, as: UTF8.self).split(whereSeparator: \.isWhitespace)
    }
}
