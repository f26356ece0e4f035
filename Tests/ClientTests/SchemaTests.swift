import Foundation
import Testing

@testable import ParleyClient

@Suite("What is sent fits the schemas") struct SchemaTests {
    @Test("every event the client can build, full and bare") func all() throws {
        let bench = Bench(key: "sk_test")
        let parley = bench.parley
        parley.identify("u1", props: ["plan": "pro"])
        let bare = parley.openThread()
        let full = parley.openThread(id: "t-1", tags: ["a"], user: .init(id: "u2", props: ["x": 1]), metadata: ["page": "/"])
        let question = bare.trackMessage(role: .user, content: "")
        full.trackMessage(
            role: .tool, blocks: [["type": "text", "text": "Hi"]], replyTo: question, retryOf: question, tags: ["b"],
            metadata: ["n": [1.5, nil, true]],
            at: Date(timeIntervalSince1970: 1_795_262_400.5))
        bare.trackEvent("opened")
        full.trackEvent("opened", metadata: ["document": "terms.pdf"])
        parley.trackFeedback(question, thumb: .up, comment: "Good")
        parley.trackFeedback("elsewhere", thumb: nil)
        let stream = full.streamMessage(replyTo: question)
        stream.append("He")
        bench.time.advance(5)
        stream.append("llo")
        stream.end(interrupted: true)
        bare.streamMessage().end()
        let run = parley.startRun(
            kind: .llm, name: "answer", parent: question, thread: "t-1", input: ["text": "Hello"], model: "small-1", provider: "acme",
            tags: ["c"],
            metadata: ["k": "v"])
        run.end(output: "Hello!", usage: ["inputTokens": 12], cost: 0.00042)
        parley.startRun(kind: .agent).end(error: ["message": "timeout"])
        parley.trackRun(kind: .tool, output: "4", startedAt: Date(timeIntervalSince1970: 1_795_262_400))
        bare.trackMessage(role: .user, content: "not a number", metadata: ["n": .number(.nan)])

        bench.time.advance(10)
        let events = bench.farEnd.all.flatMap(\.events)
        #expect(events.count == 16)
        for event in events { try #expect(Schema.faults(of: event) == []) }
        #expect(
            Set(events.compactMap { $0["type"]?.text }) == ["identify", "thread", "message", "event", "feedback", "run", "client_report"])
        // P-EVT-4: what is null counts as absent, but for a thumb.
        #expect(events.allSatisfy { event in event.allSatisfy { $0.value != .null || $0.key == "thumb" } })

        #expect(Set(events.compactMap { $0["id"]?.text }).count == 14, "the two runs have two parts each")
    }

    @Test("the checker sees what is wrong") func checker() throws {
        try #expect(Schema.faults(of: ["type": "message", "id": "a", "thread": "t", "role": "bot", "content": "x"]) == ["message.role"])
        try #expect(Schema.faults(of: ["type": "event", "id": ""]) == ["event.name", "event.id"])
        try #expect(Schema.faults(of: ["type": "feedback", "id": "a", "target": "m", "thumb": nil, "at": "later"]) == ["feedback.at"])
    }
}

/// As much of JSON Schema as `protocol/v1` uses for events.
private enum Schema {
    static func faults(of event: [String: JSON]) throws -> [String] {
        let type = event["type"]?.text ?? ""
        return try faults(.object(event), ClientConformanceTests.read("v1/\(type).schema.json"), type)
    }

    private static func faults(_ value: JSON, _ schema: JSON, _ path: String) throws -> [String] {
        var faults: [String] = []
        if let reference = schema["$ref"]?.text {
            let parts = reference.components(separatedBy: "#/$defs/")
            let definition = try ClientConformanceTests.read("v1/\(parts[0])")["$defs"]?[parts[1]]
            faults += try self.faults(value, #require(definition), path)
        }
        if let type = schema["type"]?.text, !fits(value, type) { return faults + [path] }
        if let const = schema["const"], const != value { faults.append(path) }
        if let choice = schema["enum"], !choice.list.contains(value) { faults.append(path) }
        if let any = schema["anyOf"], try !any.list.contains(where: { try self.faults(value, $0, path).isEmpty }) { faults.append(path) }
        if let text = value.text {
            let length = Int64(text.unicodeScalars.count)
            if length < schema["minLength"]?.number ?? 0 || length > schema["maxLength"]?.number ?? .max { faults.append(path) }
            if let pattern = schema["pattern"]?.text, text.range(of: pattern, options: .regularExpression) == nil { faults.append(path) }
        }
        if let number = value.number, number < schema["minimum"]?.number ?? .min { faults.append(path) }
        if case .array(let list) = value {
            if Int64(list.count) > schema["maxItems"]?.number ?? .max { faults.append(path) }
            if let items = schema["items"] { for item in list { faults += try self.faults(item, items, path + "[]") } }
        }
        if case .object(let members) = value {
            for name in schema["required"]?.list.compactMap(\.text) ?? [] where members[name] == nil { faults.append("\(path).\(name)") }
            for (name, member) in members.sorted(by: { $0.key < $1.key }) {
                if let part = schema["properties"]?[name] ?? schema["additionalProperties"] {
                    faults += try self.faults(member, part, "\(path).\(name)")
                }
            }
        }
        return faults
    }

    private static func fits(_ value: JSON, _ type: String) -> Bool {
        switch (value, type) {
        case (.object, "object"), (.array, "array"), (.string, "string"), (.bool, "boolean"), (.integer, "integer"), (.integer, "number"),
            (.number, "number"), (.null, "null"):
            true
        default: false
        }
    }
}
