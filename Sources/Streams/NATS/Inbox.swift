import CNATS
import Events
import Synchronization

/// Where answers arrive: one subscription for all questions of a connection, told apart by the last token of the address.
///
/// The library calls it on its own thread, one message after the other. What it holds is bounded by what was asked: each
/// publication waits for one answer, each question for one, and each fetch for as many messages and bytes as it named.
final class Inbox: Sendable {
    /// Called once: with an answer, or with why there is none.
    typealias Answered = @Sendable (Result<Answer, JetStream.Failure>) -> Void

    private struct Waiting {
        var answers: [UInt64: Answered] = [:]
        /// Fetches by the consumer's name, which messages have in their own reply address.
        var fetches: [String: Fetch] = [:]
        /// The same by the last token, for the servers' remarks.
        var fetchTokens: [UInt64: String] = [:]
        var lastToken: UInt64 = 0
        var isClosed = false
    }

    let prefix: String
    private let waiting = Mutex(Waiting())

    init() {
        prefix = "_INBOX.\(randomName())."
    }

    var subject: String { prefix + "*" }

    /// Keeps a place for an answer; nil once closed.
    func expect(_ answered: @escaping Answered) -> UInt64? {
        waiting.withLock { waiting in
            guard !waiting.isClosed else { return nil }
            waiting.lastToken += 1
            waiting.answers[waiting.lastToken] = answered
            return waiting.lastToken
        }
    }

    /// Gives up waiting; nothing happens where the answer was there already.
    func giveUp(_ token: UInt64, as failure: JetStream.Failure) {
        waiting.withLock { $0.answers.removeValue(forKey: token) }?(.failure(failure))
    }

    func expect(_ fetch: Fetch) -> UInt64? {
        waiting.withLock { waiting in
            guard !waiting.isClosed else { return nil }
            waiting.lastToken += 1
            waiting.fetches[fetch.consumer] = fetch
            waiting.fetchTokens[waiting.lastToken] = fetch.consumer
            return waiting.lastToken
        }
    }

    func forget(_ fetch: Fetch, token: UInt64) {
        waiting.withLock { waiting in
            if waiting.fetches[fetch.consumer] === fetch { waiting.fetches[fetch.consumer] = nil }
            waiting.fetchTokens[token] = nil
        }
    }

    /// The connection is lost: nobody answers any more.
    func loseAll() {
        let (answers, fetches) = waiting.withLock { waiting in
            let all = (waiting.answers, waiting.fetches)
            waiting.answers = [:]
            return all
        }
        for answered in answers.values { answered(.failure(.disconnected("the connection was lost"))) }
        for fetch in fetches.values { fetch.end(.failure(.disconnected("the connection was lost"))) }
    }

    func close() {
        let (answers, fetches) = waiting.withLock { waiting in
            let all = (waiting.answers, waiting.fetches)
            waiting = Waiting()
            waiting.isClosed = true
            return all
        }
        for answered in answers.values { answered(.failure(.closed)) }
        for fetch in fetches.values { fetch.end(.failure(.closed)) }
    }

    /// Takes a message off the library's hands; the caller destroys it.
    func received(_ message: OpaquePointer) {
        let subject = String(cString: natsMsg_GetSubject(message))
        guard subject.hasPrefix(prefix) else {
            // A stored message: its subject is the one it was published to.
            guard let reply = natsMsg_GetReply(message), let place = MessagePlace(acknowledgement: String(cString: reply)) else { return }
            let fetch = waiting.withLock { $0.fetches[place.consumer] }
            fetch?.received(StoredMessage(subject: subject, place: place, body: Self.body(of: message)))
            return
        }
        guard let token = UInt64(subject.dropFirst(prefix.count)) else { return }
        let (answered, fetch) = waiting.withLock { waiting in
            (waiting.answers.removeValue(forKey: token), waiting.fetchTokens[token].flatMap { waiting.fetches[$0] })
        }
        if let answered {
            answered(natsMsg_IsNoResponders(message) ? .failure(.noResponders) : .success(Answer(message)))
        } else if let fetch {
            fetch.remark(Answer(message).status, description: Self.header("Description", of: message))
        }
    }

    static func body(of message: OpaquePointer) -> [UInt8] {
        let count = Int(natsMsg_GetDataLength(message))
        guard count > 0, let data = natsMsg_GetData(message) else { return [] }
        return data.withMemoryRebound(to: UInt8.self, capacity: count) { Array(UnsafeBufferPointer(start: $0, count: count)) }
    }

    static func header(_ name: String, of message: OpaquePointer) -> String? {
        var value: UnsafePointer<CChar>?
        guard natsMsgHeader_Get(message, name, &value) == NATS_OK, let value else { return nil }
        return String(cString: value)
    }
}

/// What came back to a question.
struct Answer: Sendable {
    var body: [UInt8]
    /// Of a remark by the server instead of an answer (`404`, `408`, `409`, `503`); nil of an answer.
    var status: Int?
    /// The revision of a value read from a bucket.
    var sequence: UInt64?

    init(_ message: OpaquePointer) {
        body = Inbox.body(of: message)
        status = Inbox.header("Status", of: message).flatMap { Int($0) }
        sequence = Inbox.header("Nats-Sequence", of: message).flatMap { UInt64($0) }
    }
}

/// Where a stored message stands, as its reply address says
/// (`$JS.ACK.[DOMAIN.ACCOUNT.]STREAM.CONSUMER.DELIVERED.STREAM_SEQ.CONSUMER_SEQ.TIMESTAMP.PENDING[.RANDOM]`).
struct MessagePlace: Sendable, Equatable {
    var acknowledgement: String
    var consumer: String
    /// 1 the first time it is handed out.
    var delivered: Int
    var sequence: UInt64
    /// Counts what the consumer handed out, repetitions among it.
    var consumerSequence: UInt64
    /// Nanoseconds since 1970.
    var storedAt: Int64
    /// Messages behind it.
    var pending: Int

    init?(acknowledgement: String) {
        var tokens = acknowledgement.split(separator: ".", omittingEmptySubsequences: false)
        guard tokens.count >= 9, tokens[0] == "$JS", tokens[1] == "ACK" else { return nil }
        tokens.removeFirst(tokens.count >= 11 ? 4 : 2)
        guard let delivered = Int(tokens[2]), let sequence = UInt64(tokens[3]), let consumerSequence = UInt64(tokens[4]),
            let storedAt = Int64(tokens[5]), let pending = Int(tokens[6])
        else { return nil }
        self.acknowledgement = acknowledgement
        consumer = String(tokens[1])
        self.delivered = delivered
        self.sequence = sequence
        self.consumerSequence = consumerSequence
        self.storedAt = storedAt
        self.pending = pending
    }
}

/// A message as the stream keeps it.
struct StoredMessage: Sendable {
    var subject: String
    var place: MessagePlace
    var body: [UInt8]
}

/// One pull: messages gather here until the server says that it was all, or enough are there.
final class Fetch: Sendable {
    enum End: Sendable, Equatable {
        /// As many as there are now, or none in the time allowed.
        case complete
        /// The next message is larger than what was asked for.
        case tooLarge
        /// The consumer is gone or has moved: it must be looked at anew.
        case lost(String)
    }

    private struct State {
        var messages: [StoredMessage] = []
        var end: Result<End, JetStream.Failure>?
        var continuation: CheckedContinuation<Void, Never>?
    }

    let consumer: String
    private let limit: Int
    private let state = Mutex(State())

    init(consumer: String, limit: Int) { (self.consumer, self.limit) = (consumer, limit) }

    func received(_ message: StoredMessage) {
        let isFull = state.withLock { state in
            guard state.end == nil else { return false }
            state.messages.append(message)
            return state.messages.count >= limit
        }
        if isFull { end(.success(.complete)) }
    }

    func remark(_ status: Int?, description: String?) {
        switch status {
        case 100: break  // A heartbeat.
        case 404, 408: end(.success(.complete))
        case 409 where description == "Batch Completed": end(.success(.complete))
        case 409 where description?.contains("Exceeds MaxBytes") == true:
            end(.success(state.withLock { $0.messages.isEmpty } ? .tooLarge : .complete))
        case 503: end(.failure(.noResponders))
        default: end(.success(.lost(description ?? status.map(String.init) ?? "no status")))
        }
    }

    func end(_ end: Result<End, JetStream.Failure>) {
        let continuation = state.withLock { state in
            if state.end == nil { state.end = end }
            let continuation = state.continuation
            state.continuation = nil
            return continuation
        }
        continuation?.resume()
    }

    func wait() async -> (messages: [StoredMessage], end: Result<End, JetStream.Failure>) {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if state.end != nil { return true }
                    state.continuation = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            end(.success(.complete))
        }
        return state.withLock { ($0.messages, $0.end ?? .success(.complete)) }
    }
}

/// 128 random bits as hexadecimal digits.
func randomName() -> String {
    var generator = SystemRandomNumberGenerator()
    return [generator.next(), generator.next()].map { word in
        let digits = String(word, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }.joined()
}
