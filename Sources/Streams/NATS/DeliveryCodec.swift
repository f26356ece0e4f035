import Events

/// A delivery as one message of a stream, or several, and back: a JSON batch of CloudEvents 1.0 (JSON format, section 4), which others
/// may read who know nothing of us.
///
/// The first element, of type `chat.parley.delivery.v1`, is the delivery itself: where it came from, its tally, and what was set
/// aside. Each further one is an event, of type `chat.parley.<type>.v1`, whose `data` is the event as in `protocol/`. README.md
/// beside this file describes every member.
///
/// A delivery that would be larger than `preferredBytes` is cut between its events; the tally goes with the first piece. An event
/// that alone is larger than `maximumBytes` can't go through the stream at all.
struct DeliveryCodec: Sendable {
    /// A message's size above which the next event begins another one. Drains hold whole messages, and a server writes them whole.
    var preferredBytes = 1 << 20
    /// The largest message the servers take (`max_payload`), its headers included.
    var maximumBytes: Int

    /// For the headers of a message, the members that are not events, and the commas.
    private static let envelope = 4096

    struct Encoded: Sendable {
        var bodies: [[UInt8]]
        /// What can't be sent, by its place: events first, then what was set aside. Counted in the tally that is sent.
        var refused: [Int: Verdict]
    }

    enum Fault: Error, Sendable, CustomStringConvertible {
        case malformed(String)
        var description: String {
            switch self {
            case .malformed(let what): "no delivery of this version: \(what)"
            }
        }
    }

    // MARK: encoding

    func encode(_ delivery: Delivery, id: String) -> Encoded {
        let source = "/projects/\(delivery.source.project)/keys/\(delivery.source.key)"
        var refused: [Int: Verdict] = [:]
        var tally = delivery.tally
        func fits(_ size: Int, _ place: Int, _ what: String) -> Bool {
            guard size + Self.envelope > maximumBytes else { return true }
            let verdict = Verdict.dropped(
                Refusal(
                    .eventTooLarge,
                    "\(what) takes \(size) bytes, and the stream's servers take \(maximumBytes) (max_payload in their configuration)."))
            refused[place] = verdict
            tally.count(verdict)
            return false
        }

        var parts: [Part] = [Part()]
        for (place, admitted) in delivery.events.enumerated() {
            let element = Self.element(of: admitted, from: delivery.source, source: source)
            let size = element.count + admitted.names.reduce(0) { $0 + Self.size(of: $1) }
            guard fits(size, place, "The event") else { continue }
            if parts[parts.endIndex - 1].size + size > preferredBytes, !parts[parts.endIndex - 1].isEmpty { parts.append(Part()) }
            parts[parts.endIndex - 1].add(element, names: admitted.names)
        }
        for (place, aside) in delivery.setAside.enumerated() {
            let member = Self.member(of: aside)
            guard fits(member.count, delivery.events.count + place, "What was to be kept aside") else { continue }
            if parts[parts.endIndex - 1].size + member.count > preferredBytes, !parts[parts.endIndex - 1].isEmpty { parts.append(Part()) }
            parts[parts.endIndex - 1].add(aside: member)
        }
        let count = parts.count
        let bodies = parts.enumerated().map { index, part in
            part.body(
                of: delivery, id: count == 1 ? id : "\(id)-\(index)", source: source, tally: index == 0 ? tally : Tally(), index: index,
                count: count)
        }
        return Encoded(bodies: bodies, refused: refused)
    }

    /// What its names take in a message at most: a quote may need an escape.
    private static func size(of ids: IDNames) -> Int { ids.names.reduce(50 + 6 * ids.id.utf8.count) { $0 + 6 * $1.utf8.count + 3 } }

    /// What goes into one message.
    private struct Part {
        var events: [[UInt8]] = []
        var names: [(event: Int, names: IDNames)] = []
        var setAside: [[UInt8]] = []
        var size = DeliveryCodec.envelope

        var isEmpty: Bool { events.isEmpty && setAside.isEmpty }

        mutating func add(_ element: [UInt8], names: [IDNames]) {
            for ids in names {
                self.names.append((events.count, ids))
                size += DeliveryCodec.size(of: ids)
            }
            events.append(element)
            size += element.count + 1
        }

        mutating func add(aside: [UInt8]) {
            setAside.append(aside)
            size += aside.count + 1
        }

        func body(of delivery: Delivery, id: String, source: String, tally: Tally, index: Int, count: Int) -> [UInt8] {
            var writer = JSONWriter()
            writer.array { writer in
                writer.object { writer in
                    writer.field("specversion", "1.0")
                    writer.field("id", id)
                    writer.field("source", source)
                    writer.field("type", "chat.parley.delivery.v1")
                    writer.field("time", delivery.receivedAt)
                    writer.field("datacontenttype", "application/json")
                    writer.key("data")
                    writer.object { writer in
                        writer.field("project", delivery.source.project.number)
                        writer.field("key", delivery.source.key)
                        writer.field("lane", delivery.source.lane.rawValue)
                        writer.field(ifPresent: "origin", delivery.source.origin)
                        writer.field("transport", delivery.source.transport.rawValue)
                        writer.field("receivedAt", delivery.receivedAt.microseconds)
                        if count > 1 {
                            writer.field("part", index)
                            writer.field("parts", count)
                        }
                        if !tally.isEmpty {
                            writer.key("tally")
                            writer.write(tally)
                        }
                        if let scoring = delivery.scoring {
                            writer.key("scoring")
                            writer.object {
                                $0.field("rule", scoring.rule.rawValue)
                                $0.field("inactiveAfterSeconds", scoring.inactiveAfterSeconds)
                            }
                        }
                        if !setAside.isEmpty {
                            writer.key("setAside")
                            writer.array(setAside) { $0.value(JSONText(trusted: $1)) }
                        }
                        if !names.isEmpty {
                            writer.key("names")
                            writer.array(names) { writer, item in
                                writer.object {
                                    $0.field("event", item.event)
                                    $0.field("id", item.names.id)
                                    $0.field("names", item.names.names)
                                }
                            }
                        }
                    }
                }
                for event in events { writer.value(JSONText(trusted: event)) }
            }
            return writer.bytes
        }
    }

    private static func element(of admitted: AdmittedEvent, from sender: Source, source: String) -> [UInt8] {
        let event = admitted.event
        let digest = hex(admitted.digest.bytes)
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("specversion", "1.0")
            // A run's parts share its ID.
            writer.field("id", event.idSpace == .run ? "run/\(event.id)/\(digest)" : "\(event.type)/\(event.id)")
            writer.field("source", source)
            writer.field("type", "chat.parley.\(event.type).v1")
            writer.field(ifPresent: "subject", event.thread)
            writer.field("time", admitted.at)
            writer.field("datacontenttype", "application/json")
            // Extension attributes (CloudEvents 1.0, section 3.2).
            writer.field("digest", digest)
            writer.field("provenance", sender.provenance(of: event.user).rawValue)
            if event.user?.isProven == true { writer.field("proven", true) }
            if admitted.usesSchemeNames { writer.field("schemenames", true) }
            if admitted.pairsShareIDs { writer.field("sharesid", true) }
            // `time` says years 1970 to 9999 only.
            if !(0...Self.latest).contains(admitted.at.microseconds) { writer.field("microseconds", String(admitted.at.microseconds)) }
            writer.field("data", event.json())
        }
        return writer.bytes
    }

    private static let latest: Int64 = 253_402_300_799_999_999

    private static func member(of aside: SetAside) -> [UInt8] {
        var writer = JSONWriter()
        writer.object { writer in
            writer.field(ifPresent: "id", aside.id)
            writer.field(ifPresent: "type", aside.type)
            writer.field("reason", aside.refusal.reason.rawValue)
            writer.field(ifPresent: "field", aside.refusal.field)
            writer.field("message", aside.refusal.message)
            if let wait = aside.refusal.retryAfterMilliseconds { writer.field("retryAfter", wait) }
            // It is here because something was wrong with it: it may be no JSON at all.
            if (try? JSONDocument.read(aside.payload.bytes, isOurs: true) { !$0.isNull || true }) == true {
                writer.field("payload", aside.payload)
            } else {
                writer.field("text", aside.payload.string)
            }
        }
        return writer.bytes
    }

    // MARK: decoding

    /// Reads a message. Throws `Fault` for one that no gateway of this version wrote.
    static func decode(_ body: [UInt8]) throws(Fault) -> Delivery {
        do {
            return try JSONDocument.read(body, isOurs: true) { json throws in
                var delivery: Delivery?
                var names: [(event: Int, names: IDNames)] = []
                try json.forEachElement { element throws in
                    guard delivery != nil else {
                        guard element["type"]?.string == "chat.parley.delivery.v1", let data = element["data"] else {
                            throw Fault.malformed("its first element is no chat.parley.delivery.v1")
                        }
                        (delivery, names) = try read(data)
                        return
                    }
                    delivery!.events.append(try readEvent(element))
                }
                guard var delivery else { throw Fault.malformed("it is no batch of CloudEvents") }
                for (index, names) in Dictionary(grouping: names, by: \.event) where delivery.events.indices.contains(index) {
                    let event = delivery.events[index]
                    delivery.events[index] = event.named(
                        names.map(\.names), usesSchemeNames: event.usesSchemeNames, pairsShareIDs: event.pairsShareIDs)
                }
                return delivery
            }
        } catch let fault as Fault {
            throw fault
        } catch {
            throw .malformed("\(error)")
        }
    }

    private static func read(_ data: JSONValue) throws -> (Delivery, [(event: Int, names: IDNames)]) {
        guard let project = data["project"]?.integer, let key = data["key"]?.string, let lane = data["lane"]?.string.flatMap(Lane.init),
            let transport = data["transport"]?.string, let receivedAt = data["receivedAt"]?.integer
        else { throw Fault.malformed("its source is incomplete") }
        let source = Source(
            project: ProjectID(project), key: key, lane: lane, origin: data["origin"]?.string, transport: Transport(rawValue: transport))
        var setAside: [SetAside] = []
        try data["setAside"]?.forEachElement { item throws in
            guard let reason = item["reason"]?.string.flatMap(Reason.init), let payload = item["payload"].map(JSONText.init) ?? text(item)
            else { throw Fault.malformed("something set aside has no reason or no payload") }
            var refusal = Refusal(reason, field: item["field"]?.string, item["message"]?.string)
            refusal.retryAfterMilliseconds = item["retryAfter"]?.integer
            setAside.append(SetAside(id: item["id"]?.string, type: item["type"]?.string, refusal: refusal, payload: payload))
        }
        var delivery = Delivery(
            source: source, receivedAt: Timestamp(microseconds: receivedAt), events: [], setAside: setAside,
            tally: try data["tally"].map(readTally) ?? Tally())
        if let scoring = data["scoring"], let rule = scoring["rule"]?.string.flatMap(Project.Scoring.init),
            let seconds = scoring["inactiveAfterSeconds"]?.double
        {
            delivery.scoring = ScoringRule(rule: rule, inactiveAfterSeconds: seconds)
        }
        var names: [(event: Int, names: IDNames)] = []
        data["names"]?.forEachElement { item in
            guard let event = item["event"]?.integer, let id = item["id"]?.string else { return }
            var others: [String] = []
            item["names"]?.forEachElement { if let name = $0.string { others.append(name) } }
            names.append((Int(event), IDNames(id: id, names: others)))
        }
        return (delivery, names)
    }

    private static func text(_ item: JSONValue) -> JSONText? { item["text"]?.string.map { JSONText(trusted: Array($0.utf8)) } }

    private static func readEvent(_ element: JSONValue) throws -> AdmittedEvent {
        guard let data = element["data"], let digest = element["digest"]?.string.flatMap(bytes(ofHex:)), digest.count == 16 else {
            throw Fault.malformed("an event has no data or no digest")
        }
        let exact = element["microseconds"]?.string.flatMap { Int64($0) }.map { Timestamp(microseconds: $0) }
        guard let at = exact ?? element["time"].flatMap({ Timestamp($0) }) else { throw Fault.malformed("an event has no time") }
        var event: Event
        do {
            event = try Event(data)
        } catch {
            throw Fault.malformed("an event can't be read: \(error.message)")
        }
        if element["proven"]?.bool == true { event.user?.isProven = true }
        return AdmittedEvent(
            event: event, at: at, digest: ContentDigest(stored: digest), usesSchemeNames: element["schemenames"]?.bool ?? false,
            pairsShareIDs: element["sharesid"]?.bool ?? false)
    }

    private static func readTally(_ json: JSONValue) throws -> Tally {
        var tally = Tally()
        tally.received = json["received"]?.integer.map { Int($0) } ?? 0
        func each<Name: RawRepresentable<String>>(_ member: JSONValue?, _ take: (Name, Int) -> Void) throws {
            try member?.forEachMember { key, value throws in
                guard let name = Name(rawValue: String(decoding: key, as: UTF8.self)), let count = value.integer else {
                    throw Fault.malformed("its tally has a name nobody knows")
                }
                take(name, Int(count))
            }
        }
        try each(json["verdicts"]) { tally.verdicts[$0] = $1 }
        try each(json["reasons"]) { tally.reasons[$0] = $1 }
        try each(json["overlooked"]) { tally.overlooked[$0] = $1 }
        return tally
    }
}

extension JSONWriter {
    fileprivate mutating func write(_ tally: Tally) {
        func counts<Name: RawRepresentable<String>>(_ name: String, _ counts: [Name: Int], in writer: inout JSONWriter) {
            guard !counts.isEmpty else { return }
            writer.key(name)
            writer.object { writer in
                for (name, count) in counts.sorted(by: { $0.key.rawValue < $1.key.rawValue }) { writer.field(name.rawValue, count) }
            }
        }
        object { writer in
            writer.field("received", tally.received)
            counts("verdicts", tally.verdicts, in: &writer)
            counts("reasons", tally.reasons, in: &writer)
            counts("overlooked", tally.overlooked, in: &writer)
        }
    }
}

private let hexDigits = Array("0123456789abcdef".utf8)

private func hex(_ bytes: [UInt8]) -> String {
    String(unsafeUninitializedCapacity: 2 * bytes.count) { text in
        for (place, byte) in bytes.enumerated() {
            text[2 * place] = hexDigits[Int(byte >> 4)]
            text[2 * place + 1] = hexDigits[Int(byte & 15)]
        }
        return 2 * bytes.count
    }
}

private func bytes(ofHex text: String) -> [UInt8]? {
    func digit(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
        default: nil
        }
    }
    let characters = Array(text.utf8)
    guard characters.count.isMultiple(of: 2) else { return nil }
    var bytes: [UInt8] = []
    for place in stride(from: 0, to: characters.count, by: 2) {
        guard let high = digit(characters[place]), let low = digit(characters[place + 1]) else { return nil }
        bytes.append(high << 4 | low)
    }
    return bytes
}
