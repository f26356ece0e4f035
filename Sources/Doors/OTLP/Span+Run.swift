import Events

extension Span {
    /// Whether a model, an agent or a tool is what it speaks of.
    var isOfAModel: Bool {
        attributes.contains { attribute in Names.marks.contains { $0.begins(attribute.name, attribute.mark) } }
            || events.contains { $0.name.hasPrefix("gen_ai.") }
    }

    /// The span as a run of ours, the same however often and beside whatever else it is sent, as long as there is room for what it shares.
    ///
    /// It hangs under the message it names itself, else under the span it stands in; so what is nested is found below the
    /// topmost one that names a message. Its trace, and those it links to, may be a message's too.
    ///
    /// - Returns: the run, and why it can't be kept where an ID is out of bounds.
    func run(_ chat: ChatNames, receivedAt: Timestamp) throws(Refusal) -> (event: Event, refusal: Refusal?) {
        guard let trace else {
            throw Refusal(.invalidField, field: "traceId", "traceId must be 16 bytes (32 hex digits in JSON), not all zero.")
        }
        guard let id else {
            throw Refusal(.invalidField, field: "spanId", "spanId must be 8 bytes (16 hex digits in JSON), not all zero.")
        }
        let details = events.isEmpty ? [] : events.filter { $0.name == Names.detailsEvent }.map(\.attributes)
        var attributes = Attributes(self.attributes, beside: details)

        var event = Event(id: Self.runID(trace, id), body: .identify)
        var part = Event.RunPart()
        var extra = Extra()
        var omitted = 0

        // Where it belongs.
        let message = messageID(chat, in: &attributes)
        let outer = parent.map { Self.runID(trace, $0) }
        part.parent = message ?? outer
        if message != nil { part.within = outer }
        part.trace = trace
        if !links.isEmpty { part.linkedTraces = links.compactMap(\.trace).filter { $0 != trace } }
        event.thread = attributes.take(chat.thread, \.name) ?? origin.thread(chat.thread)
        event.user = attributes.take(chat.user) { Self.plausibleID($0) }.map { Event.User(id: $0) }
        extra[.replyId] = attributes.take(chat.reply, \.name).map { .text($0) }

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
            if name == .params, case .map(let more)? = attributes.take(Names.parameters, { $0.parsed.ifMap }) {
                members.merge(more) { first, _ in first }
            }
            if !members.isEmpty { extra[name] = .map(Self.bounded(members, &omitted)) }
        }
        let said = attributes.takeUnused(Names.said)
        if !said.isEmpty { extra[.alsoSaid] = .map(said) }
        extra[.library] = origin.keptLibrary
        extra[.resource] = origin.keptResource(&omitted)
        if (1...5).contains(kind) { extra[.spanKind] = .text(Self.kindNames[Int(kind) - 1]) }
        if !state.isEmpty { extra[.traceState] = .text(state) }
        extra[.links] = keptLinks(&omitted)
        extra[.events] = keptEvents(&omitted)
        event.metadata = Self.object(metadata(&attributes, &omitted))
        if omitted > 0 { extra[.omittedAttributes] = .integer(Int64(omitted)) }
        part.extra = extra.json

        var refusal: Refusal?
        do {
            try event.checkPlace()
            try part.fit()
        } catch {
            refusal = error
        }
        event.body = .run(part)
        return (event, refusal)
    }

    private static let kindNames = ["internal", "server", "client", "producer", "consumer"]

    // MARK: where

    private func messageID(_ chat: ChatNames, in attributes: inout Attributes) -> String? {
        if let id = attributes.take(chat.message, Self.plausibleID) { return id }
        for name in Names.metadataObjects {
            guard case .map(let members)? = attributes.look(name, { $0.parsed.ifMap }) else { continue }
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
        var writer = JSONWriter()
        var isEmpty = true
        writer.object { writer in
            for (name, sources) in Names.usage {
                guard let count = attributes.take(sources, \.count), count >= 0 else { continue }
                isEmpty = false
                writer.field(name, count)
            }
        }
        return isEmpty ? nil : JSONText(trusted: writer.bytes)
    }

    // MARK: how

    /// The error a span ended with; an exception that was caught on the way is only an event of it.
    private func error(_ attributes: inout Attributes) -> JSONText? {
        let type = attributes.take(Names.errorType, \.text)
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
