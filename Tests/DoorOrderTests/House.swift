import Conversations
import Events
import Foundation
import Ingest
import Keys
import Logging
import LunaryDoor
import SQLiteStore
import Synchronization
import TestKit
import Testing

/// Doors, keys, ingest and a real store; each order of things is played in a room of its own.
struct House: Sendable {
    /// A project with its keys.
    struct Room: Sendable {
        var project: Project
        var keys: [Lane: String]
    }

    /// The key of the recorded Python SDK. It is none of ours, so its text stands in for that of whichever key sends the capture.
    private static let recordedKey = "22222222-2222-4222-8222-222222222222"
    static let scheme = IDScheme { id, _ in LunaryDoor().idScheme!.names(id, recordedKey) }

    let store: SQLiteStore
    private let ring: KeyRing
    private let ingest: Ingest
    private let clock: TestClock

    /// A clock that goes on when it is told to.
    private final class TestClock: Sendable {
        private let time = Mutex(Capture.noon)
        var wall: WallClock { WallClock { self.time.withLock { $0 } } }
        func advance(bySeconds seconds: Double) { time.withLock { $0 = $0.advanced(bySeconds: seconds) } }
    }

    /// - Parameter isSealing: whether a key that turns out to name IDs is kept, so that what was stored before gets its names.
    static func with<Result>(isSealing: Bool = false, _ body: (House) async throws -> Result) async throws -> Result {
        let folder = NSTemporaryDirectory() + "parley-order-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let clock = TestClock()
        let store = try SQLiteStore(directory: folder, clock: clock.wall, logger: logger)
        defer { try? store.close() }
        let sealer = isSealing ? Sealer(key: [UInt8](repeating: 7, count: Sealer.keyLength)) : nil
        let ring = KeyRing(store: store, sealer: sealer, clock: clock.wall, logger: logger)
        let commits = GroupCommit(sink: store, logger: logger)
        let house = House(store: store, ring: ring, ingest: Ingest(keys: ring, commits: commits, schemes: [scheme]), clock: clock)
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await commits.run() }
            defer { group.cancelAll() }
            return try await body(house)
        }
    }

    /// Plays the recorded order, then the others; what another order reads like otherwise is an issue.
    func compare(_ recorded: [Call], with orders: [(name: String, calls: [Call])], of title: String) async throws {
        let rooms = try await rooms(orders.count + 1, for: title, lanes: Set(recorded.map(\.lane)))
        let expected = try await play(recorded, in: rooms[0])
        #expect(expected.list.allSatisfy { $0.firstAt > Timestamp(microseconds: 0) }, "\(title): a thread of 1970")
        for (room, order) in zip(rooms.dropFirst(), orders) {
            let picture = try await play(order.calls, in: room)
            guard picture != expected else { continue }
            Issue.record("\(title), \(order.name):\n\(picture.differences(from: expected).joined(separator: "\n"))")
        }
    }

    /// What a project reads like once these requests came in, in this order.
    private func play(_ calls: [Call], in room: Room) async throws -> Picture {
        var refusals: Set<Reason> = []
        for call in calls {
            for verdict in try await send(call, in: room) { if let reason = verdict.refusal?.reason { refusals.insert(reason) } }
        }
        try await payNames()
        try await StoreContract.law(store, room.project)
        return try await Picture(of: room.project, in: store, refusals: refusals)
    }

    /// Made together, since the ring reads all keys whenever one is new.
    private func rooms(_ count: Int, for title: String, lanes: Set<Lane>) async throws -> [Room] {
        var settings = Project.Settings()
        settings.origins = ["http://localhost:*"]
        settings.quotas = .none
        var rooms: [Room] = []
        for number in 0..<count {
            let project = try await store.createProject(named: "\(title) \(number)", settings: settings)
            var room = Room(project: project, keys: [:])
            for lane in lanes {
                let (text, record) = KeyRecord.issue(lane, project: project.number, at: Capture.noon)
                try await store.insert(record)
                room.keys[lane] = text.text
            }
            rooms.append(room)
        }
        try await ring.refresh()
        return rooms
    }

    private func send(_ call: Call, in room: Room) async throws -> [Verdict] {
        guard let request = call.request() else { throw Unplayable(description: "no entrance for \(call.method) \(call.path)") }
        let origin = call.lane == .public ? "http://localhost:8788" : nil
        let access = try ring.open(
            Knock(key: room.keys[call.lane], origin: Knock.Origin(header: origin), address: "192.0.2.1", mayLackOrigin: true)
        ).get()
        let transport = request.entrance.transport
        if request.entrance.asks {
            guard let door = call.dialect.door as? any AskingDoor else { throw Unplayable(description: "\(call.path) can't be asked") }
            let desk = WritingDesk(project: room.project, now: call.receivedAt) { items in
                await ingest.accept(Parcel(items: items), from: access, over: transport, receivedAt: call.receivedAt)
            }
            _ = try await door.answer(request, at: desk)
            return []
        }
        let scheme = call.dialect == .lunary ? Self.scheme : nil
        return await ingest.accept(try call.parcel(), through: scheme, from: access, over: transport, receivedAt: call.receivedAt)
    }

    /// Lets the names that a key owes be given, beyond the time in which events may still be under way without them.
    private func payNames() async throws {
        clock.advance(bySeconds: 60)
        while try await ring.payOwedNames([Self.scheme]) {}
    }
}

struct Unplayable: Error, CustomStringConvertible { var description: String }

/// A desk for changes only: every thread that is named is there, so that what is said of one may come before it.
private struct WritingDesk: Desk {
    let project: Project
    let now: Timestamp
    let commit: @Sendable ([Parcel.Item]) async -> [Verdict]

    func projects() async throws(Refusal) -> [Project] { [project] }
    func project(_ name: String?, creating: Bool) async throws(Refusal) -> Project { project }
    func write(_ items: [Parcel.Item], to project: Project) async -> [Verdict] { await commit(items) }
    func conversation(_ thread: String, in project: Project) async throws(Refusal) -> JSONText? { "{}" }
    func threads(in project: Project, limit: Int, after cursor: String?) async throws(Refusal) -> (threads: [JSONText], next: String?) {
        ([], nil)
    }
    func thread(number: Int64) async throws(Refusal) -> (project: Project, id: String)? { nil }
    func run(_ id: String, in project: Project) async throws(Refusal) -> JSONText? { nil }
    func runs(in project: Project, matching filter: RunFilter, limit: Int) async throws(Refusal) -> [JSONText] { [] }
    func projectOfRun(_ id: String) async throws(Refusal) -> Project? { project }
    func feedback(on target: String, in project: Project) async throws(Refusal) -> JSONText? { nil }
    func deleteProject(_ project: Project) async throws(Refusal) {}
    func events(ofType type: String, in project: Project) async throws(Refusal) -> [JSONText] { [] }
}
