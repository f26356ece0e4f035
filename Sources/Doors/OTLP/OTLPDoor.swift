public import Events

/// OpenTelemetry's OTLP over HTTP: the spans of models, agents and tools become runs (opentelemetry-proto, "OTLP/HTTP").
///
/// A run's ID is `TRACE-SPAN` in hex, so a batch that is sent again is a duplicate. A span is kept when one of its attributes
/// speaks of a model (`Names.marks`), or when another span of its trace in the same body does; web servers and databases send
/// theirs to the same address, and those are let go without being counted. Metrics and logs are answered and let go.
public struct OTLPDoor: Door {
    private let chat: ChatNames

    /// - Parameter prefix: of the attributes that place a span in a chat: in front of `message.id`, `thread.id`, `user.id` and `reply.id`, as
    ///   attributes or baggage name them.
    public init(prefix: String = "chat.") { chat = ChatNames(prefix: prefix) }

    public let entrances = ["/v1/traces", "/v1/metrics", "/v1/logs"].map { path in
        Entrance(
            path: path, underAnyPrefix: true, transport: Transport(rawValue: "otlp"),
            keyPlaces: [.bearer, .header("X-API-Key"), .header("X-Agnost-Org-ID"), .header("X-Org-Id"), .query],
            servesBackends: true,
            // OTLP's own default, after decompression (opentelemetry-proto, "OTLP/HTTP Request").
            publicBodyLimit: 1 << 20, secretBodyLimit: 64 << 20)
    }

    public func decode(_ request: DoorRequest) throws(Refusal) -> Parcel {
        guard request.entrance.path == "/v1/traces" else { return Parcel(items: []) }
        let room = Span.SharedRoom(ofBody: request.body.count, lane: request.lane)
        switch Form(contentType: request.contentType) {
        case .json: return parcel(try Span.all(inJSON: request.body, room: room), receivedAt: request.receivedAt)
        case .protobuf: return parcel(try Span.all(inProtobuf: request.body, room: room).map { .span($0) }, receivedAt: request.receivedAt)
        case nil:
            throw Refusal(.unsupportedEncoding, field: "Content-Type", "Content-Type must be application/x-protobuf or application/json.")
        }
    }

    private func parcel(_ readings: [Span.Reading], receivedAt: Timestamp) -> Parcel {
        var traces: Set<String> = []
        for case .span(let span) in readings { if let trace = span.trace, span.isOfAModel { traces.insert(trace) } }
        var items: [Parcel.Item] = []
        items.reserveCapacity(readings.count)
        for reading in readings {
            switch reading {
            case .span(let span):
                guard span.trace.map({ traces.contains($0) }) ?? span.isOfAModel else { continue }
                items.append(item(span, receivedAt: receivedAt))
            case .other(let json):
                let refusal = Refusal(.invalidField, field: "spans", "A span must be an object.")
                items.append(.refused(RefusedItem(id: nil, type: "run", refusal: refusal, payload: json)))
            }
        }
        return Parcel(items: items)
    }

    private func item(_ span: Span, receivedAt: Timestamp) -> Parcel.Item {
        do {
            let (event, refusal) = try span.run(chat, receivedAt: receivedAt)
            guard let refusal else { return .event(event) }
            return .refused(RefusedItem(id: event.id, type: event.type, refusal: refusal, payload: event.json()))
        } catch {
            return .refused(RefusedItem(id: nil, type: "run", refusal: error, payload: span.json))
        }
    }
}

extension Span {
    /// What a span without an ID said, for quarantine.
    fileprivate var json: JSONText? {
        let attributes = attributes.reduce(into: [:]) { $0[$1.name] = $1.value }
        var members: [String: AttributeValue] = ["name": .text(name), "attributes": .map(attributes)]
        members["traceId"] = trace.map { .text($0) }
        members["spanId"] = id.map { .text($0) }
        members["parentSpanId"] = parent.map { .text($0) }
        members["startTimeUnixNano"] = .text(String(startNanos))
        members["endTimeUnixNano"] = .text(String(endNanos))
        return AttributeValue.map(members).json
    }
}
