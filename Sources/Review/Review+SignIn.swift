import Conversations
import Events
import HTTPTypes
import Hummingbird
import Logging

// A person signs in with a one-time link or with their name and a password. The page takes a link's secret from the fragment,
// trades it for a session and forgets it. The session's secret is in a cookie that no script can read.
extension Review {
    static let sessionCookie = "parley_session"
    /// Two weeks: long enough not to be a nuisance, short enough that a forgotten browser signs itself out.
    static let sessionSeconds = 14 * 24 * 60 * 60

    /// `GET /ui/session`: who is signed in.
    @Sendable func session(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let member = try await member(of: request)
        return .json { writer in
            writer.key("reviewer")
            writer.member(member)
        }
    }

    /// `POST /ui/session`: trades a one-time secret, or a name and its password, for a session.
    @Sendable func signIn(_ request: Request, _ parameters: Parameters) async throws -> Response {
        try request.requireOwnPage()
        // A secret is 43 characters, a password 500 at most; a body that needs more than this is none of ours.
        let given = try await request.readJSON(upTo: 4096) { ($0["token"]?.string, $0["name"]?.string, $0["password"]?.string) }
        let now = clock.now()
        let member: Member
        if let name = given.1, let password = given.2 {
            member = try await self.member(named: name, password: password, at: now)
        } else {
            guard let token = given.0, !token.isEmpty else {
                throw Refusal(
                    .badRequest, field: "token",
                    "The body must have `token`, the text behind `#signin=` in a link, or `name` and `password`.")
            }
            guard let owner = try await store.useSignIn(Ticket(text: token).digest, at: now) else {
                throw Refusal(.unauthorized, "The link was used before or is too old; `parley review link` makes a new one.")
            }
            member = owner
        }
        let ticket = newTicket()
        try await store.insertSession(
            ticket.digest, of: member.id, expiresAt: now.advanced(bySeconds: Double(Self.sessionSeconds)))
        logger.info("somebody signed in to the review page", metadata: ["member": "\(member.id)"])
        return cookie(ticket.text, seconds: Self.sessionSeconds, for: request)
    }

    private func member(named name: String, password: String, at now: Timestamp) async throws -> Member {
        try limiter.take(name.lowercased(), at: now)
        let found = try await store.members().first { $0.name.lowercased() == name.lowercased() }
        guard try await passwords.matches(String(password.prefix(PasswordDigest.maximumCharacters)), found?.password), let found else {
            throw Refusal(.unauthorized, "The name and the password don't belong together.")
        }
        limiter.forgive(name.lowercased())
        return found
    }

    /// `PUT /ui/session/password`: sets one's own password; other sessions end.
    @Sendable func setPassword(_ request: Request, _ parameters: Parameters) async throws -> Response {
        var member = try await member(of: request)
        let given = try await request.readJSON(upTo: 8192) { ($0["current"]?.string, $0["new"]?.string) }
        guard let new = given.1, (PasswordDigest.minimumCharacters...PasswordDigest.maximumCharacters).contains(new.count) else {
            throw Refusal(
                .badRequest, field: "new",
                "A password has \(PasswordDigest.minimumCharacters) to \(PasswordDigest.maximumCharacters) characters.")
        }
        if member.password != nil {
            try limiter.take(member.name.lowercased(), at: clock.now())
            guard try await passwords.matches(given.0 ?? "", member.password) else {
                throw Refusal(.badRequest, field: "current", "That is not the password you have.")
            }
            limiter.forgive(member.name.lowercased())
        }
        member.password = try await passwords.derive(new)
        try await store.update(member)
        try await store.endSessions(of: member.id, except: request.sessionTicket?.digest)
        try await note(.member(member), "password.set", subject: member.id)
        return Response(status: .noContent, headers: [.cacheControl: "no-store"])
    }

    /// `DELETE /ui/session`: ends the session here and in the store.
    @Sendable func signOut(_ request: Request, _ parameters: Parameters) async throws -> Response {
        try request.requireOwnPage()
        if let ticket = request.sessionTicket { try await store.removeSession(ticket.digest) }
        return cookie("", seconds: 0, for: request)
    }

    private func cookie(_ value: String, seconds: Int, for request: Request) -> Response {
        var response = Response(status: .noContent, headers: [.cacheControl: "no-store"])
        // Secure where the installation's address is, whatever a request says or leaves out, or the page itself: over plain http, on one's
        // own machine, the browser would not keep it.
        let isSecure = isServedOverHTTPS() || request.head.scheme == "https" || request.headers[.origin]?.hasPrefix("https://") ?? false
        response.setCookie(
            Cookie(name: Self.sessionCookie, value: value, maxAge: seconds, path: "/", secure: isSecure, httpOnly: true, sameSite: .strict))
        return response
    }
}

extension Request {
    var sessionTicket: Ticket? {
        cookies[Review.sessionCookie].flatMap { $0.value.isEmpty ? nil : Ticket(text: $0.value) }
    }
}
