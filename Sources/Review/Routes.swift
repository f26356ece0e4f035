import Events
import HTTPTypes
import Hummingbird
import Logging

/// A way to answer a request whose address was taken; `Refusal`s that it throws become answers.
typealias Handler = @Sendable (Request, Parameters) async throws -> Response

/// Puts handlers on a router, with what all of them share: refusals as answers, `HEAD`, and a word on wrong methods.
struct Routes<Context: RequestContext> {
    let router: Router<Context>
    let logger: Logger

    /// Methods that get an answer of our own on each address; the rest (`OPTIONS`, `TRACE`) find no route.
    private var methods: [HTTPRequest.Method] { [.get, .head, .post, .put, .patch, .delete] }

    func add(_ path: RouterPath, _ handlers: [HTTPRequest.Method: Handler]) {
        let allowed = methods.filter { handlers[$0] != nil || ($0 == .head && handlers[.get] != nil) }
        for method in methods {
            if let handler = handlers[method] {
                on(path, method, handler)
            } else if method == .head, let handler = handlers[.get] {
                on(path, method) { try await handler($0, $1).createHeadResponse() }
            } else {
                on(path, method) { _, _ in
                    let names = allowed.map(\.rawValue).joined(separator: ", ")
                    var response = Response.refused(Refusal(.methodNotAllowed, "This address takes \(names)."))
                    response.headers[.allow] = names
                    return response
                }
            }
        }
    }

    private func on(_ path: RouterPath, _ method: HTTPRequest.Method, _ handler: @escaping Handler) {
        let logger = logger
        router.on(path, method: method) { request, context in
            do {
                return try await handler(request, context.parameters)
            } catch let refusal as Refusal {
                return Response.refused(refusal)
            } catch let failure as BodyFailure {
                // The connection's own business: the server knows what to say to it.
                throw failure.underlying
            } catch let cancellation as CancellationError {
                throw cancellation
            } catch {
                logger.error("a read failed", metadata: ["error": "\(error)", "route": "\(path)"])
                return Response.refused(Refusal(.internal))
            }
        }
    }
}

extension Parameters {
    /// The `:id` of the address, decoded: an ID may have slashes and signs of its own, sent as `%2F`.
    var id: String { PercentEncoding.decoded(self["id"] ?? "", plusIsSpace: false) }
}
