import Events
import Foundation
import Testing

@testable import OpikDoor

/// A request as it was recorded from the SDK.
struct Recorded: Sendable {
    var method: Entrance.Method
    var path: String
    var query: [String: String]
    var body: [UInt8]
    var status: Int64
    var response: JSONText?

    static func of(_ name: String) throws -> [Recorded] {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Captures/\(name).json")
        return try JSONDocument.read([UInt8](Data(contentsOf: file))) { json in
            var requests: [Recorded] = []
            json["requests"]?.forEachElement { request in
                var query: [String: String] = [:]
                request["query"]?.forEachMember { query[String(decoding: $0, as: UTF8.self)] = $1.string }
                requests.append(
                    Recorded(
                        method: Entrance.Method(rawValue: request["method"]!.string!)!, path: request["path"]!.string!, query: query,
                        body: request.json("body")?.bytes ?? [], status: request["status"]!.integer!, response: request.json("response")))
            }
            return requests
        }
    }

    var isWrite: Bool { !path.hasSuffix("search") && method != .get }
}

@Suite("What the SDK was recorded sending")
struct CaptureTests {
    static let names = [
        "01_trace_thread_batching", "02_span_batching", "03_track_decorator_thread", "03b_track_thread_kwarg", "03c_track_error",
        "04_no_batching", "05_update_trace_batching", "06_feedback_scores", "07_threads_client", "08_threads_rest", "09_search_and_get",
        "10_api_key_workspace", "11_429_ratelimit_reset", "11b_429_retry_after", "12_500_retries", "13_400_422_drop", "14_409_swallowed",
        "15_401", "16_413", "17_gzip_threshold_and_big_batch", "18_annotation_queue_threads", "19_project_context",
        "20_distributed_headers", "22_attachment", "24_evaluate_threads_reads",
    ]

    @Test("each recorded request is answered as Opik answered it", arguments: names)
    func replays(name: String) async throws {
        let caller = Caller(FakeDesk(workspace: true))
        // IDs that the recorded server made, and ours for the same things.
        var ours: [(recorded: String, ours: String)] = []
        for request in try Recorded.of(name) {
            func translated(_ text: String) -> String { ours.reduce(text) { $0.replacing($1.recorded, with: $1.ours) } }
            let reply = await caller.call(
                request.method, translated(request.path), query: request.query.mapValues(translated),
                bytes: Array(translated(String(decoding: request.body, as: UTF8.self)).utf8))
            // The server of captures 11-16 was told to refuse; ours takes the same bodies.
            let refusals: Set<Int64> = [400, 401, 409, 413, 422, 429, 500]
            var expected = refusals.contains(request.status) ? 204 : Int(request.status)
            if request.path.hasSuffix("threads/delete") { expected = 501 }
            if request.path.contains("attachment") { expected = 404 }
            if request.method == .get, request.path.contains("/projects/") { ours.append((lastSegment(request.path), "prj_1")) }
            if request.method == .get, request.path.contains("/projects/"), reply.status == 404 { continue }
            #expect(reply.status == expected, "\(request.method) \(request.path): \(reply.text)")
            if let recorded = request.response { learn(recorded, reply, request, &ours) }
        }
        #expect(caller.desk.refused.isEmpty)
    }

    private func lastSegment(_ path: String) -> String { String(path.split(separator: "/").last!) }

    private func learn(_ recorded: JSONText, _ reply: Reply, _ request: Recorded, _ ours: inout [(recorded: String, ours: String)]) {
        var pairs: [(JSONText, JSONText)] = [(recorded, reply.json)]
        if request.path.hasSuffix("search") {
            let lines = reply.body.split(separator: UInt8(ascii: "\n")).map { JSONText(trusted: Array($0)) }
            pairs = lines.compactMap { line in
                recorded.reading { json in
                    var pair: (JSONText, JSONText)?
                    json.forEachElement { if $0.text("id") == line["id"] { pair = (JSONText($0), line) } }
                    return pair
                }
            }
        }
        let isNew = request.path.hasSuffix("/comments") || request.path.hasSuffix("projects/retrieve")
        for (recorded, mine) in pairs {
            for name in ["thread_model_id", "project_id"] + (isNew ? ["id"] : []) {
                if let recorded = recorded[name], let mine = mine[name], recorded != mine { ours.append((recorded, mine)) }
            }
        }
    }

    @Test(
        "writes add up to the same in whatever order they come",
        arguments: ["02_span_batching", "03_track_decorator_thread", "05_update_trace_batching", "01_trace_thread_batching"])
    func converges(name: String) async throws {
        let writes = try Recorded.of(name).filter(\.isWrite)
        var expected: String?
        // All orders of a few writes, of many about 150 evenly out of them.
        let orders = permutations(Array(writes.indices))
        for order in stride(from: 0, to: orders.count, by: max(1, orders.count / 150)).map({ orders[$0] }) {
            let state = try await state(of: writes, in: order)
            if let expected { #expect(state == expected, "order \(order)") } else { expected = state }
        }
        // Sent again, all of it, nothing changes.
        let twice = try await state(of: writes, in: Array(writes.indices) + Array(writes.indices))
        #expect(twice == expected)
    }

    /// What search tells of all traces, spans and threads; patches get their time of arrival as it was, so that only the order differs.
    private func state(of writes: [Recorded], in order: [Int]) async throws -> String {
        let caller = Caller()
        let start = caller.desk.now
        for index in order {
            caller.desk.set(now: Timestamp(microseconds: start.microseconds + 1000 * Int64(index)))
            let reply = await caller.call(writes[index].method, writes[index].path, bytes: writes[index].body)
            #expect(reply.status == 204)
        }
        caller.desk.set(now: start.advanced(bySeconds: 1))
        var lines: [JSONText] = []
        for what in ["traces", "spans", "traces/threads"] { lines += await caller.search(what) }
        return lines.map(\.string).joined(separator: "\n")
    }

    private func permutations(_ items: [Int]) -> [[Int]] {
        guard items.count > 1 else { return [items] }
        return items.indices.flatMap { index -> [[Int]] in
            var rest = items
            let item = rest.remove(at: index)
            return permutations(rest).map { [item] + $0 }
        }
    }

    @Test("@track's late thread, its spans, score and metadata are all there")
    func tracked() async throws {
        let caller = Caller()
        for request in try Recorded.of("03_track_decorator_thread") { await caller.call(request.method, request.path, bytes: request.body) }
        let trace = try #require(await caller.search("traces").first)
        #expect(trace["thread_id"] == "thread-track")
        #expect(trace["name"] == "chat")
        #expect(trace["input"] == #"{"message":"hello"}"#)
        #expect(trace["output"] == #"{"output":"answer to hello"}"#)
        #expect(trace["metadata"] == #"{"k":"v","providers":["openai"]}"#)
        #expect(trace["tags"] == #"["t"]"#)
        #expect(trace["start_time"] == "2026-11-21T02:47:51.166965Z")
        #expect(trace["duration"] == "24.187")
        #expect(trace["span_count"] == "2")
        #expect(trace["llm_span_count"] == "1")
        #expect(trace["usage.total_tokens"] == "3")
        #expect(trace["feedback_scores[0].name"] == "thumbs")
        #expect(trace["error_info"] == nil)
        #expect(trace["comments"] == nil)
        let spans = await caller.search("spans")
        #expect(spans.map { $0["name"] } == ["llm", "chat"])
        #expect(spans[0]["parent_span_id"] == spans[1]["id"])
        #expect(spans[1]["parent_span_id"] == nil)
        #expect(spans[1]["trace_id"] == trace["id"])
        #expect(spans[0]["metadata.provider"] == "openai")
        let thread = await caller.thread("thread-track")
        #expect(thread["number_of_messages"] == "2")
        #expect(thread["usage.total_tokens"] == "3")
        #expect(thread["first_message"] == #"{"message":"hello"}"#)
        #expect(thread["last_message"] == #"{"output":"answer to hello"}"#)
    }

    @Test("an update before its create loses nothing")
    func patchFirst() async throws {
        let caller = Caller()
        let writes = try Recorded.of("05_update_trace_batching").filter(\.isWrite)
        for request in writes.sorted(by: { a, _ in a.method == .patch }) {
            await caller.call(request.method, request.path, bytes: request.body)
        }
        let trace = try #require(await caller.search("traces").first)
        #expect(trace["name"] == "turn")
        #expect(trace["input"] == #"{"q":"hi"}"#)
        #expect(trace["output"] == #"{"late":true}"#)
        #expect(trace["tags"] == #"["upd"]"#)
        #expect(trace["thread_id"] == "thread-upd")
        #expect(trace["start_time"] == "2026-11-21T02:48:20.201902Z")
    }

    @Test("an exception is there as error_info")
    func error() async throws {
        let caller = Caller()
        for request in try Recorded.of("03c_track_error") { await caller.call(request.method, request.path, bytes: request.body) }
        let trace = try #require(
            await caller.search("traces", #"[{"field":"error_info","operator":"is_not_empty","key":"","value":"","type":"error_info"}]"#)
                .first)
        #expect(trace["error_info.exception_type"] == "ValueError")
        #expect(trace["error_info.message"] == "boom")
    }
}
