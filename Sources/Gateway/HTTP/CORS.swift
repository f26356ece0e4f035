import Events
import Keys
import NIOHTTP1

/// What browsers are told about origins (Fetch standard, section 3.2).
///
/// Whether a page may write is decided by its key and origin; these headers only let it read the answer. Beacons send
/// credentials whether they want to or not, so the origin is named exactly and never `*`.
enum CORS {
    /// Headers a page may send; anything else it asks for is left out of the answer.
    static let requestHeaders = [
        "Authorization", "Content-Type", "Content-Encoding", "X-API-Key", "Parley-Project", "Parley-User-Token", "X-Org-Id",
    ]
    static let exposedHeaders = "Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Date"

    /// Added to every answer of an entrance, refusals too: a developer must be able to read why.
    static func expose(_ headers: inout HTTPHeaders, to origin: Knock.Origin) {
        headers.add(name: "Vary", value: "Origin")
        guard let named = name(of: origin) else { return }
        headers.add(name: "Access-Control-Allow-Origin", value: named)
        headers.add(name: "Access-Control-Allow-Credentials", value: "true")
        headers.add(name: "Access-Control-Expose-Headers", value: exposedHeaders)
    }

    /// The headers that answer an OPTIONS request. It carries no key, so any project that allows the origin will do.
    static func preflight(origin: Knock.Origin, requestedHeaders: String?, methods: [String], isAllowed: (String) -> Bool) -> HTTPHeaders {
        var headers: HTTPHeaders = ["Vary": "Origin", "Allow": (methods + ["OPTIONS"]).joined(separator: ", ")]
        guard let named = name(of: origin), isAllowed(named) else { return headers }
        headers.add(name: "Access-Control-Allow-Origin", value: named)
        headers.add(name: "Access-Control-Allow-Credentials", value: "true")
        headers.add(name: "Access-Control-Allow-Methods", value: methods.joined(separator: ", "))
        let wanted = Set((requestedHeaders ?? "").split(separator: ",").map { $0.filter { $0 != " " }.lowercased() })
        let granted = requestHeaders.filter { wanted.contains($0.lowercased()) }
        if !granted.isEmpty { headers.add(name: "Access-Control-Allow-Headers", value: granted.joined(separator: ", ")) }
        headers.add(name: "Access-Control-Max-Age", value: "86400")  // a day; Chromium caps it at two hours
        return headers
    }

    /// The origin as it came. A header that could not be one of a browser's is not repeated.
    private static func name(of origin: Knock.Origin) -> String? {
        switch origin {
        case .missing: nil
        case .null: "null"
        case .named(let text): text != "*" && text.utf8.count <= 300 && text.utf8.allSatisfy { (0x21...0x7E).contains($0) } ? text : nil
        }
    }
}
