import Events
import Foundation
import Testing

/// One case of `protocol/conformance` over one transport.
struct ConformanceCase: Sendable, CustomTestStringConvertible {
    let suite: String
    let transport: Transport
    let json: CaseJSON

    var name: String { json["name"]?.string ?? "nameless" }
    var testDescription: String { "\(suite), \(transport.rawValue): \(name)" }

    /// What only the gateway sees: addresses and methods, packing, and which entrance a secret key came through.
    var isBeyondTheDoor: Bool {
        json["request"] != nil || json["contentEncoding"]?.string == "br" || (transport == .beacon && json["lane"]?.string == "secret")
    }

    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("protocol/conformance")

    /// Every case of every suite but the socket's scripts, once a transport.
    static let all: [ConformanceCase] = {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return files.filter { $0.hasSuffix(".json") }.sorted().flatMap { file -> [ConformanceCase] in
            guard let data = try? Data(contentsOf: folder.appendingPathComponent(file)),
                let json = try? JSONDocument.read(Array(data), { CaseJSON($0) }),
                let suite = json["suite"]?.string, let cases = json["cases"]?.elements
            else { return [] }
            return cases.filter { $0["steps"] == nil }.flatMap { json in
                (json["transports"]?.elements ?? []).map { name in
                    ConformanceCase(suite: suite, transport: Transport(rawValue: name.string ?? ""), json: json)
                }
            }
        }
    }()
}
