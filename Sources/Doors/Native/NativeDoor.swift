public import Events

/// Our own dialect: the events of `protocol/README.md`, over HTTP, beacon and WebSocket in one grammar.
public struct NativeDoor: SocketDoor {
    /// The bounds of a lane (protocol, P-LIMIT-1).
    public struct Limits: Sendable {
        public var eventBytes: Int
        public var batchEvents: Int

        public static let `public` = Limits(eventBytes: 64 << 10, batchEvents: 1000)
        public static let secret = Limits(eventBytes: 20 << 20, batchEvents: 10_000)

        static func of(_ lane: Lane) -> Limits { lane == .public ? .public : .secret }
    }

    public init() {}

    public let subprotocol = "parley.v1"
    public let socketPath = "/v1/socket"

    public let entrances = [
        Entrance(path: "/v1/events", transport: .http, publicBodyLimit: 1 << 20, secretBodyLimit: 20 << 20),
        // Browsers share 64 KiB of bodies in flight at page end (Fetch standard, 4.6), headers aside.
        Entrance(path: "/v1/beacon", transport: .beacon, keyPlaces: [.query], publicBodyLimit: 60 << 10, secretBodyLimit: 60 << 10),
    ]

    public func decode(_ request: DoorRequest) throws(Refusal) -> Parcel {
        let (body, contentType, lane) = (request.body, request.contentType, request.lane)
        var parcel: Parcel
        if let contentType, contentType != "application/json", Self.isLines(contentType.lowercased()) {
            parcel = Self.parcel(lines: body, lane: lane)
        } else {
            do {
                parcel = try JSONDocument.read(body) { ParcelReader(lane: lane, bodyBytes: body.count).parcel($0) }
            } catch let fault as JSONDocument.Fault {
                // Several documents, one a line, are no JSON document, but they are NDJSON.
                guard fault == .malformed, body.contains(UInt8(ascii: "\n")), let lines = Self.wholeLines(body, lane: lane) else {
                    throw Self.refusal(of: fault)
                }
                parcel = lines
            } catch {
                throw Refusal(.internal)
            }
        }
        let limit = Limits.of(lane).batchEvents
        guard parcel.items.count <= limit else {
            throw Refusal(.batchTooLarge, field: "events", "A batch has at most \(limit) events; this one has \(parcel.items.count).")
        }
        return parcel
    }

    private static func isLines(_ contentType: String) -> Bool { contentType.contains("ndjson") || contentType.contains("jsonl") }

    static func refusal(of fault: JSONDocument.Fault) -> Refusal {
        switch fault {
        case .malformed: Refusal(.malformedJSON, "The body is not JSON.")
        case .tooDeep: Refusal(.tooDeep)
        case .invalidUTF8: Refusal(.invalidUTF8)
        case .outOfMemory: Refusal(.overloaded)
        }
    }

    // MARK: lines

    /// Lines read as NDJSON: a bad one costs only itself.
    private static func parcel(lines body: [UInt8], lane: Lane) -> Parcel {
        var items: [Parcel.Item] = []
        var sentAt: Timestamp?
        for line in body.split(separator: UInt8(ascii: "\n")) where !line.allSatisfy({ $0 <= 0x20 }) {
            do {
                let parcel = try JSONDocument.read(line) { ParcelReader(lane: lane, bodyBytes: line.count).parcel($0) }
                items += parcel.items
                sentAt = parcel.sentAt ?? sentAt
            } catch {
                let refusal = (error as? JSONDocument.Fault).map(refusal(of:)) ?? Refusal(.internal)
                items.append(.refused(RefusedItem(id: nil, type: nil, refusal: refusal, payload: nil)))
            }
        }
        return Parcel(items: items, sentAt: sentAt)
    }

    /// The same, if the first line is a document of its own; else the body is one broken document.
    private static func wholeLines(_ body: [UInt8], lane: Lane) -> Parcel? {
        // Nothing but line ends has no first line.
        guard let first = body.split(separator: UInt8(ascii: "\n"), maxSplits: 1).first,
            (try? JSONDocument.read(first) { $0.kind == .object }) == true
        else { return nil }
        return parcel(lines: body, lane: lane)
    }
}

/// Reads events out of an envelope, within a lane's bounds.
struct ParcelReader {
    let lane: Lane
    /// The bytes of the whole body: an event can't be larger, so small bodies need no measuring.
    let bodyBytes: Int

    /// `{"events":[…],"sentAt":…}`, a list of events, or one event.
    func parcel(_ json: JSONValue) -> Parcel {
        switch json.kind {
        case .array: return Parcel(items: items(json))
        case .object:
            guard let events = json["events"], json["type"] == nil else { return Parcel(items: [item(json)]) }
            guard events.kind == .array else {
                return Parcel(items: [
                    .refused(
                        RefusedItem(
                            id: nil, type: nil, refusal: Refusal(.invalidField, field: "events", "events must be a list."),
                            payload: JSONText(json)))
                ])
            }
            var parcel = Parcel(items: items(events), sentAt: json["sentAt"].flatMap { Timestamp($0) })
            parcel.token = json["token"]?.string
            parcel.wantsReceipts = json["receipts"]?.bool ?? false
            return parcel
        default: return Parcel(items: [item(json)])
        }
    }

    func items(_ list: JSONValue) -> [Parcel.Item] {
        var items: [Parcel.Item] = []
        items.reserveCapacity(list.count)
        list.forEachElement { items.append(item($0)) }
        return items
    }

    private func item(_ json: JSONValue) -> Parcel.Item {
        // Bounds first, before anything is made of it.
        let limit = NativeDoor.Limits.of(lane).eventBytes
        if bodyBytes > limit, json.approximateSize > limit {
            return refused(json, Refusal(.eventTooLarge, "An event has at most \(limit) bytes on this lane."), keep: false)
        }
        if json.tapeWords > 2 * Event.Bounds.keys, json.keyCount > Event.Bounds.keys {
            return refused(json, Refusal(.tooManyKeys), keep: false)
        }
        do {
            return .event(try Event(json))
        } catch {
            return refused(json, error, keep: true)
        }
    }

    private func refused(_ json: JSONValue, _ refusal: Refusal, keep: Bool) -> Parcel.Item {
        let id = json["id"]?.string.flatMap { $0.utf8.count <= 4 * Event.Bounds.id ? $0 : nil }
        return .refused(RefusedItem(id: id, type: json["type"]?.string, refusal: refusal, payload: keep ? JSONText(json) : nil))
    }
}
