import AgnostDoor
import Events
import Testing

@Suite("Agnost door: what the SDKs sent")
struct CaptureTests {
    @Test("every recorded call becomes a thread, a turn or a tool call, and is answered in the vendor's words")
    func replay() throws {
        var (sessions, events) = (0, 0)
        for (file, capture) in try Calls.recorded() {
            for call in capture.requests where call.method == "POST" && !call.body.hasSuffix("<truncated>") && !call.body.isEmpty {
                let request = Calls.request(call.path, call.body)
                let parcel = try Calls.door.decode(request)
                try #require(parcel.items.count == 1, "\(file)")
                guard case .event(let event) = parcel.items[0] else {
                    Issue.record("\(file): \(parcel.items[0])")
                    continue
                }
                let reply = Calls.door.reply(to: [.stored], of: parcel, for: request)
                #expect(reply.status == 200)
                try JSONDocument.read(Array(call.body.utf8)) { sent in
                    #expect(event.thread == sent["session_id"]?.string, "\(file)")
                    switch event.body {
                    case .thread:
                        sessions += 1
                        let user = sent["user_data"]?["user_id"]?.string ?? sent["user_data"]?["userId"]?.string
                        #expect(event.user?.id == (user == "" ? nil : user), "\(file)")
                        try JSONDocument.read(reply.body) { #expect($0["session_id"]?.string == event.thread, "\(file)") }
                    case .run(let part):
                        events += 1
                        #expect(sent["event_id"]?.string.map { $0 == event.id } ?? true, "\(file)")
                        #expect(part.kind == (sent["primitive_type"]?.string == "tool" ? .tool : .agent), "\(file)")
                        #expect(part.success == sent["success"]?.bool, "\(file)")
                        #expect((part.answer != nil) <= (part.success == true), "\(file)")
                        #expect(part.endedAt == Calls.noon && part.startedAt.map { $0 <= Calls.noon } == true, "\(file)")
                        try JSONDocument.read(reply.body) {
                            #expect($0["success"]?.bool == true)
                            #expect($0["event_id"]?.string == event.id, "\(file)")
                        }
                    default: Issue.record("\(file): \(event.type)")
                    }
                }
            }
        }
        #expect(sessions == 54 && events == 80, "the recordings are there: \(sessions), \(events)")
    }

    @Test("texts, objects, nothing and NaN come out of args and result as they went in")
    func said() throws {
        let capture = try #require(try Calls.recorded().first { $0.file == "09_types_unicode_nulls.json" }).capture
        let parts = try capture.requests.filter { $0.path.hasSuffix("capture-event") }.map { try Calls.run($0.body).part }
        #expect(parts.contains { $0.question == nil && $0.input == nil }, "None is nothing")
        #expect(parts.contains { $0.question?.contains("漢") == true || $0.answer?.contains("漢") == true }, "texts are unescaped twice")
        let odd = try #require(try Calls.recorded().first { $0.file == "10_unserialisable.json" }).capture
        let nan = try odd.requests.filter { $0.path.hasSuffix("capture-event") }.map { try Calls.run($0.body).part }
        #expect(nan.first?.question == "NaN" && nan.first?.input == "\"NaN\"")
    }
}

private func <= (a: Bool, b: Bool) -> Bool { !a || b }
