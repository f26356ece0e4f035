public import Events

extension NativeDoor {
    /// Reads one text frame of a client.
    public func decode(frame: [UInt8], lane: Lane) -> ClientFrame {
        do {
            return try JSONDocument.read(frame) { json in
                guard json.kind == .object, let type = json["type"]?.string else {
                    return .malformed(Refusal(.missingField, field: "type", "A frame is a JSON object with a type."))
                }
                switch type {
                case "batch": return batch(json, lane: lane, bytes: frame.count)
                case "heartbeat": return .heartbeat
                case "hello":
                    guard let client = json["client"]?.string else {
                        return .malformed(
                            Refusal(.missingField, field: "client", "hello needs client: the name of the program, like parley.js/0.1."))
                    }
                    if let token = json["token"], !token.isNull, token.string == nil {
                        return .malformed(Refusal(.invalidField, field: "token", "token must be a string or null."))
                    }
                    return .hello(client: client, token: json["token"]?.string, wantsReceipts: json["receipts"]?.bool ?? false)
                case "auth":
                    guard let token = json["token"]?.string else {
                        return .malformed(Refusal(.missingField, field: "token", "auth needs a token."))
                    }
                    return .auth(token: token)
                default: return .unknown(type: String(type.prefix(64)))
                }
            }
        } catch {
            return .malformed((error as? JSONDocument.Fault).map(Self.refusal(of:)) ?? Refusal(.internal))
        }
    }

    private func batch(_ json: JSONValue, lane: Lane, bytes: Int) -> ClientFrame {
        guard let number = json["batch"]?.integer, number > 0 else {
            return .malformed(Refusal(.invalidField, field: "batch", "batch must be a number from 1."))
        }
        guard let events = json["events"], events.kind == .array else {
            return .malformed(Refusal(.missingField, field: "events", "A batch needs events: a list."))
        }
        if let sentAt = json["sentAt"], !sentAt.isNull, Timestamp(sentAt) == nil {
            return .malformed(Refusal(.invalidField, field: "sentAt", "sentAt must be ISO 8601 or epoch milliseconds."))
        }
        let reader = ParcelReader(lane: lane, bodyBytes: bytes)
        return .batch(number: number, Parcel(items: reader.items(events), sentAt: json["sentAt"].flatMap { Timestamp($0) }))
    }
}
