public import Events

extension NativeDoor {
    public func reply(to verdicts: [Verdict], of parcel: Parcel, for request: DoorRequest) -> Reply {
        var writer = JSONWriter()
        writer.object { writer in
            writer.key("results")
            writer.array { writer in
                for (index, (verdict, item)) in zip(verdicts, parcel.items).enumerated() {
                    let receipt = parcel.receipts.isEmpty ? nil : parcel.receipts[index]
                    writer.result(ServerFrame.Result(index: index, id: item.id, verdict: verdict, receipt: receipt))
                }
            }
        }
        return Reply(status: 200, body: writer.bytes)
    }

    public func reply(to refusal: Refusal, at entrance: Entrance, contentType: String?) -> Reply {
        var writer = JSONWriter()
        writer.object { writer in
            writer.key("error")
            writer.object { writer in
                writer.field("code", refusal.reason.rawValue)
                writer.detail(of: refusal)
                writer.field("temporary", refusal.reason.isTemporary)
            }
        }
        return Reply(
            status: refusal.reason.httpStatus, body: writer.bytes,
            retryAfterSeconds: refusal.retryAfterMilliseconds.map { Int(($0 + 999) / 1000) })
    }

    public func encode(_ frame: ServerFrame) -> [UInt8] {
        var writer = JSONWriter()
        writer.object { writer in
            switch frame {
            case .welcome(let session, let time, let limits, let credits, let heartbeat):
                writer.field("type", "welcome")
                writer.field("session", session)
                writer.field("time", time)
                writer.key("limits")
                writer.object { writer in
                    writer.field("eventBytes", limits.eventBytes)
                    writer.field("batchBytes", limits.batchBytes)
                    writer.field("batchEvents", limits.batchEvents)
                }
                writer.field("credits", credits)
                writer.field("heartbeatMs", heartbeat)
                writer.field("identity", Provenance.claimed.rawValue)
            case .ack(let batch, let credits, let results):
                writer.field("type", "ack")
                writer.field("batch", batch)
                writer.field("credits", credits)
                if !results.isEmpty {
                    writer.key("results")
                    writer.array(results) { $0.result($1, alwaysPlaced: true) }
                }
            case .credits(let credits):
                writer.field("type", "credits")
                writer.field("credits", credits)
            case .heartbeat(let time):
                writer.field("type", "heartbeat")
                writer.field("time", time)
            case .auth(let identity, let reason):
                writer.field("type", "auth")
                writer.field("identity", identity.rawValue)
                writer.field(ifPresent: "reason", reason)
            case .error(let code, let name, let refusal):
                writer.field("type", "error")
                writer.field("code", code)
                writer.field("name", name)
                writer.detail(of: refusal, documentation: "/docs/reasons#" + name)
                writer.field("temporary", refusal.reason.isTemporary)
            case .goodbye(let code, let reason, let after):
                writer.field("type", "goodbye")
                writer.field("code", code)
                writer.field("reason", reason)
                writer.field("afterMs", after)
            }
        }
        return writer.bytes
    }
}

extension JSONWriter {
    /// One event's verdict; what went wrong is told in full, what went well in two words.
    fileprivate mutating func result(_ result: ServerFrame.Result, alwaysPlaced: Bool = false) {
        object { writer in
            writer.field(ifPresent: "id", result.id)
            let refusal = result.verdict.refusal
            if alwaysPlaced || refusal != nil || result.id == nil { writer.field("index", result.index) }
            writer.field("verdict", result.verdict.name.rawValue)
            writer.field(ifPresent: "receipt", result.receipt)
            if let refusal {
                writer.field("reason", refusal.reason.rawValue)
                writer.detail(of: refusal)
            }
        }
    }

    fileprivate mutating func detail(of refusal: Refusal, documentation: String? = nil) {
        field("message", refusal.message)
        field(ifPresent: "field", refusal.field)
        if let wait = refusal.retryAfterMilliseconds { field("retryAfterMs", wait) }
        field("doc", documentation ?? refusal.reason.documentation)
    }
}
