import Foundation

/// Everything about one key: its events, its gateway, its listeners.
///
/// An event's way: ``track`` gives it its text on the caller's thread and returns → the ``Outbox`` → ``pump``, in turn on the timekeeper →
/// the transport → its verdict, told to whoever listens. One lock around one state; what is slow or foreign (the disk, the network, the
/// app's own closures) runs outside it.
final class Courier: Sendable {
    /// One turn's calls in one body.
    private static let coalesceMs: Int64 = 10
    /// A store on a phone's flash is not written to for each of many events.
    private static let shelfPauseMs: Int64 = 250
    /// A token that does not come does not hold up the events.
    private static let tokenMs: Int64 = 10_000
    /// Messages whose thread is remembered, so that a vote of somebody unknown counts for that thread's visitor (P-FB-2).
    private static let remembered = 500

    private struct State: Sendable {
        var outbox: Outbox
        var ids = IDSource()
        var user: Parley.User?
        var threads: [String: String] = [:]
        var threadOrder: [String] = []
        /// No more is taken: the client is closed.
        var closed = false
        /// Nothing leaves before, so that what is tracked together goes together.
        var readyAt: Int64 = 0
        /// When pumps are due that were asked for. Bound: each new one is before all others, and goes when it is due.
        var alarms: [Int64] = []
        /// The queue differs from what is on disk.
        var unkept = false
        var keepAfter: Int64 = 0
        /// Not yet told, in order.
        var notices: [Outbox.Notice] = []
        var streams: [Int: AsyncStream<Parley.Verdict>.Continuation] = [:]
        var flushes: [Int: Flush] = [:]
        /// What ends a streamed message, by its number. Bound: those that the app holds and has not ended.
        var unfinished: [Int: @Sendable () -> Void] = [:]
        var serial = 0
        var warned: Set<String> = []
        var source: TokenSource?
        var token: Token = .unknown
    }

    private struct Flush: Sendable {
        let upTo: Int
        let done: @Sendable (Bool) -> Void
    }

    typealias TokenSource = @Sendable () async -> String?

    private enum Token: Sendable { case unknown, asked(Int), known(String?) }

    private let state: Locked<State>
    private let options: Parley.Options
    private let transport: any Transport
    private let time: any Timekeeper
    private let random: @Sendable () -> Double
    private let shelf: Shelf?
    let secret: Bool

    /// `random` is in 0..<1.
    init(
        key: String, url: URL, options: Parley.Options, transport: any Transport, time: any Timekeeper,
        random: @escaping @Sendable () -> Double
    ) {
        secret = key.hasPrefix("sk_")
        self.options = options
        self.transport = transport
        self.time = time
        self.random = random
        var outbox = Outbox(limits: .init(secret: secret, options: options), wantsReceipts: options.receipts)
        var ids = IDSource()
        shelf = options.storage.flatMap { Shelf(folder: $0, key: key, url: url, name: Self.newID(&ids, at: time.wall)) }
        if let shelf {
            let left = shelf.takeOver(at: time.wall)
            outbox.adopt(left.items, expired: left.expired)
            shelf.keep(outbox.items)
            shelf.forget(left)
        }
        state = Locked(State(outbox: outbox, ids: ids))
        if options.storage != nil, shelf == nil { warn("the storage folder cannot be used; events are kept in memory only") }
        if !key.hasPrefix("pk_"), !secret { warn("a key begins with pk_ or sk_; this one will be refused") }
        wake(in: 0)
    }

    deinit {
        transport.close()
        state.withLock { state in
            shelf?.keep(state.outbox.items)
            shelf?.close(keeping: !state.outbox.items.isEmpty)
            state.streams.values.forEach { $0.finish() }
            state.flushes.values.forEach { $0.done(false) }
        }
    }

    // MARK: In

    var wall: Int64 { time.wall }
    var eventBytes: Int { state.withLock { $0.outbox.limits.eventBytes } }

    func newID() -> String { state.withLock { Self.newID(&$0.ids, at: time.wall) } }

    private static func newID(_ ids: inout IDSource, at wall: Int64) -> String {
        var system = SystemRandomNumberGenerator()
        return ids.next(at: wall, random: { system.next() })
    }

    /// The app's own id where it can be one, a new one where it cannot.
    func id(from given: String?) -> String {
        guard let given else { return newID() }
        if (1...128).contains(given.unicodeScalars.count) { return given }
        warn("not an id, which has 1-128 characters: \(given.prefix(40))")
        return newID()
    }

    /// Records an event and gives back its id. Members that are null are left out (P-EVT-4), but for `thumb`.
    @discardableResult
    func track(_ type: String, id given: String? = nil, _ fields: [String: JSON]) -> String {
        let id = id(from: given)
        var event = Parley.Event(id: id, type: type, fields: fields.filter { $0.value != .null || $0.key == "thumb" })
        if event.fields["at"] == nil { event.fields["at"] = .integer(time.wall) }
        if type == "run", !secret {
            warn("a run needs a secret key")
            return drop(event, "lane_forbidden")
        }
        if let beforeSend = options.beforeSend {
            do {
                guard let changed = try beforeSend(event) else { return drop(event, "before_send") }
                event.fields = changed.fields
            } catch {
                warn("beforeSend failed: \(error)")
                return drop(event, "before_send_failed")
            }
        }
        event.fields["id"] = .string(id)
        event.fields["type"] = .string(type)
        var text: [UInt8] = []
        do {
            try JSON.object(event.fields).write(to: &text)
        } catch {
            return drop(event, "unserializable")
        }
        state.withLock { state in
            if state.closed {
                state.notices.append(.init(verdict: .init(id: id, type: type, outcome: .dropped, reason: "closed")))
            } else {
                hold(&state)
                state.notices += state.outbox.admit(id: id, type: type, text: text, at: time.wall)
                state.unkept = true
            }
            if type == "message", case .string(let thread)? = event.fields["thread"] { Self.remember(id, in: thread, &state) }
        }
        wake(in: 0)
        return id
    }

    /// Gives what is tracked next a moment to go along, if nothing waits yet.
    private func hold(_ state: inout State) {
        if !state.outbox.hasWork { state.readyAt = time.now + Self.coalesceMs }
    }

    private func drop(_ event: Parley.Event, _ reason: String) -> String {
        state.withLock { state in
            hold(&state)
            state.notices.append(state.outbox.drop(id: event.id, type: event.type, reason: reason))
        }
        wake(in: 0)
        return event.id
    }

    private static func remember(_ message: String, in thread: String, _ state: inout State) {
        if state.threads.updateValue(thread, forKey: message) == nil { state.threadOrder.append(message) }
        if state.threadOrder.count > Self.remembered { state.threads[state.threadOrder.removeFirst()] = nil }
    }

    func thread(of message: String) -> String? { state.withLock { $0.threads[message] } }

    /// Who is at the keyboard, where a thread does not say.
    var user: Parley.User? { state.withLock { $0.user } }

    func identify(_ user: Parley.User, token: TokenSource?) {
        state.withLock {
            $0.user = Parley.User(id: user.id)
            $0.source = token
            $0.token = .unknown
        }
        track("identify", ["user": user.json])
    }

    // MARK: Out

    /// Has ``pump`` run so much later, unless it runs earlier anyway.
    private func wake(in delay: Int64) {
        let due = time.now + delay
        let asked = state.withLock { state in
            guard state.alarms.allSatisfy({ $0 > due }) else { return false }
            state.alarms.append(due)
            return true
        }
        if asked { time.after(delay) { [weak self] in self?.pump(due) } }
    }

    /// Looks at everything that could be done now, does it, and asks to be called again for what must wait. Runs in turn on the timekeeper.
    private func pump(_ due: Int64 = 0) {
        let (now, wall) = (time.now, time.wall)
        let (notices, body, token, keep): ([Outbox.Notice], [UInt8]?, String?, [Outbox.Item]?) = state.withLock { state in
            state.alarms.removeAll { $0 <= max(now, due) }
            let notices = state.notices
            state.notices = []
            var keep: [Outbox.Item]?
            if shelf != nil, state.unkept, now >= state.keepAfter {
                state.unkept = false
                state.keepAfter = now + Self.shelfPauseMs
                keep = state.outbox.items
            }
            guard !state.closed, now >= state.readyAt, case .known(let token) = tokenToUse(&state, at: now) else {
                return (notices, nil, nil, keep)
            }
            let body = state.outbox.take(at: now, wall: wall, newID: { Self.newID(&state.ids, at: wall) })
            return (notices, body, token, keep)
        }
        if let keep { shelf?.keep(keep) }
        tell(notices)
        if let body {
            transport.send(body, token: token) { [weak self] reply in
                guard let self else { return }
                time.after(0) { [weak self] in self?.concluded(reply) }
            }
        }
        let next: Int64? = state.withLock { state in
            var times: [Int64] = []
            if case .asked = state.token {
            } else if state.outbox.hasWork, !state.closed {
                times.append(max(state.outbox.resumeAt, state.readyAt))
            }
            if shelf != nil, state.unkept { times.append(state.keepAfter) }
            if !state.notices.isEmpty { times.append(now) }
            return times.min()
        }
        if let next { wake(in: max(0, next - now)) }
    }

    private func concluded(_ reply: Reply) {
        state.withLock { state in
            if reply.wantsToken { state.token = .unknown }
            state.notices += state.outbox.conclude(reply, at: time.now, wall: time.wall, random: random())
            state.unkept = true
        }
        pump()
    }

    private func tell(_ notices: [Outbox.Notice]) {
        let (streams, stopped, settled) = state.withLock { state in
            let stopped = state.outbox.stopped
            let settled = state.flushes.filter { stopped != nil || state.outbox.isSettled(upTo: $0.value.upTo) }
            settled.keys.forEach { state.flushes[$0] = nil }
            return (Array(state.streams.values), stopped, settled.values)
        }
        for notice in notices {
            let verdict = notice.verdict
            if let reason = verdict.reason, verdict.outcome != .retry {
                warn("\(verdict.type) \(verdict.outcome): \(reason). \(notice.message)")
            }
            streams.forEach { $0.yield(verdict) }
            options.onVerdict?(verdict)
        }
        settled.forEach { $0.done(stopped == nil) }
    }

    /// Says each text once. Bound: 50 texts.
    func warn(_ text: String) {
        let fresh = state.withLock { $0.warned.count < 50 && $0.warned.insert(text).inserted }
        guard fresh else { return }
        if let log = options.log { log(text) } else { try? FileHandle.standardError.write(contentsOf: Data("[parley] \(text)\n".utf8)) }
    }

    // MARK: The user's token

    /// Asks the app for one where that has to be done first. Called with the lock held.
    private func tokenToUse(_ state: inout State, at now: Int64) -> Token {
        guard let source = state.source else { return .known(nil) }
        guard case .unknown = state.token, state.outbox.hasWork, now >= state.outbox.resumeAt else { return state.token }
        state.serial += 1
        let question = state.serial
        state.token = .asked(question)
        // A task of its own: the app's function may take as long as it likes, and is not waited for past the limit.
        Task { [weak self] in
            let token = await source()
            self?.answered(question, token)
        }
        time.after(Self.tokenMs) { [weak self] in self?.answered(question, nil) }
        return state.token
    }

    private func answered(_ question: Int, _ token: String?) {
        state.withLock { state in
            if case .asked(question) = state.token { state.token = .known(token) }
        }
        wake(in: 0)
    }

    // MARK: Waiting for verdicts

    /// Bound: the newest 1,000 that were not read yet; who does not read loses the oldest.
    func verdicts() -> AsyncStream<Parley.Verdict> {
        let (stream, continuation) = AsyncStream.makeStream(of: Parley.Verdict.self, bufferingPolicy: .bufferingNewest(1000))
        let number = state.withLock { state in
            state.serial += 1
            state.streams[state.serial] = continuation
            return state.serial
        }
        continuation.onTermination = { [weak self] _ in
            self?.state.withLock { state in _ = state.streams.removeValue(forKey: number) }
        }
        return stream
    }

    /// Calls `done` once: with true when all that was tracked before has its verdict, with false after `limit` milliseconds or if the
    /// gateway does not want us.
    func flush(within limit: Int64, done: @escaping @Sendable (Bool) -> Void) {
        let number = state.withLock { state in
            state.serial += 1
            state.flushes[state.serial] = Flush(upTo: state.outbox.lastNumber, done: done)
            return state.serial
        }
        time.after(limit) { [weak self] in
            self?.state.withLock { $0.flushes.removeValue(forKey: number) }?.done(false)
        }
        wake(in: 0)
    }

    // MARK: Receipts

    /// Calls `done` once: with nil where the gateway could not say.
    func verify(_ receipt: String, of id: String, done: @escaping @Sendable (Parley.Receipt?) -> Void) {
        guard secret, !state.withLock({ $0.closed }) else {
            warn("a receipt is checked with a secret key, by a client that is not closed")
            return done(nil)
        }
        var body: [UInt8] = []
        // Cannot fail: two texts.
        guard (try? JSON.object(["id": .string(id), "receipt": .string(receipt)]).write(to: &body)) != nil else { return done(nil) }
        transport.check(body) { [weak self] reply in
            let answer = reply.receipt
            if answer == nil { self?.warn("a receipt was not checked: \(reply.status == 0 ? "no answer" : "HTTP \(reply.status)")") }
            done(answer)
        }
    }

    // MARK: Streamed messages

    /// Has `end` called if the client is closed before ``finished(_:)``.
    func began(end: @escaping @Sendable () -> Void) -> Int {
        state.withLock { state in
            state.serial += 1
            state.unfinished[state.serial] = end
            return state.serial
        }
    }

    func finished(_ stream: Int) { state.withLock { $0.unfinished[stream] = nil } }

    func endStreams() {
        let ends = state.withLock { $0.unfinished.sorted { $0.key < $1.key }.map(\.value) }
        ends.forEach { $0() }
    }

    // MARK: Coming and going

    /// The app is looked at again.
    func back() {
        state.withLock { state in
            state.outbox.tryNow()
            state.readyAt = 0
        }
        wake(in: 0)
    }

    /// The app may be ended at any time from now on: what waits is put on disk before this returns, and goes out at once.
    func leave() {
        let items = state.withLock { state in
            state.outbox.tryNow()
            state.readyAt = 0
            return state.outbox.items
        }
        shelf?.keep(items)
        wake(in: 0)
    }

    /// No event is taken from now on.
    func close() {
        let streams = state.withLock { state in
            state.closed = true
            defer { state.streams = [:] }
            return state.streams.values
        }
        transport.close()
        leave()
        streams.forEach { $0.finish() }
    }
}
