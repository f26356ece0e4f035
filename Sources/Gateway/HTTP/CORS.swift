import Events
import HTTPTypes
import Hummingbird
import Keys

/// What browsers are told about origins (Fetch standard, section 3.2).
///
/// Whether a page may write is decided by its key and origin; these headers only let it read the answer. Beacons send
/// credentials whether they want to or not, so the origin is named exactly and never `*`.
enum CORS {
    /// Headers a page may send; anything else it asks for is left out of the answer.
    static let requestHeaders = ["Authorization", "Content-Type", "Content-Encoding", "X-API-Key", "Parley-Project", "X-Org-Id"]
    static let exposedHeaders = "Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Date"

    /// Added to every answer of an entrance, refusals too: a developer must be able to read why.
    static func expose(_ response: inout Response, to origin: Knock.Origin) {
        response.headers[.vary] = "Origin"
        guard let named = name(of: origin) else { return }
        response.headers[.accessControlAllowOrigin] = named
        response.headers[.accessControlAllowCredentials] = "true"
        response.headers[.accessControlExposeHeaders] = exposedHeaders
    }

    /// The answer to an OPTIONS request. It carries no key, so any project that allows the origin will do.
    static func preflight(origin: Knock.Origin, requestedHeaders: String?, methods: [String], isAllowed: (String) -> Bool) -> Response {
        var response = Response(status: .noContent)
        response.headers[.vary] = "Origin"
        response.headers[.allow] = (methods + ["OPTIONS"]).joined(separator: ", ")
        guard let named = name(of: origin), isAllowed(named) else { return response }
        response.headers[.accessControlAllowOrigin] = named
        response.headers[.accessControlAllowCredentials] = "true"
        response.headers[.accessControlAllowMethods] = methods.joined(separator: ", ")
        let wanted = Set((requestedHeaders ?? "").split(separator: ",").map { $0.filter { $0 != " " }.lowercased() })
        let granted = requestHeaders.filter { wanted.contains($0.lowercased()) }
        if !granted.isEmpty { response.headers[.accessControlAllowHeaders] = granted.joined(separator: ", ") }
        response.headers[.accessControlMaxAge] = "86400"  // a day; Chromium caps it at two hours
        return response
    }

    /// The origin as it came. A header that could not be one of a browser's is not repeated.
    private static func name(of origin: Knock.Origin) -> String? {
        switch origin {
        case .missing: nil
        case .null: "null"
        case .named(let text): text.utf8.count <= 300 && text.utf8.allSatisfy { (0x21...0x7E).contains($0) } ? text : nil
        }
    }
}
