import Foundation

/// A client of Parley: it records the messages of a chat where they happen, in an app or on a server.
///
/// ```swift
/// let parley = Parley(key: "pk_…", url: URL(string: "https://chat.example.com")!)
/// let thread = parley.openThread(tags: ["support"])
/// let question = thread.trackMessage(role: .user, content: "Hello")
/// ```
///
/// Make one for a key and keep it as long as the program runs. Every call returns at once, from any thread, and none throws: what is
/// tracked gets an id (UUIDv7) and waits in a bounded queue until the gateway, over HTTP, has said what became of it. Tries that fail are
/// made again under the same ids, with the same bytes, so that the gateway keeps each event once.
public final class Parley: Sendable {
    public static let version = "0.1"

    let courier: Courier
    private let lifecycle: Lifecycle

    /// A client with a public key (`pk_…`, for apps) or a secret one (`sk_…`, for servers), for the gateway at `url`, with any path prefix.
    public convenience init(key: String, url: URL, options: Options = Options()) {
        self.init(
            key: key, url: url, options: options, transport: HTTPTransport(key: key, url: url, origin: options.origin), time: SystemTime(),
            random: { Double.random(in: 0..<1) })
    }

    init(
        key: String, url: URL, options: Options, transport: any Transport, time: any Timekeeper, random: @escaping @Sendable () -> Double,
        center: NotificationCenter = .default
    ) {
        courier = Courier(key: key, url: url, options: options, transport: transport, time: time, random: random)
        lifecycle = Lifecycle(of: courier, in: center)
        #if os(iOS) || os(tvOS) || os(watchOS) || os(visionOS)
        if courier.secret { courier.warn("a secret key in an app can be read by everybody who has the app") }
        #endif
    }

    /// A conversation, new or, with an `id` (1-128 characters), one that goes on. It is announced to the gateway only if there are tags, a
    /// user or metadata; otherwise its first message opens it.
    public func openThread(id: String? = nil, tags: [String] = [], user: User? = nil, metadata: [String: JSON] = [:]) -> Thread {
        let thread = Thread(id: courier.id(from: id), user: user, courier: courier)
        if !tags.isEmpty || user != nil || !metadata.isEmpty {
            courier.track(
                "thread", ["thread": .string(thread.id), "tags": .tags(tags), "user": user?.json ?? .null, "metadata": .members(metadata)])
        }
        return thread
    }

    /// A vote on a message or a run, known here or not. A nil `thumb` takes the vote back.
    public func trackFeedback(_ target: String, thumb: Thumb?, comment: String? = nil) {
        courier.track(
            "feedback",
            [
                "target": .string(target), "thumb": .optional(thumb?.rawValue), "comment": .optional(comment),
                "user": courier.user?.json ?? .null,
                "thread": .optional(courier.thread(of: target)),
            ])
    }

    /// Who is at the keyboard, from now on, in every thread that has no user of its own. `token` is a JWT of your backend's that proves
    /// it; it goes with every request, in the header `Parley-User-Token`.
    public func identify(_ id: String, props: [String: JSON] = [:], token: String? = nil) {
        guard let token else { return courier.identify(User(id: id, props: props), token: nil) }
        courier.identify(User(id: id, props: props), token: { token })
    }

    /// The same with a function that fetches the token: asked before the first delivery, and again when the gateway says that the token has
    /// expired. One that takes longer than ten seconds is not waited for.
    public func identify(_ id: String, props: [String: JSON] = [:], token: @escaping @Sendable () async -> String?) {
        courier.identify(User(id: id, props: props), token: token)
    }

    /// Whether a receipt is the gateway's word that the message or run of this id is stored (P-RCPT-3); nil where the gateway could not
    /// say. Needs a secret key.
    public func verifyReceipt(_ receipt: String, of id: String) async -> Receipt? {
        await withCheckedContinuation { continuation in
            courier.verify(receipt, of: id) { continuation.resume(returning: $0) }
        }
    }

    /// What becomes of every event from now on, those among it that were dropped here. Each reader has a stream of its own, which holds the
    /// newest 1,000 verdicts that were not read.
    public var verdicts: AsyncStream<Verdict> { courier.verdicts() }

    /// True when all that was tracked before the call has its verdict; false when it has not within `timeout`, or when the gateway does not
    /// want this key.
    @discardableResult
    public func flush(timeout: Duration = .seconds(10)) async -> Bool {
        let limit = (Double(timeout.components.seconds) * 1000 + Double(timeout.components.attoseconds) / 1e15).milliseconds
        return await withCheckedContinuation { continuation in
            courier.flush(within: limit) { continuation.resume(returning: $0) }
        }
    }

    /// Ends streamed messages that have not ended (`interrupted`), flushes, and ends the client: what is tracked afterwards is dropped (`closed`). The answer is that of ``flush(timeout:)``. For the
    /// end of a server program; what has no verdict by then stays on disk where there is a storage folder, and is lost where there is
    /// none.
    @discardableResult
    public func close(timeout: Duration = .seconds(10)) async -> Bool {
        courier.endStreams()
        let answer = await flush(timeout: timeout)
        courier.close()
        return answer
    }
}

extension JSON {
    static func optional(_ string: String?) -> JSON { string.map { .string($0) } ?? .null }
    static func members(_ members: [String: JSON]) -> JSON { members.isEmpty ? .null : .object(members) }
    static func tags(_ tags: [String]) -> JSON { tags.isEmpty ? .null : .array(tags.map { .string($0) }) }
    static func time(_ date: Date?) -> JSON { date.map { .integer(($0.timeIntervalSince1970 * 1000).milliseconds) } ?? .null }
}
