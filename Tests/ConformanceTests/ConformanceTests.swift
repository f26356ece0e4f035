import Conversations
import Events
import Foundation
import Ingest
import Keys
import Logging
import NativeDoor
import SQLiteStore
import TestKit
import Testing

/// The cases of the protocol against door, keys, ingest and store, without a gateway around them.
@Suite("Conformance")
struct ConformanceTests {
    @Test("the cases are there, of every suite")
    func casesExist() {
        #expect(ConformanceCase.all.count > 200)
        let suites: Set = ["bodies", "events", "fields", "ids", "keys", "lanes", "limits", "runs", "times", "turns"]
        #expect(Set(ConformanceCase.all.map(\.suite)) == suites)
        #expect(ConformanceCase.all.count { $0.isBeyondTheDoor } < 10)
    }

    @Test("keeps the protocol", arguments: ConformanceCase.all.filter { !$0.isBeyondTheDoor })
    func keeps(_ example: ConformanceCase) async throws {
        try await House.with { house in
            var placeholders = Placeholders(now: WallClock.system.now())
            for given in example.json["given"]?.elements ?? [] {
                let step = placeholders.fill(given)
                let lane = step["event"] == nil ? Lane.secret : Lane(rawValue: step["lane"]?.string ?? "")!
                let body = CaseJSON.object([("events", .array([step["event"] ?? step]))]).bytes
                let answer = await house.send(body, over: .http, lane: lane)
                #expect(answer.status == 200, "the given event was refused: \(answer.text)")
            }
            let answer = await house.play(example, &placeholders)
            if let expected = example.json["error"] {
                try #require(answer.status == expected["status"]?.integer, "\(answer.text)")
                let error = try answer.read()["error"]
                #expect(error?["code"]?.string == expected["code"]?.string, "\(answer.text)")
                #expect(error?["doc"]?.string == "/docs/reasons#" + (error?["code"]?.string ?? ""))
                #expect(error?["message"]?.string?.isEmpty == false)
                #expect(error?["temporary"] == .bool(true) || error?["temporary"] == .bool(false))
            } else {
                try #require(answer.status == 200, "\(answer.text)")
                let results = try #require(try answer.read()["results"]?.elements)
                let expected = try #require(placeholders.fill(example.json["verdicts"]!).elements)
                try #require(results.count == expected.count, "\(answer.text)")
                for (place, (wanted, result)) in zip(expected, results).enumerated() { check(result, is: wanted, at: place) }
            }
            try await StoreContract.law(house.store, house.project)
        }
    }

    private func check(_ result: CaseJSON, is wanted: CaseJSON, at place: Int) {
        let text = String(decoding: result.bytes, as: UTF8.self)
        for name in ["id", "verdict", "reason", "field"] {
            if let value = wanted[name] { #expect(result[name] == value, "result \(place): \(text)") }
        }
        if let verdict = result["verdict"]?.string, !["stored", "duplicate"].contains(verdict) {
            #expect(result["index"]?.integer == place, "result \(place): \(text)")
            #expect(result["doc"]?.string == "/docs/reasons#" + (result["reason"]?.string ?? ""), "result \(place): \(text)")
            #expect(result["message"]?.string?.isEmpty == false, "result \(place): \(text)")
        }
    }

    @Test(
        "what was stored can be read, whatever the sender's clock, depth or numbers",
        arguments: [
            (
                "a clock that is ahead by an hour and a time of 1970",
                #"{"events":[{"type":"message","id":"ID","thread":"t","role":"user","content":"x","at":0}],"sentAt":"${nowMs:3600}"}"#
            ),
            (
                "an unknown field as deep as a body may be",
                #"{"type":"message","id":"ID","thread":"t","role":"user","content":"x","later":DEEP}"#
            ),
            (
                "a time at the end of all times",
                #"{"type":"message","id":"ID","thread":"t","role":"user","content":"x","at":253402300800000}"#
            ),
            (
                "numbers beyond what a computer counts with",
                #"{"type":"message","id":"ID","thread":"t","role":"user","content":"x","metadata":{"n":[18446744073709551616,1e308,-0.0]}}"#
            ),
            (
                "half an emoji as a key",
                #"{"type":"message","id":"ID","thread":"t","role":"user","content":"x","metadata":{"\ud83d":"\ude00"},"\ud83d":1}"#
            ),
        ])
    func readable(_ name: String, _ template: String) async throws {
        try await House.with { house in
            var placeholders = Placeholders(now: WallClock.system.now())
            let id = UUID().uuidString.lowercased()
            let body = placeholders.fill(template).replacingOccurrences(of: "ID", with: id)
                .replacingOccurrences(of: "DEEP", with: String(repeating: "[", count: 63) + String(repeating: "]", count: 63))
                .replacingOccurrences(of: #""sentAt":"(\d+)""#, with: #""sentAt":$1"#, options: .regularExpression)
            let answer = await house.send(Array(body.utf8), over: .http, lane: .public)
            let verdict = try answer.read()["results"]?.elements?.first?["verdict"]?.string
            guard verdict == "stored" else { return #expect(answer.status != 500, "\(answer.text)") }
            #expect(try await house.store.message(id, in: house.project.number)?.event.id == id)
            #expect(
                try await house.store.conversation("t", in: house.project, limit: 10, after: nil, now: WallClock.system.now())?.items.count
                    == 1)
            #expect(try await house.store.events(after: 0, in: house.project.number, limit: 10).count == 1)
        }
    }

    @Test("an event sent again in other company is a duplicate, whatever was mended around it")
    func otherCompany() async throws {
        try await House.with { house in
            let event = #"{"type":"event","id":"a","name":"n","metadata":{"big":1234567890123456789}}"#
            for (body, expected) in [
                ("[\(event)]", "stored"), (#"[\#(event),{"type":"event","id":"b","name":"half \ud83d"}]"#, "duplicate"),
            ] {
                let answer = await house.send(Array(body.utf8), over: .http, lane: .secret)
                let result = try answer.read()["results"]?.elements?.first
                #expect(result?["verdict"]?.string == expected)
            }
        }
    }
}
