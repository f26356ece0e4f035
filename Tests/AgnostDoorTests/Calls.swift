import AgnostDoor
import Events
import Foundation

/// Calls of an SDK, and what the door makes of them.
enum Calls {
    static let door = AgnostDoor()
    /// 2026-11-21T12:00:00Z
    static let noon = Timestamp(microseconds: 1_795_262_400_000_000)

    static func request(_ path: String, _ body: String, lane: Lane = .secret, receivedAt: Timestamp = noon) -> DoorRequest {
        request(path, Array(body.utf8), lane: lane, receivedAt: receivedAt)
    }

    static func request(_ path: String, _ body: [UInt8], lane: Lane = .secret, receivedAt: Timestamp = noon) -> DoorRequest {
        guard let entrance = door.entrances.first(where: { path.hasSuffix($0.path) }) else { fatalError("no entrance for \(path)") }
        return DoorRequest(
            entrance: entrance, lane: lane, contentType: "application/json", body: body, receivedAt: receivedAt)
    }

    static func session(_ body: String) throws -> Parcel { try door.decode(request("/api/v1/capture-session", body)) }

    static func event(_ body: String, lane: Lane = .secret, receivedAt: Timestamp = noon) throws -> Parcel {
        try door.decode(request("/api/v1/capture-event", body, lane: lane, receivedAt: receivedAt))
    }

    /// The run of an event that is one.
    static func run(_ body: String, receivedAt: Timestamp = noon) throws -> (event: Event, part: Event.RunPart) {
        let parcel = try event(body, receivedAt: receivedAt)
        guard case .event(let event)? = parcel.items.last, case .run(let part) = event.body else { throw Refusal(.internal) }
        return (event, part)
    }

    struct Recorded: Decodable, CustomStringConvertible {
        struct Call: Decodable {
            var method: String
            var path: String
            var body: String
        }
        var note: String
        var requests: [Call]
        var description: String { note }
    }

    /// What the vendor's own SDKs sent, as recorded on loopback.
    static func recorded() throws -> [(file: String, capture: Recorded)] {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Captures")
        return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().filter { $0.hasSuffix(".json") }.map {
            ($0, try JSONDecoder().decode(Recorded.self, from: Data(contentsOf: folder.appendingPathComponent($0))))
        }
    }
}
