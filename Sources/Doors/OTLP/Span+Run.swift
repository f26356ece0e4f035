import Events

extension Span {
    /// Whether a model, an agent or a tool is what it speaks of.
    var isOfAModel: Bool {
        attributes.keys.contains { key in Names.marks.contains { key.hasPrefix($0) } } || events.contains { $0.name.hasPrefix("gen_ai.") }
    }

    /// The span as a run of ours, the same however often and beside whatever else it is sent.
    ///
    /// It hangs under the message it names itself, else under the span it stands in; so what is nested is found below the
    /// topmost one that names a message. Its trace, and those it links to, may be a message's too.
    /// - Parameter prefix: of the names that say where in a chat it belongs: `PREFIXmessage.id`, `PREFIXthread.id` …
    func run(prefix: String, receivedAt: Timestamp) throws(Refusal) -> Event {
        guard let trace else {
            throw Refusal(.invalidField, field: "traceId", "traceId must be 16 bytes (32 hex digits in JSON), not all zero.")
        }
        guard let id else {
            throw Refusal(.invalidField, field: "spanId", "spanId must be 8 bytes (16 hex digits in JSON), not all zero.")
        }
        var attributes = Attributes(self.attributes)
        for event in events where event.name == Names.detailsEvent { attributes.add(event.attributes) }

        var event = Event(id: "\(trace)-\(id)", body: .identify)
        var part = Event.RunPart()
        var extra: [String: AttributeValue] = [:]
        var omitted = 0

        // Where it belongs.
        let message = messageID(prefix: prefix, in: &attributes)
        let outer = parent.map { "\(trace)-\($0)" }
        part.parent = message ?? outer
        if message != nil { part.within = outer }
        part.trace = trace
        part.linkedTraces = links.compactMap(\.trace).filter { $0 != trace }
        let threadNames = [prefix + "thread.id"] + Names.thread
        event.thread = attributes.take(threadNames, \.name) ?? Attributes(origin.resource).look(threadNames, \.name)
        event.user = attributes.take([prefix + "user.id"] + Names.user) { Self.plausibleID($0) }.map { Event.User(id: $0) }
        extra["replyId"] = attributes.take(prefix + "reply.id", \.name).map { .text($0) }

        // What it is.
        part.name = name
        part.kind = kind(attributes)
        part.provider = attributes.take(Names.provider, \.text)
        part.model = attributes.take(Names.model, \.text)
        part.input = input(&attributes)
        part.output = output(&attributes)
        part.usage = usage(&attributes)
        part.cost = attributes.take(Names.cost, \.number)
        part.tags = Names.tags.flatMap { attributes.take($0, \.texts) ?? [] }

        // How it went.
        part.startedAt = Self.time(startNanos)
        part.endedAt = Self.time(endNanos)
        part.error = error(&attributes)
        part.success = part.error == nil ? (part.endedAt == nil ? nil : true) : false
        event.at = part.endedAt ?? part.startedAt ?? receivedAt

        // The rest.
        for (name, sources) in Names.details { extra[name] = attributes.take(sources) { $0 == .null ? nil : $0 } }
        for (name, prefixes) in Names.groups {
            var members = prefixes.reduce(into: [:]) { $0.merge(attributes.takeAll($1)) { first, _ in first } }
            if name == "params", case .map(let more)? = attributes.take(Names.parameters, { $0.parsed.ifMap }) {
                members.merge(more) { first, _ in first }
            }
            if !members.isEmpty { extra[name] = .map(Self.bounded(members, &omitted)) }
        }
        let said = attributes.takeUnused(Names.firstInput + Names.otherInput + Names.firstOutput + Names.otherOutput)
        if !said.isEmpty { extra["alsoSaid"] = .map(said) }
        if let libraryName = AttributeValue.text(origin.library).text {
            extra["library"] = .map(["name": .text(libraryName), "version": .text(origin.version)])
        }
        if !origin.resource.isEmpty { extra["resource"] = .map(Self.bounded(origin.resource, &omitted)) }
        if (1...5).contains(kind) { extra["spanKind"] = .text(["internal", "server", "client", "producer", "consumer"][Int(kind) - 1]) }
        if !state.isEmpty { extra["traceState"] = .text(state) }
        extra["links"] = keptLinks(&omitted)
        extra["events"] = keptEvents(&omitted)
        event.metadata = Self.object(metadata(&attributes, &omitted))
        if omitted > 0 { extra["omittedAttributes"] = .integer(Int64(omitted)) }
        part.extra = Self.object(extra)

        event.body = .run(part)
        return event
    }

    // MARK: where

    private func messageID(prefix: String, in attributes: inout Attributes) -> String? {
        if let id = attributes.take([prefix + "message.id"] + Names.message, Self.plausibleID) { return id }
        for name in Names.metadataObjects {
            guard case .map(let members)? = attributes.look([name], { $0.parsed.ifMap }) else { continue }
            for key in Names.messageInMetadata { if let id = members[key].flatMap(Self.plausibleID) { return id } }
        }
        return nil
    }

    /// What can be an ID of ours. Other texts under such a name are somebody else's business.
    private static func plausibleID(_ value: AttributeValue) -> String? {
        guard let name = value.name, name.utf8.count <= Event.Bounds.id, !name.utf8.contains(0) else { return nil }
        return name
    }

    // MARK: what

    private func usage(_ attributes: inout Attributes) -> JSONText? {
        var counts: [String: AttributeValue] = [:]
        for (name, sources) in Names.usage {
            if let count = attributes.take(sources, \.count), count >= 0 { counts[name] = .integer(count) }
        }
        return Self.object(counts)
    }

    // MARK: how

    /// The error a span ended with; an exception that was caught on the way is only an event of it.
    private func error(_ attributes: inout Attributes) -> JSONText? {
        let type = attributes.take("error.type", \.text)
        guard statusCode == 2 || type != nil else { return nil }
        let exception = events.last { $0.name == "exception" }?.attributes ?? [:]
        var error: [String: AttributeValue] = [:]
        error["type"] = (exception["exception.type"]?.text ?? type).map { .text($0) }
        let message = statusMessage.isEmpty ? exception["exception.message"]?.text : statusMessage
        error["message"] = .text(message ?? type ?? "The span ended with status ERROR.")
        error["stack"] = exception["exception.stacktrace"]?.text.map { .text($0) }
        return Self.object(error)
    }

    /// nil for none. 64 bits of nanoseconds end in the year 2554, so that there is no bound to keep.
    static func time(_ nanos: UInt64) -> Timestamp? {
        nanos == 0 ? nil : Timestamp(microseconds: Int64(nanos / 1000))
    }

    // MARK: pieces

    private static func object(_ members: [String: AttributeValue]) -> JSONText? {
        members.isEmpty ? nil : AttributeValue.map(members).json
    }
}

extension AttributeValue {
    var ifMap: AttributeValue? {
        if case .map = self { return self }
        return nil
    }
}
