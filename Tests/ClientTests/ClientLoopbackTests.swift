import Foundation
import Testing

@testable import ParleyClient

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// The client against a real gateway, over a real network. `scripts/test` runs these apart from tests that take every core.
@Suite("Client and gateway", .serialized) struct ClientLoopbackTests {
    @Test("500 messages, the gateway killed and started anew among them: each is stored once, in order")
    func killed() async throws {
        try await withGateway { gateway in
            let retries = Locked(0)
            var options = Parley.Options()
            options.origin = "http://127.0.0.1:9"
            options.onVerdict = { verdict in if verdict.outcome == .duplicate { retries.withLock { $0 += 1 } } }
            options.log = { print("client: \($0)") }
            let parley = Parley(key: gateway.publicKey, url: gateway.url, options: options)
            let thread = parley.openThread(id: "t-killed")
            var ids: [String] = []
            for number in 0..<500 {
                ids.append(thread.trackMessage(role: number % 2 == 0 ? .user : .assistant, content: "message \(number)"))
                if number == 150 { gateway.kill() }
                if number == 350 { try await gateway.start() }
                try await Task.sleep(for: .milliseconds(1))
            }
            #expect(await parley.flush(timeout: .seconds(60)))
            let stored = try await gateway.messages()
            #expect(stored.map(\.id) == ids)
            #expect(stored.map(\.content) == (0..<500).map { "message \($0)" })
            #expect(await parley.close())
        }
    }

    @Test("what a client could not deliver is delivered by the next one, once")
    func reopened() async throws {
        try await withGateway { gateway in
            gateway.kill()
            var options = Parley.Options()
            options.origin = "http://127.0.0.1:9"
            options.storage = gateway.folder.appendingPathComponent("client")
            let ids = await lose(Parley(key: gateway.publicKey, url: gateway.url, options: options))
            try await gateway.start()
            let second = Parley(key: gateway.publicKey, url: gateway.url, options: options)
            let last = second.openThread(id: "t-reopened").trackMessage(role: .user, content: "new")
            #expect(await second.close())
            #expect(try await gateway.messages().map(\.id) == ids + [last])
        }
    }

    /// Ends with the client gone and its events without a verdict.
    private func lose(_ parley: Parley) async -> [String] {
        let thread = parley.openThread(id: "t-reopened")
        let ids = (0..<3).map { thread.trackMessage(role: .user, content: "left \($0)") }
        #expect(await parley.close(timeout: .milliseconds(300)) == false)
        return ids
    }

    @Test("a server's runs hang under the messages, and a key nobody gave out ends all sending")
    func keys() async throws {
        try await withGateway { gateway in
            let server = Parley(key: gateway.secretKey, url: gateway.url)
            let thread = server.openThread(id: "t-run", tags: ["support"])
            let question = thread.trackMessage(role: .user, content: "Hello")
            server.startRun(kind: .llm, name: "answer", parent: question, thread: thread.id, input: "Hello").end(
                output: "Hi!", usage: ["outputTokens": 2])
            let answer = thread.streamMessage(replyTo: question)
            answer.append("Hi")
            answer.append("!")
            answer.end()
            server.trackFeedback(answer.id, thumb: .up)
            #expect(await server.close())
            let whole = try await gateway.read("/v1/threads/t-run")
            let items = whole["items"]?.list ?? []
            #expect(items.map { $0["content"]?.text } == ["Hello", "Hi!"])
            #expect(items.first?["runs"]?.list.first?["output"] == "Hi!" && items.last?["feedback"]?["up"] == 1)

            var options = Parley.Options()
            options.log = { _ in }
            let verdict = Locked<Parley.Verdict?>(nil)
            options.onVerdict = { heard in verdict.withLock { $0 = heard } }
            let stranger = Parley(key: "pk_" + String(repeating: "x", count: 28), url: gateway.url, options: options)
            stranger.openThread(id: "t").trackMessage(role: .user, content: "x")
            #expect(await stranger.flush() == false)
            #expect(verdict.withLock { $0 }?.reason == "malformed_key")
        }
    }
}

private func withGateway(_ work: (Gateway) async throws -> Void) async throws {
    let gateway = try await Gateway()
    defer { gateway.end() }
    try await work(gateway)
}

/// A gateway in a process and a folder of its own.
private final class Gateway {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("parley-client-" + UUID().uuidString)
    let publicKey: String
    let secretKey: String
    private(set) var url = URL(fileURLWithPath: "/")
    private var process = Process()

    /// `scripts/test` names the binary; by itself it is the one that this package's own build made.
    private static let binary: String =
        ProcessInfo.processInfo.environment["PARLEY_BIN"]
        ?? ClientConformanceTests.protocolFolder.deletingLastPathComponent().appendingPathComponent(".build/debug/parley").path

    init() async throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let made = try Self.run(["project", "create", "client", "--origin", "http://127.0.0.1:*", "--json", "--data", folder.path])
        publicKey = try #require(made["publicKey"]?.text)
        secretKey = try #require(made["secretKey"]?.text)
        try await start()
    }

    func start() async throws {
        let port = url.port ?? 0
        let hello = folder.appendingPathComponent("hello")
        try Data().write(to: hello)
        process = Process()
        process.executableURL = URL(fileURLWithPath: Self.binary)
        process.arguments = ["serve", "--listen", "127.0.0.1:\(port)", "--data", folder.path, "--json", "--log-level", "warning"]
        process.standardOutput = try FileHandle(forWritingTo: hello)
        try process.run()
        for _ in 0..<2000 {
            if let said = try? JSONDecoder().decode(JSON.self, from: Data(contentsOf: hello)), let address = said["url"]?.text {
                url = try #require(URL(string: address))
                if (try? await read("/v1/threads")) != nil { return }
            }
            try #require(process.isRunning, "the gateway ended by itself")
            try await Task.sleep(for: .milliseconds(10))
        }
        Issue.record("the gateway is not ready after 20 s")
    }

    func kill() {
        #if canImport(Darwin)
        Darwin.kill(process.processIdentifier, SIGKILL)
        #else
        Glibc.kill(process.processIdentifier, SIGKILL)
        #endif
        process.waitUntilExit()
    }

    func end() {
        if process.isRunning { kill() }
        try? FileManager.default.removeItem(at: folder)
    }

    func read(_ path: String) async throws -> JSON { try await JSONDecoder().decode(JSON.self, from: fetch(path)) }

    /// Every message that is stored, as the export has them.
    func messages() async throws -> [(id: String, content: String)] {
        try await fetch("/v1/export").split(separator: UInt8(ascii: "\n")).compactMap { line in
            let item = try JSONDecoder().decode(JSON.self, from: Data(line))
            guard item["type"] == "message" else { return nil }
            return (item["id"]?.text ?? "", item["content"]?.text ?? "")
        }
    }

    private func fetch(_ path: String) async throws -> Data {
        var request = URLRequest(url: url.appendingPathComponent(path))
        request.setValue("Bearer " + secretKey, forHTTPHeaderField: "Authorization")
        let (data, response) = try await URLSession.shared.data(for: request)
        try #require((response as? HTTPURLResponse)?.statusCode == 200)
        return data
    }

    private static func run(_ words: [String]) throws -> JSON {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: binary)
        process.arguments = words
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let answer = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return try JSONDecoder().decode(JSON.self, from: answer)
    }
}
