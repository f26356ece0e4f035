import Events

/// What is asked at an address: each entrance of the door by its method and path, as Opik's OpenAPI document names them.
///
/// <https://www.comet.com/docs/opik/reference/rest-api/overview>
enum Route: String, CaseIterable {
    // Writes: decoded to events, answered with verdicts.
    case createTraces = "POST /v1/private/traces/batch"
    case createSpans = "POST /v1/private/spans/batch"
    case createTrace = "POST /v1/private/traces"
    case createSpan = "POST /v1/private/spans"
    case updateTrace = "PATCH /v1/private/traces/{id}"
    case updateSpan = "PATCH /v1/private/spans/{id}"
    case scoreTraces = "PUT /v1/private/traces/feedback-scores"
    case scoreSpans = "PUT /v1/private/spans/feedback-scores"

    // Writes that have to look first: their bodies name no project.
    case scoreTrace = "PUT /v1/private/traces/{id}/feedback-scores"
    case scoreSpan = "PUT /v1/private/spans/{id}/feedback-scores"
    case unscoreTrace = "POST /v1/private/traces/{id}/feedback-scores/delete"
    case unscoreSpan = "POST /v1/private/spans/{id}/feedback-scores/delete"
    case updateTraces = "PATCH /v1/private/traces/batch"
    case updateSpans = "PATCH /v1/private/spans/batch"

    // Threads.
    case searchThreads = "POST /v1/private/traces/threads/search"
    case retrieveThread = "POST /v1/private/traces/threads/retrieve"
    case closeThreads = "PUT /v1/private/traces/threads/close"
    case openThreads = "PUT /v1/private/traces/threads/open"
    case scoreThreads = "PUT /v1/private/traces/threads/feedback-scores"
    case unscoreThread = "POST /v1/private/traces/threads/feedback-scores/delete"
    case threadScoreNames = "GET /v1/private/traces/threads/feedback-scores/names"
    case listThreads = "GET /v1/private/traces/threads"
    case threadStats = "GET /v1/private/traces/threads/stats"
    case updateThreads = "PATCH /v1/private/traces/threads/batch"
    case updateThread = "PATCH /v1/private/traces/threads/{id}"
    case commentThread = "POST /v1/private/traces/threads/{id}/comments"
    case threadComment = "GET /v1/private/traces/threads/{id}/comments/{comment}"
    case updateThreadComment = "PATCH /v1/private/traces/threads/comments/{comment}"
    case deleteThreadComments = "POST /v1/private/traces/threads/comments/delete"
    case deleteThreads = "POST /v1/private/traces/threads/delete"

    // Traces and spans.
    case searchTraces = "POST /v1/private/traces/search"
    case searchSpans = "POST /v1/private/spans/search"
    case listTraces = "GET /v1/private/traces"
    case listSpans = "GET /v1/private/spans"
    case trace = "GET /v1/private/traces/{id}"
    case span = "GET /v1/private/spans/{id}"
    case traceStats = "GET /v1/private/traces/stats"
    case traceScoreNames = "GET /v1/private/traces/feedback-scores/names"
    case commentTrace = "POST /v1/private/traces/{id}/comments"
    case traceComment = "GET /v1/private/traces/{id}/comments/{comment}"
    case updateTraceComment = "PATCH /v1/private/traces/comments/{comment}"
    case deleteTraceComments = "POST /v1/private/traces/comments/delete"
    case commentSpan = "POST /v1/private/spans/{id}/comments"
    case spanComment = "GET /v1/private/spans/{id}/comments/{comment}"
    case updateSpanComment = "PATCH /v1/private/spans/comments/{comment}"
    case deleteSpanComments = "POST /v1/private/spans/comments/delete"
    case deleteTraces = "POST /v1/private/traces/delete"
    case deleteTrace = "DELETE /v1/private/traces/{id}"
    case deleteSpan = "DELETE /v1/private/spans/{id}"

    // Annotation queues.
    case createQueue = "POST /v1/private/annotation-queues"
    case listQueues = "GET /v1/private/annotation-queues"
    case queue = "GET /v1/private/annotation-queues/{id}"
    case updateQueue = "PATCH /v1/private/annotation-queues/{id}"
    case deleteQueues = "POST /v1/private/annotation-queues/delete"
    case addToQueue = "POST /v1/private/annotation-queues/{id}/items/add"
    case removeFromQueue = "POST /v1/private/annotation-queues/{id}/items/delete"

    // Projects and the account.
    case listProjects = "GET /v1/private/projects"
    case project = "GET /v1/private/projects/{id}"
    case retrieveProject = "POST /v1/private/projects/retrieve"
    case createProject = "POST /v1/private/projects"
    case deleteProject = "DELETE /v1/private/projects/{id}"
    case auth = "POST /v1/private/auth"
    case workspace = "GET /v1/private/auth/workspace"
    case accountDetails = "GET /rest/v2/account-details"
    case workspaces = "GET /rest/v2/workspaces"

    // Attachments are not kept.
    case startUpload = "POST /v1/private/attachment/upload-start"
    case completeUpload = "POST /v1/private/attachment/upload-complete"
    case listAttachments = "GET /v1/private/attachment/list"

    // Without a key.
    case ping = "GET /is-alive/ping"
    case sessionRedirect = "GET /v1/session/redirect/projects"

    init?(_ entrance: Entrance) { self.init(rawValue: "\(entrance.method.rawValue) \(entrance.path)") }

    /// Whether the body alone says which events it is and where they go; else `answer` is asked.
    var isPlainWrite: Bool {
        switch self {
        case .createTraces, .createSpans, .createTrace, .createSpan, .updateTrace, .updateSpan, .scoreTraces, .scoreSpans: true
        default: false
        }
    }

    var isOpen: Bool { self == .ping || self == .sessionRedirect }

    var entrance: Entrance {
        let words = rawValue.split(separator: " ")
        guard let method = Entrance.Method(rawValue: String(words[0])) else { fatalError("a route begins with its method: \(rawValue)") }
        return Entrance(
            method, path: String(words[1]), underAnyPrefix: true, transport: .opik, keyPlaces: [.bareAuthorization, .bearer, .query],
            isOpen: isOpen, asks: !isPlainWrite, publicBodyLimit: OpikDoor.Limits.publicBody, secretBodyLimit: OpikDoor.Limits.secretBody)
    }
}

extension Transport {
    static let opik = Transport(rawValue: "opik")
}
