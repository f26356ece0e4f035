/// How what stands behind the gateway fares: told by `/readyz` part by part, and by `/metrics`.
public struct Standing: Sendable {
    /// A store, a stream, a drain.
    public struct Part: Sendable {
        public var name: String
        public var isWell: Bool
        /// Whether no traffic can be taken without it.
        public var isNeeded: Bool
        /// A few words, without secrets: whoever asks may read it.
        public var detail: String
        public init(_ name: String, isWell: Bool, isNeeded: Bool = true, detail: String = "") {
            (self.name, self.isWell, self.isNeeded, self.detail) = (name, isWell, isNeeded, detail)
        }
    }

    /// One family of the Prometheus text format; labels are out of closed lists.
    public struct Metric: Sendable {
        public enum Kind: String, Sendable { case counter, gauge }
        public var name: String
        public var kind: Kind
        public var help: String
        public var samples: [(labels: [(String, String)], value: Double)]

        public init(_ name: String, _ kind: Kind, _ help: String, _ value: Double) {
            self.init(name, kind, help, samples: [([], value)])
        }

        public init(_ name: String, _ kind: Kind, _ help: String, samples: [(labels: [(String, String)], value: Double)]) {
            (self.name, self.kind, self.help, self.samples) = (name, kind, help, samples)
        }
    }

    public var parts: [Part]
    public var metrics: [Metric]

    public init(parts: [Part] = [], metrics: [Metric] = []) { (self.parts, self.metrics) = (parts, metrics) }

    var isReady: Bool { parts.allSatisfy { $0.isWell || !$0.isNeeded } }

    /// A line a part.
    var text: String {
        parts.map { part in
            let state = part.isWell ? "ok" : part.isNeeded ? "away" : "away, not needed to take traffic"
            return "\(part.name): \(state)\(part.detail.isEmpty ? "" : ", \(part.detail)")\n"
        }.joined()
    }
}
