import Conversations
import Events
import Synchronization
import HTTPTypes
import Testing
@testable import Review

@Suite("People who may sign in")
struct MemberTests {
    @Test("an admin lets somebody in: the link works once and carries the role")
    func invite() async throws {
        let client = ReviewClient.signedIn()
        let answer = try await client.asPage(.post, "/v1/members", body: #"{"name":"  New  One ","role":"reader","projects":["prj_shop"]}"#)
        #expect(answer.status == 201)
        #expect(answer.body.contains(#""name":"New One","role":"reader","projects":["prj_shop"]"#))
        let link = try #require(answer.body.firstMatch(of: /"link":"http:\/\/parley\.example:8787\/ui\/#signin=([^"]+)"/))
        let token = String(link.1)
        #expect(try await client.ask(.post, "/ui/session", body: #"{"token":"\#(token)"}"#).status == 204)
        #expect(try await client.ask(.post, "/ui/session", body: #"{"token":"\#(token)"}"#).status == 401)
        #expect(client.store.state.withLock { $0.audit.map(\.action) } == ["member.add"])
    }

    @Test(
        "a name that is taken, empty or unreadable is refused",
        arguments: [("Ann", 409), ("", 400), (String(repeating: "x", count: 81), 400), ("a\\u202Eb", 400)])
    func names(name: String, status: Int) async throws {
        #expect(try await ReviewClient.signedIn().asPage(.post, "/v1/members", body: #"{"name":"\#(name)"}"#).status == status)
    }

    @Test("the last admin can't be lost")
    func lastAdmin() async throws {
        let client = ReviewClient.signedIn()
        #expect(try await client.asPage(.delete, "/v1/members/mem_admin").status == 409)
        #expect(try await client.asPage(.patch, "/v1/members/mem_admin", body: #"{"role":"reader"}"#).status == 409)
        client.store.state.withLock { $0.members.append(Member(id: "mem_2", name: "Two", role: .admin, createdAt: StubStore.now)) }
        #expect(try await client.asPage(.patch, "/v1/members/mem_admin", body: #"{"role":"reader"}"#).status == 200)
        #expect(try await client.asPage(.get, "/v1/members").status == 403)
    }

    @Test("a password: set, used, changed, and guessed at only so often")
    func password() async throws {
        let client = ReviewClient.signedIn()
        #expect(try await client.asPage(.put, "/ui/session/password", body: #"{"new":"short"}"#).status == 400)
        #expect(try await client.asPage(.put, "/ui/session/password", body: #"{"new":"correct horse"}"#).status == 204)
        let kept = try #require(client.store.state.withLock { $0.members.first?.password })
        #expect(kept.hasPrefix("scrypt$16384$8$") && !kept.contains("horse"))
        #expect(try await client.ask(.post, "/ui/session", body: #"{"name":"ann","password":"correct horse"}"#).status == 204)
        #expect(try await client.asPage(.put, "/ui/session/password", body: #"{"new":"another horse"}"#).status == 400)
        #expect(
            try await client.asPage(.put, "/ui/session/password", body: #"{"current":"correct horse","new":"another horse"}"#).status == 204
        )
        var statuses: [Int] = []
        for _ in 0..<12 {
            statuses.append(try await client.ask(.post, "/ui/session", body: #"{"name":"Ann","password":"correct horse"}"#).status)
        }
        #expect(statuses == Array(repeating: 401, count: 10) + [429, 429])
        // The right one waits too, and somebody else does not.
        let right = try await client.ask(.post, "/ui/session", body: #"{"name":"Ann","password":"another horse"}"#)
        #expect(right.status == 429)
        #expect(right.headers[.retryAfter] == "5")
        #expect(try await client.ask(.post, "/ui/session", body: #"{"name":"Nobody","password":"another horse"}"#).status == 401)
    }

    @Test("setting a password ends one's other sessions")
    func otherSessions() async throws {
        let client = ReviewClient.signedIn()
        let other = Ticket(text: "other")
        client.store.state.withLock { $0.sessions[other.digest] = ("mem_admin", StubStore.now.advanced(bySeconds: 60)) }
        _ = try await client.asPage(.put, "/ui/session/password", body: #"{"new":"correct horse"}"#)
        #expect(try await client.ask("/ui/session", cookie: "parley_session=other").status == 401)
        #expect(try await client.ask("/ui/session", cookie: ReviewClient.session).status == 200)
    }
}
