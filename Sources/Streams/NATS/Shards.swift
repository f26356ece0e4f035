public import Events

/// The lines a stream is worked in: all of a project goes through one of them, in the order in which the stream took it.
///
/// A project's shard is FNV-1a (64 bits) over the decimal digits of its number in ASCII, modulo the count of shards: the same for
/// every gateway and for ever, since the order within a project rests on it.
public struct Shards: Sendable, Equatable {
    public let count: Int
    /// What all subjects begin with, `parley.events.v1` unless configured.
    public let prefix: String

    public init(count: Int, prefix: String = "parley.events.v1") { (self.count, self.prefix) = (count, prefix) }

    public func shard(of project: ProjectID) -> Int {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for digit in String(project.number).utf8 { hash = (hash ^ UInt64(digit)) &* 0x100_0000_01B3 }
        return Int(hash % UInt64(count))
    }

    /// `parley.events.v1.<shard>.<project>`.
    public func subject(of project: ProjectID) -> String { "\(prefix).\(shard(of: project)).\(project)" }

    func filter(_ shard: Int) -> String { "\(prefix).\(shard).*" }

    /// One subject a shard, so that the stream's own settings say how many there are.
    var subjects: [String] { (0..<count).map(filter) }

    /// The project that a subject names.
    func project(in subject: String) -> ProjectID? {
        subject.split(separator: ".").last.flatMap { Int64($0) }.map { ProjectID($0) }
    }
}
