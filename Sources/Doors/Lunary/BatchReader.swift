import Events

/// Reads a body of `{"events":[…]}` into a parcel, one event after the other; none of them costs another.
struct BatchReader {
    private let request: DoorRequest
    private var items: [Parcel.Item] = []
    private var destinations: [Parcel.Destination] = []
    private var usesSchemeNames = false
    /// The threads of messages in the old thread API, by run, for answers that come in the same body.
    private var openTurns: [String: String] = [:]

    init(_ request: DoorRequest) { self.request = request }

    /// `{"events": list or object}`; a list or an event alone is taken for what it is.
    mutating func add(batch json: JSONValue) throws(Refusal) {
        var events = json
        if json.kind == .object {
            guard let inner = json["events"] ?? (json["event"] == nil ? nil : json) else {
                throw Refusal(.missingField, field: "events", "The body needs events: a list.")
            }
            events = inner
        }
        switch events.kind {
        case .object: add(events)
        case .array:
            try check(count: events.count)
            events.forEachElement { add($0) }
        default: throw Refusal(.invalidField, field: "events", "events must be a list.")
        }
    }

    mutating func add(pieces: [ArraySlice<UInt8>]) throws(Refusal) {
        try check(count: pieces.count)
        for piece in pieces {
            do {
                try JSONDocument.read(piece, tolerant: true) { add($0) }
            } catch {
                append(.refused(RefusedItem(id: nil, type: nil, refusal: LunaryDoor.refusal(of: error), payload: nil)))
            }
        }
    }

    func parcel() -> Parcel {
        var parcel = Parcel(items: items)
        if destinations.contains(where: { $0 != .own }) { parcel.destinations = destinations }
        parcel.usesSchemeNames = usesSchemeNames
        // Several chat widgets give the user and the assistant of one exchange the same run ID.
        parcel.pairsShareIDs = true
        return parcel
    }

    private func check(count: Int) throws(Refusal) {
        guard count <= LunaryDoor.batchEvents else {
            throw Refusal(
                .batchTooLarge, field: "events", "A batch has at most \(LunaryDoor.batchEvents) events; this one has \(count).")
        }
    }

    private mutating func append(_ item: Parcel.Item, to destination: Parcel.Destination = .own) {
        items.append(item)
        destinations.append(destination)
    }

    private mutating func add(_ json: JSONValue) {
        guard json.kind == .object else {
            let refusal = Refusal(.invalidField, field: "events", "An event is a JSON object.")
            return append(.refused(RefusedItem(id: nil, type: nil, refusal: refusal, payload: JSONText(json))))
        }
        var members = Members(json)
        // A key, in Python's case the secret one: it leads to a project and is kept nowhere.
        var key = members.remove("appId")
        if request.entrance == LunaryDoor.report { key = key ?? members.remove("projectId") ?? members.remove("app") }
        let destination = key.map { Parcel.Destination.ofKey($0) } ?? .own
        let limit = LunaryDoor.eventBytes(request.lane)
        if request.body.count > limit, json.approximateSize > limit {
            return append(
                refused(members, Refusal(.eventTooLarge, "An event has at most \(limit) bytes on this lane."), keep: false),
                to: destination)
        }
        if json.tapeWords > 2 * Event.Bounds.keys, json.keyCount > Event.Bounds.keys {
            return append(refused(members, Refusal(.tooManyKeys), keep: false), to: destination)
        }
        do {
            var sent = try SentEvent(members, lane: request.lane, receivedAt: request.receivedAt, openTurns: openTurns)
            var events: [Event] = []
            for event in try sent.events() { events.append(try event.fitted()) }
            openTurns = sent.openTurns
            usesSchemeNames = usesSchemeNames || sent.isHashed
            for event in events { append(.event(event), to: destination) }
        } catch {
            append(refused(members, error, keep: true), to: destination)
        }
    }

    private func refused(_ members: Members, _ refusal: Refusal, keep: Bool) -> Parcel.Item {
        var named = members
        let id = named.text("runId").flatMap { $0.utf8.count <= 4 * Event.Bounds.id ? $0 : nil }
        var payload: JSONText?
        if keep {
            var kept = ObjectText()
            kept.set(members.rest)
            payload = kept.text ?? JSONText(trusted: Array("{}".utf8))
        }
        return .refused(RefusedItem(id: id, type: named.text("event"), refusal: refusal, payload: payload))
    }
}
