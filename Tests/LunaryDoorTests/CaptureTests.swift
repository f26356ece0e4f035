import Events
import LunaryDoor
import Testing

@Suite("Recorded Lunary traffic")
struct CaptureTests {
    let door = LunaryDoor()

    @Test("every recorded request is taken whole, and again the same", arguments: Capture.names)
    func replayed(_ name: String) throws {
        let capture = try Capture(name)
        for request in capture.requests where request.method == "POST" && request.path == "/v1/runs/ingest" {
            for lane in Lane.allCases {
                let (first, second) = try (
                    door.decode(door.request(request.body, lane: lane)), door.decode(door.request(request.body, lane: lane))
                )
                #expect(first.refusals.isEmpty)
                #expect(first.events == second.events)
                // What stores keep reads back as the same event.
                for event in first.events {
                    let again = try JSONDocument.read(event.json().bytes, isOurs: true) { try Event($0) }
                    #expect(again == event)
                }
                var sent = 0
                try JSONDocument.read(request.body) { sent = $0["events"]?.count ?? 0 }
                let reply = door.reply(to: first.items.map { _ in .stored }, of: first, for: door.request(request.body, lane: lane))
                let results = try JSONDocument.read(reply.body) { $0["results"]?.count }
                #expect(reply.status == 200 && results == sent)
                #expect(first.usesSchemeNames == name.hasPrefix("py_"))
                // The keys that lunary-py sends along are kept nowhere.
                #expect(first.events.allSatisfy { !$0.json().string.contains(request.key) })
            }
        }
        #expect(!capture.requests.isEmpty)
    }

    @Test(
        "a thread's messages keep their roles, tags, users and times", arguments: ["py_thread_chat_roles", "js_browser_thread_chat_roles"])
    func roles(_ name: String) throws {
        let events = try door.parcels(name).flatMap(\.events)
        let messages = events.filter { $0.message != nil }
        #expect(messages.compactMap(\.message?.role) == [.user, .assistant, .system, .tool])
        #expect(messages.compactMap(\.message?.content) == ["user", "assistant", "system", "tool"].map { .text("hello from \($0)") })
        #expect(messages.allSatisfy { $0.at != nil && $0.message?.replyTo == nil && $0.message?.tags == [] && $0.metadata == nil })
        let isPython = name.hasPrefix("py")
        #expect(Set(messages.map(\.thread)) == [isPython ? "d1a6fabf-36eb-e41e-41a8-331cedab2b80" : threadID])
        #expect(messages.allSatisfy { $0.user?.id == (isPython ? "user-1" : nil) })
        let patches = events.filter { $0.patch != nil }
        #expect(patches.count == 4 && Set(patches.map(\.id)).count == 1 && patches.allSatisfy { $0 == patches[0] })
        #expect(patches[0].patch?.tags == ["support"] && patches[0].thread == messages[0].thread)
        #expect(patches[0].metadata == (isPython ? json(#"{"page":"/pricing"}"#) : nil))
    }

    @Test("a message with an ID of its own has that, also where Python hashed it")
    func ownID() throws {
        for name in ["py_thread_chat_custom_id_retry_feedback", "js_browser_thread_chat_identified"] {
            let events = try door.parcels(name).flatMap(\.events)
            let message = try #require(events.first)
            #expect(message.id == messageID)
            #expect(message.message?.tags == ["t1"] && message.message?.content == .text("with id") && message.message?.retryOf == nil)
            #expect(message.metadata == json(#"{"extra":{"lang":"fr"},"isRetry":true}"#))
            let votes = events.filter { $0.feedback != nil }
            #expect(votes.map(\.feedback) == [Event.Feedback(target: messageID, thumb: .up, leaves: .comment)])
            #expect(votes[0].thread == message.thread && votes[0].user == message.user && votes[0].id != message.id)
        }
        let second = try #require(try door.parcels("py_thread_chat_custom_id_retry_feedback").flatMap(\.events).last { $0.message != nil })
        #expect(second.id == "46bf2848-a3af-4813-be45-72787e5a97d4" && second.message?.role == .assistant)
        #expect(second.message?.content == .text(""))
        #expect(
            second.metadata == json(#"{"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]}"#))
        #expect(try door.parcels("js_browser_thread_chat_identified").flatMap(\.events).contains { $0.id == "vercel-msg-abc" })
    }

    @Test("custom events stand in their thread, with their metadata")
    func customEvents() throws {
        let browser = try door.parcels("js_browser_custom_event").flatMap(\.events)
        #expect(browser.count == 1 && browser[0].eventName == "open-document" && browser[0].thread == threadID)
        #expect(
            browser[0].metadata == json(#"{"documentName":"my-document.pdf"}"#) && browser[0].id == "755fc7e9-bd93-4804-ecea-a6c0ebeaa725")
        let python = try door.parcels("py_thread_custom_event").flatMap(\.events)
        #expect(python.filter { $0.eventName != nil }.count == 2 && python.contains { $0.patch?.tags == ["support"] })
    }

    @Test("votes go up, down and away")
    func votes() throws {
        let names = ["py_feedback_up", "py_feedback_down_comment", "py_feedback_thumb_null"]
        let python = try names.flatMap { try door.parcels($0).flatMap(\.events) }
        let target = "d6d5f0f7-2eb8-ddc3-6ed6-b56fd64cd810"
        #expect(
            python.map(\.feedback) == [
                Event.Feedback(target: target, thumb: .up, leaves: .comment),
                Event.Feedback(target: target, thumb: .down, comment: "meh"),
                Event.Feedback(target: target, thumb: nil, leaves: .comment),
            ])
        #expect(python.map(\.metadata) == [nil, nil, json(#"{"feedback":{"thumb":null}}"#)])
        let browser = try door.parcels("js_browser_feedback").flatMap(\.events)
        #expect(browser.map { $0.feedback?.thumb } == [.up, nil, .down, nil] && Set(browser.map(\.id)).count == 4)
        #expect(browser.map(\.type) == ["feedback", "feedback", "feedback", "x-feedback"])
        #expect(browser.allSatisfy { $0.user?.id == "user-1" })
    }

    @Test("an agent and its tool are runs under the message, whatever their ends say of parents")
    func agents() throws {
        let events = try door.parcels("py_agent_tool_in_parent_ctx").flatMap(\.events)
        let parts = events.compactMap(\.run)
        let (agent, tool) = ("50a2397f-ae76-7353-b14f-7cc0597d9297", "f52cedcf-e6db-9c4d-7511-642253ca215a")
        #expect(events.map(\.id) == [agent, tool, tool, agent])
        #expect(parts.map(\.kind) == [.agent, .tool, .tool, .agent])
        #expect(parts.map(\.parent) == ["d6d5f0f7-2eb8-ddc3-6ed6-b56fd64cd810", agent, nil, nil])
        #expect(
            parts[0].startedAt == events[0].at && parts[0].endedAt == nil && parts[0].input == "\"how?\"" && parts[0].tags == ["agent-tag"])
        #expect(parts[2].output == json(#"{"hits":["how?"]}"#) && parts[2].success == true && parts[2].endedAt == events[2].at)
        #expect(parts[2].extra == json(#"{"endParent":"d6d5f0f7-2eb8-ddc3-6ed6-b56fd64cd810","runtime":"lunary-py"}"#))
        #expect(parts[3].name == "SupportAgent" && parts[3].output == "\"answer\"" && events[0].user?.id == "user-1")
    }

    @Test("a monitored model call has its model, usage and metadata")
    func modelCalls() throws {
        let events = try door.parcels("py_llm_openai_parent_kwarg").flatMap(\.events)
        let parts = events.compactMap(\.run)
        #expect(parts.count == 2 && parts[0].kind == .llm && parts[0].model == "gpt-4o" && parts[0].tags == ["chat"])
        #expect(events[0].metadata == json(#"{"requestId":"r-1"}"#) && events[0].user?.props == json(#"{"plan":"free"}"#))
        #expect(parts[1].usage == json(#"{"outputTokens":5,"inputTokens":11,"cachedTokens":3}"#) && parts[1].success == true)
        #expect(parts[0].extra == json(#"{"params":{"temperature":0.3},"runtime":"lunary-py"}"#))
        let script = try door.parcels("js_node_llm_openai_set_parent").flatMap(\.events).compactMap(\.run)
        #expect(script[0].parent == messageID && script[1].usage != nil && script[1].output != nil)
        let stream = try door.parcels("py_llm_openai_stream_parent_ctx").flatMap(\.events).compactMap(\.run)
        #expect(stream.last?.usage?.string.contains("outputTokens") == true && stream.last?.usage?.string.contains("inputTokens") == false)
    }

    @Test("errors end a run without success", arguments: ["py_tool_error", "py_llm_openai_error", "js_node_tool_error"])
    func errors(_ name: String) throws {
        let last = try #require(try door.parcels(name).flatMap(\.events).compactMap(\.run).last)
        #expect(last.success == false && last.error != nil && last.endedAt != nil)
    }

    @Test("log lines and the old thread API are kept, from either lane")
    func oldWays() throws {
        let lines = try door.parcels("js_browser_log_events").flatMap(\.events)
        #expect(lines.count == 4 && lines.allSatisfy { $0.eventName == "log" && $0.thread == nil } && Set(lines.map(\.id)).count == 4)
        #expect(lines[0].metadata == json(#"{"level":"info","message":"hello log","extra":{"k":1}}"#))

        let (thread, turn) = ("2bc68072-824b-4d28-811e-8cf2bcf2018e", "34f67551-f93c-4951-f312-e3b3b76a5af7")
        let page = try door.parcels("js_browser_deprecated_thread_api", lane: .public).flatMap(\.events)
        #expect(page.map(\.thread) == [thread, thread, thread] && page[0].patch != nil)
        #expect(page.dropFirst().map(\.id) == [turn, turn] && page.compactMap(\.message?.role) == [.user, .assistant])
        #expect(page.compactMap(\.message?.content) == [.text("old style"), .text("old answer")])
        let backend = try door.parcels("js_browser_deprecated_thread_api").flatMap(\.events)
        #expect(backend.compactMap(\.run).map { $0.question ?? $0.answer } == ["old style", "old answer"])
        #expect(backend[1].thread == thread && backend[1].run?.question == "old style" && backend[2].run?.answer == "old answer")
    }

    @Test("the events of a batch go to the projects whose keys they carry")
    func destinations() throws {
        let parcel = try #require(try door.parcels("py_mixed_appid_batch").first)
        #expect(parcel.destinations == [.ofKey(otherKey), .ofKey(privateKey), .ofKey(privateKey)])
        #expect(parcel.items.count == parcel.destinations.count)
        #expect(try door.parcels("py_feedback_up").first?.destinations == [])
    }

    @Test("LangChain's runs hang together under the message")
    func langChain() throws {
        let events = try door.parcels("py_langchain_handler").flatMap(\.events)
        let starts = events.filter { $0.run?.startedAt != nil }
        #expect(starts.count == 4 && starts[0].run?.parent == "d6d5f0f7-2eb8-ddc3-6ed6-b56fd64cd810")
        #expect(starts.compactMap(\.run?.provider) == ["fakelistchatmodel"])
        #expect(starts.dropFirst().allSatisfy { $0.run?.parent == starts[0].id } && starts.allSatisfy { $0.user?.id == "lc-user" })
    }

    @Test("odd values of Python cost neither themselves nor their neighbours")
    func oddValues() throws {
        let lines = try String(decoding: Capture.bytes(of: "py_odd_values.txt"), as: UTF8.self).split(separator: "\n")
        let events = lines.enumerated().map { index, line in
            let value = line.drop(while: { $0 != " " }).dropFirst()
            return #"{"event":"start","type":"tool","runId":"run-\#(index)","input":\#(value),"runtime":"lunary-py"}"#
        }
        let parcel = try door.parcel(#"{"events":[\#(events.joined(separator: ","))]}"#)
        #expect(lines.count > 10 && parcel.refusals.isEmpty && parcel.items.count == lines.count)
        #expect(parcel.events[0].run?.input == json(#"{"v":null}"#))
        #expect(parcel.events.contains { $0.run?.input == json("{\"v\":\"a\u{FFFD}b\"}") })
    }
}
