import Events
import Gateway
import Ingest
import Keys
import Logging

/// A door of the smallest grammar: a body is IDs on lines, a frame a word and its arguments.
struct PlainDoor: SocketDoor {
    let subprotocol = "plain.v1"
    let socketPath = "/socket"
    let entrances = [
        Entrance(path: "/events", transport: .http, publicBodyLimit: 1000, secretBodyLimit: 100_000),
        Entrance(path: "/beacon", transport: .beacon, keyPlaces: [.query], publicBodyLimit: 1000, secretBodyLimit: 1000),
    ]

    func decode(_ request: DoorRequest) throws(Refusal) -> Parcel {
        parcel(String(decoding: request.body, as: UTF8.self).split(separator: "\n"))
    }

    func reply(to verdicts: [Verdict], of parcel: Parcel, for request: DoorRequest) -> Reply {
        Reply(status: 200, body: Array(verdicts.map(\.name.rawValue).joined(separator: " ").utf8))
    }

    func reply(to refusal: Refusal, at entrance: Entrance, contentType: String?) -> Reply {
        Reply(status: refusal.reason.httpStatus, body: Array(refusal.reason.rawValue.utf8))
    }

    func decode(frame: [UInt8], lane: Lane) -> ClientFrame {
        guard let text = String(validating: frame, as: UTF8.self) else { return .malformed(Refusal(.malformedJSON)) }
        let words = text.split(separator: " ")
        switch words.first {
        case "hello": return .hello(client: nil, token: nil)
        case "heartbeat": return .heartbeat
        case "batch": return .batch(number: Int64(words[1])!, parcel(words[2...]))
        default: return .unknown(type: text)
        }
    }

    func encode(_ frame: ServerFrame) -> [UInt8] { Array("\(frame)".utf8) }

    private func parcel(_ ids: some Sequence<Substring>) -> Parcel {
        Parcel(items: ids.map { .event(Event(id: String($0), body: .event(name: "clicked"))) })
    }
}

/// A project with one key of each lane, in memory.
actor MemoryControl: ControlStore {
    static let project = {
        var project = Project(number: ProjectID(1), id: "prj_1", name: "shop")
        project.settings.origins = ["https://shop.example"]
        project.settings.allowsMissingOrigin = true
        return project
    }()
    let publicKey = KeyText.make(.public)
    let secretKey = KeyText.make(.secret)
    private var revision: Int64 = 1
    private var revokedAt: Timestamp?

    func revoke() { (revokedAt, revision) = (Timestamp(milliseconds: 1), revision + 1) }

    func controlRevision() -> Int64 { revision }
    func projects() -> [Project] { [Self.project] }
    func keys() -> [KeyRecord] {
        [publicKey, secretKey].map { key in
            KeyRecord(
                id: "key_\(key.lane)", lane: key.lane, scope: .project, project: ProjectID(1), digest: key.digest, shown: "…",
                createdAt: Timestamp(milliseconds: 0), revokedAt: key.lane == .public ? revokedAt : nil)
        }
    }

    func createProject(named name: String, settings: Project.Settings) throws -> Project { throw ControlFailure.nameTaken(name) }
    func update(_ project: Project) {}
    func insert(_ key: KeyRecord) {}
    func deleteProject(_ number: ProjectID) {}
    func revokeKey(_ id: String, at time: Timestamp) -> Bool { false }
    func keep(sealed: [UInt8], ofKey id: String) {}
    func giveNames(ofKey id: String, _ names: @escaping @Sendable (String) -> [String]) -> Bool { true }
}

/// Stores everything by forgetting it.
struct WillingSink: EventSink {
    func append(_ deliveries: [Delivery]) async throws(SinkFailure) -> [[Verdict]] {
        deliveries.map { $0.events.map { _ in .stored } + $0.setAside.map { .quarantined($0.refusal) } }
    }
}
