import CNATS
import Dispatch
import Events
public import Logging
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The stream between gateways and stores where one machine is not enough: events wait in NATS JetStream, a replicated log.
///
///     gateway ─► StreamSink ─► parley.events.v1.<shard>.<project> ─► Drain ─► store
///
/// A gateway's sink publishes each delivery once (`StreamSink`), any number of drains hand them to the store (`Drain`), and
/// everybody else may read along (README.md beside this file: subjects and payloads).
///
/// This type is a connection: it connects in the background, tries for ever, and carries questions and answers. NATS's own C
/// library speaks the protocol, TLS and authentication. Its JetStream calls keep a thread waiting for each answer; ours do not:
/// JetStream's API is JSON over subjects (nats-io/nats-architecture-and-design, ADR-1 and ADR-13), asked here through one inbox.
public final class JetStream: Sendable {
    public let configuration: Configuration
    let logger: Logger
    private let inbox = Inbox()
    private let line: Mutex<Line>
    /// The library writes on the caller's thread and may wait for a socket that takes nothing; never one of Swift's own threads.
    private let writing = DispatchQueue(label: "parley.nats.write")
    private let timing = DispatchQueue(label: "parley.nats.time")

    private struct Line {
        var connection: Handle?
        var subscription: Handle?
        var options: Handle?
        var isClosed = false
        var wasConnected = false
        var reconnections = 0
        var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
        var lastWaiter: UInt64 = 0
    }

    /// Something of the library's. Unchecked: the library locks within its own calls, and only `release` frees what it leads to, once.
    private struct Handle: @unchecked Sendable { let pointer: OpaquePointer }

    /// Looks for a server once, for as long as `connectWithin` for each, and goes on looking in the background.
    ///
    /// - Throws: `Failure.disconnected` where a setting is wrong: an address, or a file that can't be read. Servers that are away are
    ///   no failure: they are tried until they come.
    public init(_ configuration: Configuration, logger: Logger) throws(Failure) {
        self.configuration = configuration
        self.logger = logger
        line = Mutex(Line())
        let status = open()
        guard status == NATS_OK || status == NATS_NOT_YET_CONNECTED else {
            let why = Self.lastError(status)
            release()
            throw .disconnected(why)
        }
    }

    /// Ends everything that waits, then the connection.
    public func close() async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            writing.async {
                self.release()
                continuation.resume()
            }
        }
    }

    public var state: State {
        line.withLock { line in
            guard !line.isClosed, let connection = line.connection else { return .closed }
            switch natsConnection_Status(connection.pointer) {
            case NATS_CONN_STATUS_CONNECTED: return .connected
            case NATS_CONN_STATUS_CLOSED: return .closed
            default: return line.wasConnected ? .reconnecting : .connecting
            }
        }
    }

    /// How often another connection had to be found.
    public var reconnections: Int { line.withLock { $0.reconnections } }

    /// The largest message the servers take, in bytes; nil before the first connection.
    public var maximumPayload: Int? {
        line.withLock { line in
            guard let connection = line.connection, line.wasConnected else { return nil }
            let size = Int(natsConnection_GetMaxPayload(connection.pointer))
            return size > 0 ? size : nil
        }
    }

    /// Waits until there is a connection; false where there is none by then.
    public func connected(within time: Duration) async -> Bool {
        if state == .connected { return true }
        let token: UInt64 = line.withLock { line in
            line.lastWaiter += 1
            return line.lastWaiter
        }
        timing.asyncAfter(deadline: .now() + time.seconds) { self.wake(token) }
        await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                // Registered first and looked at then: a connection that came in between has woken nobody.
                line.withLock { $0.waiters[token] = continuation }
                if state == .connected || state == .closed || Task.isCancelled { wake(token) }
            }
        } onCancel: {
            wake(token)
        }
        return state == .connected
    }

    private func wake(_ token: UInt64) { line.withLock { $0.waiters.removeValue(forKey: token) }?.resume() }

    // MARK: questions

    /// Asks a question of the JetStream API and reads its JSON.
    func ask<Result: Sendable>(
        _ subject: String, _ body: [UInt8] = [], within time: Duration? = nil, _ read: (JSONValue) throws -> Result
    ) async throws(Failure) -> Result {
        let answer = try await request("$JS.API." + subject, body, within: time)
        do {
            return try JSONDocument.read(answer.body, isOurs: true) { json throws in
                if let error = json["error"] {
                    throw Failure.refused(
                        code: error["err_code"]?.integer.map { Int($0) } ?? 0, error["description"]?.string ?? "no reason given")
                }
                return try read(json)
            }
        } catch let failure as Failure {
            throw failure
        } catch {
            throw .unreadable("\(subject): \(String(decoding: answer.body.prefix(200), as: UTF8.self))")
        }
    }

    /// Sends a message and waits for what comes back to it.
    func request(
        _ subject: String, _ body: [UInt8] = [], headers: [(String, String)] = [], within time: Duration? = nil
    ) async throws(Failure) -> Answer {
        let result: Swift.Result<Answer, Failure> = await withCheckedContinuation { continuation in
            publish([Outgoing(subject: subject, headers: headers, body: body)], within: time ?? configuration.answerWithin) { _, result in
                continuation.resume(returning: result)
            }
        }
        return try result.get()
    }

    /// A message on its way out.
    struct Outgoing: Sendable {
        var subject: String
        var headers: [(String, String)]
        var body: [UInt8]
    }

    /// Sends messages in this order; `answered` is called once for each, with its place, from a thread of the library or of a timer.
    func publish(
        _ messages: [Outgoing], within time: Duration, answered: @escaping @Sendable (Int, Swift.Result<Answer, Failure>) -> Void
    ) {
        writing.async {
            // While it looks for a server the library would keep messages for later: whoever waits for the answer repeats them himself.
            let state = self.state
            let away: Failure? = state == .connected ? nil : state == .closed ? .closed : .disconnected("\(state)")
            let tokens = messages.indices.map { place -> UInt64? in
                if let away {
                    answered(place, .failure(away))
                    return nil
                }
                let token = self.inbox.expect { answered(place, $0) }
                if token == nil { answered(place, .failure(.closed)) }
                return token
            }
            guard tokens.contains(where: { $0 != nil }) else { return }
            // Before anything is written, which may take long.
            self.timing.asyncAfter(deadline: .now() + time.seconds) {
                for case let token? in tokens { self.inbox.giveUp(token, as: .timedOut) }
            }
            for case (let message, let token?) in zip(messages, tokens) {
                let status = self.send(message, reply: self.inbox.prefix + String(token))
                if status != NATS_OK { self.inbox.giveUp(token, as: .disconnected(Self.lastError(status))) }
            }
        }
    }

    /// Sends a pull and waits for its messages.
    func fetch(_ request: [UInt8], consumer: String, of stream: String, limit: Int, within time: Duration) async -> (
        messages: [StoredMessage], end: Swift.Result<Fetch.End, Failure>
    ) {
        let fetch = Fetch(consumer: consumer, limit: limit)
        guard let token = inbox.expect(fetch) else { return ([], .failure(.closed)) }
        defer { inbox.forget(fetch, token: token) }
        let question = Outgoing(subject: "$JS.API.CONSUMER.MSG.NEXT.\(stream).\(consumer)", headers: [], body: request)
        writing.async {
            guard self.state == .connected else { return fetch.end(.failure(.disconnected("\(self.state)"))) }
            let status = self.send(question, reply: self.inbox.prefix + String(token))
            if status != NATS_OK { fetch.end(.failure(.disconnected(Self.lastError(status)))) }
        }
        timing.asyncAfter(deadline: .now() + time.seconds) { fetch.end(.failure(.timedOut)) }
        return await fetch.wait()
    }

    private func send(_ message: Outgoing, reply: String) -> natsStatus {
        var sent: OpaquePointer?
        var status = message.body.withUnsafeBytes { body in
            natsMsg_Create(&sent, message.subject, reply, body.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(body.count))
        }
        guard status == NATS_OK, let sent else { return status }
        defer { natsMsg_Destroy(sent) }
        for (name, value) in message.headers where status == NATS_OK { status = natsMsgHeader_Set(sent, name, value) }
        guard status == NATS_OK else { return status }
        // Only this queue closes the connection, so it stays there while it writes.
        guard let connection = line.withLock({ $0.connection }) else { return NATS_CONNECTION_CLOSED }
        return natsConnection_PublishMsg(connection.pointer, sent)
    }

    // MARK: the library

    private func open() -> natsStatus {
        var options: OpaquePointer?
        var status = natsOptions_Create(&options)
        guard status == NATS_OK, let options else { return status }
        line.withLock { [options = Handle(pointer: options)] in $0.options = options }
        func set(_ next: @autoclosure () -> natsStatus) { if status == NATS_OK { status = next() } }
        var servers = configuration.servers.map { UnsafePointer(strdup($0)) }
        defer { for server in servers { free(UnsafeMutableRawPointer(mutating: server)) } }
        set(natsOptions_SetServers(options, &servers, Int32(servers.count)))
        set(natsOptions_SetName(options, configuration.name))
        switch configuration.login {
        case .none: break
        case .password(let user, let password): set(natsOptions_SetUserInfo(options, user, password.text))
        case .token(let token): set(natsOptions_SetToken(options, token.text))
        case .credentials(let file): set(natsOptions_SetUserCredentialsFromFiles(options, file, nil))
        }
        if let tls = configuration.tls {
            set(natsOptions_SetSecure(options, true))
            if let authorities = tls.authorities { set(natsOptions_LoadCATrustedCertificates(options, authorities)) }
            if let certificate = tls.certificate, let key = tls.key {
                set(natsOptions_LoadCertificatesChain(options, certificate, key))
            }
        }
        set(natsOptions_SetTimeout(options, configuration.connectWithin.wholeMilliseconds))
        set(natsOptions_SetPingInterval(options, configuration.pingEvery.wholeMilliseconds))
        set(natsOptions_SetMaxPingsOut(options, 2))
        set(natsOptions_SetMaxReconnect(options, -1))
        // What is written while a server is looked for fails at once: the smallest buffer there is.
        set(natsOptions_SetReconnectBufSize(options, 1))
        set(natsOptions_SetWriteDeadline(options, configuration.writeWithin.wholeMilliseconds))
        // Kept alive until the library has told that the connection is closed, the last that it tells.
        let kept = Unmanaged.passRetained(self)
        let me = kept.toOpaque()
        set(natsOptions_SetClosedCB(options, { _, me in Unmanaged<JetStream>.fromOpaque(me!).release() }, me))
        set(
            natsOptions_SetCustomReconnectDelay(
                options,
                { _, attempts, me in
                    let configuration = Unmanaged<JetStream>.fromOpaque(me!).takeUnretainedValue().configuration
                    let doubled = configuration.reconnectAfter.wholeMilliseconds << Int64(min(max(attempts - 1, 0), 16))
                    let longest = min(doubled, configuration.reconnectAtMostAfter.wholeMilliseconds)
                    // Spread, so that all nodes do not come back at once.
                    return Int64.random(in: (longest + 1) / 2...max(longest, 1))
                }, me))
        set(
            natsOptions_SetDisconnectedCB(
                options, { _, me in Unmanaged<JetStream>.fromOpaque(me!).takeUnretainedValue().disconnected() }, me))
        set(
            natsOptions_SetReconnectedCB(
                options, { _, me in Unmanaged<JetStream>.fromOpaque(me!).takeUnretainedValue().hasConnected() }, me))
        set(
            natsOptions_SetRetryOnFailedConnect(
                options, true, { _, me in Unmanaged<JetStream>.fromOpaque(me!).takeUnretainedValue().hasConnected() }, me))
        // Without a handler the library prints to standard error.
        set(
            natsOptions_SetErrorHandler(
                options,
                { _, _, status, me in
                    let stream = Unmanaged<JetStream>.fromOpaque(me!).takeUnretainedValue()
                    stream.logger.warning("NATS reports an error", metadata: ["error": "\(String(cString: natsStatus_GetText(status)))"])
                }, me))
        guard status == NATS_OK else {
            kept.release()
            return status
        }
        var connection: OpaquePointer?
        status = natsConnection_Connect(&connection, options)
        guard let connection, status == NATS_OK || status == NATS_NOT_YET_CONNECTED else {
            kept.release()
            return status
        }
        line.withLock { [handle = Handle(pointer: connection), connected = status == NATS_OK] line in
            line.connection = handle
            if connected { line.wasConnected = true }
        }
        var subscription: OpaquePointer?
        let box = Unmanaged.passRetained(inbox)
        let subscribed = natsConnection_Subscribe(
            &subscription, connection, inbox.subject,
            { _, _, message, inbox in
                guard let message else { return }
                Unmanaged<Inbox>.fromOpaque(inbox!).takeUnretainedValue().received(message)
                natsMsg_Destroy(message)
            }, box.toOpaque())
        guard subscribed == NATS_OK, let subscription else {
            box.release()
            return subscribed
        }
        line.withLock { [handle = Handle(pointer: subscription)] in $0.subscription = handle }
        _ = natsSubscription_SetOnCompleteCB(subscription, { Unmanaged<Inbox>.fromOpaque($0!).release() }, box.toOpaque())
        // What may arrive was asked for, and is bounded there.
        _ = natsSubscription_SetPendingLimits(subscription, -1, -1)
        return status
    }

    private func hasConnected() {
        let (waiters, again) = line.withLock { line in
            let again = line.wasConnected
            if again { line.reconnections += 1 }
            line.wasConnected = true
            let waiters = line.waiters
            line.waiters = [:]
            return (waiters, again)
        }
        for waiter in waiters.values { waiter.resume() }
        logger.info(again ? "connected to NATS again" : "connected to NATS")
    }

    private func disconnected() {
        guard !line.withLock({ $0.isClosed }) else { return }
        logger.warning("the connection to NATS is lost; looking for a server")
        // Their answers would go to the lost connection. Whoever asks repeats it, sooner than after a time-out.
        inbox.loseAll()
    }

    private func release() {
        let line = self.line.withLock { line in
            let taken = (line.connection, line.subscription, line.options, line.waiters)
            (line.connection, line.subscription, line.options, line.waiters) = (nil, nil, nil, [:])
            line.isClosed = true
            return taken
        }
        for waiter in line.3.values { waiter.resume() }
        inbox.close()
        if let connection = line.0 { natsConnection_Close(connection.pointer) }
        if let subscription = line.1 { natsSubscription_Destroy(subscription.pointer) }
        if let connection = line.0 { natsConnection_Destroy(connection.pointer) }
        if let options = line.2 { natsOptions_Destroy(options.pointer) }
    }

    private static func lastError(_ status: natsStatus) -> String {
        let general = String(cString: natsStatus_GetText(status))
        var last = NATS_OK
        guard let text = nats_GetLastError(&last), last == status else { return general }
        let special = String(cString: text)
        return special.isEmpty || special == general ? general : "\(general): \(special)"
    }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
    var wholeMilliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
    var wholeNanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }
}
