import Events

/// What the stream is to be like; the same on every node.
///
/// It is a file on each of `replicas` servers. It refuses what does not fit rather than throw out what is old (`discard: new`), and it
/// has no age limit: what no drain has brought to the store yet stays, however long the store is away. What has been drained stays for
/// others to read for `keepFor`, and drains clear it away after that.
public struct StreamSettings: Sendable, Equatable {
    /// Letters, digits, `_` and `-`.
    public var name = "PARLEY"
    /// How many shards, set when the stream is made: a drain more than there are shards has nothing to do.
    public var shards = Shards(count: 16)
    /// On how many servers each message is before its acknowledgement: 1, 3 or 5.
    public var replicas = 1
    /// What the stream may take of each server's disk; full, gateways answer `retry` (`disk_full`).
    public var maximumBytes: Int64 = 10 << 30
    /// The largest message. Servers take `max_payload`, 1 MiB unless configured; we suggest 8 MiB, their own limit is 64 MiB.
    public var maximumMessageBytes = 8 << 20
    /// How long the servers know a message's ID again. It has to outlast a gateway's patience, which is seconds. Each ID takes about
    /// 150 bytes of each server's memory for that long: at 10,000 messages a second two minutes are 180 MB.
    public var duplicateWindow = Duration.seconds(120)
    /// How long what was drained can still be read by others; nil: until somebody purges the stream.
    public var keepFor: Duration? = .seconds(24 * 3600)

    public init() {}

    /// The bucket that drains agree in.
    var bucket: String { name + "_DRAINS" }
    /// Where messages go that no store takes and no quarantine keeps.
    var parking: String { name + "_PARKED" }
    var parkingPrefix: String { shards.prefix + "-parked" }

    /// A setting of a stream that is there and another than was wished.
    public struct Difference: Sendable, Equatable, CustomStringConvertible {
        public var setting: String
        public var found: String
        public var wished: String
        /// Whether events could be lost or go astray like this, so that nobody should start.
        public var isGrave: Bool
        public var description: String { "\(setting) is \(found) and not \(wished)" }
    }

    /// What `prepare` found.
    public struct Report: Sendable, Equatable {
        /// None: it is as wished, or was made just now.
        public var differences: [Difference]
        public var graveDifferences: [Difference] { differences.filter(\.isGrave) }
    }
}

extension JetStream {
    private static let streamNotFound = 10059
    private static let nameInUse = 10058

    /// Makes the stream, and what drains need beside it, where they are not there. Several nodes may do it at once.
    ///
    /// What is there is never changed: differences are told, and `change` is for whoever decides to.
    public func prepare(_ settings: StreamSettings) async throws(Failure) -> StreamSettings.Report {
        try await makeStream(settings.bucket, as: "KV_" + settings.bucket) { writer in
            writer.field("subjects", ["$KV.\(settings.bucket).>"])
            writer.field("max_msgs_per_subject", 1)
            writer.field("allow_direct", true)
            writer.field("allow_rollup_hdrs", true)
            writer.field("deny_delete", true)
            writer.field("num_replicas", settings.replicas)
        }
        try await makeStream(settings.parking, as: settings.parking) { writer in
            writer.field("subjects", [settings.parkingPrefix + ".>"])
            writer.field("max_msg_size", settings.maximumMessageBytes)
            writer.field("num_replicas", settings.replicas)
        }
        do {
            try await ask("STREAM.CREATE." + settings.name, settings.body) { _ in }
            return StreamSettings.Report(differences: [])
        } catch .refused(Self.nameInUse, _) {
            return StreamSettings.Report(differences: try await differences(from: settings))
        }
    }

    private func makeStream(_ name: String, as stream: String, _ write: (inout JSONWriter) -> Void) async throws(Failure) {
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("name", stream)
            writer.field("storage", "file")
            writer.field("discard", "new")
            write(&writer)
        }
        do {
            try await ask("STREAM.CREATE." + stream, writer.bytes) { _ in }
        } catch .refused(Self.nameInUse, _) {
            // Somebody has made it, with other replicas perhaps: good enough for what it is for.
        }
    }

    /// How the stream that is there differs from what is wished; throws `refused` (10059) where there is none.
    public func differences(from settings: StreamSettings) async throws(Failure) -> [StreamSettings.Difference] {
        try await ask("STREAM.INFO." + settings.name) { info in
            guard let found = info["config"] else { return [] }
            var differences: [StreamSettings.Difference] = []
            func compare(_ setting: String, _ wished: String, grave: Bool, _ read: (JSONValue) -> String?) {
                let text = found.member(setting).flatMap(read) ?? "missing"
                if text != wished { differences.append(.init(setting: setting, found: text, wished: wished, isGrave: grave)) }
            }
            func number(_ value: JSONValue) -> String? { value.integer.map(String.init) }
            compare("subjects", settings.shards.subjects.joined(separator: " "), grave: true) { value in
                var subjects: [String] = []
                value.forEachElement { if let subject = $0.string { subjects.append(subject) } }
                return subjects.joined(separator: " ")
            }
            compare("retention", "limits", grave: true, \.string)
            compare("discard", "new", grave: true, \.string)
            compare("storage", "file", grave: true, \.string)
            compare("max_age", "0", grave: true, number)
            compare("num_replicas", String(settings.replicas), grave: false, number)
            compare("max_bytes", String(settings.maximumBytes), grave: false, number)
            compare("max_msg_size", String(settings.maximumMessageBytes), grave: false, number)
            compare("duplicate_window", String(settings.duplicateWindow.wholeNanoseconds), grave: false, number)
            return differences
        }
    }

    /// Changes the stream that is there to these settings, as far as the servers allow: never its storage.
    ///
    /// With another count of shards, events of a project may be in two of them for a while: let the drains catch up first, with no
    /// gateway running.
    public func change(to settings: StreamSettings) async throws(Failure) {
        try await ask("STREAM.UPDATE." + settings.name, settings.body) { _ in }
    }
}

extension StreamSettings {
    fileprivate var body: [UInt8] {
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("name", name)
            writer.field("description", "Events on the way from Parley's gateways to its store")
            writer.field("subjects", shards.subjects)
            writer.field("retention", "limits")
            writer.field("discard", "new")
            writer.field("storage", "file")
            writer.field("max_age", 0)
            writer.field("num_replicas", replicas)
            writer.field("max_bytes", maximumBytes)
            writer.field("max_msg_size", maximumMessageBytes)
            writer.field("duplicate_window", duplicateWindow.wholeNanoseconds)
        }
        return writer.bytes
    }
}
