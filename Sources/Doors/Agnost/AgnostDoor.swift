public import Events

/// Agnost's SDKs (`agnost` 0.1.13 and `agnost-mcp` 0.2.0 on PyPI, `agnostai` on npm, and Go): one call for a conversation, then
/// one for each turn or tool call in it.
///
/// A session becomes a thread with its user; an event becomes a run that is a whole turn of its thread, or a tool call. The
/// SDKs try nothing twice, so that everything that can be kept is taken.
public struct AgnostDoor: Door {
    static let sessionPath = "/api/v1/capture-session"
    static let eventPath = "/api/v1/capture-event"

    public init() {}

    public let entrances = [sessionPath, eventPath].map { path in
        Entrance(
            path: path, underAnyPrefix: true, transport: Transport(rawValue: "agnost"),
            keyPlaces: [.header("X-Org-Id"), .bearer, .query],
            servesBackends: true,
            // The SDK sends whatever it is given in one body, 6.5 MB seen; what is refused is lost.
            publicBodyLimit: 20 << 20, secretBodyLimit: 20 << 20)
    }

    public func decode(_ request: DoorRequest) throws(Refusal) -> Parcel {
        do {
            return try JSONDocument.read(request.body, tolerant: true) { json in
                guard json.kind == .object else { throw Refusal(.invalidField, "The body must be a JSON object.") }
                // P-LIMIT-3: a body is one event here.
                guard json.tapeWords <= 2 * Event.Bounds.keys || json.keyCount <= Event.Bounds.keys else {
                    return Parcel(items: [.refused(RefusedItem(id: nil, type: nil, refusal: Refusal(.tooManyKeys), payload: nil))])
                }
                let events =
                    request.entrance.path == Self.sessionPath
                    ? [try Session(json).thread]
                    : Turn(json, body: request.body, receivedAt: request.receivedAt).events(lane: request.lane)
                return Parcel(items: events.map(Self.item))
            }
        } catch let refusal as Refusal {
            throw refusal
        } catch let fault as JSONDocument.Fault {
            switch fault {
            case .malformed: throw Refusal(.malformedJSON, "The body is not JSON.")
            case .tooDeep: throw Refusal(.tooDeep)
            case .invalidUTF8: throw Refusal(.invalidUTF8)
            case .outOfMemory: throw Refusal(.overloaded)
            }
        } catch {
            throw Refusal(.internal)
        }
    }

    private static func item(_ event: Event) -> Parcel.Item {
        do {
            return .event(try event.fitted())
        } catch {
            return .refused(RefusedItem(id: event.id, type: event.type, refusal: error, payload: event.json()))
        }
    }
}
