import AgnostDoor
import Events
import Ingest
import LunaryDoor
import NativeDoor
import OTLPDoor
import OpikDoor

/// Bodies at each door: nothing traps, every item gets an answer, and what is admitted can be stored and read back as it was.
///
/// The first byte of an input names the entrance, the second the lane and the kind of body; the rest is the body.
enum Doors {
    static func native(_ bytes: UnsafeBufferPointer<UInt8>) { knock(at: NativeDoor(), bytes) }
    static func lunary(_ bytes: UnsafeBufferPointer<UInt8>) { knock(at: LunaryDoor(), bytes) }
    static func opik(_ bytes: UnsafeBufferPointer<UInt8>) { knock(at: OpikDoor(), bytes) }
    static func agnost(_ bytes: UnsafeBufferPointer<UInt8>) { knock(at: AgnostDoor(), bytes) }
    static func otlp(_ bytes: UnsafeBufferPointer<UInt8>) { knock(at: OTLPDoor(), bytes) }

    private static let kinds: [String?] = ["application/json", "application/x-protobuf", "text/plain", nil]
    private static let now = Timestamp(microseconds: 1_795_262_400_000_000)

    private static func knock(at door: some Door, _ bytes: UnsafeBufferPointer<UInt8>) {
        guard bytes.count >= 2 else { return }
        let entrances = door.entrances.filter { !$0.asks }
        let entrance = entrances[Int(bytes[0]) % entrances.count]
        let lane: Lane = bytes[1] & 1 == 0 ? .public : .secret
        var parameters: [String: String] = [:]
        for segment in entrance.path.split(separator: "/") where segment.hasPrefix("{") {
            parameters[String(segment.dropFirst().dropLast())] = "01976ad2-8c4b-7c1d-9a00-000000000001"
        }
        let request = DoorRequest(
            entrance: entrance, lane: lane, project: "shop", parameters: parameters, contentType: kinds[Int(bytes[1] >> 1) % kinds.count],
            body: Array(bytes.dropFirst(2)), receivedAt: now)
        do {
            let parcel = try door.decode(request)
            hold(parcel.destinations.isEmpty || parcel.destinations.count == parcel.items.count, "some items have no destination")
            for (position, item) in parcel.items.enumerated() { admit(item, position, lane, sentAt: parcel.sentAt) }
            for verdict in verdicts {
                _ = door.reply(to: [Verdict](repeating: verdict, count: parcel.items.count), of: parcel, for: request)
            }
        } catch {
            _ = door.reply(to: error, at: entrance, contentType: request.contentType)
        }
    }

    private static let verdicts: [Verdict] = [
        .stored, .duplicate, .conflict(Refusal(.idConflict)), .quarantined(Refusal(.missingField)), .dropped(Refusal(.tooDeep)),
        .retry(Refusal(.overloaded)),
    ]

    /// A text frame of a socket; the first byte is the lane.
    static func socket(_ bytes: UnsafeBufferPointer<UInt8>) {
        guard let first = bytes.first else { return }
        let lane: Lane = first & 1 == 0 ? .public : .secret
        guard case .batch(_, let parcel) = NativeDoor().decode(frame: Array(bytes.dropFirst()), lane: lane) else { return }
        for (position, item) in parcel.items.enumerated() { admit(item, position, lane, sentAt: parcel.sentAt) }
    }

    /// As ingest and a store treat it.
    private static func admit(_ item: Parcel.Item, _ position: Int, _ lane: Lane, sentAt: Timestamp?) {
        let decision = Admission().decide(item, position: position, lane: lane, sentAt: sentAt, receivedAt: now)
        switch decision {
        case .admitted(let admitted, _): keep(admitted)
        case .refused(_, let aside):
            guard let aside else { return }
            hold((try? JSONDocument.read(aside.payload.bytes, isOurs: true) { _ in true }) ?? false, "what is set aside is no JSON")
        }
    }

    private static func keep(_ admitted: AdmittedEvent) {
        let event = admitted.event
        hold(!event.id.isEmpty && event.id.unicodeScalars.count <= Event.Bounds.id, "an admitted event has no id, or too long a one")
        hold(admitted.at.microseconds <= now.microseconds + 5_000_000, "an event of the future was admitted: \(admitted.at.microseconds)")
        var role: Event.Role?
        var text: String?
        if case .message(let message) = event.body {
            role = message.role
            if case .text(let content) = message.content, !content.utf8.contains(0) { text = content }
        }
        let columns = Event.Columns(
            id: event.id, type: event.type, thread: event.thread, at: admitted.at, user: event.user?.key, role: role, text: text)
        let payload = admitted.payload.bytes
        do {
            var again = try Event(columns, payload: payload.count > 2 ? payload : nil)
            var expected = event
            (again.at, expected.at) = (nil, nil)
            hold(again == expected, "it is read back as another:\n\(expected)\n\(again)")
            hold(ContentDigest(again) == ContentDigest(expected), "it is read back with another digest:\n\(expected)\n\(again)")
        } catch {
            fatalError("broken: an admitted event can't be read back (\(error)): \(event) from \(String(decoding: payload, as: UTF8.self))")
        }
    }
}
