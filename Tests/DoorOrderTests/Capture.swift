import Events
import Foundation

/// What a vendor's SDK sent in one scenario, as recorded for that door's own tests.
struct Capture: Sendable {
    var name: String
    var calls: [Call]

    /// 2026-11-21T12:00:00Z, hours after the recordings were made: a time from here on is one that no sender gave.
    static let noon = Timestamp(iso8601: "2026-11-21T12:00:00Z")!

    /// The captures of a dialect that hold anything to store.
    static func all(_ dialect: Call.Dialect) throws -> [Capture] {
        let room = dialect == .otlp ? "OTLP" : dialect.rawValue.capitalized
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("\(room)DoorTests/Captures")
        return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().filter { $0.hasSuffix(".json") }.map { file in
            var calls: [Call] = []
            try JSONDocument.read([UInt8](Data(contentsOf: folder.appendingPathComponent(file)))) { json in
                json["requests"]?.forEachElement { if let call = read($0, dialect, file: file) { calls.append(call) } }
            }
            for index in calls.indices {
                // Of what is sent twice without a time the first to arrive tells when it was, whichever that is: so a request that was
                // sent again has the moment of the first, and all of Lunary's have one, which leave out times only where they repeat
                // themselves (a thread's tags with each of its messages).
                let first = calls.firstIndex { $0.bytes == calls[index].bytes } ?? index
                calls[index].receivedAt = noon.advanced(bySeconds: dialect == .lunary ? 0 : Double(first))
            }
            return Capture(name: file, calls: calls)
        }.filter { !$0.calls.isEmpty }
    }

    private static func read(_ json: JSONValue, _ dialect: Call.Dialect, file: String) -> Call? {
        guard let method = Entrance.Method(rawValue: json["method"]?.string ?? "POST") else { return nil }
        let path = json["path"]?.string ?? "/v1/traces"
        var call = Call(dialect: dialect, method: method, path: path, body: .whole([]))
        switch dialect {
        case .lunary:
            guard method == .post, path.hasSuffix("/v1/runs/ingest"), let body = json["body"] else { return nil }
            // A page has the public key.
            if file.hasPrefix("js_browser") || file.hasPrefix("js_real") { call.lane = .public }
            let isOldThread = call.lane == .public && JSONText(body).string.contains(#""type":"chat""#)
            call.body = isOldThread ? .whole(JSONText(body).bytes) : list(body)
        case .opik:
            // Tags, remarks and queues of threads are changed by IDs that the recorded server gave out: not ours, so left out.
            let isWrite =
                method != .get && !path.contains("/search") && !path.contains("/retrieve") && !path.contains("/comments")
                && !path.contains("/threads/batch") && !(method == .patch && path.contains("/threads/"))
            guard isWrite, path.contains("/traces") || path.contains("/spans"), let body = json["body"], body.kind == .object else {
                return nil
            }
            call.body = list(body)
        case .agnost:
            guard method == .post, let body = json["body"]?.string, !body.isEmpty, !body.hasSuffix("<truncated>") else { return nil }
            call.body = .whole(Array(body.utf8))
        case .otlp:
            call.contentType = json["contentType"]?.string
            let bytes =
                json["json"].map { JSONText($0).bytes } ?? json["base64"]?.string.flatMap { Data(base64Encoded: $0) }.map { [UInt8]($0) }
            guard let bytes else { return nil }
            call.body = .whole(bytes)
        case .native: return nil
        }
        return call
    }

    /// A body that is a list in an object of its own can be taken apart.
    private static func list(_ body: JSONValue) -> Call.Body {
        guard body.count == 1 else { return .whole(JSONText(body).bytes) }
        var found: Call.Body?
        body.forEachMember { key, value in
            guard value.kind == .array else { return }
            var elements: [JSONText] = []
            value.forEachElement { elements.append(JSONText($0)) }
            found = .list(name: String(decoding: key, as: UTF8.self), elements)
        }
        return found ?? .whole(JSONText(body).bytes)
    }
}
