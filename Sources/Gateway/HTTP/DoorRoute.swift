import Events
import Ingest
import Keys
import NIOCore
import NIOHTTP1

/// One entrance of one door over HTTP: key, body, parcel, verdicts, reply.
///
/// It is called on event loops: what may take long (large bodies, questions, projects that the body names) goes on in a task, the rest
/// waits for nothing but the commit.
final class DoorRoute: Sendable {
    let door: any Door
    let entrance: Entrance
    let ingest: Ingest
    let keys: KeyRing
    let desk: Gateway.DeskMaker
    let addresses: ClientAddress
    let clock: WallClock
    let counters: Counters
    let holdings: Holdings

    /// Larger bodies are read beside the event loop, which other connections wait for: a hundred messages take it half a millisecond.
    private static let quickBodyBytes = 128 * 1024

    init(
        door: any Door, entrance: Entrance, ingest: Ingest, keys: KeyRing, desk: @escaping Gateway.DeskMaker, addresses: ClientAddress,
        clock: WallClock, counters: Counters, holdings: Holdings
    ) {
        self.door = door
        self.entrance = entrance
        self.ingest = ingest
        self.keys = keys
        self.desk = desk
        self.addresses = addresses
        self.clock = clock
        self.counters = counters
        self.holdings = holdings
    }

    /// A request whose head was read: who knocks is settled, the body may still be to come.
    ///
    /// A class, as `Caller` is: each part of a request passes by here, and a copy of all that is in them counts fifty references.
    final class Visit {
        fileprivate let caller: Caller
        fileprivate let asked: DoorRequest
        /// nil where a body is not looked at.
        let body: BodyReader?

        fileprivate init(_ caller: Caller, _ asked: DoorRequest, _ body: BodyReader?) {
            (self.caller, self.asked, self.body) = (caller, asked, body)
        }
    }

    /// Who a reply goes to.
    fileprivate final class Caller: Sendable {
        let origin: Knock.Origin
        /// nil at an entrance that needs no key, and where none opened it.
        let passage: Passage?
        /// To the project that is chosen, where it is.
        let access: Access?
        let contentType: String?
        /// The proof of a user, where it came in a header.
        let token: String?

        init(_ head: HTTPRequestHead, _ origin: Knock.Origin, _ passage: Passage?) {
            self.origin = origin
            self.passage = passage
            access = passage?.ownAccess
            contentType = head.headers.first(name: "Content-Type")
            token = head.headers.first(name: DoorRoute.tokenHeader)
        }
    }

    /// P-AUTH-2: never in an address.
    private static let tokenHeader = "Parley-User-Token"

    /// What a request comes to.
    struct Answer: Sendable {
        var status: HTTPResponseStatus
        var headers: HTTPHeaders
        var body: [UInt8]

        init(status: HTTPResponseStatus, headers: HTTPHeaders, body: [UInt8]) {
            (self.status, self.headers, self.body) = (status, headers, body)
        }
    }

    enum Entry {
        case visit(Visit)
        case answer(Answer)
    }

    /// The answer to a preflight for a path with these methods.
    func preflight(_ head: HTTPRequestHead, methods: [Entrance.Method]) -> Answer {
        let headers = CORS.preflight(
            origin: Knock.Origin(header: head.headers.first(name: "Origin")),
            requestedHeaders: head.headers.first(name: "Access-Control-Request-Headers"),
            methods: methods.map(\.rawValue), isAllowed: keys.allowsSomewhere(origin:))
        return Answer(status: .noContent, headers: headers, body: [])
    }

    /// P-KEY-1: who knocks and in which lane is settled before a byte of the body is read.
    func enter(_ head: HTTPRequestHead, parameters: [String: String], peer: String) -> Entry {
        let knock = Knock(
            KnockHeaders(head), peer: peer, addresses: addresses, places: entrance.keyPlaces, mayLackOrigin: entrance.servesBackends)
        let passage: Passage?
        switch admit(knock) {
        case .success(let opened): passage = opened
        case .failure(let refusal): return .answer(refused(refusal, Caller(head, knock.origin, nil)))
        }
        let caller = Caller(head, knock.origin, passage)
        do throws(Refusal) {
            let asked = DoorRequest(
                entrance: entrance, lane: passage?.lane ?? .public, project: passage.flatMap { $0.opensSeveral ? nil : $0.project?.name },
                parameters: parameters, query: entrance.asks ? QueryText(QueryText.behindQuestionMark(head.uri)).values : [:],
                contentType: caller.contentType, receivedAt: clock.now())
            let body = entrance.method == .get ? nil : try reader(of: head, in: asked.lane, for: holder(passage, knock))
            return .visit(Visit(caller, asked, body))
        } catch {
            return .answer(refused(error, caller))
        }
    }

    /// The next piece of a body; the answer, when it is one too many.
    func append(_ piece: ByteBuffer, to visit: Visit) -> Answer? {
        do throws(Refusal) { try visit.body?.append(piece) } catch { return refused(error, visit.caller) }
        return nil
    }

    /// Answers a visit whose body is whole, or that has none. `done` is called on the loop, once, and never before this returns.
    func answer(_ visit: Visit, on loop: any EventLoop, _ done: @escaping @Sendable (Answer) -> Void) {
        let caller = visit.caller
        var asked = visit.asked
        // What the body holds is held until the answer is made.
        let holding = visit.body?.holding
        let done: @Sendable (Answer) -> Void = { answer in withExtendedLifetime(holding) { done(answer) } }
        do throws(Refusal) {
            if let body = visit.body {
                asked.body = try body.finish()
                counters.count(bytes: asked.body.count, over: entrance.transport)
            }
            asked.receivedAt = clock.now()
            let isQuick = !entrance.asks && asked.body.count <= Self.quickBodyBytes
            guard isQuick else { return goOn(loop, done) { [asked] in await self.take(asked, from: caller) } }
            let parcel = try read(asked, from: caller)
            guard let access = caller.access, parcel.destinations.allSatisfy({ $0 == .own }), !isNamed(parcel),
                access.lane == .secret || token(of: parcel, caller) == nil
            else {
                return goOn(loop, done) { [asked] in await self.take(parcel, asked, from: caller) }
            }
            ingest.accept(parcel, from: access, over: entrance.transport, receivedAt: asked.receivedAt) { [asked] answer in
                loop.execute { done(self.answer(with: answer, to: parcel, asked, caller)) }
            }
        } catch {
            loop.execute { [refusal = error] in done(self.refused(refusal, caller)) }
        }
    }

    /// The answer to a body that broke off.
    func abandon(_ visit: Visit, _ refusal: Refusal) -> Answer { refused(refusal, visit.caller) }

    private func goOn(
        _ loop: any EventLoop, _ done: @escaping @Sendable (Answer) -> Void, _ answer: @escaping @Sendable () async -> Answer
    ) {
        Task {
            let answer = await answer()
            loop.execute { done(answer) }
        }
    }

    // MARK: the way in

    private func admit(_ knock: Knock) -> Result<Passage?, Refusal> {
        if entrance.isOpen { return .success(nil) }
        return keys.admit(knock).flatMap { passage in
            guard entrance.transport == .beacon, passage.lane != .public else { return .success(passage) }
            return .failure(Refusal(.secretKeyInBrowser, field: "key", "A beacon takes public keys only; a backend posts to /v1/events."))
        }
    }

    private func holder(_ passage: Passage?, _ knock: Knock) -> Holdings.Holder {
        passage.map { Holdings.Holder(address: $0.address, key: $0.key) }
            ?? Holdings.Holder(address: AddressBlock(knock.address), key: nil, isPublic: true)
    }

    private func reader(of head: HTTPRequestHead, in lane: Lane, for holder: Holdings.Holder) throws(Refusal) -> BodyReader {
        let codings = head.headers["Content-Encoding"]
        guard codings.count <= 1, let encoding = ContentEncoding(header: codings.first) else { throw Refusal(.unsupportedEncoding) }
        return try BodyReader(
            limit: min(entrance.bodyLimit(for: lane), holdings.largest(isPublic: holder.isPublic)), encoding: encoding,
            // The parser takes digits alone: what is no number to us is a larger one.
            declared: head.headers.first(name: "Content-Length").map { Int($0) ?? .max }, holding: Holding(holdings, for: holder))
    }

    /// Reads and answers a question or a large body.
    private func take(_ asked: DoorRequest, from caller: Caller) async -> Answer {
        do throws(Refusal) {
            guard entrance.asks else { return await take(try read(asked, from: caller), asked, from: caller) }
            guard let door = door as? any AskingDoor else { throw Refusal(.internal) }
            return framed(try await door.answer(asked, at: desk(caller.passage, entrance.transport)), caller)
        } catch {
            return refused(error, caller)
        }
    }

    private func read(_ asked: DoorRequest, from caller: Caller) throws(Refusal) -> Parcel {
        let parcel = try door.decode(asked)
        if parcel.destinations.isEmpty, let passage = caller.passage, passage.project == nil {
            throw Refusal(.projectRequired, field: "project")
        }
        return parcel
    }

    private func take(_ parcel: Parcel, _ asked: DoorRequest, from caller: Caller) async -> Answer {
        var passage = caller.passage
        if let project = passage?.project, passage?.lane == .public {
            passage?.proof = await keys.prove(token(of: parcel, caller), to: project)
        }
        return answer(with: await deliver(parcel, from: passage, receivedAt: asked.receivedAt), to: parcel, asked, caller)
    }

    private func token(of parcel: Parcel, _ caller: Caller) -> String? { caller.token ?? parcel.token }

    /// Whether its IDs are names that its key made, which has to be noted first.
    private func isNamed(_ parcel: Parcel) -> Bool { door.idScheme != nil && parcel.usesSchemeNames }

    /// Hands a parcel on, to each project its part; the verdicts come back in the parcel's order.
    private func deliver(_ parcel: Parcel, from passage: Passage?, receivedAt: Timestamp) async -> Ingest.Answer {
        guard let passage else {
            return Ingest.Answer(verdicts: [Verdict](repeating: .dropped(Refusal(.missingKey)), count: parcel.items.count))
        }
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
            // Dialects with several destinations have no receipts.
            for (index, verdict) in zip(indexes, await deliver(part, from: passage, to: destination, receivedAt: receivedAt).verdicts) {
                verdicts[index] = verdict
            }
        }
        return Ingest.Answer(verdicts: verdicts)
    }

    private func deliver(
        _ parcel: Parcel, from passage: Passage, to destination: Parcel.Destination, receivedAt: Timestamp
    ) async -> Ingest.Answer {
        switch await keys.access(by: passage, to: destination) {
        case .success(let access):
            return await ingest.answer(to: parcel, through: door.idScheme, from: access, over: entrance.transport, receivedAt: receivedAt)
        case .failure(let refusal):
            let verdict: Verdict = refusal.reason.isTemporary ? .retry(refusal) : .dropped(refusal)
            return Ingest.Answer(verdicts: [Verdict](repeating: verdict, count: parcel.items.count))
        }
    }

    // MARK: the way out

    private func answer(with answer: Ingest.Answer, to parcel: Parcel, _ asked: DoorRequest, _ caller: Caller) -> Answer {
        counters.count(answer.verdicts)
        var parcel = parcel
        parcel.receipts = answer.receipts
        return framed(door.reply(to: answer.verdicts, of: parcel, for: asked).raised(by: answer.verdicts), caller)
    }

    /// A body that never became a parcel is booked where its key writes; a knock that was not let in has nowhere to be booked.
    private func refused(_ refusal: Refusal, _ caller: Caller) -> Answer {
        if !entrance.asks, let access = caller.access {
            ingest.book(refusal, from: access, over: entrance.transport, receivedAt: clock.now())
        }
        counters.count(refusal)
        return framed(door.reply(to: refusal, at: entrance, contentType: caller.contentType), caller)
    }

    private func framed(_ reply: Reply, _ caller: Caller) -> Answer {
        var headers = HTTPHeaders()
        headers.reserveCapacity(20)
        // No body goes with these (RFC 9110, section 15.3.5).
        if reply.status != 204, reply.status != 304 {
            headers.add(name: "Content-Type", value: reply.contentType)
            headers.add(name: "Content-Length", value: String(reply.body.count))
        }
        if let seconds = reply.retryAfterSeconds { headers.add(name: "Retry-After", value: String(seconds)) }
        for (name, value) in reply.headers { headers.replaceOrAdd(name: name, value: value) }
        if reply.status == 401 { headers.add(name: "WWW-Authenticate", value: "Bearer") }
        addQuota(of: caller, to: &headers)
        if reply.isReadableByPages { CORS.expose(&headers, to: caller.origin) }
        return Answer(status: HTTPResponseStatus(statusCode: reply.status), headers: headers, body: reply.body)
    }

    /// draft-ietf-httpapi-ratelimit-headers, in the three-field form that clients read today.
    private func addQuota(of caller: Caller, to headers: inout HTTPHeaders) {
        guard let access = caller.access, access.lane == .public, let quota = keys.quota(of: access) else { return }
        headers.add(name: "RateLimit-Limit", value: String(quota.limit))
        headers.add(name: "RateLimit-Remaining", value: String(quota.remaining))
        headers.add(name: "RateLimit-Reset", value: String(quota.resetSeconds))
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
