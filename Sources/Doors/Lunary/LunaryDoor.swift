public import Events

/// Lunary's dialect: what its Python and JavaScript SDKs send, in batches of events that each name their thread, run or message.
///
/// One event sent becomes one or more of ours: a chat event is a message, with what it says of its thread and with the vote it
/// carries behind it. Written against lunary-py 1.4.41, lunary-js 0.8.6 and the server at github.com/lunary-ai/lunary.
public struct LunaryDoor: AskingDoor {
    /// More events than an SDK has ever queued; a body with more is refused whole.
    static let batchEvents = 20_000

    /// The largest single event. A page that outgrows it would be refused by any of our own doors as well.
    static func eventBytes(_ lane: Lane) -> Int { lane == .public ? 1 << 20 : 20 << 20 }

    public init() {}

    public let entrances = [
        Self.ingest, Self.report, Self.feedback, Self.score, Self.runs, Self.related, Self.template, Self.templates, Self.dataset,
        Self.evaluation,
    ]

    // The SDKs put whatever base address they were given in front. 20 MB is what Lunary's own server takes, from either key.
    private static func entrance(_ method: Entrance.Method, _ path: String, asks: Bool = false, limit: Int = 20 << 20) -> Entrance {
        Entrance(
            method, path: path, underAnyPrefix: true, transport: Transport(rawValue: "lunary"), keyPlaces: [.bearer, .header("X-API-Key")],
            servesBackends: true, asks: asks, publicBodyLimit: limit, secretBodyLimit: limit)
    }

    static let ingest = entrance(.post, "/v1/runs/ingest")
    /// What SDKs before 2024 post to; each event names its project.
    static let report = entrance(.post, "/api/report")
    static let feedback = entrance(.get, "/v1/runs/{id}/feedback", asks: true)
    static let score = entrance(.patch, "/v1/runs/{id}/score", asks: true, limit: 1 << 20)
    static let runs = entrance(.get, "/v1/runs", asks: true)
    static let related = entrance(.get, "/v1/runs/{id}/related", asks: true)
    // Asked for by the SDKs, and not ours to keep.
    static let template = entrance(.get, "/v1/template_versions/latest", asks: true)
    static let templates = entrance(.get, "/v1/templates/latest", asks: true)
    static let dataset = entrance(.get, "/v1/datasets/{slug}", asks: true)
    static let evaluation = entrance(.post, "/v1/evaluations/run", asks: true)

    public var idScheme: IDScheme? { IDScheme(names: HashedNames.of) }

    public func decode(_ request: DoorRequest) throws(Refusal) -> Parcel {
        var reader = BatchReader(request)
        do {
            try JSONDocument.read(request.body, tolerant: true) { try reader.add(batch: $0) }
        } catch let refusal as Refusal {
            throw refusal
        } catch {
            let refusal = Self.refusal(of: error)
            // One broken event costs itself only: the others are read one by one.
            guard let pieces = JSONPieces.split(request.body, under: "events"), !pieces.isEmpty else { throw refusal }
            reader = BatchReader(request)
            try reader.add(pieces: pieces)
        }
        return reader.parcel()
    }

    static func refusal(of error: any Error) -> Refusal {
        switch error as? JSONDocument.Fault {
        case .malformed: Refusal(.malformedJSON)
        case .tooDeep: Refusal(.tooDeep)
        case .invalidUTF8: Refusal(.invalidUTF8)
        case .outOfMemory: Refusal(.overloaded)
        case nil: Refusal(.internal)
        }
    }
}
