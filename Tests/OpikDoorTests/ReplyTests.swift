import Events
import Testing

@testable import OpikDoor

@Suite("What the SDK is told")
struct ReplyTests {
    @Test(
        "overload is a 429 with both headers, so that the SDK keeps its records",
        arguments: [Reason.overloaded, .diskFull, .rateLimited, .draining, .internal, .bodyTimeout])
    func overload(reason: Reason) async {
        let caller = Caller()
        caller.desk.answer(.retry(Refusal(reason, retryAfterMilliseconds: 2500)))
        for (method, path, body) in [
            (Entrance.Method.post, "/v1/private/traces/batch", #"{"traces":[{"id":"a"}]}"#),
            (.put, "/v1/private/traces/threads/feedback-scores", #"{"scores":[{"thread_id":"t","name":"s","value":1}]}"#),
        ] {
            let reply = await caller.call(method, path, body)
            #expect(reply.status == 429)
            #expect(reply.retryAfterSeconds == 3)
            #expect(reply.headers["RateLimit-Reset"] == "3")
        }
        let whole = OpikDoor().reply(to: Refusal(reason), at: OpikDoor().entrances[0], contentType: nil)
        #expect(whole.status == 429)
        #expect(whole.headers["RateLimit-Reset"] == "1")
    }

    @Test("a conflict or what is set aside is never a 409, and is told in a header")
    func setAside() async {
        let caller = Caller()
        for verdict in [
            Verdict.conflict(Refusal(.idConflict)), .quarantined(Refusal(.invalidField, field: "id")), .dropped(Refusal(.quarantineFull)),
        ] {
            caller.desk.answer(verdict)
            let reply = await caller.call(.post, "/v1/private/traces/batch", #"{"traces":[{"id":"a"}]}"#)
            #expect(reply.status == 204)
            #expect(
                reply.headers["X-Opik-Deprecation"]?.hasPrefix(
                    "1 of 1 items were set aside, the first as \(verdict.refusal!.reason.rawValue)") == true)
        }
    }

    @Test("a public key neither reads nor writes")
    func publicKey() async {
        let caller = Caller()
        caller.lane = .public
        for entrance in OpikDoor().entrances where entrance.asks && !entrance.isOpen {
            let path = entrance.path.replacing("{id}", with: "x").replacing("{comment}", with: "y")
            let reply = await caller.call(entrance.method, path, "{}")
            #expect(reply.status == 403, "\(entrance.path)")
            #expect(reply.json["code"] == "403")
        }
        caller.desk.answer(.quarantined(Refusal(.laneForbidden)))
        #expect(await caller.call(.post, "/v1/private/traces/batch", #"{"traces":[{"id":"a"}]}"#).status == 403)
    }

    @Test("a refused key is a 401 in Opik's shape", arguments: [Reason.unknownKey, .missingKey, .malformedKey, .revokedKey])
    func badKey(reason: Reason) {
        let reply = OpikDoor().reply(to: Refusal(reason), at: OpikDoor().entrances[0], contentType: nil)
        #expect(reply.status == 401)
        #expect(reply.json["message"] == reason.explanation.meaning)
    }

    @Test("the ping needs no key and says healthy")
    func ping() async {
        let caller = Caller()
        caller.lane = .public
        let reply = await caller.call(.get, "/api/is-alive/ping")
        #expect(reply.status == 200)
        #expect(reply.text == #"{"healthy":true}"#)
        #expect(OpikDoor().entrances.filter(\.isOpen).map(\.path).sorted() == ["/is-alive/ping", "/v1/session/redirect/projects"])
    }

    @Test("the link that the SDK logs leads to the review page")
    func redirect() async {
        let reply = await Caller().call(.get, "/api/v1/session/redirect/projects/", query: ["trace_id": "x"])
        #expect(reply.status == 302)
        #expect(reply.headers["Location"] == "/ui/")
    }

    @Test("a one-project key is warned when another project is named, in one line of ASCII")
    func projectNotice() async {
        let caller = Caller()
        let named = await caller.call(.post, "/v1/private/traces/batch", #"{"traces":[{"id":"a","project_name":"größer\nX: y"}]}"#)
        #expect(named.headers["X-Opik-Deprecation"]?.hasPrefix("project_name 'gr??er?X: y' is ignored") == true)
        for name in ["chat-demo", "Default Project"] {
            let reply = await caller.call(.post, "/v1/private/traces/batch", #"{"traces":[{"id":"\#(name)","project_name":"\#(name)"}]}"#)
            #expect(reply.headers["X-Opik-Deprecation"] == nil)
        }
        let workspace = Caller(FakeDesk(workspace: true))
        let reply = await workspace.call(.post, "/v1/private/traces/batch", #"{"traces":[{"id":"a","project_name":"other"}]}"#)
        #expect(reply.headers["X-Opik-Deprecation"] == nil)
        #expect(try! await workspace.desk.projects().map(\.name) == ["chat-demo", "other"])
    }

    @Test("a single record is 201 with its address")
    func location() async {
        let caller = Caller()
        let trace = await caller.call(.post, "/api/v1/private/traces", #"{"id":"a-1"}"#)
        #expect(trace.status == 201)
        #expect(trace.headers["Location"] == "traces/a-1")
        #expect(await caller.call(.post, "/api/v1/private/spans", #"{"id":"s-1","trace_id":"a-1"}"#).headers["Location"] == "spans/s-1")
    }

    @Test("what can't be deleted is a 501, what is unknown a 404")
    func missing() async {
        let caller = Caller(FakeDesk(workspace: true))
        for (method, path, body) in [
            (Entrance.Method.post, "/v1/private/traces/delete", #"{"ids":["a"]}"#), (.delete, "/v1/private/traces/a", ""),
            (.delete, "/v1/private/spans/a", ""), (.post, "/v1/private/traces/threads/delete", "{}"),
        ] {
            #expect(await caller.call(method, path, body).status == 501)
        }
        for (method, path, body) in [
            (Entrance.Method.get, "/v1/private/traces/a", ""), (.get, "/v1/private/spans/a", ""), (.get, "/v1/private/projects/a", ""),
            (.post, "/v1/private/projects/retrieve", #"{"name":"nowhere"}"#), (.get, "/v1/private/annotation-queues/q", ""),
            (.post, "/v1/private/traces/search", #"{"project_name":"nowhere"}"#),
            (.post, "/v1/private/traces/threads/search", #"{"project_name":"nowhere"}"#),
            (.post, "/v1/private/traces/threads/retrieve", #"{"project_name":"chat-demo","thread_id":"t"}"#),
            (.put, "/v1/private/traces/threads/close", #"{"project_name":"chat-demo","thread_id":"t"}"#),
            (.patch, "/v1/private/traces/threads/01900000-0000-7000-8000-000000000009", #"{"tags":[]}"#),
            (.patch, "/v1/private/traces/threads/nonsense", #"{"tags":[]}"#),
            (.post, "/v1/private/traces/threads/nonsense/comments", #"{"text":"x"}"#),
            (.post, "/v1/private/traces/nothing/comments", #"{"text":"x"}"#),
            (.patch, "/v1/private/traces/comments/x~0123456789abcdef", #"{"text":"x"}"#),
            (.post, "/v1/private/attachment/upload-start", "{}"),
        ] {
            let reply = await caller.call(method, path, body)
            #expect(reply.status == 404, "\(path)")
            #expect(reply.json["errors[0]"] != nil)
        }
    }

    @Test("projects are listed, found and made")
    func projects() async {
        let caller = Caller(FakeDesk(workspace: true))
        #expect(await caller.call(.post, "/v1/private/projects", #"{"name":"new"}"#).status == 201)
        #expect(await caller.call(.post, "/v1/private/projects", #"{"name":"new"}"#).status == 409)
        #expect(await caller.call(.post, "/v1/private/projects/retrieve", #"{"name":"new"}"#).json["id"] == "prj_2")
        #expect(await caller.call(.get, "/v1/private/projects/prj_2").json["name"] == "new")
        let list = await caller.call(.get, "/v1/private/projects", query: ["page": "1", "size": "1", "sorting": "[]"])
        #expect(list.json["total"] == "2")
        #expect(list.json["content[0].name"] == "chat-demo")
        #expect(await Caller().call(.post, "/v1/private/projects", #"{"name":"new"}"#).status == 403)
        #expect(await caller.call(.post, "/v1/private/auth").status == 204)
        #expect(await caller.call(.get, "/v1/private/auth/workspace").json["workspace_name"] == "default")
    }
}
