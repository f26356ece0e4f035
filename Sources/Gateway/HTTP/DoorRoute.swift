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
    let desk: Gateway.DeskMaker
    let addresses: ClientAddress
    let clock: WallClock
    let counters: Counters

    /// The answer to a preflight for a path with these methods.
    func preflight(_ request: Request, methods: [Entrance.Method]) -> Response {
        CORS.preflight(
            origin: Knock.Origin(header: request.headers[.origin]), requestedHeaders: request.headers[.accessControlRequestHeaders],
            methods: methods.map(\.rawValue), isAllowed: keys.allowsSomewhere(origin:))
    }

    func respond(to request: Request, parameters: [String: String], peer: String) async -> Response {
        let knock = Knock(
            KnockHeaders(request.head), peer: peer, addresses: addresses, places: entrance.keyPlaces, mayLackOrigin: entrance.servesBackends
        )
        let contentType = request.headers[.contentType]
        var reply: Reply
        var quotaOf: Access?
        // P-KEY-1: who knocks and in which lane is settled before a byte of the body is read.
        switch admit(knock) {
        case .failure(let refusal):
            reply = refuse(refusal, contentType)
        case .success(let passage):
            reply = await take(request, parameters: parameters, contentType: contentType, from: passage)
            if let passage, let project = passage.project { quotaOf = await access(of: passage, in: project) }
        }
        var response = Response(reply)
        if response.status == .unauthorized { response.headers[.wwwAuthenticate] = "Bearer" }
        if let quotaOf { addQuota(of: quotaOf, to: &response) }
        if reply.isReadableByPages { CORS.expose(&response, to: knock.origin) }
        return response
    }

    private func access(of passage: Passage, in project: Project) async -> Access? {
        guard passage.lane == .public else { return nil }
        return try? await keys.access(by: passage, to: .own).get()
    }

    /// nil: an entrance that needs no key.
    private func admit(_ knock: Knock) -> Result<Passage?, Refusal> {
        if entrance.isOpen { return .success(nil) }
        return keys.admit(knock).flatMap { passage in
            guard entrance.transport == .beacon, passage.lane != .public else { return .success(passage) }
            return .failure(Refusal(.secretKeyInBrowser, field: "key", "A beacon takes public keys only; a backend posts to /v1/events."))
        }
    }

    private func take(_ request: Request, parameters: [String: String], contentType: String?, from passage: Passage?) async -> Reply {
        do throws(Refusal) {
            var asked = DoorRequest(
                entrance: entrance, lane: passage?.lane ?? .public, project: passage.flatMap { $0.opensSeveral ? nil : $0.project?.name },
                parameters: parameters, query: QueryText(QueryText.behindQuestionMark(request.head.path ?? "")).values,
                contentType: contentType, receivedAt: clock.now())
            if entrance.method != .get { asked.body = try await body(of: request, in: asked.lane) }
            asked.receivedAt = clock.now()
            if entrance.asks {
                guard let door = door as? any AskingDoor else { throw Refusal(.internal) }
                return try await door.answer(asked, at: desk(passage, entrance.transport))
            }
            let parcel = try door.decode(asked)
            if parcel.destinations.isEmpty, let passage, passage.project == nil { throw Refusal(.projectRequired, field: "project") }
            let verdicts = await deliver(parcel, from: passage, receivedAt: asked.receivedAt)
            counters.count(verdicts)
            return door.reply(to: verdicts, of: parcel, for: asked).raised(by: verdicts)
        } catch {
            if !entrance.asks, let passage, case .success(let access) = await keys.access(by: passage, to: .own) {
                ingest.book(error, from: access, over: entrance.transport, receivedAt: clock.now())
            }
            return refuse(error, contentType)
        }
    }

    /// Hands a parcel on, to each project its part; the verdicts come back in the parcel's order.
    private func deliver(_ parcel: Parcel, from passage: Passage?, receivedAt: Timestamp) async -> [Verdict] {
        guard let passage else { return [Verdict](repeating: .dropped(Refusal(.missingKey)), count: parcel.items.count) }
        let destinations = parcel.destinations
        guard !destinations.isEmpty, Set(destinations).count > 1 else {
            return await deliver(parcel, from: passage, to: destinations.first ?? .own, receivedAt: receivedAt)
        }
        var verdicts = [Verdict](repeating: .dropped(Refusal(.internal)), count: parcel.items.count)
        var positions: [Parcel.Destination: [Int]] = [:]
        var order: [Parcel.Destination] = []
        for (index, destination) in destinations.enumerated() {
            if positions[destination] == nil { order.append(destination) }
            positions[destination, default: []].append(index)
        }
        for destination in order {
            let indexes = positions[destination]!
            var part = parcel
            part.destinations = []
            part.items = indexes.map { parcel.items[$0] }
            for (index, verdict) in zip(indexes, await deliver(part, from: passage, to: destination, receivedAt: receivedAt)) {
                verdicts[index] = verdict
            }
        }
        return verdicts
    }

    private func deliver(
        _ parcel: Parcel, from passage: Passage, to destination: Parcel.Destination, receivedAt: Timestamp
    ) async -> [Verdict] {
        switch await keys.access(by: passage, to: destination) {
        case .success(let access):
            return await ingest.accept(parcel, through: door.idScheme, from: access, over: entrance.transport, receivedAt: receivedAt)
        case .failure(let refusal):
            return [Verdict](
                repeating: refusal.reason.isTemporary ? .retry(refusal) : .dropped(refusal), count: parcel.items.count)
        }
    }

    private func body(of request: Request, in lane: Lane) async throws(Refusal) -> [UInt8] {
        guard let encoding = ContentEncoding(header: request.headers[.contentEncoding]) else { throw Refusal(.unsupportedEncoding) }
        let reader = BodyReader(limit: entrance.bodyLimit(for: lane), encoding: encoding)
        let body = try await reader.read(request.body, declared: request.headers[.contentLength].flatMap { Int($0) })
        counters.count(bytes: body.count, over: entrance.transport)
        return body
    }

    private func refuse(_ refusal: Refusal, _ contentType: String?) -> Reply {
        counters.count(refusal)
        return door.reply(to: refusal, at: entrance, contentType: contentType)
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
