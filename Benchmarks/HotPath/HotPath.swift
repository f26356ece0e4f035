import Dispatch
import Events
import Foundation
import Ingest
import Logging
import NativeDoor
import SQLiteStore

/// `parley-hotpath PART BATCHES`: takes so many batches of 16 messages of 600 bytes through a part of their way, and ends.
///
/// It is for counting what a batch costs (`scripts/counts.py`): the difference between two runs is what the batches of the longer one took,
/// without the start. Parts: `decode` reads a socket's frame, `admit` also decides and digests, `ack` writes the answer, `store` also
/// commits each batch by itself to a new file.
@main
struct App {
    /// Not asynchronous: Valgrind does not bear how the main thread then waits.
    static func main() {
        guard CommandLine.arguments.count == 3, let batches = Int(CommandLine.arguments[2]), batches >= 0 else {
            fatalError("usage: parley-hotpath decode|admit|ack|store BATCHES")
        }
        var frames = Frames()
        switch CommandLine.arguments[1] {
        case "decode": for _ in 0..<batches { _ = decoded(frames.next()) }
        case "admit": for _ in 0..<batches { _ = admitted(decoded(frames.next())) }
        case "ack": for number in 0..<batches { acknowledge(Int64(number)) }
        case "store":
            let isDone = DispatchSemaphore(value: 0)
            Task.detached {
                do { try await store(batches) } catch { fatalError("\(error)") }
                isDone.signal()
            }
            isDone.wait()
        case let part: fatalError("there is no part \(part)")
        }
    }

    private static let door = NativeDoor()
    private static let receivedAt = Timestamp(milliseconds: 1_795_000_000_000)

    private static func decoded(_ frame: [UInt8]) -> Parcel {
        guard case .batch(_, let parcel) = door.decode(frame: frame, lane: .public) else { fatalError("not a batch") }
        return parcel
    }

    private static func admitted(_ parcel: Parcel) -> [AdmittedEvent] {
        let admission = Admission()
        return parcel.items.enumerated().map { position, item in
            guard
                case .admitted(let event, _) = admission.decide(
                    item, position: position, lane: .public, sentAt: nil, receivedAt: receivedAt)
            else { fatalError("not admitted") }
            return event
        }
    }

    private static func acknowledge(_ batch: Int64) {
        let bytes = door.encode(.ack(batch: batch, credits: 256, results: []))
        precondition(!bytes.isEmpty)
    }

    private static func store(_ batches: Int) async throws {
        var frames = Frames()
        let folder = NSTemporaryDirectory() + "parley-hotpath-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = try SQLiteStore(directory: folder, logger: Logger(label: "hotpath") { _ in SwiftLogNoOpLogHandler() })
        let project = try await store.createProject(named: "hotpath", settings: .init())
        let source = Source(project: project.number, key: "key_hotpath", lane: .public, origin: "https://shop.example", transport: .socket)
        for _ in 0..<batches {
            let events = admitted(decoded(frames.next()))
            var tally = Tally()
            tally.received = events.count
            let verdicts = try await store.append([Delivery(source: source, receivedAt: receivedAt, events: events, tally: tally)])
            precondition(verdicts[0].allSatisfy { $0.name == .stored })
        }
        try store.close()
    }
}

/// Batches as a page sends them, each message with an ID of its own; 64 conversations take turns.
private struct Frames {
    private static let eventsPerBatch = 16
    private static let text = String(repeating: "The parcel was to arrive on Monday, and nobody has called. ", count: 7)
    private var made = 0

    mutating func next() -> [UInt8] {
        var frame = #"{"type":"batch","batch":1,"events":["#
        for place in 0..<Self.eventsPerBatch {
            if place > 0 { frame += "," }
            let number = String(0x1000_0000 + made, radix: 16)
            let thread = 0x2000_0000 + made / Self.eventsPerBatch % 64
            frame += #"{"type":"message","id":"0197aaaa-bbbb-7ccc-8ddd-eeee\#(number)","#
            frame += #""thread":"0197aaaa-bbbb-7ccc-9ddd-eeee\#(String(thread, radix: 16))","#
            frame += #""at":"2026-11-21T14:03:22.123Z","role":"\#(made % 2 == 0 ? "user" : "assistant")","#
            frame += #""content":"\#(Self.text)"}"#
            made += 1
        }
        return Array((frame + "]}").utf8)
    }
}
