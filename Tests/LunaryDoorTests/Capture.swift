import Events
import Foundation
import LunaryDoor

/// Traffic recorded from the vendor's own SDKs, one file a scenario.
struct Capture {
    var name: String
    var requests: [Request]

    struct Request {
        var method: String
        var path: String
        var key: String
        var body: [UInt8]
    }

    static let names = ["js", "py"].flatMap { prefix in
        (try! FileManager.default.contentsOfDirectory(atPath: folder.path)).filter { $0.hasPrefix(prefix) && $0.hasSuffix(".json") }
            .sorted()
    }

    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Captures")

    static func bytes(of file: String) throws -> [UInt8] { Array(try Data(contentsOf: folder.appendingPathComponent(file))) }

    init(_ name: String) throws {
        self.name = name
        requests = try JSONDocument.read(Self.bytes(of: name.hasSuffix(".json") ? name : name + ".json")) { json in
            var requests: [Request] = []
            json["requests"]?.forEachElement { request in
                var key = ""
                request["headers"]?.forEachMember { name, value in
                    if String(decoding: name, as: UTF8.self).lowercased() == "authorization" {
                        key = String(value.string?.dropFirst("Bearer ".count) ?? "")
                    }
                }
                let body = request["body"].map { $0.isNull ? [] : JSONText($0).bytes } ?? []
                requests.append(
                    Request(method: request["method"]?.string ?? "", path: request["path"]?.string ?? "", key: key, body: body))
            }
            return requests
        }
    }
}

let publicKey = "11111111-1111-4111-8111-111111111111"
let privateKey = "22222222-2222-4222-8222-222222222222"
let otherKey = "33333333-3333-4333-8333-333333333333"
let messageID = "9f1c2a34-5b6d-4e7f-8a90-b1c2d3e4f506"
let threadID = "3c1f7d2e-0a4b-4c5d-9e6f-7a8b9c0d1e2f"
let noon = Timestamp(iso8601: "2026-11-21T12:00:00Z")!

extension LunaryDoor {
    func entrance(_ method: Entrance.Method, _ path: String) -> Entrance { entrances.first { $0.method == method && $0.path == path }! }
    var ingest: Entrance { entrance(.post, "/v1/runs/ingest") }

    func request(_ body: some Sequence<UInt8>, lane: Lane = .secret, at entrance: Entrance? = nil) -> DoorRequest {
        DoorRequest(entrance: entrance ?? ingest, lane: lane, body: Array(body), receivedAt: noon)
    }

    func parcel(_ body: String, lane: Lane = .secret) throws -> Parcel { try decode(request(body.utf8, lane: lane)) }

    /// The events of one that was sent.
    func events(_ event: String, lane: Lane = .secret) throws -> [Event] {
        try parcel(#"{"events":[\#(event)]}"#, lane: lane).items.compactMap(\.event)
    }

    /// The ingest bodies of a capture.
    func parcels(_ capture: String, lane: Lane = .secret) throws -> [Parcel] {
        try Capture(capture).requests.filter { $0.path.hasSuffix("/v1/runs/ingest") && $0.method == "POST" }
            .map { try decode(request($0.body, lane: lane)) }
    }
}

extension Parcel {
    var events: [Event] { items.compactMap(\.event) }
    var refusals: [RefusedItem] {
        items.compactMap { if case .refused(let item) = $0 { item } else { nil } }
    }
}

extension Parcel.Item {
    var event: Event? { if case .event(let event) = self { event } else { nil } }
}

extension Event {
    var message: Event.Message? { if case .message(let message) = body { message } else { nil } }
    var run: Event.RunPart? { if case .run(let part) = body { part } else { nil } }
    var feedback: Event.Feedback? { if case .feedback(let feedback) = body { feedback } else { nil } }
    var patch: Event.ThreadPatch? { if case .thread(let patch) = body { patch } else { nil } }
    var eventName: String? { if case .event(let name) = body { name } else { nil } }
}

func json(_ text: String) -> JSONText { try! JSONDocument.read(Array(text.utf8)) { JSONText($0) } }
