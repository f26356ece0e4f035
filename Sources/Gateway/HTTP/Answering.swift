import Events
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOHTTP1

/// The last word on every answer of the router: our words for what no route took, headers that browsers obey, and the count.
struct Answering<Base: HTTPResponder>: HTTPResponder where Base.Context == GatewayContext {
    let base: Base
    /// Theirs are answered before the router (`DoorHandler`), but for methods they don't take.
    let entrances: EntranceTable
    let counters: Counters
    /// The methods of the gateway's own addresses, to tell a wrong method from a wrong address.
    let methods: [String: [HTTPRequest.Method]]

    func respond(to request: Request, context: GatewayContext) async throws -> Response {
        var response: Response
        do {
            response = try await base.respond(to: request, context: context)
            if context.endpointPath == "NotFound" { response = unmatched(request) }
        } catch let error as HTTPParserError {
            // The connection's own business: the server says 400 and closes.
            throw error
        } catch {
            context.logger.error(
                "a route failed", metadata: ["error": "\(error)", "route": "\(context.endpointPath ?? "none")"])
            response = Refusal(.internal).response()
        }
        // RFC 9110, section 9.3.2: what a client would take for the next answer.
        if request.method == .head { response = response.createHeadResponse() }
        for (name, value) in DefaultHeaders.fields where response.headers[name] == nil { response.headers[name] = value }
        if request.headers[.connection]?.lowercased() == "close" {
            response.headers[.connection] = (response.headers[.connection].map { $0 + ", " } ?? "") + "close"
        }
        counters.countRequest(context.endpointPath ?? "NotFound", method: request.method.rawValue, status: response.status.code)
        return response
    }

    private func unmatched(_ request: Request) -> Response {
        let doors = entrances.matches(request.uri.path).map(\.route.entrance.method.rawValue)
        let ofDoors = doors.isEmpty ? [] : doors + ["OPTIONS"]
        let allowed = (methods[request.uri.path] ?? []).map(\.rawValue) + ofDoors
        guard !allowed.isEmpty else { return Refusal(.notFound).response() }
        let names = allowed.joined(separator: ", ")
        var response = Refusal(.methodNotAllowed, "This address takes \(names).").response()
        response.headers[.allow] = names
        return response
    }
}
