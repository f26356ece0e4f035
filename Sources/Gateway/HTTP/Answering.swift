import Events
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOHTTP1

/// The last word on every answer: our words for what no route took, headers that browsers obey, and the count.
struct Answering<Base: HTTPResponder>: HTTPResponder where Base.Context == GatewayContext {
    let base: Base
    let entrances: EntranceTable
    let counters: Counters
    /// The methods of the gateway's own addresses, to tell a wrong method from a wrong address.
    let methods: [String: [HTTPRequest.Method]]

    func respond(to request: Request, context: GatewayContext) async throws -> Response {
        var response: Response
        var endpoint: String?
        do {
            let doors = entrances.matches(request.uri.path)
            if request.method == .options, let first = doors.first {
                endpoint = first.route.entrance.path
                response = first.route.preflight(request, methods: doors.map(\.route.entrance.method))
            } else if let door = doors.first(where: { $0.route.entrance.method.rawValue == request.method.rawValue }) {
                endpoint = door.route.entrance.path
                response = await door.route.respond(to: request, parameters: door.parameters, peer: context.peer)
            } else {
                response = try await base.respond(to: request, context: context)
                if context.endpointPath == "NotFound" {
                    response = unmatched(request, doors: doors.map(\.route.entrance.method))
                }
            }
        } catch let error as HTTPParserError {
            // The connection's own business: the server says 400 and closes.
            throw error
        } catch {
            context.logger.error(
                "a route failed", metadata: ["error": "\(error)", "route": "\(endpoint ?? context.endpointPath ?? "none")"])
            response = Refusal(.internal).response()
        }
        harden(&response)
        if request.headers[.connection]?.lowercased() == "close" { response.headers[.connection] = "close" }
        counters.countRequest(endpoint ?? context.endpointPath ?? "NotFound", method: request.method.rawValue, status: response.status.code)
        return response
    }

    private func unmatched(_ request: Request, doors: [Entrance.Method]) -> Response {
        let ofDoors = doors.isEmpty ? [] : doors.map(\.rawValue) + ["OPTIONS"]
        let allowed = (methods[request.uri.path] ?? []).map(\.rawValue) + ofDoors
        guard !allowed.isEmpty else { return Refusal(.notFound).response() }
        let names = allowed.joined(separator: ", ")
        var response = Refusal(.methodNotAllowed, "This address takes \(names).").response()
        response.headers[.allow] = names
        return response
    }

    /// What a route did not set itself: nothing is sniffed, framed, run or kept.
    private func harden(_ response: inout Response) {
        response.headers[.xContentTypeOptions] = "nosniff"
        if response.headers[.referrerPolicy] == nil { response.headers[.referrerPolicy] = "no-referrer" }
        if response.headers[.contentSecurityPolicy] == nil {
            response.headers[.contentSecurityPolicy] = "default-src 'none'; frame-ancestors 'none'"
        }
        if response.headers[.cacheControl] == nil { response.headers[.cacheControl] = "no-store" }
    }
}
