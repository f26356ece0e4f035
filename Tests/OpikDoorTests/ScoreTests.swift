import Events
import Testing

@testable import OpikDoor

@Suite("Scores")
struct ScoreTests {
    private func score(_ caller: Caller, _ value: String, name: String = "s", more: String = "") async -> Reply {
        await caller.call(
            .put, "/v1/private/traces/feedback-scores",
            #"{"scores":[{"id":"a","project_name":"chat-demo","name":"\#(name)","value":\#(value),"category_name":null,"reason":null,"source":"sdk"\#(more)}]}"#
        )
    }

    private func read(_ caller: Caller) async -> JSONText { await caller.call(.get, "/v1/private/traces/a").json }

    @Test("a score may come before its trace; the last of a name counts, also when it returns to an earlier value")
    func upsert() async {
        let caller = Caller()
        #expect(await score(caller, "1.0").status == 204)
        await caller.call(.post, "/v1/private/traces", #"{"id":"a"}"#)
        #expect(await read(caller)["feedback_scores[0].value"] == "1")
        _ = await score(caller, "0.5")
        _ = await score(caller, "0.5")
        #expect(await read(caller)["feedback_scores[0].value"] == "0.5")
        _ = await score(caller, "1")
        #expect(await read(caller)["feedback_scores[0].value"] == "1")
        #expect(await read(caller)["feedback_scores[1]"] == nil)
    }

    @Test("of one name twice in a batch the last counts")
    func twiceInBatch() async {
        let caller = Caller()
        await caller.call(.post, "/v1/private/traces", #"{"id":"a"}"#)
        await caller.call(
            .put, "/v1/private/traces/feedback-scores", #"{"scores":[{"id":"a","name":"s","value":1},{"id":"a","name":"s","value":2}]}"#)
        #expect(await read(caller)["feedback_scores[0].value"] == "2")
    }

    @Test("deleted scores are gone, absent and not empty")
    func deleted() async {
        let caller = Caller()
        await caller.call(.post, "/v1/private/traces", #"{"id":"a"}"#)
        await caller.call(.post, "/v1/private/spans", #"{"id":"b","trace_id":"a"}"#)
        _ = await score(caller, "1", more: #","author":"eve""#)
        _ = await score(caller, "2")
        #expect(await caller.call(.post, "/v1/private/traces/a/feedback-scores/delete", #"{"name":"s","author":"eve"}"#).status == 204)
        #expect(await read(caller)["feedback_scores[0].value"] == "2")
        #expect(await caller.call(.post, "/v1/private/traces/a/feedback-scores/delete", #"{"name":"s"}"#).status == 204)
        #expect(await read(caller)["feedback_scores"] == nil)
        #expect(await caller.call(.put, "/v1/private/spans/b/feedback-scores", #"{"name":"q","value":0.5,"source":"ui"}"#).status == 204)
        #expect(await caller.call(.get, "/v1/private/spans/b").json["feedback_scores[0].source"] == "ui")
        #expect(await caller.call(.get, "/v1/private/traces/a").json["span_feedback_scores[0].name"] == "q")
        #expect(await caller.call(.post, "/v1/private/spans/b/feedback-scores/delete", #"{"name":"q"}"#).status == 204)
        #expect(await caller.call(.get, "/v1/private/spans/b").json["feedback_scores"] == nil)
        #expect(await caller.call(.post, "/v1/private/traces/a/feedback-scores/delete", "{}").status == 422)
    }

    @Test("authors are averaged, each with its own")
    func authors() async {
        let caller = Caller()
        await caller.call(.post, "/v1/private/traces", #"{"id":"a"}"#)
        _ = await score(caller, "1", more: #","author":"eve""#)
        _ = await score(caller, "0")
        let trace = await read(caller)
        #expect(trace["feedback_scores[0].value"] == "0.5")
        #expect(trace["feedback_scores[0].value_by_author.eve.value"] == "1")
        #expect(trace["feedback_scores[0].value_by_author.admin.value"] == "0")
        #expect(await caller.search("traces", #"[{"field":"feedback_scores","operator":"=","key":"s","value":"0.5"}]"#).count == 1)
        #expect(await caller.call(.get, "/v1/private/traces/feedback-scores/names").json["scores[0].name"] == "s")
    }

    @Test(
        "a score that can't be one costs itself alone",
        arguments: [
            "5", "null", "{}", #"{"id":"a","name":"s"}"#, #"{"id":"a","name":"s","value":"1"}"#, #"{"id":"a","name":"s","value":null}"#,
            #"{"id":"a","name":"","value":1}"#, #"{"name":"s","value":1}"#, #"{"id":"","name":"s","value":1}"#,
            #"{"id":"a","name":{},"value":1}"#, #"{"id":"a","name":"s","value":1,"author":"\#(String(repeating: "x", count: 200))"}"#,
        ])
    func hostile(score: String) async {
        for path in ["traces", "spans"] {
            let caller = Caller()
            await caller.call(.post, "/v1/private/\(path)", #"{"id":"z"}"#)
            let reply = await caller.call(
                .put, "/v1/private/\(path)/feedback-scores",
                #"{"scores":[{"id":"z","name":"x","value":1},\#(score),{"id":"z","name":"y","value":2}]}"#)
            #expect(reply.status == 204)
            #expect(await caller.call(.get, "/v1/private/\(path)/z").json["feedback_scores[1].name"] == "y")
            #expect(caller.desk.refused.count == 1)
        }
        let caller = Caller()
        #expect(await caller.call(.put, "/v1/private/traces/threads/feedback-scores", #"{"scores":[\#(score)]}"#).status == 204)
        #expect(caller.desk.refused.count == 1)
    }

    @Test("a thread is scored before and after it exists, and the scores found and deleted")
    func threads() async {
        let caller = Caller()
        let body =
            #"{"scores":[{"thread_id":"t","project_name":"chat-demo","name":"n","value":0.8,"reason":"r","category_name":"c","source":"sdk"}]}"#
        #expect(await caller.call(.put, "/v1/private/traces/threads/feedback-scores", body).status == 204)
        await caller.call(.post, "/v1/private/traces", #"{"id":"a","thread_id":"t","input":"q"}"#)
        let thread = await caller.thread("t")
        #expect(thread["feedback_scores[0].value"] == "0.8")
        #expect(thread["feedback_scores[0].reason"] == "r")
        #expect(thread["feedback_scores[0].category_name"] == "c")
        #expect(thread["number_of_messages"] == "2")
        #expect(await caller.search("traces/threads", #"[{"field":"feedback_scores","operator":">=","key":"n","value":"0.5"}]"#).count == 1)
        #expect(await caller.call(.get, "/v1/private/traces/threads/feedback-scores/names").json["scores[0].name"] == "n")
        #expect(
            await caller.call(
                .post, "/v1/private/traces/threads/feedback-scores/delete", #"{"project_name":"chat-demo","thread_id":"t","names":["n"]}"#
            )
            .status == 204)
        #expect(await caller.thread("t")["feedback_scores"] == nil)
    }

    @Test("where scoring is strict, an active thread answers 409 and the score is set aside, a closed one takes it")
    func strict() async {
        let caller = Caller(FakeDesk(scoring: .strict))
        await caller.call(.post, "/v1/private/traces/batch", #"{"traces":[{"id":"a","thread_id":"t"},{"id":"b","thread_id":"u"}]}"#)
        await caller.call(.put, "/v1/private/traces/threads/close", #"{"thread_id":"u"}"#)
        let body = #"{"scores":[{"thread_id":"t","name":"n","value":1},{"thread_id":"u","name":"n","value":1}]}"#
        let reply = await caller.call(.put, "/v1/private/traces/threads/feedback-scores", body)
        #expect(reply.status == 409)
        #expect(reply.json["errors[0]"] == "Thread '[t]' must be closed before scoring")
        #expect(caller.desk.refused.count == 1)
        #expect(await caller.thread("t")["feedback_scores"] == nil)
        #expect(await caller.thread("u")["feedback_scores[0].value"] == "1")
        await caller.call(.put, "/v1/private/traces/threads/close", #"{"thread_id":"t"}"#)
        #expect(await caller.call(.put, "/v1/private/traces/threads/feedback-scores", body).status == 204)
    }

    @Test("scores of several projects go each to its own")
    func projects() async throws {
        let caller = Caller(FakeDesk(workspace: true))
        let reply = await caller.call(
            .put, "/v1/private/traces/threads/feedback-scores",
            #"{"scores":[{"thread_id":"t","project_name":"one","name":"n","value":1},{"thread_id":"t","project_name":"two","name":"n","value":2}]}"#
        )
        #expect(reply.status == 204)
        for (project, value) in [("one", "1"), ("two", "2")] {
            let thread = await caller.call(.post, "/v1/private/traces/threads/retrieve", #"{"project_name":"\#(project)","thread_id":"t"}"#)
            #expect(thread.json["feedback_scores[0].value"] == value)
        }
    }
}
