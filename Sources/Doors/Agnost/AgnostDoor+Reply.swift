public import Events

extension AgnostDoor {
    public func reply(to verdicts: [Verdict], of parcel: Parcel, for request: DoorRequest) -> Reply {
        for case .retry(let refusal) in verdicts { return reply(to: refusal) }
        // A refusal only where nothing at all was kept: the SDK logs it. What waits in quarantine was taken.
        let isKept = verdicts.contains { if case .dropped = $0 { false } else { true } }
        if !isKept, let refusal = verdicts.first?.refusal { return reply(to: refusal) }
        var writer = JSONWriter()
        writer.object { writer in
            if request.entrance.path == Self.sessionPath {
                writer.field(ifPresent: "session_id", Self.thread(in: parcel))
            } else {
                writer.field("success", true)
                // The run is the last item; public keys write messages in front of it.
                writer.field(ifPresent: "event_id", parcel.items.last?.id)
            }
            let notes = Set(verdicts.compactMap(\.refusal).map { "\($0.reason.rawValue): \($0.message)" }).sorted()
            if !notes.isEmpty { writer.field("warning", notes.joined(separator: " ")) }
        }
        return Reply(status: 200, body: writer.bytes)
    }

    public func reply(to refusal: Refusal, at entrance: Entrance, contentType: String?) -> Reply { reply(to: refusal) }

    private func reply(to refusal: Refusal) -> Reply {
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("error", refusal.message)
            writer.field("code", refusal.reason.rawValue)
            writer.field(ifPresent: "field", refusal.field)
            writer.field("remedy", refusal.reason.explanation.remedy)
        }
        return Reply(
            status: refusal.reason.httpStatus, body: writer.bytes,
            retryAfterSeconds: refusal.retryAfterMilliseconds.map { Int(($0 + 999) / 1000) })
    }

    private static func thread(in parcel: Parcel) -> String? {
        guard case .event(let event)? = parcel.items.first else { return nil }
        return event.thread
    }
}
