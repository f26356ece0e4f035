import Conversations
import Events
import Synchronization
import HTTPTypes
import Testing
@testable import Review

@Suite("What people say of conversations")
struct JudgingTests {
    @Test("closing, tagging and reviewing a thread")
    func thread() async throws {
        let client = ReviewClient.signedIn(as: StubStore.reviewer)
        let answer = try await client.asPage(
            .patch, "/v1/threads/t-1?project=shop",
            body: #"{"status":"inactive","tags":{"add":["vip"],"remove":["old"]},"reviewed":true}"#)
        #expect(answer.status == 200)
        #expect(
            client.office.events.map(\.body) == [
                .thread(Event.ThreadPatch(status: .inactive)), .thread(Event.ThreadPatch(tags: ["vip"], untag: ["old"])),
            ])
        #expect(client.office.events.allSatisfy { $0.thread == "t-1" })
        #expect(client.office.written.withLock { $0.map(\.record) } == ["mem_reviewer", "mem_reviewer"])
        #expect(client.store.state.withLock { $0.reviewed } == ["1 t-1": "Bob"])
        #expect(try await client.asPage(.patch, "/v1/threads/t-1?project=shop", body: "{}").status == 400)
        #expect(try await client.asPage(.patch, "/v1/threads/t-1?project=shop", body: #"{"status":"gone"}"#).status == 400)
        #expect(try await client.asPage(.patch, "/v1/threads/none?project=shop", body: #"{"status":"active"}"#).status == 404)
    }

    @Test(
        "a reviewer's thumb and comment: what is absent stays, null takes it back",
        arguments: [
            (#"{"thumb":"up"}"#, Event.Feedback(target: "m2", thumb: .up, leaves: .comment, author: "Ann")),
            (#"{"thumb":null}"#, Event.Feedback(target: "m2", thumb: nil, leaves: .comment, author: "Ann")),
            (#"{"comment":"Why?"}"#, Event.Feedback(target: "m2", thumb: nil, comment: "Why?", leaves: .thumb, author: "Ann")),
            (#"{"comment":null}"#, Event.Feedback(target: "m2", thumb: nil, leaves: .thumb, author: "Ann")),
            (#"{"thumb":"down","comment":"No"}"#, Event.Feedback(target: "m2", thumb: .down, comment: "No", author: "Ann")),
        ])
    func vote(body: String, expected: Event.Feedback) async throws {
        let client = ReviewClient.signedIn()
        #expect(try await client.asPage(.put, "/v1/messages/m2/feedback?project=shop", body: body).status == 200)
        #expect(client.office.events.map(\.body) == [.feedback(expected)])
        #expect(client.office.events.first?.thread == "t-1")
    }

    @Test("a score carries its author and that a person gave it; the page can't say otherwise")
    func score() async throws {
        let client = ReviewClient.signedIn()
        let body = #"{"target":"t-1","name":"quality","value":0.5,"reason":"So-so","author":"Mallory","judge":"program"}"#
        #expect(try await client.asPage(.post, "/v1/scores?project=shop", body: body).status == 200)
        let expected = Event.Score(target: "t-1", name: "quality", value: 0.5, reason: "So-so", author: "Ann", judge: .person)
        #expect(client.office.events.map(\.body) == [.score(expected)])
        #expect(try await client.asPage(.delete, "/v1/scores?project=shop&target=t-1&name=quality").status == 200)
        #expect(client.office.events.last?.body == .score(Event.Score(target: "t-1", name: "quality", author: "Ann", judge: .person)))
        for wrong in [
            #"{"name":"q","value":1}"#, #"{"target":"t-1","value":1}"#, #"{"target":"t-1","name":"q"}"#,
            #"{"target":"t-1","name":"q","value":"1"}"#,
        ] {
            #expect(try await client.asPage(.post, "/v1/scores?project=shop", body: wrong).status == 400)
        }
    }

    @Test("what the policy forbids is answered 409 with the rule")
    func active() async throws {
        let client = ReviewClient.signedIn(verdict: .dropped(Refusal(.conversationActive, field: "target", "It is active.")))
        let answer = try await client.asPage(.post, "/v1/scores?project=shop", body: #"{"target":"t-1","name":"quality","value":1}"#)
        #expect(answer.status == 409)
        #expect(answer.body.contains(#""code":"conversation_active""#))
    }

    @Test("a key judges in the name it says, as a program unless it says otherwise")
    func key() async throws {
        let client = ReviewClient()
        _ = try await client.ask(
            .post, "/v1/scores", key: "sk_shop", body: #"{"target":"m1","name":"q","category":"good","author":"eval"}"#)
        _ = try await client.ask(.post, "/v1/scores", key: "sk_shop", body: #"{"target":"m1","name":"q","value":1,"judge":"person"}"#)
        #expect(
            client.office.events.map(\.body) == [
                .score(Event.Score(target: "m1", name: "q", category: "good", author: "eval", judge: .program)),
                .score(Event.Score(target: "m1", name: "q", value: 1, author: "api", judge: .person)),
            ])
        #expect(client.office.written.withLock { $0.first?.record } == "key_shop")
    }

    @Test("comments: made, changed by their author only, taken away by an admin too")
    func comments() async throws {
        let bob = ReviewClient.signedIn(as: StubStore.reviewer)
        #expect(try await bob.asPage(.post, "/v1/comments?project=shop", body: #"{"target":"m1","text":"Look"}"#).status == 200)
        #expect(try await bob.asPage(.patch, "/v1/comments/c-bob?project=shop", body: #"{"text":"See"}"#).status == 200)
        #expect(
            bob.office.events.map(\.body) == [
                .comment(Event.Comment(target: "m1", text: "Look", author: "Bob")),
                .comment(Event.Comment(target: "c-bob", changes: "c-bob", text: "See", author: "Bob")),
            ])
        let ann = ReviewClient.signedIn()
        #expect(try await ann.asPage(.patch, "/v1/comments/c-bob?project=shop", body: #"{"text":"Mine"}"#).status == 403)
        #expect(try await ann.asPage(.delete, "/v1/comments/c-bob?project=shop").status == 200)
        #expect(try await ann.asPage(.delete, "/v1/comments/none?project=shop").status == 404)
    }

    static let writes: [(HTTPRequest.Method, String, String)] = [
        (.patch, "/v1/threads/t-1", #"{"status":"inactive"}"#), (.put, "/v1/messages/m2/feedback", #"{"thumb":"up"}"#),
        (.post, "/v1/scores", #"{"target":"t-1","name":"q","value":1}"#), (.delete, "/v1/scores?target=t-1&name=q", ""),
        (.post, "/v1/comments", #"{"target":"t-1","text":"x"}"#), (.patch, "/v1/comments/c-bob", #"{"text":"x"}"#),
        (.delete, "/v1/comments/c-bob", ""), (.post, "/v1/projects", #"{"name":"x"}"#), (.patch, "/v1/projects/shop", "{}"),
        (.delete, "/v1/projects/shop", #"{"name":"shop"}"#), (.get, "/v1/keys", ""), (.post, "/v1/keys", #"{"lane":"public"}"#),
        (.delete, "/v1/keys/key_a", ""), (.post, "/v1/quarantine/replay", #"{"ids":["q1"]}"#),
        (.delete, "/v1/quarantine", #"{"ids":["q1"]}"#),
        (.delete, "/v1/users/u1", ""), (.get, "/v1/audit", ""), (.get, "/v1/members", ""), (.post, "/v1/members", #"{"name":"x"}"#),
        (.patch, "/v1/members/mem_admin", #"{"role":"reader"}"#), (.delete, "/v1/members/mem_admin", ""),
        (.post, "/v1/members/mem_admin/link", ""),
    ]

    @Test("a reader writes nothing", arguments: writes)
    func reader(method: HTTPRequest.Method, path: String, body: String) async throws {
        let client = ReviewClient.signedIn(as: StubStore.reader)
        let answer = try await client.asPage(method, path, body: body)
        #expect(answer.status == 403, "\(method) \(path): \(answer.body)")
        #expect(answer.body.contains(#""code":"role_forbidden""#))
        #expect(client.office.events.isEmpty)
    }

    @Test("a reviewer sets nothing up", arguments: writes.dropFirst(7))
    func reviewer(method: HTTPRequest.Method, path: String, body: String) async throws {
        let answer = try await ReviewClient.signedIn(as: StubStore.reviewer).asPage(method, path, body: body)
        #expect(answer.status == 403, "\(method) \(path): \(answer.body)")
    }

    @Test("a stranger gets nowhere", arguments: writes)
    func stranger(method: HTTPRequest.Method, path: String, body: String) async throws {
        let client = ReviewClient()
        #expect(try await client.ask(method, path, body: body).status == 401)
        #expect(try await client.ask(method, path, key: "pk_shop", body: body).status != 200)
        #expect(client.office.events.isEmpty)
    }

    @Test("another site's page writes nothing with a session", arguments: writes)
    func forged(method: HTTPRequest.Method, path: String, body: String) async throws {
        guard method != .get else { return }
        let client = ReviewClient.signedIn()
        for headers: HTTPFields in [[HTTPField.Name("Sec-Fetch-Site")!: "cross-site"], [.origin: "https://evil.example"]] {
            let answer = try await client.ask(method, path, cookie: ReviewClient.session, headers: headers, body: body)
            #expect(answer.status == 403, "\(method) \(path): \(answer.body)")
        }
        #expect(client.office.events.isEmpty)
    }

    @Test("somebody of one project never sees another")
    func projects() async throws {
        let client = ReviewClient.signedIn(as: StubStore.reviewer)
        #expect(try await client.asPage(.get, "/v1/projects").body == #"{"projects":[{"id":"prj_shop","name":"shop"}]}"#)
        for path in [
            "/v1/threads?project=bank", "/v1/projects/bank", "/v1/export?project=bank", "/v1/live?project=bank",
            "/v1/users?project=prj_bank",
        ] {
            #expect(try await client.asPage(.get, path).status == 404, "\(path)")
        }
    }
}
