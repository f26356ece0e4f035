import Events
import Logging
import Synchronization

#if canImport(Glibc)
@preconcurrency import Glibc
#elseif canImport(Musl)
@preconcurrency import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Writes to standard error at the level that holds now: a logger that was made before a reload follows it too.
struct LeveledLogHandler: LogHandler {
    enum Format: String, Sendable, CaseIterable {
        /// The time, the level, what happened, and `key=value` pairs.
        case text
        /// An object a line: `{"time","level","message",…}`.
        case json
    }

    private var stream: StreamLogHandler
    private let format: Format
    /// Asked for each line that might be logged: a load, and no lock. In the order of `Logger.Level.allCases`.
    private static let level = Atomic(2)

    init(label: String, format: Format) {
        self.format = format
        stream = StreamLogHandler.standardError(label: label)
        stream.logLevel = .trace
    }

    static func set(_ level: Logger.Level) {
        self.level.store(Logger.Level.allCases.firstIndex(of: level) ?? 2, ordering: .relaxed)
    }

    var logLevel: Logger.Level {
        get { Logger.Level.allCases[Self.level.load(ordering: .relaxed)] }
        set { /* One level holds for all. */  }
    }

    var metadata: Logger.Metadata {
        get { stream.metadata }
        set { stream.metadata = newValue }
    }

    var metadataProvider: Logger.MetadataProvider? {
        get { stream.metadataProvider }
        set { stream.metadataProvider = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { stream[metadataKey: key] }
        set { stream[metadataKey: key] = newValue }
    }

    func log(event: LogEvent) {
        guard format == .json else { return stream.log(event: event) }
        var pairs = metadata.merging(metadataProvider?.get() ?? [:]) { _, new in new }
        pairs.merge(event.metadata ?? [:]) { _, new in new }
        if let error = event.error { pairs["error"] = "\(error)" }
        let line = Self.line(at: WallClock.system.now(), event.level, "\(event.message)", pairs)
        // One call a line, so that lines of two threads don't run into each other.
        line.withUnsafeBytes { bytes in _ = fwrite(bytes.baseAddress, 1, bytes.count, stderr) }
    }

    /// What a line of pairs is called must not hide what every line has.
    static func line(at time: Timestamp, _ level: Logger.Level, _ message: String, _ pairs: Logger.Metadata) -> [UInt8] {
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("time", time)
            writer.field("level", level.rawValue)
            writer.field("message", message)
            for (name, value) in pairs.sorted(by: { $0.key < $1.key }) {
                writer.field(["time", "level", "message"].contains(name) ? name + "_" : name, "\(value)")
            }
        }
        return writer.bytes + [UInt8(ascii: "\n")]
    }
}
