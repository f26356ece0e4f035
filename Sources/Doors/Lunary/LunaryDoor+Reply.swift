public import Events

extension LunaryDoor {
    /// `{"results":[{"id","success","error"?}]}`, one for each event that was sent.
    ///
    /// No SDK reads it, and all of them lose a batch that is answered with an error: so what can't be mended by sending it again is
    /// told with status 200. What can is answered 503, hidden from pages: only where `fetch` fails the browser SDK keeps its queue.
    public func reply(to verdicts: [Verdict], of parcel: Parcel, for request: DoorRequest) -> Reply {
        for case .retry(let refusal) in verdicts { return unavailable(refusal) }
        var writer = JSONWriter()
        writer.object { writer in
            writer.key("results")
            writer.array { writer in
                var index = 0
                let items = parcel.items
                while index < min(items.count, verdicts.count) {
                    // What one event said besides itself stands behind it, and fails with it.
                    var next = index + 1
                    while next < min(items.count, verdicts.count), items[next].isCompanion { next += 1 }
                    writer.result(of: items[index], refusal: verdicts[index..<next].lazy.compactMap(\.refusal).first)
                    index = next
                }
            }
        }
        return Reply(status: 200, body: writer.bytes)
    }

    public func reply(to refusal: Refusal, at entrance: Entrance, contentType: String?) -> Reply {
        if refusal.reason.isTemporary { return unavailable(refusal) }
        return Reply(status: refusal.reason.httpStatus, body: Self.body(of: refusal))
    }

    func unavailable(_ refusal: Refusal) -> Reply {
        Reply(
            status: 503, body: Self.body(of: refusal), retryAfterSeconds: refusal.retryAfterMilliseconds.map { Int(($0 + 999) / 1000) },
            isReadableByPages: false)
    }

    /// `{"message","error","field"?}`: Lunary's own errors have the first two.
    private static func body(of refusal: Refusal) -> [UInt8] {
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("message", refusal.message)
            writer.field("error", refusal.reason.rawValue)
            writer.field(ifPresent: "field", refusal.field)
            writer.field("doc", refusal.reason.documentation)
        }
        return writer.bytes
    }
}

extension Parcel.Item {
    /// Whether it was derived from the event in front of it.
    fileprivate var isCompanion: Bool {
        guard case .event(let event) = self else { return false }
        switch event.body {
        // Their IDs are always ours, so that none of a sender's can look like a companion's.
        case .thread, .feedback: return DerivedID.isCompanion(event.id)
        default: return false
        }
    }

    /// The ID under which the sender knows it.
    fileprivate var sentID: String? {
        guard case .event(let event) = self, case .feedback(let feedback) = event.body else { return id }
        return feedback.target
    }
}

extension JSONWriter {
    fileprivate mutating func result(of item: Parcel.Item, refusal: Refusal?) {
        object { writer in
            writer.field(ifPresent: "id", item.sentID)
            writer.field("success", refusal == nil)
            if let refusal { writer.field("error", "\(refusal.reason.rawValue): \(refusal.message)") }
        }
    }
}
