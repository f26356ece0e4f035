import Events
import Testing

@testable import OpikDoor

/// Calls the door as the gateway does: finds the entrance, decodes or asks, and answers.
final class Caller {
    let door = OpikDoor()
    let desk: FakeDesk
    var lane = Lane.secret

    init(_ desk: FakeDesk = FakeDesk()) { self.desk = desk }

    /// The clock goes on by a millisecond with each call.
    @discardableResult
    func call(_ method: Entrance.Method, _ path: String, query: [String: String] = [:], _ body: String = "") async -> Reply {
        await call(method, path, query: query, bytes: Array(body.utf8))
    }

    @discardableResult
    func call(_ method: Entrance.Method, _ path: String, query: [String: String] = [:], bytes: [UInt8]) async -> Reply {
        desk.advance(bySeconds: 0.001)
        guard let (entrance, parameters) = entrance(method, path) else {
            Issue.record("no entrance for \(method) \(path)")
            return Reply(status: 0)
        }
        let request = DoorRequest(
            entrance: entrance, lane: lane, project: desk.isWorkspace ? nil : "chat-demo", parameters: parameters, query: query,
            contentType: "application/json",
            body: bytes, receivedAt: desk.now)
        do throws(Refusal) {
            if entrance.asks { return try await door.answer(request, at: desk) }
            let parcel = try door.decode(request)
            #expect(parcel.destinations.count == parcel.items.count)
            var verdicts: [Verdict] = []
            for (item, destination) in zip(parcel.items, parcel.destinations) {
                guard case .named(let name) = destination else { fatalError("items name their project") }
                verdicts += await desk.write([item], to: try desk.project(name, creating: true))
            }
            return door.reply(to: verdicts, of: parcel, for: request)
        } catch {
            return door.reply(to: error, at: entrance, contentType: nil)
        }
    }

    private func entrance(_ method: Entrance.Method, _ path: String) -> (Entrance, [String: String])? {
        let segments = path.split(separator: "/").map(String.init)
        var best: (entrance: Entrance, parameters: [String: String], literals: Int)?
        for entrance in door.entrances where entrance.method == method {
            let pattern = entrance.path.split(separator: "/").map(String.init)
            guard pattern.count <= segments.count else { continue }
            var parameters: [String: String] = [:]
            let matches = zip(pattern, segments.suffix(pattern.count)).allSatisfy { expected, segment in
                guard expected.hasPrefix("{") else { return expected == segment }
                parameters[String(expected.dropFirst().dropLast())] = segment
                return true
            }
            let literals = pattern.count - parameters.count
            if matches, best.map({ literals > $0.literals }) ?? true { best = (entrance, parameters, literals) }
        }
        return best.map { ($0.entrance, $0.parameters) }
    }

    // MARK: short cuts

    func search(_ what: String, _ filters: String = "[]", more: String = "") async -> [JSONText] {
        await lines(call(.post, "/api/v1/private/\(what)/search", #"{"project_name":"chat-demo","filters":\#(filters)\#(more)}"#))
    }

    func lines(_ reply: Reply) -> [JSONText] {
        #expect(reply.status == 200, "\(String(decoding: reply.body, as: UTF8.self))")
        return reply.body.split(separator: UInt8(ascii: "\n")).map { JSONText(trusted: Array($0)) }
    }

    func thread(_ id: String) async -> JSONText {
        let reply = await call(.post, "/v1/private/traces/threads/retrieve", #"{"project_name":"chat-demo","thread_id":"\#(id)"}"#)
        #expect(reply.status == 200)
        return JSONText(trusted: reply.body)
    }
}

extension Reply {
    var text: String { String(decoding: body, as: UTF8.self) }
    var json: JSONText { JSONText(trusted: body) }
}

extension JSONText {
    /// What stands at a path, as text.
    subscript(_ path: String) -> String? { JSONPath(path).text(in: self) }
}
