import Events

extension Span {
    /// What stands where a span should: one, or something else.
    enum Reading {
        case span(Span)
        case other(JSONText)
    }

    /// The spans of a body in OTLP's JSON form (OTLP specification, "JSON Protobuf Encoding"): IDs are hex of any case, 64-bit
    /// numbers are texts or numbers, members we don't know are nobody's fault.
    static func all(inJSON body: [UInt8], room: SharedRoom) throws(Refusal) -> [Reading] {
        do {
            return try JSONDocument.read(body, tolerant: true) { try readings($0, room) }
        } catch let refusal as Refusal {
            throw refusal
        } catch let fault as JSONDocument.Fault {
            switch fault {
            case .malformed: throw Refusal(.malformedJSON, "The body is not JSON.")
            case .tooDeep: throw Refusal(.tooDeep)
            case .invalidUTF8:
                // A text that was cut inside a character costs that character, not the batch.
                let mended = Array(String(decoding: body, as: UTF8.self).utf8)
                guard mended != body else { throw Refusal(.invalidUTF8) }
                return try all(inJSON: mended, room: room)
            case .outOfMemory: throw Refusal(.overloaded)
            }
        } catch {
            throw Refusal(.internal)
        }
    }

    private static func readings(_ json: JSONValue, _ room: SharedRoom) throws(Refusal) -> [Reading] {
        guard json.kind == .object else { throw Refusal(.invalidField, "The body must be an object with resourceSpans.") }
        let resources = json["resourceSpans"]
        if let resources, !resources.isNull, resources.kind != .array {
            throw Refusal(.invalidField, field: "resourceSpans", "resourceSpans must be a list.")
        }
        var readings: [Reading] = []
        resources?.forEachElement { resource in
            let attributes = members(of: resource["resource"]?["attributes"])
            resource["scopeSpans"]?.forEachElement { scope in
                let origin = Origin(
                    resource: attributes, library: scope["scope"]?["name"]?.string ?? "",
                    version: scope["scope"]?["version"]?.string ?? "", room: room)
                scope["spans"]?.forEachElement { span in
                    readings.append(span.kind == .object ? .span(Span(span, from: origin)) : .other(JSONText(span)))
                }
            }
        }
        return readings
    }

    private convenience init(_ json: JSONValue, from origin: Origin) {
        self.init(from: origin)
        json.forEachMember { key, value in
            if key.equals("traceId") {
                trace = value.hexID(count: 16)
            } else if key.equals("spanId") {
                id = value.hexID(count: 8)
            } else if key.equals("parentSpanId") {
                parent = value.hexID(count: 8)
            } else if key.equals("traceState") {
                state = value.string ?? ""
            } else if key.equals("name") {
                name = value.string ?? ""
            } else if key.equals("kind") {
                kind = value.enumeration([
                    "SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER", "SPAN_KIND_CLIENT", "SPAN_KIND_PRODUCER",
                    "SPAN_KIND_CONSUMER",
                ])
            } else if key.equals("startTimeUnixNano") {
                startNanos = value.nanos
            } else if key.equals("endTimeUnixNano") {
                endNanos = value.nanos
            } else if key.equals("attributes") {
                attributes = Self.attributes(of: value)
            } else if key.equals("events") {
                value.forEachElement { event in
                    guard event.kind == .object else { return }
                    events.append(
                        Happening(
                            nanos: event["timeUnixNano"]?.nanos ?? 0, name: event["name"]?.string ?? "",
                            attributes: Self.members(of: event["attributes"])))
                }
            } else if key.equals("links") {
                value.forEachElement { link in
                    guard link.kind == .object else { return }
                    links.append(
                        Link(
                            trace: link["traceId"]?.hexID(count: 16), id: link["spanId"]?.hexID(count: 8),
                            attributes: Self.members(of: link["attributes"])))
                }
            } else if key.equals("status") {
                statusCode = value["code"]?.enumeration(["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"]) ?? 0
                statusMessage = value["message"]?.string ?? ""
            }
        }
    }

    private static func members(of list: JSONValue?) -> [String: AttributeValue] {
        var members: [String: AttributeValue] = [:]
        list.map { attributes(of: $0) }?.forEach { members[$0.name] = $0.value }
        return members
    }

    private static func attributes(of list: JSONValue) -> [Attribute] {
        var attributes: [Attribute] = []
        list.forEachElement { attribute in
            guard let key = attribute["key"]?.string, !key.isEmpty else { return }
            attributes.append(Attribute(key, attribute["value"].map(value) ?? .null))
        }
        return attributes
    }

    /// `{"stringValue":"…"}` and its like; the first member that is one of them.
    private static func value(_ json: JSONValue) -> AttributeValue {
        var found: AttributeValue?
        json.forEachMember { key, value in
            guard found == nil else { return }
            if key.equals("stringValue") {
                found = value.string.map { .text($0) }
            } else if key.equals("boolValue") {
                found = value.bool.map { .flag($0) }
            } else if key.equals("intValue") {
                found = (value.integer ?? value.string.flatMap { Int64($0) }).map { .integer($0) }
            } else if key.equals("doubleValue") {
                found = (value.double ?? value.string.flatMap { Double($0) }).map { .number($0) }
            } else if key.equals("arrayValue") {
                var elements: [AttributeValue] = []
                value["values"]?.forEachElement { elements.append(Self.value($0)) }
                found = .list(elements)
            } else if key.equals("kvlistValue") {
                found = .map(members(of: value["values"]))
            } else if key.equals("bytesValue") {
                found = value.string.map { .data($0) }
            }
        }
        return found ?? .null
    }
}

extension JSONValue {
    fileprivate func hexID(count: Int) -> String? { utf8.flatMap { Span.hex(digits: $0, count: count) } }

    /// An enum's number; its name, as protobuf's own JSON form writes it, is understood too.
    fileprivate func enumeration(_ names: [String]) -> Int64 {
        integer ?? string.flatMap { names.firstIndex(of: $0) }.map { Int64($0) } ?? 0
    }

    /// An unsigned 64-bit number, written as one or as a text; 0 for anything else.
    fileprivate var nanos: UInt64 {
        if let text = string { return UInt64(text) ?? 0 }
        if let number = integer { return UInt64(exactly: number) ?? 0 }
        return double.flatMap { UInt64(exactly: $0.rounded()) } ?? 0
    }
}
