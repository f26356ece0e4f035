import Events
import HTTPTypes
import Hummingbird

extension Request {
    /// Refuses a request that another site's page had the browser send.
    ///
    /// The cookie is SameSite=Strict, but a site is not an origin: a page on another port of the same host is
    /// same-site. `Sec-Fetch-Site` tells them apart (Fetch Metadata, section 2.3); a browser without it sends `Origin`
    /// with all that could change something, and that must name the host asked. What has neither is no page.
    func requireOwnPage() throws(Refusal) {
        guard !isFromElsewhere else {
            throw Refusal(.originForbidden, "This came from another site's page; only the review page itself may ask with a session.")
        }
    }

    private var isFromElsewhere: Bool {
        switch headers[.secFetchSite] {
        case "same-origin"?: return false
        case "none"?: return method != .get && method != .head  // an address typed or opened from a bookmark
        case nil: break
        default: return true
        }
        guard let origin = headers[.origin] else { return false }
        guard let scheme = origin.firstRange(of: "://"), let host = head.authority else { return true }
        return origin[scheme.upperBound...].lowercased() != host.lowercased()
    }
}

extension HTTPField.Name {
    fileprivate static let secFetchSite = HTTPField.Name("Sec-Fetch-Site")!
}
