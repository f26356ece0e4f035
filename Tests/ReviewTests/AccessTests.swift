import HTTPTypes
import Testing
@testable import Review

@Suite("Who reads what")
struct AccessTests {
    static let addresses = [
        "/v1/threads", "/v1/threads/t-1", "/v1/messages/m1", "/v1/runs/r1", "/v1/export", "/v1/quarantine", "/v1/outcomes", "/v1/projects",
        "/ui/session",
    ]

    @Test("a stranger gets 401 everywhere, and learns nothing", arguments: addresses)
    func stranger(address: String) async throws {
        for cookie in [nil, "parley_session=", "parley_session=guess"] {
            let answer = try await ReviewClient().ask(address, cookie: cookie)
            #expect(answer.status == 401)
            #expect(answer.headers[.wwwAuthenticate] == "Bearer")
            #expect(
                answer.body
                    == #"{"error":{"code":"unauthorized","message":"Reading needs a secret key or a signed-in reviewer.","temporary":false,"doc":"/docs/reasons#unauthorized"}}"#
            )
        }
    }

    @Test("a public key reads nothing", arguments: addresses.dropLast())
    func publicKey(address: String) async throws {
        let answer = try await ReviewClient().ask(address, key: "pk_shop")
        #expect(answer.status == 403)
        #expect(answer.body.contains(#""code":"lane_forbidden""#))
    }

    @Test("a key never sees another project's things", arguments: ["/v1/threads/t-2", "/v1/messages/b1"])
    func otherProject(address: String) async throws {
        let client = ReviewClient()
        #expect(try await client.ask(address, key: "sk_bank").status == 200)
        #expect(try await client.ask(address, key: "sk_shop").status == 404)
        #expect(try await client.ask(address + "?project=bank", key: "sk_shop").status == 403)
    }

    @Test(
        "lists and exports of one project have nothing of the other",
        arguments: ["/v1/threads", "/v1/export", "/v1/export?format=csv", "/v1/projects"])
    func lists(address: String) async throws {
        let answer = try await ReviewClient().ask(address, key: "sk_shop")
        #expect(answer.status == 200)
        for trace in ["t-2", "b1", "PIN", "bank"] { #expect(!answer.body.contains(trace)) }
    }

    @Test("a key may name its own project by name, ID or header")
    func ownProject() async throws {
        let client = ReviewClient()
        #expect(try await client.ask("/v1/threads?project=shop", key: "sk_shop").status == 200)
        #expect(try await client.ask("/v1/threads?project=prj_shop", key: "sk_shop").status == 200)
        let other: HTTPFields = [HTTPField.Name("Parley-Project")!: "bank"]
        #expect(try await client.ask("/v1/threads", key: "sk_shop", headers: other).status == 403)
    }

    @Test("a workspace key chooses its project and must")
    func workspaceKey() async throws {
        let client = ReviewClient()
        #expect(try await client.ask("/v1/messages/b1?project=bank", key: "sk_all").status == 200)
        #expect(try await client.ask("/v1/messages/b1?project=shop", key: "sk_all").status == 404)
        #expect(try await client.ask("/v1/messages/b1", key: "sk_all").status == 400)
    }

    @Test("keys come as Bearer, as X-API-Key or in the query; another scheme is passed over")
    func keyPlaces() async throws {
        let client = ReviewClient()
        #expect(try await client.ask("/v1/projects", headers: [.authorization: "bearer sk_shop"]).status == 200)
        #expect(try await client.ask("/v1/projects", headers: [HTTPField.Name("X-API-Key")!: "sk_shop"]).status == 200)
        #expect(try await client.ask("/v1/projects?key=sk_shop").status == 200)
        #expect(try await client.ask("/v1/projects", headers: [.authorization: "Basic c2tfc2hvcA=="]).status == 401)
    }

    @Test("a secret key in a page is refused")
    func secretKeyInBrowser() async throws {
        let answer = try await ReviewClient().ask("/v1/threads", key: "sk_shop", headers: [.origin: "https://shop.example"])
        #expect(answer.status == 403)
        #expect(answer.body.contains(#""code":"secret_key_in_browser""#))
    }

    @Test("a reviewer reads the first project, or the one named")
    func reviewer() async throws {
        let client = ReviewClient.signedIn()
        #expect(try await client.ask("/v1/threads/t-1", cookie: ReviewClient.session).status == 200)
        #expect(try await client.ask("/v1/threads/t-2", cookie: ReviewClient.session).status == 404)
        #expect(try await client.ask("/v1/threads/t-2?project=prj_bank", cookie: ReviewClient.session).status == 200)
        #expect(try await client.ask("/v1/threads?project=none", cookie: ReviewClient.session).status == 404)
        #expect(
            try await client.ask("/v1/projects", cookie: ReviewClient.session).body
                == #"{"projects":[{"id":"prj_shop","name":"shop"},{"id":"prj_bank","name":"bank"}]}"#)
    }

    @Test("a session does nothing for a page on another port of the same host")
    func sameSite() async throws {
        let client = ReviewClient.signedIn()
        let site = HTTPField.Name("Sec-Fetch-Site")!
        for (value, status) in [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403)] {
            #expect(try await client.ask("/v1/threads", cookie: ReviewClient.session, headers: [site: value]).status == status)
        }
        #expect(
            try await client.ask(
                .post, "/v1/quarantine/replay", cookie: ReviewClient.session, headers: [.origin: "http://parley.example:8788"],
                body: #"{"ids":["q1"]}"#
            )
            .status == 403)
    }

    @Test("a wrong method is told the right ones, and HEAD is GET without a body")
    func methods() async throws {
        let client = ReviewClient()
        let wrong = try await client.ask(.post, "/v1/threads", key: "sk_shop")
        #expect(wrong.status == 405)
        #expect(wrong.headers[.allow] == "GET, HEAD")
        let head = try await client.ask(.head, "/v1/threads", key: "sk_shop")
        #expect(head.status == 200)
        #expect(head.body.isEmpty)
    }
}
