import Conversations
import Events
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Synchronization
@testable import Review

/// Asks a review with stub data, straight through its router.
struct ReviewClient {
    let store: StubStore
    let office: StubOffice
    private let responder: RouterResponder<Context>

    static let ticket = Ticket(text: "the-session-secret")
    static let session = "parley_session=" + ticket.text

    init(store: StubStore = .filled(), now: Timestamp = StubStore.now, verdict: Verdict = .stored) {
        self.store = store
        var quiet = Logger(label: "test")
        quiet.logLevel = .critical
        office = StubOffice(verdict: verdict)
        let review = Review(
            store: store, authenticator: StubKeys(), office: office, clock: WallClock { now }, newTicket: { Self.ticket }, logger: quiet)
        let router = Router(context: Context.self)
        review.addRoutes(to: router)
        responder = router.buildResponder()
    }

    /// With a session that is already open.
    static func signedIn(as member: Member = StubStore.admin, now: Timestamp = StubStore.now, verdict: Verdict = .stored) -> ReviewClient {
        let client = ReviewClient(now: now, verdict: verdict)
        client.store.state.withLock { state in
            if !state.members.contains(member) { state.members.append(member) }
            state.sessions[ticket.digest] = (member.id, now.advanced(bySeconds: 60))
        }
        return client
    }

    /// The signed-in person's request, as their page sends it.
    func asPage(_ method: HTTPRequest.Method, _ path: String, body: String = "") async throws -> Answer {
        try await ask(
            method, path, cookie: Self.session,
            headers: [HTTPField.Name("Sec-Fetch-Site")!: "same-origin", .origin: "http://parley.example:8787"], body: body)
    }

    struct Answer {
        var status: Int
        var headers: HTTPFields
        var body: String
        /// Whether the body came to its end.
        var isWhole: Bool
    }

    func ask(_ path: String, key: String? = nil, cookie: String? = nil, headers: HTTPFields = [:]) async throws -> Answer {
        try await ask(.get, path, key: key, cookie: cookie, headers: headers)
    }

    func ask(
        _ method: HTTPRequest.Method, _ path: String, key: String? = nil, cookie: String? = nil, headers: HTTPFields = [:],
        body: String = ""
    ) async throws -> Answer {
        var head = HTTPRequest(method: method, scheme: "http", authority: "parley.example:8787", path: path, headerFields: headers)
        if let key { head.headerFields[.authorization] = "Bearer " + key }
        if let cookie { head.headerFields[.cookie] = cookie }
        let request = Request(head: head, body: RequestBody(buffer: ByteBuffer(string: body)))
        let response = try await responder.respond(to: request, context: Context(source: .init(logger: Logger(label: "test"))))
        let sink = Sink()
        do {
            try await response.body.write(sink)
        } catch is ReadFailure {
            // An export that was cut short.
        }
        return Answer(
            status: response.status.code, headers: response.headers, body: String(decoding: sink.box.bytes, as: UTF8.self),
            isWhole: sink.box.isFinished)
    }

    struct Context: RequestContext {
        struct Source: RequestContextSource { var logger: Logger }
        var coreContext: CoreRequestContextStorage
        init(source: Source) { coreContext = CoreRequestContextStorage(source: source) }
    }

    private struct Sink: ResponseBodyWriter {
        final class Box {
            var bytes: [UInt8] = []
            var isFinished = false
        }
        let box = Box()
        mutating func write(_ buffer: ByteBuffer) { box.bytes.append(contentsOf: buffer.readableBytesView) }
        consuming func finish(_ trailingHeaders: HTTPFields?) { box.isFinished = true }
    }
}

/// `sk_shop` and `sk_bank` read their project, `sk_all` chooses, `pk_shop` reads nothing.
struct StubKeys: ReadAuthenticator {
    func reader(bearer key: String, project: String?) -> Result<(project: Project, key: String), Refusal> {
        switch key {
        case "sk_shop": .success((StubStore.shop, "key_shop"))
        case "sk_bank": .success((StubStore.bank, "key_bank"))
        case "sk_all":
            switch project {
            case "shop", "prj_shop": .success((StubStore.shop, "key_all"))
            case "bank", "prj_bank": .success((StubStore.bank, "key_all"))
            case nil: .failure(Refusal(.projectRequired, field: "project"))
            default: .failure(Refusal(.projectUnknown, field: "project"))
            }
        case "pk_shop": .failure(Refusal(.laneForbidden, field: "key"))
        default: .failure(Refusal(.unknownKey, field: "key"))
        }
    }
}
