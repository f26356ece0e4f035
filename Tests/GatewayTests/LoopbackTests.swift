import Events
import Foundation
import Hummingbird
import Ingest
import Keys
import Logging
import ServiceLifecycle
import Testing

@testable import Gateway

/// The gateway on a port of its own, with real bytes.
@Suite struct LoopbackTests {
    private static let handshake =
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"

    private func upgrade(_ key: String, path: String = "/socket", extra: String = "") -> String {
        "GET \(path)?key=\(key) HTTP/1.1\r\nHost: x\r\n\(Self.handshake)\(extra)\r\n"
    }

    @Test("a body is taken, answered, and its origin named")
    func post() async throws {
        try await withGateway { gateway in
            try await RawClient.connect(to: gateway.port) { talk in
                let body = "0197aaaa-bbbb-7ccc-8ddd-eeeeffff0001\n0"
                try await talk.say(
                    "POST /events?key=\(gateway.publicKey) HTTP/1.1\r\nHost: x\r\nOrigin: https://shop.example\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
                )
                let answer = try await talk.hear("stored quarantined")
                #expect(answer.contains("200 OK"))
                #expect(answer.lowercased().contains("access-control-allow-origin: https://shop.example"))
                #expect(answer.lowercased().contains("ratelimit-remaining: "))
                #expect(answer.lowercased().contains("x-content-type-options: nosniff"))
            }
        }
    }

    @Test("keys are refused before the body is read, and the page may read why")
    func keys() async throws {
        try await withGateway { gateway in
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say(
                    "POST /events?key=\(KeyText.make(.public).text) HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\nContent-Length: 500\r\n\r\n"
                )
                let answer = try await talk.hear("unknown_key")
                #expect(answer.contains("401"))
                #expect(answer.lowercased().contains("access-control-allow-origin: https://evil.example"))
            }
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say("POST /beacon?key=\(gateway.secretKey) HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
                #expect(try await talk.hear("secret_key_in_browser").contains("403"))
            }
        }
    }

    @Test("bodies that are too large, stall, or never end leave a process that answers")
    func bodies() async throws {
        try await withGateway { gateway in
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say("POST /events?key=\(gateway.publicKey) HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n")
                #expect(try await talk.hear("body_too_large").contains("413"))
            }
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say("POST /events?key=\(gateway.publicKey) HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in 0..<11 { try await talk.say("64\r\n\(String(repeating: "x", count: 100))\r\n") }
                #expect(try await talk.hear("body_too_large").contains("413"))
            }
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say("POST /events?key=\(gateway.publicKey) HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
                let answer = try await talk.hearTheEnd()
                #expect(answer.contains("408"))
                #expect(answer.contains("body_timeout"))
            }
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say(
                    "POST /events?key=\(gateway.publicKey) HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope")
                #expect(try await talk.hear("unsupported_encoding").contains("415"))
            }
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say("POST /events?key=\(gateway.publicKey) HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
            }
            try await RawClient.connect(to: gateway.port) { talk in
                var page = ""
                // The end of the half-sent body is on its way; each round trip gives it time.
                while !page.contains("body_incomplete") {
                    try await talk.say("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                    page = try await talk.hear("# TYPE parley_ingest_pressure gauge\n")
                }
                #expect(page.contains("parley_refusals_total{reason=\"body_timeout\"} 1"))
            }
        }
    }

    @Test("a head that never comes, and one that is none, end the connection")
    func heads() async throws {
        try await withGateway { gateway in
            try await RawClient.connect(to: gateway.port) { talk in
                // Not a word: a connection costs a place all the same.
                let heard = try await talk.hearTheEnd()
                #expect(heard == "")
            }
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say("GET / HTTP/1.1\r\nHo")
                #expect(try await talk.hearTheEnd() == "")
            }
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say("nonsense\r\n\r\n")
                #expect(try await talk.hearTheEnd().contains("400"))
            }
        }
    }

    @Test("wrong addresses and wrong methods are refused in our words")
    func unmatched() async throws {
        try await withGateway { gateway in
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
                #expect(try await talk.hear("/docs/reasons#not_found").contains("404"))
                try await talk.say("GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
                #expect(try await talk.hear("/docs/reasons#method_not_allowed").contains("POST, OPTIONS"))
                try await talk.say("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                try await talk.hear("ok\n")
            }
        }
    }

    @Test("requests sent before the answers are answered in their order, whoever answers them")
    func pipelined() async throws {
        try await withGateway { gateway in
            try await RawClient.connect(to: gateway.port) { talk in
                func post(_ ids: Int, extra: String = "") -> String {
                    let body = (0..<ids).map { "0197aaaa-bbbb-7ccc-8ddd-eeeeffff000\($0)" }.joined(separator: "\n")
                    return
                        "POST /events?key=\(gateway.publicKey) HTTP/1.1\r\nHost: x\r\n\(extra)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
                }
                let health = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
                let preflight = "OPTIONS /events HTTP/1.1\r\nHost: x\r\nOrigin: https://shop.example\r\n\r\n"
                let wrongKey = "POST /events?key=pk_no HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nGET "
                let wrongMethod = "DELETE /events HTTP/1.1\r\nHost: x\r\n\r\n"
                let all =
                    post(1) + health + post(2) + preflight + post(3) + wrongKey + post(4) + wrongMethod + health + post(5)
                    + post(1, extra: "Connection: close\r\n") + post(2)
                // In pieces that end anywhere.
                var rest = Substring(all)
                while !rest.isEmpty {
                    try await talk.say(String(rest.prefix(61)))
                    rest = rest.dropFirst(61)
                }
                let answers = try await talk.hearTheEnd()
                let statuses = answers.components(separatedBy: "HTTP/1.1 ").dropFirst().map { $0.prefix(3) }
                try #require(statuses == ["200", "200", "200", "204", "200", "401", "200", "405", "200", "200", "200"], "\(answers)")
                let bodies = answers.components(separatedBy: "HTTP/1.1 ").dropFirst().map { $0.components(separatedBy: "\r\n\r\n").last! }
                let stored = { (count: Int) in Array(repeating: "stored", count: count).joined(separator: " ") }
                #expect([0, 2, 4, 6, 9, 10].map { bodies[$0] } == [1, 2, 3, 4, 5, 1].map(stored))
                #expect(bodies[1] == "ok\n" && bodies[8] == "ok\n")
            }
        }
    }

    @Test("thousands of requests in one go are answered, and behind the last one nothing is")
    func manyAtOnce() async throws {
        try await withGateway { gateway in
            try await RawClient.connect(to: gateway.port) { talk in
                let post =
                    "POST /events?key=\(gateway.publicKey) HTTP/1.1\r\nHost: x\r\nContent-Length: 36\r\n\r\n0197aaaa-bbbb-7ccc-8ddd-eeeeffff0001"
                // The first waits for its commit; the others, which are answered at once, pile up behind it.
                let refused = "POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
                let last = post.replacing("Host: x\r\n", with: "Host: x\r\nConnection: close\r\n")
                try await talk.say(post + String(repeating: refused, count: 5000) + last + post)
                let statuses = try await talk.hearTheEnd().components(separatedBy: "HTTP/1.1 ").dropFirst().map { $0.prefix(3) }
                #expect(statuses.count == 5002 && statuses.first == "200" && statuses.last == "200")
                #expect(statuses.count { $0 == "401" } == 5000)
            }
        }
    }

    @Test("what is no HTTP behind a request costs that request nothing")
    func junkBehind() async throws {
        try await withGateway { gateway in
            let post =
                "POST /events?key=\(gateway.publicKey) HTTP/1.1\r\nHost: x\r\nContent-Length: 36\r\n\r\n0197aaaa-bbbb-7ccc-8ddd-eeeeffff0001"
            for first in [post, post + post, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + post] {
                try await RawClient.connect(to: gateway.port) { talk in
                    try await talk.say(first + "nonsense\r\n\r\n")
                    let answers = try await talk.hearTheEnd()
                    let statuses = answers.components(separatedBy: "HTTP/1.1 ").dropFirst().map { $0.prefix(3) }
                    #expect(statuses.dropLast().allSatisfy { $0 == "200" } && statuses.last == "400", "\(answers)")
                    #expect(statuses.count == first.components(separatedBy: " HTTP/1.1").count)
                }
            }
            // A chunk that has no size.
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say(
                    "POST /events?key=\(gateway.publicKey) HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0197\r\nzz\r\n")
                #expect(try await talk.hearTheEnd().contains("body_incomplete"))
            }
        }
    }

    @Test("a connection that rests too long is closed, one that is used is not")
    func keepAlive() async throws {
        try await withGateway(keepAliveSeconds: 3) { gateway in
            try await RawClient.connect(to: gateway.port) { talk in
                let started = ContinuousClock.now
                for _ in 0..<35 {
                    try await talk.say(
                        "POST /events?key=\(gateway.publicKey) HTTP/1.1\r\nHost: x\r\nContent-Length: 36\r\n\r\n0197aaaa-bbbb-7ccc-8ddd-eeeeffff0001"
                    )
                    try await talk.hear("\r\n\r\nstored")
                    try await Task.sleep(for: .milliseconds(100))
                }
                #expect(ContinuousClock.now - started > .seconds(3))
                #expect(try await talk.hearTheEnd() == "")
            }
        }
    }

    @Test("an upgrade that can't be had is answered in plain HTTP")
    func refusedUpgrades() async throws {
        try await withGateway { gateway in
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say(upgrade(gateway.publicKey, path: "/elsewhere"))
                #expect(try await talk.hearTheEnd().contains("404"))
            }
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say(upgrade(gateway.publicKey).replacing("Version: 13", with: "Version: 8"))
                let answer = try await talk.hearTheEnd()
                #expect(answer.contains("426"))
                #expect(answer.lowercased().contains("sec-websocket-version: 13"))
            }
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                try await talk.hear("ok\n")
                try await talk.say(upgrade(gateway.publicKey))
                #expect(try await talk.hearTheEnd().contains("open a new one"))
            }
        }
    }

    @Test("a socket is welcomed, acked, ponged and closed with the code it gave")
    func socket() async throws {
        try await withGateway { gateway in
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say(upgrade(gateway.publicKey, extra: "Sec-WebSocket-Protocol: other, plain.v1\r\n"))
                #expect(try await talk.hear("\r\n\r\n").lowercased().contains("sec-websocket-protocol: plain.v1"))
                try await talk.hear("welcome")
                try await talk.text("hello")
                try await talk.text("batch 1 0197aaaa-bbbb-7ccc-8ddd-eeeeffff0001 null")
                let ack = try await talk.hear("weakID")
                #expect(ack.contains("ack(batch: 1, credits: 2"))
                try await talk.frame(9, Array("are you there".utf8))
                try await talk.hear("are you there")
                try await talk.frame(8, [0x0F, 0xA0])
                try await talk.hearClose(4000)
            }
        }
    }

    @Test("a hello and batches in the same segment as the handshake are not lost")
    func eager() async throws {
        try await withGateway { gateway in
            try await RawClient.connect(to: gateway.port) { talk in
                let hello: [UInt8] = [0x81, 0x85, 0, 0, 0, 0] + Array("hello".utf8)
                let heartbeat: [UInt8] = [0x81, 0x89, 0, 0, 0, 0] + Array("heartbeat".utf8)
                try await talk.outbound.write(ByteBuffer(bytes: Array(upgrade(gateway.publicKey).utf8) + hello + heartbeat))
                try await talk.hear("welcome")
                try await talk.hear("heartbeat(")
            }
        }
    }

    @Test("what a page must diagnose is told on the socket")
    func refusedSockets() async throws {
        try await withGateway { gateway in
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say(upgrade(KeyText.make(.public).text))
                try await talk.hear("unknown_key")
                try await talk.hearClose(4001)
            }
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say(upgrade(gateway.publicKey, extra: "Origin: https://evil.example\r\n"))
                try await talk.hear("origin_forbidden")
                try await talk.hearClose(4003)
            }
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say(upgrade(gateway.publicKey, extra: "Sec-WebSocket-Protocol: plain.v9\r\n"))
                try await talk.hear("unsupported_version")
                try await talk.hearClose(4004)
            }
        }
    }

    @Test(
        "frames that break RFC 6455 end the socket",
        arguments: [
            (UInt8(1), [UInt8](), false, UInt16(1002)), (2, [1], true, 1003), (1, [0xFF, 0xFE], true, 1007),
            (1, [UInt8](repeating: 0x20, count: 300_000), true, 4006), (3, [], true, 1002),
            (9, [UInt8](repeating: 0, count: 126), true, 1002),
        ])
    func violations(opcode: UInt8, payload: [UInt8], masked: Bool, code: UInt16) async throws {
        try await withGateway { gateway in
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say(upgrade(gateway.publicKey))
                try await talk.hear("welcome")
                try await talk.frame(opcode, payload, masked: masked)
                try await talk.hear("error(")
                try await talk.hearClose(code)
            }
        }
    }

    @Test("a revoked key closes sockets that are open")
    func revoked() async throws {
        try await withGateway { gateway in
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say(upgrade(gateway.publicKey))
                try await talk.hear("welcome")
                await gateway.control.revoke()
                try await talk.hear("revoked_key")
                try await talk.hearClose(4002)
            }
        }
    }

    @Test("a shutdown says goodbye and ends within its time")
    func drain() async throws {
        try await withGateway { gateway in
            try await RawClient.connect(to: gateway.port) { talk in
                try await talk.say(upgrade(gateway.publicKey))
                try await talk.hear("welcome")
                try await talk.text("hello")
                await gateway.group.triggerGracefulShutdown()
                try await talk.hear("goodbye")
                try await talk.hearClose(4200)
            }
        }
    }
}

// MARK: a running gateway

private struct Running: Sendable {
    let port: Int
    let control: MemoryControl
    let group: ServiceGroup
    var publicKey: String { control.publicKey.text }
    var secretKey: String { control.secretKey.text }
}

private func withGateway(keepAliveSeconds: Double = 75, _ body: @escaping @Sendable (Running) async throws -> Void) async throws {
    var logger = Logger(label: "test")
    logger.logLevel = .error
    let control = MemoryControl()
    let keys = KeyRing(store: control, logger: logger)
    try await keys.refresh()
    let commits = GroupCommit(sink: WillingSink(), logger: logger)
    var configuration = Gateway.Configuration()
    configuration.port = 0
    // Long enough for a client that a busy machine holds up.
    configuration.headerTimeoutSeconds = 2
    configuration.bodyIdleSeconds = 0.3
    configuration.keepAliveSeconds = keepAliveSeconds
    configuration.drainSeconds = 3
    let gateway = Gateway(
        doors: [PlainDoor()], ingest: Ingest(keys: keys, commits: commits), keys: keys, configuration: configuration, logger: logger)
    let router = Router(context: GatewayContext.self)
    gateway.routes(into: router)
    let (ports, port) = AsyncStream.makeStream(of: Int.self, bufferingPolicy: .bufferingOldest(1))
    let service = gateway.service(router: router) { port.yield($0) }
    let group = ServiceGroup(
        configuration: .init(services: [.init(service: keys), .init(service: commits), .init(service: service)], logger: logger))
    try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await group.run() }
        var iterator = ports.makeAsyncIterator()
        let running = Running(port: try #require(await iterator.next()), control: control, group: group)
        try await body(running)
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
    }
}
