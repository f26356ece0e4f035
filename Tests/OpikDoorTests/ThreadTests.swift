import Events
import Testing

@testable import OpikDoor

@Suite("Threads")
struct ThreadTests {
    /// Two turns of `t-1`, a minute apart, and one of `t-2`.
    private func talk(_ desk: FakeDesk = FakeDesk()) async -> Caller {
        let caller = Caller(desk)
        await caller.call(
            .post, "/v1/private/traces/batch",
            #"""
            {"traces":[
            {"id":"02","name":"b","start_time":"2026-11-21T02:41:00Z","end_time":"2026-11-21T02:41:02.5Z","input":"q2","output":"a2","thread_id":"t-1",
             "last_updated_at":"2026-11-21T02:41:03Z","tags":["x"],"metadata":{"model":"m1","n":{"a":[5]}}},
            {"id":"01","name":"a","start_time":"2026-11-21T02:40:00Z","end_time":"2026-11-21T02:40:01Z","input":"q1","output":"a1","thread_id":"t-1",
             "last_updated_at":"2026-11-21T02:40:02Z"},
            {"id":"03","name":"c","start_time":"2026-11-21T02:45:00Z","input":{"q":"Weather?"},"thread_id":"t-2","last_updated_at":"2026-11-21T02:45:00Z"}]}
            """#)
        await caller.call(
            .post, "/v1/private/spans/batch",
            #"""
            {"spans":[{"id":"11","trace_id":"01","type":"llm","provider":"openai","usage":{"total_tokens":3},"total_estimated_cost":0.5},
            {"id":"12","trace_id":"02","type":"tool","provider":"acme","usage":{"total_tokens":4}},
            {"id":"13","trace_id":"02","parent_span_id":"12","type":"llm","total_estimated_cost":0.25}]}
            """#)
        return caller
    }

    private func find(_ caller: Caller, _ filters: String) async -> [String?] {
        await caller.search("traces/threads", filters).map { $0["id"] }
    }

    @Test("a thread adds up its traces")
    func aggregates() async {
        let caller = await talk()
        let thread = await caller.thread("t-1")
        #expect(thread["number_of_messages"] == "4")
        #expect(thread["first_message"] == "q1")
        #expect(thread["last_message"] == "a2")
        #expect(thread["start_time"] == "2026-11-21T02:40:00.000000Z")
        #expect(thread["end_time"] == "2026-11-21T02:41:02.500000Z")
        #expect(thread["duration"] == "62500")
        #expect(thread["total_estimated_cost"] == "0.75")
        #expect(thread["usage.total_tokens"] == "7")
        #expect(thread["status"] == "active")
        #expect(thread["feedback_scores"] == nil)
        #expect(thread["tags"] == nil)
        #expect(thread["created_by"] == "admin")
        let open = await caller.thread("t-2")
        #expect(open["duration"] == nil)
        #expect(open["last_message"] == nil)
        #expect(await caller.search("traces/threads").map { $0["id"] } == ["t-2", "t-1"])
    }

    @Test("a trace whose thread comes late moves there, and moves on")
    func moves() async {
        let caller = Caller()
        await caller.call(.post, "/v1/private/traces", #"{"id":"a","input":"q"}"#)
        #expect(await find(caller, "[]") == [])
        await caller.call(.patch, "/v1/private/traces/a", #"{"thread_id":"t-1"}"#)
        #expect(await find(caller, "[]") == ["t-1"])
        await caller.call(.patch, "/v1/private/traces/a", #"{"thread_id":"t-2"}"#)
        #expect(await find(caller, "[]") == ["t-2"])
        #expect(await caller.thread("t-2")["number_of_messages"] == "2")
    }

    @Test("closing, opening, a new turn and time change the status")
    func status() async {
        let caller = await talk()
        let body = #"{"project_name":"chat-demo","thread_id":"t-1"}"#
        #expect(await caller.call(.put, "/v1/private/traces/threads/close", body).status == 204)
        #expect(await caller.call(.put, "/v1/private/traces/threads/close", body).status == 204)
        #expect(await find(caller, #"[{"field":"status","operator":"=","value":"inactive"}]"#) == ["t-1"])
        #expect(await caller.call(.put, "/v1/private/traces/threads/open", body).status == 204)
        #expect(await caller.thread("t-1")["status"] == "active")
        await caller.call(.put, "/v1/private/traces/threads/close", #"{"project_name":"chat-demo","thread_ids":["t-1","t-2"]}"#)
        #expect(await find(caller, #"[{"field":"status","operator":"=","value":"active"}]"#) == [])
        await caller.call(.post, "/v1/private/traces", #"{"id":"04","thread_id":"t-2","input":"again"}"#)
        #expect(await caller.thread("t-2")["status"] == "active")
        caller.desk.advance(bySeconds: 16 * 60)
        #expect(await caller.thread("t-2")["status"] == "inactive")
        // One unknown thread, and none is closed.
        await caller.call(.put, "/v1/private/traces/threads/open", body)
        #expect(await caller.call(.put, "/v1/private/traces/threads/close", #"{"thread_ids":["t-1","nope"]}"#).status == 404)
        #expect(await caller.thread("t-1")["status"] == "active")
        #expect(await caller.call(.put, "/v1/private/traces/threads/close", "{}").status == 422)
    }

    @Test(
        "threads are found by what they hold",
        arguments: [
            (#"{"field":"id","operator":"=","key":"","value":"t-1","type":"string"}"#, ["t-1"]),
            (#"{"field":"id","operator":"=","value":"T-1"}"#, []),
            (#"{"field":"id","operator":"contains","value":"T-"}"#, ["t-2", "t-1"]),
            (#"{"field":"first_message","operator":"contains","value":"weather"}"#, ["t-2"]),
            (#"{"field":"last_message","operator":"ends_with","value":"a2\""}"#, ["t-1"]),
            (#"{"field":"last_message","operator":"!=","value":"x"}"#, ["t-2", "t-1"]),
            (#"{"field":"number_of_messages","operator":">=","value":"4"}"#, ["t-1"]),
            (#"{"field":"number_of_messages","operator":"<","value":"4"}"#, ["t-2"]),
            (#"{"field":"duration","operator":">","value":"60000"}"#, ["t-1"]),
            (#"{"field":"start_time","operator":">","value":"2026-11-21T02:42:00Z"}"#, ["t-2"]),
            (#"{"field":"end_time","operator":"<=","value":"2026-11-21T02:41:02.500000Z"}"#, ["t-1"]),
            (#"{"field":"created_at","operator":"<","value":"2026-11-21T02:44:00Z"}"#, ["t-1"]),
            (#"{"field":"last_updated_at","operator":">","value":"2026-11-21T02:44:00Z"}"#, ["t-2"]),
            (#"{"field":"status","operator":"in","value":"active, inactive"}"#, ["t-2", "t-1"]),
            (#"{"field":"status","operator":"not_in","value":"active"}"#, []),
            (#"{"field":"tags","operator":"is_empty","value":""}"#, ["t-2", "t-1"]),
            (#"{"field":"feedback_scores","operator":"is_empty","key":"s","value":""}"#, ["t-2", "t-1"]),
            (#"{"field":"usage.total_tokens","operator":"=","value":"7"}"#, ["t-1"]),
            (#"{"field":"environment","operator":"=","value":"prod"}"#, []),
        ])
    func filters(filter: String, expected: [String]) async {
        #expect(await find(await talk(), "[\(filter)]") == expected)
    }

    @Test(
        "a filter that makes no sense is a 400",
        arguments: [
            #"{"field":"colour","operator":"=","value":"x"}"#, #"{"field":"id","operator":"~","value":"x"}"#,
            #"{"field":"duration","operator":"contains","value":"1"}"#, #"{"field":"duration","operator":">","value":"long"}"#,
            #"{"field":"start_time","operator":">","value":"today"}"#, "5", "null", "{}",
            #"{"field":"duration","operator":">","value":"NaN"}"#, #"{"field":"duration","operator":">"}"#,
        ])
    func badFilters(filter: String) async {
        let caller = Caller()
        for what in ["traces", "spans", "traces/threads"] {
            #expect(await caller.call(.post, "/v1/private/\(what)/search", #"{"filters":[\#(filter)]}"#).status == 400)
        }
        #expect(await caller.call(.get, "/v1/private/traces", query: ["filters": "[\(filter)]"]).status == 400)
        #expect(await caller.call(.get, "/v1/private/traces", query: ["filters": "["]).status == 400)
    }

    @Test(
        "traces and spans are found by what they hold",
        arguments: [
            ("traces", #"{"field":"thread_id","operator":"=","value":"t-1"}"#, ["02", "01"]),
            ("traces", #"{"field":"name","operator":"starts_with","value":"A"}"#, ["01"]),
            ("traces", #"{"field":"metadata","operator":"=","key":"model","value":"m1"}"#, ["02"]),
            ("traces", #"{"field":"metadata","operator":">=","key":"$.n.a[0]","value":"4"}"#, ["02"]),
            ("traces", #"{"field":"metadata","operator":"contains","key":"","value":"m1"}"#, ["02"]),
            ("traces", #"{"field":"input_json","operator":"=","key":"q","value":"weather?"}"#, ["03"]),
            ("traces", #"{"field":"tags","operator":"contains","value":"X"}"#, ["02"]),
            ("traces", #"{"field":"duration","operator":"=","value":"2500"}"#, ["02"]),
            ("traces", #"{"field":"llm_span_count","operator":">","value":"0"}"#, ["02", "01"]),
            ("traces", #"{"field":"usage.total_tokens","operator":">","value":"3"}"#, ["02"]),
            ("traces", #"{"field":"total_estimated_cost","operator":">=","value":"0.5"}"#, ["01"]),
            ("traces", #"{"field":"error_info","operator":"is_empty","value":""}"#, ["03", "02", "01"]),
            ("traces", #"{"field":"id","operator":"=","value":"03"}"#, ["03"]),
            ("traces", #"{"field":"id","operator":"=","value":"11"}"#, []),
            ("traces", #"{"field":"guardrails","operator":"=","value":"failed"}"#, []),
            ("spans", #"{"field":"type","operator":"=","value":"llm"}"#, ["13", "11"]),
            ("spans", #"{"field":"provider","operator":"=","value":"openai"}"#, ["11"]),
            ("spans", #"{"field":"parent_span_id","operator":"=","value":"12"}"#, ["13"]),
            ("spans", #"{"field":"usage.total_tokens","operator":"<","value":"4"}"#, ["11"]),
            ("spans", #"{"field":"trace_id","operator":"=","value":"02"}"#, ["13", "12"]),
        ])
    func runFilters(what: String, filter: String, expected: [String]) async {
        #expect(await talk().search(what, "[\(filter)]").map { $0["id"] } == expected)
    }

    @Test("pages follow the last line's ID; fields can be left out; a trace's spans are found by it")
    func pages() async {
        let caller = await talk()
        let first = await caller.search("traces", more: #","limit":2,"last_retrieved_id":null,"exclude":null"#)
        #expect(first.map { $0["id"] } == ["03", "02"])
        let second = await caller.search("traces", more: #","limit":2,"last_retrieved_id":"02","exclude":["input","metadata"]"#)
        #expect(second.map { $0["id"] } == ["01"])
        #expect(second[0]["input"] == nil)
        #expect(second[0]["metadata"] == nil)
        #expect(second[0]["output"] == "a1")
        #expect(await caller.search("spans", more: #","trace_id":"02""#).map { $0["id"] } == ["13", "12"])
        let threads = await caller.search("traces/threads", more: #","limit":1"#)
        #expect(threads.map { $0["id"] } == ["t-2"])
        for cursor in ["t-2", threads[0]["thread_model_id"]!] {
            let rest = await caller.search("traces/threads", more: #","last_retrieved_thread_model_id":"\#(cursor)""#)
            #expect(rest.map { $0["id"] } == ["t-1"])
        }
    }

    @Test("lists are paged, sorted and searched")
    func lists() async {
        let caller = await talk()
        let traces = await caller.call(
            .get, "/v1/private/traces",
            query: ["page": "1", "size": "2", "sorting": #"[{"field":"name","direction":"ASC"}]"#, "project_name": "chat-demo"])
        #expect(traces.json["total"] == "3")
        #expect(traces.json["size"] == "2")
        #expect(traces.json["content[0].id"] == "01")
        #expect(traces.json["content[1].metadata.providers[0]"] == "acme")
        #expect(await caller.call(.get, "/v1/private/traces", query: ["search": "weather"]).json["content[0].id"] == "03")
        let threads = await caller.call(
            .get, "/v1/private/traces/threads", query: ["sorting": #"[{"field":"duration","direction":"DESC"}]"#])
        #expect(threads.json["content[0].id"] == "t-1")
        #expect(await caller.call(.get, "/v1/private/spans", query: ["trace_id": "02", "type": "tool"]).json["content[0].id"] == "12")
        #expect(await caller.call(.get, "/v1/private/traces", query: ["page": "9999999999999999", "size": "2000"]).json["content"] == "[]")
        #expect(await caller.call(.get, "/v1/private/traces/threads/stats").json["stats[0].value"] == "2")
        #expect(await caller.call(.get, "/v1/private/traces/stats").json["stats[0].value"] == "3")
        #expect(await caller.call(.get, "/v1/private/traces", query: ["sorting": #"[{"field":"nope"}]"#]).status == 400)
    }

    @Test("one trace and one span, whole")
    func single() async {
        let caller = await talk()
        let trace = await caller.call(.get, "/v1/private/traces/02").json
        #expect(trace["providers"] == #"["acme"]"#)
        #expect(trace["has_tool_spans"] == "true")
        #expect(trace["span_count"] == "2")
        let span = await caller.call(.get, "/v1/private/spans/13").json
        #expect(span["parent_span_id"] == "12")
        #expect(span["trace_id"] == "02")
        #expect(await caller.call(.get, "/v1/private/spans/02").status == 404)
        #expect(await caller.call(.get, "/v1/private/traces/13").status == 404)
    }

    @Test("tags by model ID: replaced, added, taken off")
    func tags() async throws {
        let caller = await talk()
        let model = try #require(await caller.thread("t-1")["thread_model_id"])
        #expect(model == "01900000-0000-7000-8000-000000000001")
        let path = "/v1/private/traces/threads/\(model)"
        #expect(await caller.call(.patch, path, #"{"tags":["a","b"]}"#).status == 204)
        #expect(await caller.call(.patch, path, #"{"tags_to_add":["c"],"tags_to_remove":["a"]}"#).status == 204)
        #expect(await caller.thread("t-1")["tags"] == #"["b","c"]"#)
        #expect(
            await caller.call(
                .patch, "/v1/private/traces/threads/batch", #"{"ids":["\#(model)"],"update":{"tags":["d"]},"merge_tags":true}"#
            ).status == 204)
        #expect(await caller.thread("t-1")["tags"] == #"["b","c","d"]"#)
        #expect(await caller.call(.patch, path, #"{"tags":["z"]}"#).status == 204)
        #expect(await caller.thread("t-1")["tags"] == #"["z"]"#)
        #expect(await find(caller, #"[{"field":"tags","operator":"contains","value":"z"}]"#) == ["t-1"])
        #expect(await caller.call(.patch, path, #"{"tags":[]}"#).status == 204)
        #expect(await caller.thread("t-1")["tags"] == nil)
        #expect(await caller.call(.patch, path, "{}").status == 204)
    }

    @Test("comments are made, read, changed and deleted, on threads, traces and spans")
    func comments() async throws {
        let caller = await talk()
        let model = try #require(await caller.thread("t-1")["thread_model_id"])
        for (path, folder) in [("traces/threads/\(model)", "traces/threads"), ("traces/01", "traces"), ("spans/11", "spans")] {
            let made = await caller.call(.post, "/v1/private/\(path)/comments", #"{"text":"first"}"#)
            let id = try #require(made.json["id"])
            #expect(made.status == 201)
            #expect(made.headers["Location"] == "comments/\(id)")
            #expect(await caller.call(.get, "/v1/private/\(path)/comments/\(id)").json["text"] == "first")
            #expect(await caller.call(.patch, "/v1/private/\(folder)/comments/\(id)", #"{"text":"edited"}"#).status == 204)
            #expect(await caller.call(.get, "/v1/private/\(path)/comments/\(id)").json["text"] == "edited")
            if folder == "traces" { #expect(await caller.call(.get, "/v1/private/traces/01").json["comments[0].text"] == "edited") }
            if folder == "traces/threads" { #expect(await caller.thread("t-1")["comments[0].id"] == id) }
            #expect(await caller.call(.post, "/v1/private/\(folder)/comments/delete", #"{"ids":["\#(id)","gone"]}"#).status == 204)
            #expect(await caller.call(.get, "/v1/private/\(path)/comments/\(id)").status == 404)
            #expect(await caller.call(.post, "/v1/private/\(path)/comments", #"{"text":"  "}"#).status == 422)
        }
        #expect(await caller.thread("t-1")["comments"] == nil)
    }

    @Test("a queue and what is in it")
    func queues() async throws {
        let caller = await talk()
        let model = try #require(await caller.thread("t-1")["thread_model_id"])
        let base = "/v1/private/annotation-queues"
        #expect(
            await caller.call(.post, base, #"{"id":"q-1","project_id":"prj_1","name":"review","scope":"thread","instructions":"i"}"#).status
                == 201)
        #expect(await caller.call(.post, "\(base)/q-1/items/add", #"{"ids":["\#(model)","\#(model)"]}"#).status == 204)
        #expect(await caller.call(.patch, "\(base)/q-1", #"{"description":"d","instructions":null}"#).status == 204)
        let queue = await caller.call(.get, "\(base)/q-1").json
        #expect(queue["items_count"] == "1")
        #expect(queue["description"] == "d")
        #expect(queue["instructions"] == "i")
        #expect(await caller.thread("t-1")["annotation_queues[0].name"] == "review")
        #expect(await find(caller, #"[{"field":"annotation_queue_ids","operator":"contains","value":"q-1"}]"#) == ["t-1"])
        #expect(await caller.call(.get, base).json["total"] == "1")
        #expect(await caller.call(.post, "\(base)/q-1/items/delete", #"{"ids":["\#(model)"]}"#).status == 204)
        #expect(await caller.call(.get, "\(base)/q-1").json["items_count"] == "0")
        #expect(await caller.call(.post, "\(base)/delete", #"{"ids":["q-1"]}"#).status == 204)
        #expect(await caller.call(.get, "\(base)/q-1").status == 404)
        #expect(await caller.call(.post, base, #"{"name":"unnamed"}"#).status == 201)
        #expect(await caller.call(.post, base, "{}").status == 422)
    }

    @Test("model IDs and thread numbers are each other's image", arguments: [0, 1, 255, 281_474_976_710_655] as [Int64])
    func modelIDs(number: Int64) {
        #expect(ThreadModelID.number(of: ThreadModelID.of(number)) == number)
        #expect(ThreadModelID.number(of: ThreadModelID.of(number).uppercased()) == number)
        let comment = CommentID.onThread(number, at: FakeDesk.moment, digest: Array(repeating: 0xFF, count: 16))
        #expect(CommentID.thread(of: comment) == number)
        #expect(comment.dropFirst(14).first == "7")
        #expect(ThreadModelID.number(of: "01900000-0000-7000-8000-00000000000g") == nil)
        #expect(ThreadModelID.number(of: "") == nil)
    }
}
