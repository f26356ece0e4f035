import Conversations
import Events
import HTTPTypes
import Synchronization
import Testing
@testable import Review

@Suite("The shapes of conversations")
struct ThreadRoutesTests {
    let client = ReviewClient()

    static let m1 =
        #"{"type":"message","id":"m1","role":"user","content":"=HYPERLINK(\"http://evil\")","at":"2026-11-18T11:06:40.000Z","receivedAt":"2026-11-18T11:06:41.000Z","provenance":"claimed","confirmation":null,"finding":null,"derivedFrom":null,"user":{"id":"u1","proven":false},"tags":["a"],"metadata":{"page":"/"},"replyTo":null,"retryOf":null,"trace":null,"feedback":{"up":0,"down":0,"votes":[]},"scores":[],"comments":[],"runs":[]}"#
    static let m2 =
        #"{"type":"message","id":"m2","role":"assistant","content":[{"text":"Hi","type":"text"}],"at":"2026-11-18T11:06:42.000Z","receivedAt":"2026-11-18T11:06:42.000Z","provenance":"verified","confirmation":null,"finding":null,"derivedFrom":null,"user":null,"tags":[],"metadata":null,"replyTo":"m1","retryOf":null,"trace":null,"feedback":{"up":1,"down":0,"votes":[{"voter":"user:u1","by":"user","name":"u1","proven":false,"thumb":"up","comment":"thanks","at":"2026-11-18T11:06:44.000Z"}]},"scores":[],"comments":[],"runs":[\#(r1)]}"#
    static let e1 = #"{"type":"event","id":"e1","name":"opened","metadata":null,"at":"2026-11-18T11:06:45.000Z","user":null}"#
    static let r1 =
        #"{"id":"r1","kind":"llm","name":"answer","parent":"m2","thread":"t-1","link":"bound","via":null,"parentProven":false,"input":"Hello","output":null,"model":null,"provider":null,"usage":{"total":3},"cost":0.25,"success":true,"error":null,"startedAt":"2026-11-18T11:06:41.000Z","endedAt":"2026-11-18T11:06:41.500Z","latencyMs":500,"metadata":null,\#(runRest),"runs":[\#(bareRun("r2", link: "bound"))]}"#
    static let runRest =
        #""user":null,"tags":[],"question":null,"answer":null,"trace":null,"extra":null,"feedback":{"up":0,"down":0,"votes":[]},"scores":[],"comments":[],"createdAt":"2026-11-18T11:06:40.000Z","updatedAt":"2026-11-18T11:06:40.000Z""#
    static let r9 = bareRun("r9", link: "none")
    static let score =
        #"{"name":"tone","value":0.5,"category":null,"reason":null,"author":"sdk","judge":"program","at":"2026-11-18T11:06:49.000Z","stale":false}"#
    static let marks = #""reviewed":null,"seen":null,"errors":0,"findings":0"#
    static let opening =
        #""id":"t-1","number":0,"status":"inactive","user":{"id":"u1","proven":false,"props":{"plan":"pro"}},"tags":["vip"]"#
    static let span = #""messageCount":2,"firstAt":"2026-11-18T11:06:40.000Z","lastAt":"2026-11-18T11:06:45.000Z""#

    /// A run of which nothing but its ID is known.
    private static func bareRun(_ id: String, link: String) -> String {
        #"{"id":"\#(id)","kind":null,"name":null,"parent":null,"thread":null,"link":"\#(link)","via":null,"parentProven":false,"input":null,"output":null,"model":null,"provider":null,"usage":null,"cost":null,"success":null,"error":null,"startedAt":null,"endedAt":null,"latencyMs":null,"metadata":null,\#(runRest),"runs":[]}"#
    }

    @Test("a thread in the list")
    func list() async throws {
        let text = String(repeating: "é", count: 300)
        let first = #"{"id":"m1","role":"user","text":"\#(text)","at":"2026-11-18T11:06:40.000Z"}"#
        let last = #"{"id":"m2","role":"assistant","text":"Hi","at":"2026-11-18T11:06:42.000Z"}"#
        let rest =
            #""firstMessage":\#(first),"lastMessage":\#(last),"feedback":{"up":1,"down":0},"scores":[\#(Self.score)],"comments":[],\#(Self.marks)"#
        let answer = try await client.ask("/v1/threads", key: "sk_shop")
        #expect(answer.body == #"{"threads":[{\#(Self.opening),\#(Self.span),\#(rest)}],"next":null,"isPartial":false}"#)
        #expect(answer.headers[.contentType] == "application/json")
        #expect(answer.headers[.xContentTypeOptions] == "nosniff")
        #expect(answer.headers[.cacheControl] == "no-store")
    }

    @Test("a conversation with its feedback and its tree of runs")
    func conversation() async throws {
        let rules = #""removedScores":[],"closes":null,"scoring":"review","inactiveAfterSeconds":900"#
        let thread =
            #"{\#(Self.opening),"metadata":null,\#(Self.span),"scores":[\#(Self.score)],"comments":[],\#(Self.marks),\#(rules)}"#
        let items = [Self.m1, Self.m2, Self.e1].joined(separator: ",")
        let answer = try await client.ask("/v1/threads/t-1", key: "sk_shop")
        #expect(answer.body == #"{"thread":\#(thread),"items":[\#(items)],"runs":[\#(Self.r9)],"next":null}"#)
    }

    @Test("pages of a conversation follow their cursor")
    func pages() async throws {
        #expect(try await client.ask("/v1/threads/t-1?limit=2", key: "sk_shop").body.hasSuffix(#""next":"2"}"#))
        let rest = try await client.ask("/v1/threads/t-1?limit=2&cursor=2", key: "sk_shop").body
        #expect(rest.contains(#""items":[\#(Self.e1)]"#))
    }

    @Test("a message and a run on their own say where they belong")
    func alone() async throws {
        #expect(try await client.ask("/v1/messages/m2", key: "sk_shop").body == #"{"message":\#(Self.m2.dropLast()),"thread":"t-1"}}"#)
        #expect(
            try await client.ask("/v1/runs/r1", key: "sk_shop").body == #"{"run":\#(Self.r1.dropLast()),"message":"m2"}}"#)
        #expect(try await client.ask("/v1/runs/m1", key: "sk_shop").status == 404)
    }

    @Test("an ID with signs of its own is found by its escaped form")
    func escapedID() async throws {
        let store = StubStore.filled()
        store.state.withLock { $0.conversations[StubStore.shop.number]![0].thread.id = "a/b+c d?ü" }
        let answer = try await ReviewClient(store: store).ask("/v1/threads/a%2Fb+c%20d%3F%C3%BC", key: "sk_shop")
        #expect(answer.status == 200)
    }

    @Test("the filters reach the store as they were meant")
    func filters() async throws {
        let address =
            "/v1/threads?limit=7&q=late+order%21&user=u%261&tag=vip&role=assistant&feedback=down&from=2026-11-18T00:00:00Z&to=2026-11-19T01:00:00+01:00&status=active&cursor="
        #expect(try await client.ask(address, key: "sk_shop").status == 200)
        var wanted = ThreadFilter()
        wanted.words = "late order!"
        wanted.user = "u&1"
        wanted.tag = "vip"
        wanted.role = .assistant
        wanted.feedback = .down
        wanted.from = Timestamp(iso8601: "2026-11-18T00:00:00Z")
        wanted.to = Timestamp(iso8601: "2026-11-19T00:00:00Z")
        wanted.status = .active
        client.store.state.withLock { state in
            #expect(state.filter == wanted)
            #expect(state.asked?.limit == 7)
            #expect(state.asked?.cursor == nil)
        }
        _ = try await client.ask("/v1/threads?q=&user=&role=", key: "sk_shop")
        client.store.state.withLock { state in
            #expect(state.filter == ThreadFilter())
            #expect(state.asked?.limit == 50)
        }
    }

    @Test(
        "a parameter that breaks its rule is named with the rule",
        arguments: [
            ("limit=0", "limit", "must be a whole number from 1 to 200"), ("limit=201", "limit", "must be a whole number from 1 to 200"),
            ("limit=many", "limit", "must be a whole number from 1 to 200"),
            ("role=bot", "role", "must be one of user, assistant, system, tool"),
            ("feedback=meh", "feedback", "must be one of up, down, any, none"),
            ("status=open", "status", "must be one of active, inactive"),
            ("from=yesterday", "from", "must be an ISO 8601 time"), ("to=1795000000", "to", "must be an ISO 8601 time"),
            ("cursor=x", "cursor", "must be the `next` of the page before it"),
        ])
    func badParameter(query: String, field: String, rule: String) async throws {
        let answer = try await client.ask("/v1/threads?" + query, key: "sk_shop")
        #expect(answer.status == 400)
        #expect(answer.body.hasPrefix(#"{"error":{"code":"bad_request","message":"The parameter `\#(field)` \#(rule)"#))
        #expect(answer.body.contains(#""field":"\#(field)""#))
    }

    @Test("a store that fails is our side's fault, and says no more")
    func failure() async throws {
        struct Broken: Error {}
        client.store.state.withLock { $0.fault = Broken() }
        let answer = try await client.ask("/v1/threads", key: "sk_shop")
        #expect(answer.status == 500)
        #expect(answer.headers[.retryAfter] == "1")
        #expect(!answer.body.contains("Broken"))
    }
}
