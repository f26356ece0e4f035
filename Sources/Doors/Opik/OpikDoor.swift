public import Events

/// Opik's REST API, as its SDKs speak it: what the unmodified `opik` package writes becomes runs and scores, and what it reads is
/// answered from the desk.
///
/// A trace is a run, and with a `thread_id` a whole turn of its thread; spans are the runs below it. A trace's records, in
/// whatever order and number they come, add up field by field: the version of a record is its own `last_updated_at`, that of
/// a PATCH the moment it was received. Any ID within our bounds is taken, not just UUIDv7 as Opik's own backend demands: a
/// trace may so carry the ID of the browser's message. Traces and threads can't be deleted here (501), attachments are
/// not kept (404).
///
/// Opik 2.2.122; routes and shapes: <https://www.comet.com/docs/opik/reference/rest-api/overview>.
public struct OpikDoor: AskingDoor {
    enum Limits {
        /// The SDK sends batches of up to 50 MB of JSON, before it is compressed.
        static let secretBody = 64 << 20
        /// A public key may write nothing here; enough to say so.
        static let publicBody = 1 << 20
        /// Records in a batch; the SDK flushes at 1000 too.
        static let batch = 1000
        /// Lines in an answer of a search, as Opik bounds them.
        static let searchPage = 2000
        /// What a sorted list looks through at most, more is reached by filters; and a trace's spans.
        static let list = 10_000
        /// Runs read from the desk in one go.
        static let scan = 500
    }

    public init() {}

    public let entrances = Route.allCases.map(\.entrance)

    public func decode(_ request: DoorRequest) throws(Refusal) -> Parcel {
        guard let route = Route(request.entrance), route.isPlainWrite else { throw Refusal(.notFound) }
        return try reading(request.body) { json throws(Refusal) in
            let reader = ParcelReader(receivedAt: request.receivedAt)
            switch route {
            case .createTraces: return try reader.records(json, named: "traces", as: .trace)
            case .createSpans: return try reader.records(json, named: "spans", as: .span)
            case .createTrace: return try reader.record(json, as: .trace)
            case .createSpan: return try reader.record(json, as: .span)
            case .updateTrace: return try reader.patch(json, of: request.parameters["id"] ?? "", as: .trace)
            case .updateSpan: return try reader.patch(json, of: request.parameters["id"] ?? "", as: .span)
            default: return try reader.scores(json)
            }
        }
    }
}

/// Reads a body; what can't be read is refused as a whole.
func reading<Result>(_ body: [UInt8], _ read: (JSONValue) throws(Refusal) -> Result) throws(Refusal) -> Result {
    do {
        return try JSONDocument.read(body, tolerant: true) { json throws(Refusal) in
            guard json.kind == .object else { throw Refusal(.badRequest, "The body must be a JSON object.") }
            return try read(json)
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
