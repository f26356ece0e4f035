import Foundation

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// `POST /v1/events`, and `/v1/receipts`, over one connection that is kept open.
///
/// `@unchecked` holds because what changes is behind a lock; the session is set once, before anybody else has the object.
final class HTTPTransport: NSObject, Transport, URLSessionDataDelegate, @unchecked Sendable {
    /// A request that is silent for so long is taken for lost, in seconds.
    private static let patience = 30.0
    /// Far more than the results of a body; past it the far end is not a gateway.
    private static let replyBytes = 4 << 20

    private struct Call: Sendable {
        var reply = Reply()
        let then: @Sendable (Reply) -> Void
    }

    private struct State: Sendable {
        var closed = false
        /// By the task's number. Bound: one, as the outbox sends one body at a time, and the receipts that the app waits for.
        var calls: [Int: Call] = [:]
    }

    private let request: URLRequest
    private let state = Locked(State())
    private var session: URLSession!

    init(key: String, url: URL, origin: String?) {
        var request = URLRequest(url: url.appendingPathComponent("v1").appendingPathComponent("events"))
        request.httpMethod = "POST"
        request.setValue("Bearer " + key, forHTTPHeaderField: "Authorization")
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        request.setValue("parley-swift/" + Parley.version, forHTTPHeaderField: "User-Agent")
        // P-KEY-4: a secret key with an origin would be taken for one in a page.
        if let origin, !key.hasPrefix("sk_") { request.setValue(origin, forHTTPHeaderField: "Origin") }
        self.request = request
        super.init()
        let settings = URLSessionConfiguration.ephemeral
        settings.timeoutIntervalForRequest = Self.patience
        settings.httpShouldSetCookies = false
        settings.httpCookieStorage = nil
        settings.urlCache = nil
        session = URLSession(configuration: settings, delegate: self, delegateQueue: nil)
    }

    func send(_ body: [UInt8], token: String?, then: @escaping @Sendable (Reply) -> Void) {
        var request = request
        if let token { request.setValue(token, forHTTPHeaderField: "Parley-User-Token") }
        send(request, body, then)
    }

    func check(_ body: [UInt8], then: @escaping @Sendable (Reply) -> Void) {
        var request = request
        request.url = request.url?.deletingLastPathComponent().appendingPathComponent("receipts")
        send(request, body, then)
    }

    private func send(_ request: URLRequest, _ body: [UInt8], _ then: @escaping @Sendable (Reply) -> Void) {
        var request = request
        request.httpBody = Data(body)
        // A session that was told to let go traps when it is asked for more.
        let task: URLSessionDataTask? = state.withLock { state in
            guard !state.closed else { return nil }
            let task = session.dataTask(with: request)
            state.calls[task.taskIdentifier] = Call(then: then)
            return task
        }
        if let task { task.resume() } else { then(.lost) }
    }

    /// The session holds its delegate, this object, until it is told to let go.
    func close() {
        state.withLock { $0.closed = true }
        session.invalidateAndCancel()
    }

    // MARK: What the session tells

    func urlSession(
        _ session: URLSession, dataTask: URLSessionDataTask, didReceive response: URLResponse,
        completionHandler: @escaping (URLSession.ResponseDisposition) -> Void
    ) {
        if let response = response as? HTTPURLResponse {
            state.withLock {
                $0.calls[dataTask.taskIdentifier]?.reply.status = response.statusCode
                $0.calls[dataTask.taskIdentifier]?.reply.retryAfter = response.value(forHTTPHeaderField: "Retry-After")
            }
        }
        completionHandler(.allow)
    }

    func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
        let size = state.withLock { state in
            state.calls[dataTask.taskIdentifier]?.reply.body.append(data)
            return state.calls[dataTask.taskIdentifier]?.reply.body.count ?? 0
        }
        if size > Self.replyBytes { dataTask.cancel() }
    }

    /// A key goes to the address it was meant for and nowhere else; the redirect itself is the answer, and the body is sent again later.
    func urlSession(
        _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse, newRequest request: URLRequest,
        completionHandler: @escaping (URLRequest?) -> Void
    ) { completionHandler(nil) }

    func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
        guard let call = state.withLock({ $0.calls.removeValue(forKey: task.taskIdentifier) }) else { return }
        // Half an answer is none: what it would have said is told again.
        call.then(error == nil ? call.reply : .lost)
    }
}
