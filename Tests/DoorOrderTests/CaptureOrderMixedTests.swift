import Events
import Testing

/// A page's own messages, before, after and between what backends recorded of the same conversation.
@Suite("Recorded traffic and a page's messages in every order")
struct CaptureOrderMixedTests {
    /// The message and thread that the Lunary captures name, in Python's case by hashes of them.
    static let message = "9f1c2a34-5b6d-4e7f-8a90-b1c2d3e4f506"
    static let thread = "3c1f7d2e-0a4b-4c5d-9e6f-7a8b9c0d1e2f"

    @Test("Lunary's runs, votes and threads meet the page's message by its ID or by Python's name for it")
    func lunary() async throws {
        // A capture that holds that message itself says other words under its ID: there the first stands, by P-ID-4.
        let captures = try Capture.all(.lunary).filter { capture in
            try !capture.calls.contains { try $0.parcel().items.contains { $0.id == Self.message } }
        }
        let pages = [
            Page.message(Self.message, in: Self.thread, "hello from the page", at: "2026-11-21T02:40:00Z"),
            Page.vote("0b0e1f5a-93a3-4e7b-9d0c-5f1d2a7b6c01", on: Self.message, in: Self.thread, at: "2026-11-21T02:41:00Z"),
        ]
        try await check(captures.map { ($0, pages) })
    }

    @Test("Opik's traces meet the page's messages by their IDs, or by their words")
    func opik() async throws {
        try await check(try Capture.all(.opik).map { ($0, try Page.messages(for: $0, naming: true)) })
    }

    @Test("Agnost's turns meet the page's messages by their words")
    func agnost() async throws {
        // Those from 20 on try how the SDK takes errors, with the same two requests.
        let captures = try Capture.all(.agnost).filter { !$0.name.hasPrefix("2") }
        try await check(try captures.map { ($0, try Page.messages(for: $0, naming: false)) })
    }

    @Test("spans meet the page's message by the ID they name, or by their trace")
    func otlp() async throws {
        let named = Page.message("0190c5a2-7b1e-7c3d-9f00-0123456789ab", in: "thread-42", "Weather in Paris?", at: "2026-11-21T02:40:00Z")
        let traced = Page.message("4bf92f35-77b3-4da6-a3ce-929d0e0e4736", in: "thread-42", "Weather?", at: "2026-11-21T02:41:00Z")
        let other = Page.message("52951203-cec4-d67c-b435-41ec4f8f4dad", in: "t-2", "Weather?", at: "2026-11-21T02:41:00Z")
        try await check(
            try Capture.all(.otlp).flatMap { capture in
                capture.name.hasPrefix("python") ? [(capture, [other])] : [(capture, [named, traced]), (capture, [traced])]
            })
    }

    @Test("a turn that is known by its end alone does not move its thread to 1970 when it gets its message's ID")
    func turnWithoutStart() async throws {
        let name = House.scheme.names(Self.message, "")[0]
        let event = #"{"event":"end","type":"chat","runId":"\#(name)","parentRunId":"t-1","output":"Hi","runtime":"lunary-py","#
        let body = #"{"events":[\#(event)"timestamp":"2026-11-21T02:42:00Z"}]}"#
        let call = Call(dialect: .lunary, path: "/v1/runs/ingest", body: .whole(Array(body.utf8)), receivedAt: Capture.noon)
        let page = Page.message(Self.message, in: "t-1", "Hello", at: "2026-11-21T02:41:00Z")
        try await check([(Capture(name: "turn by its end", calls: [call]), [page])])
    }

    private func check(_ cases: [(capture: Capture, pages: [Call])]) async throws {
        #expect(!cases.isEmpty)
        for few in Array(cases.enumerated()).chunks(of: 8) {
            try await House.with(isSealing: true) { house in
                for (number, (capture, pages)) in few where !pages.isEmpty {
                    let orders = try Orders.mixing(pages, into: capture.calls)
                    try await house.compare(pages + capture.calls, with: orders, of: "\(number) \(capture.name)")
                }
            }
        }
    }
}

/// What a page sends over the native door, with its public key.
enum Page {
    static func message(_ id: String, in thread: String, role: Event.Role = .user, _ text: String, at: String) -> Call {
        call { writer in
            writer.field("type", "message")
            writer.field("id", id)
            writer.field("thread", thread)
            writer.field("role", role.rawValue)
            writer.field("content", text)
            writer.field("at", at)
        }
    }

    static func vote(_ id: String, on target: String, in thread: String, at: String) -> Call {
        call { writer in
            writer.field("type", "feedback")
            writer.field("id", id)
            writer.field("target", target)
            writer.field("thread", thread)
            writer.field("thumb", "up")
            writer.field("at", at)
        }
    }

    /// Questions and answers of a capture's turns as a page would have sent them.
    /// - Parameter naming: whether every other question has its turn's ID, and words of its own.
    static func messages(for capture: Capture, naming: Bool) throws -> [Call] {
        var calls: [Call] = []
        var seen: Set<String> = []
        for call in capture.calls {
            for case .event(let event) in try call.parcel().items {
                guard case .run(let part) = event.body, let thread = event.thread, let question = part.question, !question.isEmpty else {
                    continue
                }
                guard seen.insert(event.id).inserted, seen.count <= 4 else { continue }
                let at = (part.startedAt ?? part.endedAt ?? call.receivedAt).advanced(bySeconds: -1)
                let isNamed = naming && !seen.count.isMultiple(of: 2)
                let id = isNamed ? event.id : "0190c5a2-7b1e-7c3d-9f00-00000000000\(seen.count)"
                calls.append(message(id, in: thread, isNamed ? "In the page's words" : question, at: at.description))
                guard let answer = part.answer, !answer.isEmpty, seen.count > 1 else { continue }
                let last = (part.endedAt ?? at).advanced(bySeconds: 2)
                calls.append(
                    message("0190c5a2-7b1e-7c3d-9f01-00000000000\(seen.count)", in: thread, role: .assistant, answer, at: last.description))
            }
        }
        return calls
    }

    private static func call(_ members: (inout JSONWriter) -> Void) -> Call {
        var event = JSONWriter()
        event.object(members)
        return Call(
            dialect: .native, path: "/v1/events", lane: .public, body: .list(name: "events", [JSONText(trusted: event.bytes)]),
            receivedAt: Capture.noon.advanced(bySeconds: -1))
    }
}
