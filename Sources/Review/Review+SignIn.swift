import Events
import HTTPTypes
import Hummingbird
import Logging

// A reviewer signs in with a one-time link: the page takes the secret from the link's fragment, trades it for a session
// and forgets it. The session's secret is in a cookie that no script can read.
extension Review {
    static let sessionCookie = "parley_session"
    /// Two weeks: long enough not to be a nuisance, short enough that a forgotten browser signs itself out.
    static let sessionSeconds = 14 * 24 * 60 * 60

    /// `GET /ui/session`: who is signed in. Sessions carry no names yet.
    @Sendable func session(_ request: Request, _ parameters: Parameters) async throws -> Response {
        guard let ticket = request.sessionTicket, try await store.hasReviewSession(ticket.digest, at: clock.now()) else {
            throw Refusal(.unauthorized)
        }
        try request.requireOwnPage()
        return .json { writer in
            writer.key("reviewer")
            writer.object { $0.field("name", "Reviewer") }
        }
    }

    /// `POST /ui/session`: trades a one-time secret for a session.
    @Sendable func signIn(_ request: Request, _ parameters: Parameters) async throws -> Response {
        try request.requireOwnPage()
        // A secret is 43 characters; a body that needs more than this is none of ours.
        let token = try await request.readJSON(upTo: 4096) { $0["token"]?.string }
        guard let token, !token.isEmpty else {
            throw Refusal(.badRequest, field: "token", "The field `token` must be the text behind `#signin=` in the link.")
        }
        let now = clock.now()
        guard try await store.useSignIn(Ticket(text: token).digest, at: now) else {
            throw Refusal(.unauthorized, "The link was used before or is too old; `parley review link` makes a new one.")
        }
        let ticket = newTicket()
        try await store.insertReviewSession(ticket.digest, expiresAt: now.advanced(bySeconds: Double(Self.sessionSeconds)))
        logger.info("a reviewer signed in")
        return cookie(ticket.text, seconds: Self.sessionSeconds, for: request)
    }

    /// `DELETE /ui/session`: ends the session here and in the store.
    @Sendable func signOut(_ request: Request, _ parameters: Parameters) async throws -> Response {
        try request.requireOwnPage()
        if let ticket = request.sessionTicket { try await store.removeReviewSession(ticket.digest) }
        return cookie("", seconds: 0, for: request)
    }

    private func cookie(_ value: String, seconds: Int, for request: Request) -> Response {
        var response = Response(status: .noContent, headers: [.cacheControl: "no-store"])
        // Secure as soon as the page itself is: over plain http, on one's own machine, the browser would not keep it.
        let secure = request.headers[.origin]?.hasPrefix("https://") ?? false
        response.setCookie(
            Cookie(name: Self.sessionCookie, value: value, maxAge: seconds, path: "/", secure: secure, httpOnly: true, sameSite: .strict))
        return response
    }
}

extension Request {
    var sessionTicket: Ticket? {
        cookies[Review.sessionCookie].flatMap { $0.value.isEmpty ? nil : Ticket(text: $0.value) }
    }
}
