import Events
import Foundation
import OTLPDoor

/// Exports of instrumented programs, and what the door makes of them.
enum Exports {
    static let door = OTLPDoor()
    /// 2026-11-21T12:00:00Z, before the recordings were made.
    static let noon = Timestamp(microseconds: 1_795_262_400_000_000)

    static func request(
        _ body: [UInt8], _ contentType: String?, path: String = "/v1/traces", lane: Lane = .secret, receivedAt: Timestamp = noon
    ) -> DoorRequest {
        guard let entrance = door.entrances.first(where: { $0.path == path }) else { fatalError("no entrance for \(path)") }
        return DoorRequest(entrance: entrance, lane: lane, contentType: contentType, body: body, receivedAt: receivedAt)
    }

    static func decode(_ body: [UInt8], _ contentType: String? = "application/x-protobuf") throws -> Parcel {
        try door.decode(request(body, contentType))
    }

    static func decode(json: String) throws -> Parcel { try decode(Array(json.utf8), "application/json") }

    /// Spans given as the members of OTLP's JSON form, in one scope.
    static func decode(spans: [String], resource: String = "") throws -> Parcel {
        try decode(
            json: "{\"resourceSpans\":[{\"resource\":{\"attributes\":[\(resource)]},\"scopeSpans\":[{\"scope\":{\"name\":\"test\"},"
                + "\"spans\":[\(spans.joined(separator: ","))]}]}]}")
    }

    /// A span of the trace `aa…a`, with attributes by name in JSON's own words.
    static func span(
        _ number: Int, parent: Int? = nil, trace: String = trace, _ attributes: [(String, String)] = [], _ rest: String = ""
    ) -> String {
        let listed = attributes.map { "{\"key\":\"\($0.0)\",\"value\":\(value($0.1))}" }.joined(separator: ",")
        let parent = parent.map { "\"parentSpanId\":\"\(spanID($0))\"," } ?? ""
        return "{\"traceId\":\"\(trace)\",\"spanId\":\"\(spanID(number))\",\(parent)\"name\":\"s\(number)\",\"startTimeUnixNano\":"
            + "\"1795262400000000000\",\"endTimeUnixNano\":\"1795262401500000999\",\"attributes\":[\(listed)]\(rest)}"
    }

    static let trace = String(repeating: "a", count: 32)

    static func spanID(_ number: Int) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// `"text"`, `1`, `0.5`, `true`, or a value in OTLP's own form.
    private static func value(_ text: String) -> String {
        if text.hasPrefix("{") { return text }
        if text.hasPrefix("\"") { return "{\"stringValue\":\(text)}" }
        if text == "true" || text == "false" { return "{\"boolValue\":\(text)}" }
        return text.contains(".") ? "{\"doubleValue\":\(text)}" : "{\"intValue\":\"\(text)\"}"
    }

    static func runs(_ parcel: Parcel) -> [(event: Event, part: Event.RunPart)] {
        parcel.items.compactMap { item in
            guard case .event(let event) = item, case .run(let part) = event.body else { return nil }
            return (event, part)
        }
    }

    /// The run of one span with these attributes.
    static func run(_ attributes: [(String, String)], _ rest: String = "") throws -> (event: Event, part: Event.RunPart) {
        guard let run = runs(try decode(spans: [span(1, attributes + [("gen_ai.test", "\"x\"")], rest)])).first else {
            throw Refusal(.internal)
        }
        return run
    }

    /// What an instrumentation sent, as recorded on loopback: the body, its content type, and the same in JSON.
    static func recorded(_ name: String) throws -> (body: [UInt8], contentType: String, json: String) {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Captures/\(name).json")
        return try JSONDocument.read(Array(try Data(contentsOf: file))) { capture in
            var request: JSONValue?
            capture["requests"]?.forEachElement { request = $0 }
            guard let request, let contentType = request["contentType"]?.string else { throw Refusal(.internal) }
            if let json = request["json"] { return (JSONText(json).bytes, contentType, JSONText(json).string) }
            guard let base64 = request["base64"]?.string, let body = Data(base64Encoded: base64), let json = request["decoded"] else {
                throw Refusal(.internal)
            }
            return (Array(body), contentType, JSONText(json).string)
        }
    }
}
