import Foundation
import Testing

@testable import ParleyClient

/// `protocol/conformance/client.json`, which every client runs.
@Suite("What every client does") struct ClientConformanceTests {
    static let protocolFolder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("protocol")

    static func read(_ path: String) throws -> JSON {
        try JSONDecoder().decode(JSON.self, from: Data(contentsOf: protocolFolder.appendingPathComponent(path)))
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let steps: [JSON]
        let receipts: Bool
        var testDescription: String { name }
    }

    static let cases = ((try? read("conformance/client.json"))?["cases"]?.list ?? []).map {
        Case(name: $0["name"]?.text ?? "", steps: $0["steps"]?.list ?? [], receipts: $0["receipts"] == true)
    }

    @Test("there are cases") func some() { #expect(Self.cases.count >= 10) }

    @Test("a case of client.json", arguments: cases) func run(_ script: Case) throws {
        var player = Player(receipts: script.receipts)
        for step in script.steps { try player.play(step) }
    }
}

/// Plays the steps of one case against a client.
private struct Player {
    private static let bound = Outbox.Limits(secret: false, options: .init()).events
    private let bench: Bench
    private var threads: [String: Parley.Thread] = [:]
    private var streams: [String: Parley.StreamedMessage] = [:]
    /// By the name a case gives them.
    private var ids: [String: String] = [:]
    private var firstTexts: [String: String] = [:]
    private var delivery: Delivery?

    init(receipts: Bool) { bench = Bench { $0.receipts = receipts } }

    mutating func play(_ step: JSON) throws {
        guard case .object(let words) = step else { return fail("not a step: \(step)") }
        let known: Set<String> = [
            "track", "sent", "report", "answer", "lost", "refused", "advanceMs", "quiet", "heard", "same", "refuseToConnect", "beforeSend",
            "fields", "asked",
            "stream", "append", "end",
        ]
        let verbs = words.keys.filter(known.contains)
        guard verbs.count == 1, let verb = verbs.first, let value = words[verb] else { return fail("a step nobody knows: \(step)") }
        let name = words["as"]?.text ?? ""
        switch verb {
        case "track": track(value, name, words["times"])
        case "sent": sent(value.list.compactMap(\.text))
        case "report": #expect(delivery?.events.first { $0["type"] == "client_report" }?["reasons"] == value)
        case "answer": answer(value)
        case "lost": bench.lose()
        case "refused": refuse(value)
        case "advanceMs": bench.time.advance(value.number ?? 0)
        case "quiet": quiet(value.number ?? 0)
        case "heard": hear(value.list)
        case "same": same(value.list.compactMap(\.text))
        case "refuseToConnect": bench.farEnd.refuse(value == true)
        case "beforeSend": setHook(value)
        case "fields": fields(value)
        case "asked": #expect((delivery?.json["receipts"] ?? false) == value)
        case "stream":
            let stream = thread(value).streamMessage(role: Parley.Role(rawValue: value["role"]?.text ?? "") ?? .assistant)
            streams[name] = stream
            ids[name] = stream.id
        case "append": streams[words["to"]?.text ?? ""]?.append(value.text ?? "")
        default: streams[value.text ?? ""]?.end(interrupted: words["interrupted"] == true)
        }
    }

    private mutating func thread(_ event: JSON) -> Parley.Thread {
        let id = event["thread"]?.text ?? "t-1"
        let thread = threads[id] ?? bench.parley.openThread(id: id)
        threads[id] = thread
        return thread
    }

    private mutating func track(_ event: JSON, _ name: String, _ times: JSON?) {
        let thread = thread(event)
        let count = times == nil ? 1 : times == "bound" ? Self.bound : Int(times?.number ?? 1)
        for place in 0..<count {
            var metadata: [String: JSON] = [:]
            if case .object(let members)? = event["metadata"] { metadata = members }
            let name = times == nil ? name : "\(name)\(place)"
            switch event["type"] {
            case "message":
                var content = event["content"]?.text ?? ""
                if content == "${beyondEventBytes}" { content = String(repeating: "x", count: 65_537) }
                ids[name] = thread.trackMessage(
                    role: Parley.Role(rawValue: event["role"]?.text ?? "") ?? .user, content: content, metadata: metadata)
            case "event":
                // trackEvent gives no id back: it is read off the event as it passes.
                let seen = Locked<String?>(nil)
                let hook = bench.beforeSend.withLock { $0 }
                bench.beforeSend.withLock { slot in
                    slot = { event in
                        seen.withLock { $0 = event.id }
                        return try hook.map { try $0(event) } ?? event
                    }
                }
                thread.trackEvent(event["name"]?.text ?? "", metadata: metadata)
                bench.beforeSend.withLock { $0 = hook }
                ids[name] = seen.withLock { $0 }
            default: fail("a type the harness cannot track: \(event)")
            }
        }
    }

    private mutating func sent(_ expected: [String]) {
        guard let next = bench.next() else { return fail("nothing was delivered, and \(expected) should be") }
        delivery = next
        let names = zip(next.ids, next.events).map { id, event in
            ids.first { $0.value == id }?.key ?? "<\(event["type"]?.text ?? "")>"
        }
        if expected.last == "..." {
            #expect(Array(names.prefix(expected.count - 1)) == Array(expected.dropLast()))
            #expect(names.count > expected.count - 1)
        } else {
            #expect(names == expected)
        }
        for (name, text) in zip(names, next.texts) where firstTexts[name] == nil { firstTexts[name] = text }
    }

    private func answer(_ value: JSON) {
        guard value != "stored" else {
            bench.farEnd.answer(
                Self.reply(["results": .array(Array(repeating: ["verdict": "stored"], count: delivery?.events.count ?? 0))]))
            return bench.time.advance(0)
        }
        bench.farEnd.answer(Self.reply(["results": value]))
        bench.time.advance(0)
    }

    private static func reply(_ body: JSON, status: Int = 200) -> Reply {
        Reply(status: status, body: (try? JSONEncoder().encode(body)) ?? Data())
    }

    private func refuse(_ value: JSON) {
        bench.farEnd.answer(Self.reply(["error": value], status: Int(value["status"]?.number ?? 500)))
        bench.time.advance(0)
    }

    private func quiet(_ milliseconds: Int64) {
        let before = bench.farEnd.count
        bench.time.advance(milliseconds)
        #expect(bench.farEnd.count == before, "something was delivered")
    }

    private func hear(_ expected: [JSON]) {
        let heard = bench.hear().map { verdict in
            ([ids.first { $0.value == verdict.id }?.key ?? "<\(verdict.type)>", verdict.outcome.rawValue]
                + ((verdict.reason ?? verdict.receipt).map { [$0] } ?? []))
                .joined(separator: " ")
        }
        #expect(heard.sorted() == expected.map { $0.list.compactMap(\.text).joined(separator: " ") }.sorted())
    }

    private func same(_ names: [String]) {
        for name in names {
            let place = delivery?.ids.firstIndex(of: ids[name] ?? "") ?? -1
            #expect(place >= 0 && delivery?.texts[place] == firstTexts[name])
        }
    }

    private func setHook(_ value: JSON) {
        let hook: (@Sendable (Parley.Event) throws -> Parley.Event?)? =
            switch value {
            case .null: nil
            case _ where value["drop"] == true: { _ in nil }
            case _ where value["throw"] == true: { _ in throw CancellationError() }
            default:
                { event in
                    var event = event
                    if case .object(let members)? = value["set"] { event.fields.merge(members) { $1 } }
                    return event
                }
            }
        bench.beforeSend.withLock { $0 = hook }
    }

    private func fields(_ value: JSON) {
        guard case .object(let named) = value else { return fail("not fields: \(value)") }
        for (name, expected) in named {
            let event = delivery?.events.first { $0["id"]?.text == ids[name] }
            #expect(Self.holds(.object(event ?? [:]), expected), "\(name): \(event ?? [:])")
        }
    }

    /// Objects may have more than is named.
    private static func holds(_ value: JSON, _ expected: JSON) -> Bool {
        guard case .object(let members) = expected else { return value == expected }
        return members.allSatisfy { name, part in value[name].map { holds($0, part) } ?? false }
    }
}

private func fail(_ text: String) { Issue.record(Comment(rawValue: text)) }
