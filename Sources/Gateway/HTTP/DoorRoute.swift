import Events
import HTTPTypes
import Hummingbird
import Ingest
import Keys

/// One entrance of one door over HTTP: key, body, parcel, verdicts, reply.
struct DoorRoute: Sendable {
    let door: any Door
    let entrance: Entrance
    let ingest: Ingest
    let keys: KeyRing
    let addresses: ClientAddress
    let clock: WallClock
    let counters: Counters

    func add(to router: Router<GatewayContext>) {
        let path = RouterPath(entrance.path)
        router.on(path, method: .post) { request, context in await respond(to: request, peer: context.peer) }
        router.on(path, method: .options) { request, _ in preflight(request) }
    }

    private func preflight(_ request: Request) -> Response {
        CORS.preflight(
            origin: Knock.Origin(header: request.headers[.origin]), requestedHeaders: request.headers[.accessControlRequestHeaders],
            isAllowed: keys.allowsSomewhere(origin:))
    }

    private func respond(to request: Request, peer: String) async -> Response {
        let knock = Knock(KnockHeaders(request.head), peer: peer, addresses: addresses, onlyFromQuery: entrance.transport == .beacon)
        var response: Response
        // P-KEY-1: who knocks and in which lane is settled before a byte of the body is read.
        switch open(knock) {
        case .failure(let refusal):
            response = refuse(refusal)
        case .success(let access):
            response = await take(request, from: access)
            addQuota(of: access, to: &response)
        }
        CORS.expose(&response, to: knock.origin)
        return response
    }

    private func open(_ knock: Knock) -> Result<Access, Refusal> {
        keys.open(knock).flatMap { access in
            guard entrance.transport == .beacon, access.lane != .public else { return .success(access) }
            return .failure(Refusal(.secretKeyInBrowser, field: "key", "A beacon takes public keys only; a backend posts to /v1/events."))
        }
    }

    private func take(_ request: Request, from access: Access) async -> Response {
        do throws(Refusal) {
            let body = try await body(of: request, from: access)
            let parcel = try door.decode(body, contentType: request.headers[.contentType], at: entrance, lane: access.lane)
            let verdicts = await ingest.accept(parcel, from: access, over: entrance.transport, receivedAt: clock.now())
            counters.count(verdicts)
            return Response(door.reply(to: verdicts, of: parcel).raised(by: verdicts))
        } catch {
            ingest.book(error, from: access, over: entrance.transport, receivedAt: clock.now())
            return refuse(error)
        }
    }

    private func body(of request: Request, from access: Access) async throws(Refusal) -> [UInt8] {
        guard let encoding = ContentEncoding(header: request.headers[.contentEncoding]) else { throw Refusal(.unsupportedEncoding) }
        let reader = BodyReader(limit: entrance.bodyLimit(for: access.lane), encoding: encoding)
        let body = try await reader.read(request.body, declared: request.headers[.contentLength].flatMap { Int($0) })
        counters.count(bytes: body.count, over: entrance.transport)
        return body
    }

    private func refuse(_ refusal: Refusal) -> Response {
        counters.count(refusal)
        var response = Response(door.reply(to: refusal))
        if response.status == .unauthorized { response.headers[.wwwAuthenticate] = "Bearer" }
        return response
    }

    /// draft-ietf-httpapi-ratelimit-headers, in the three-field form that clients read today.
    private func addQuota(of access: Access, to response: inout Response) {
        guard let quota = keys.quota(of: access) else { return }
        response.headers[.rateLimitLimit] = String(quota.limit)
        response.headers[.rateLimitRemaining] = String(quota.remaining)
        response.headers[.rateLimitReset] = String(quota.resetSeconds)
    }
}

extension Reply {
    /// When every event is to be sent again, the status says so too, for senders that read nothing else.
    func raised(by verdicts: [Verdict]) -> Reply {
        guard status == 200, let first = verdicts.first, case .retry(let refusal) = first else { return self }
        let isAllRetry = verdicts.allSatisfy { if case .retry = $0 { true } else { false } }
        guard isAllRetry else { return self }
        var reply = self
        reply.status = refusal.reason == .rateLimited ? 429 : 503
        let wait = verdicts.compactMap { $0.refusal?.retryAfterSeconds }.max()
        reply.retryAfterSeconds = reply.retryAfterSeconds ?? wait ?? 1
        return reply
    }
}
