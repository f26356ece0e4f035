import Events
import Foundation
import Ingest
import Keys
import Logging
import NativeDoor
import SQLiteStore

/// Door, keys, ingest and a real store in a folder of its own; plays the gateway's part in asking them in turn.
struct House {
    struct Answer {
        var status: Int
        var body: [UInt8]
        var text: String { String(decoding: body.prefix(2000), as: UTF8.self) }
        func read() throws -> CaseJSON { try JSONDocument.read(body) { CaseJSON($0) } }
    }

    let store: SQLiteStore
    let project: Project
    private let ring: KeyRing
    private let ingest: Ingest
    private let keys: [Lane: String]
    private let door = NativeDoor()

    static func with<Result>(_ body: (House) async throws -> Result) async throws -> Result {
        let folder = NSTemporaryDirectory() + "parley-conformance-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let store = try SQLiteStore(directory: folder, logger: logger)
        defer { try? store.close() }
        // The settings that conformance cases count on: the defaults, and pages on this machine.
        var settings = Project.Settings()
        settings.origins = ["http://127.0.0.1:*", "http://localhost:*"]
        let project = try await store.createProject(named: "test", settings: settings)
        var keys: [Lane: String] = [:]
        for lane in Lane.allCases {
            let (text, record) = KeyRecord.issue(lane, project: project.number, at: WallClock.system.now())
            try await store.insert(record)
            keys[lane] = text.text
        }
        let ring = KeyRing(store: store, logger: logger)
        try await ring.refresh()
        let commits = GroupCommit(sink: store, logger: logger)
        let house = House(store: store, project: project, ring: ring, ingest: Ingest(keys: ring, commits: commits), keys: keys)
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await commits.run() }
            defer { group.cancelAll() }
            return try await body(house)
        }
    }

    private init(store: SQLiteStore, project: Project, ring: KeyRing, ingest: Ingest, keys: [Lane: String]) {
        (self.store, self.project, self.ring, self.ingest, self.keys) = (store, project, ring, ingest, keys)
    }

    /// Sends a case as it says: whose key, from which origin, in which form.
    func play(_ example: ConformanceCase, _ placeholders: inout Placeholders) async -> Answer {
        let json = example.json
        let lane = Lane(rawValue: json["lane"]?.string ?? "public")!
        let body: [UInt8]
        if let base64 = json["rawBase64"]?.string {
            body = Array(Data(base64Encoded: base64)!)
        } else if let raw = json["raw"]?.string {
            body = Array(placeholders.fill(raw).utf8)
        } else {
            body = placeholders.fill(json["input"] ?? .null).bytes
        }
        var key = keys[lane]
        if let other = json["key"] { key = other.string.map { placeholders.fill($0) } }
        var contentType: String? = example.transport == .http ? "application/json" : "text/plain;charset=UTF-8"
        if let other = json["contentType"] { contentType = other.string }
        return await send(body, over: example.transport, lane: lane, key: key, origin: json["origin"]?.string, contentType: contentType)
    }

    func send(_ body: [UInt8], over transport: Transport, lane: Lane) async -> Answer {
        await send(body, over: transport, lane: lane, key: keys[lane], origin: nil, contentType: "application/json")
    }

    private func send(_ body: [UInt8], over transport: Transport, lane: Lane, key: String?, origin: String?, contentType: String?) async
        -> Answer
    {
        do {
            let origin = origin ?? (lane == .public ? "http://localhost:8788" : nil)
            let access = try ring.open(Knock(key: key, origin: Knock.Origin(header: origin), address: "192.0.2.1")).get()
            let parcel = try read(body, over: transport, lane: access.lane, contentType: contentType)
            let verdicts = await ingest.accept(parcel, from: access, over: transport, receivedAt: WallClock.system.now())
            let reply = door.reply(
                to: verdicts, of: parcel, for: request(body, over: transport, lane: access.lane, contentType: contentType))
            return Answer(status: reply.status, body: reply.body)
        } catch {
            let reply = door.reply(to: error, at: entrance(over: transport), contentType: contentType)
            return Answer(status: reply.status, body: reply.body)
        }
    }

    private func read(_ body: [UInt8], over transport: Transport, lane: Lane, contentType: String?) throws(Refusal) -> Parcel {
        guard transport != .socket else { return try readFrame(body, lane: lane) }
        // The gateway counts bytes as they come in.
        guard body.count <= entrance(over: transport).bodyLimit(for: lane) else { throw Refusal(.bodyTooLarge) }
        return try door.decode(request(body, over: transport, lane: lane, contentType: contentType))
    }

    private func entrance(over transport: Transport) -> Entrance { door.entrances.first { $0.transport == transport } ?? door.entrances[0] }

    private func request(_ body: [UInt8], over transport: Transport, lane: Lane, contentType: String?) -> DoorRequest {
        DoorRequest(
            entrance: entrance(over: transport), lane: lane, contentType: contentType, body: body, receivedAt: WallClock.system.now())
    }

    /// The events and the clock of a body as one batch of a socket.
    private func readFrame(_ body: [UInt8], lane: Lane) throws(Refusal) -> Parcel {
        guard let json = try? JSONDocument.read(body, { CaseJSON($0) }) else { throw Refusal(.malformedJSON) }
        var members: [(key: String, value: CaseJSON)] = [("type", .string("batch")), ("batch", .number("1"))]
        members.append(("events", json.elements.map { .array($0) } ?? (json["type"] == nil ? json["events"] : nil) ?? .array([json])))
        if let sentAt = json["sentAt"] { members.append(("sentAt", sentAt)) }
        switch door.decode(frame: CaseJSON.object(members).bytes, lane: lane) {
        case .batch(_, let parcel): return parcel
        case .malformed(let refusal): throw refusal
        default: throw Refusal(.badRequest)
        }
    }
}
