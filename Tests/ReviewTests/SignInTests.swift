import Events
import HTTPTypes
import Testing
@testable import Review

@Suite("Signing in with a one-time link")
struct SignInTests {
    static let link = Ticket(text: "one-time")

    private func client(expiresIn seconds: Double = 600) async throws -> ReviewClient {
        let client = ReviewClient()
        try await client.store.insertSignIn(Self.link.digest, of: "mem_admin", expiresAt: StubStore.now.advanced(bySeconds: seconds))
        return client
    }

    @Test("the link's secret is traded for a session, once")
    func once() async throws {
        let client = try await client()
        let first = try await client.ask(.post, "/ui/session", body: #"{"token":"one-time"}"#)
        #expect(first.status == 204)
        let cookie = try #require(first.headers[.setCookie])
        #expect(cookie.hasPrefix("parley_session=the-session-secret; "))
        for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=1209600"] { #expect(cookie.contains(part)) }
        #expect(!cookie.contains("Secure"))

        let session = try await client.ask("/ui/session", cookie: ReviewClient.session)
        #expect(session.body.hasPrefix(#"{"reviewer":{"id":"mem_admin","name":"Ann","role":"admin","projects":null,"hasPassword":false"#))
        #expect(try await client.ask("/v1/threads", cookie: "theme=dark; " + ReviewClient.session).status == 200)

        let second = try await client.ask(.post, "/ui/session", body: #"{"token":"one-time"}"#)
        #expect(second.status == 401)
        #expect(second.headers[.setCookie] == nil)
    }

    @Test("a link that is too old opens nothing")
    func tooOld() async throws {
        let answer = try await client(expiresIn: -1).ask(.post, "/ui/session", body: #"{"token":"one-time"}"#)
        #expect(answer.status == 401)
    }

    @Test("a session ends after two weeks")
    func sessionEnds() async throws {
        let client = try await client()
        _ = try await client.ask(.post, "/ui/session", body: #"{"token":"one-time"}"#)
        let end = StubStore.now.advanced(bySeconds: 14 * 24 * 3600)
        #expect(
            try await ReviewClient(store: client.store, now: end.advanced(bySeconds: -1)).ask("/v1/threads", cookie: ReviewClient.session)
                .status == 200)
        #expect(try await ReviewClient(store: client.store, now: end).ask("/v1/threads", cookie: ReviewClient.session).status == 401)
    }

    @Test("signing out ends the session in the store too")
    func signOut() async throws {
        let client = ReviewClient.signedIn()
        let answer = try await client.ask(.delete, "/ui/session", cookie: ReviewClient.session)
        #expect(answer.status == 204)
        #expect(answer.headers[.setCookie]?.contains("Max-Age=0") == true)
        #expect(try await client.ask("/ui/session", cookie: ReviewClient.session).status == 401)
    }

    @Test("another site's page can't sign a browser in or out, and uses no link up")
    func crossSite() async throws {
        let client = try await client()
        let site = HTTPField.Name("Sec-Fetch-Site")!
        let foreign: [HTTPFields] = [
            [.origin: "https://evil.example"], [.origin: "null"], [.origin: "http://parley.example:8788"], [site: "cross-site"],
            [site: "same-site"],
            [site: "cross-site", .origin: "http://parley.example:8787"],
        ]
        for headers in foreign {
            for method in [HTTPRequest.Method.post, .delete] {
                let answer = try await client.ask(method, "/ui/session", headers: headers, body: #"{"token":"one-time"}"#)
                #expect(answer.status == 403)
                #expect(answer.headers[.setCookie] == nil)
            }
        }
        let own = try await client.ask(
            .post, "/ui/session", headers: [.origin: "http://parley.example:8787"], body: #"{"token":"one-time"}"#)
        #expect(own.status == 204)
    }

    @Test("over https the cookie is Secure")
    func secure() async throws {
        let answer = try await client().ask(
            .post, "/ui/session", headers: [.origin: "https://parley.example:8787"], body: #"{"token":"one-time"}"#)
        #expect(answer.headers[.setCookie]?.contains("; Secure") == true)
    }

    @Test("a body that is not what it should be is told so", arguments: [("{", 400), ("[]", 400), ("{}", 400), (#"{"token":7}"#, 400)])
    func badBody(body: String, status: Int) async throws {
        #expect(try await client().ask(.post, "/ui/session", body: body).status == status)
        #expect(try await client().ask(.post, "/ui/session", body: String(repeating: " ", count: 5000)).status == 413)
    }

    @Test("a ticket is 256 random bits that print as nothing")
    func ticket() {
        #expect(Ticket().text.utf8.count == 43)
        #expect(Ticket() != Ticket())
        #expect("\(Ticket())" == "***")
        #expect(Self.link.digest.count == 32)
        #expect(Self.link.link(at: "http://127.0.0.1:8787") == "http://127.0.0.1:8787/ui/#signin=one-time")
        var counter = Counting()
        // 0, 1, 2, 3 as little-endian words, per RFC 4648.
        #expect(Ticket(using: &counter).text == "AAAAAAAAAAABAAAAAAAAAAIAAAAAAAAAAwAAAAAAAAA")
    }

    private struct Counting: RandomNumberGenerator {
        var last: UInt64 = .max
        mutating func next() -> UInt64 { last &+= 1; return last }
    }
}
