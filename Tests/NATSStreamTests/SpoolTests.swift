import Events
import Foundation
import Testing
@testable import NATSStream

/// What waits on a machine's own disk while the servers are away.
@Suite("Spool", .serialized)
struct SpoolTests {
    private static func file() -> String { NSTemporaryDirectory() + "/parley-spool-" + UUID().uuidString + ".sqlite" }

    private static func remove(_ file: String) {
        for end in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: file + end) }
    }

    private static func message(_ number: Int, _ size: Int = 100) -> Spool.Message {
        Spool.Message(subject: "parley.events.v1.0.1", id: "id-\(number)", body: Array(repeating: UInt8(number & 0x7F), count: size))
    }

    @Test("what waits is there again after the process ended, in order, and once")
    func keeps() async throws {
        let file = Self.file()
        defer { Self.remove(file) }
        let spool = try Spool(file: file, maximumBytes: 1 << 20)
        #expect(await spool.maximumPayload() == nil)
        await spool.note(maximumPayload: 1000)
        await spool.note(maximumPayload: 2000)
        try await spool.put((0..<5).map { Self.message($0) })
        try await spool.put((5..<7).map { Self.message($0) })
        try await spool.remove(Array(try await spool.next(2, bytes: 1 << 20)))
        try spool.close()

        let again = try Spool(file: file, maximumBytes: 1 << 20)
        #expect(await again.maximumPayload() == 2000)
        #expect(again.figures.messages == 5)
        let next = try await again.next(100, bytes: 1 << 20)
        #expect(next.map(\.message) == (2..<7).map { Self.message($0) })
        // Some bytes at a time, and one at least.
        #expect(try await again.next(100, bytes: 250).count == 2)
        #expect(try await again.next(100, bytes: 1).count == 1)
        try await again.setAside([next[0].number], because: "too large")
        #expect(again.figures.refused == 1)
        #expect(try await again.next(100, bytes: 1 << 20).map(\.message.id) == ["id-3", "id-4", "id-5", "id-6"])
        try await again.remove(Array(next.dropFirst()))
        #expect(again.figures.messages == 1 && again.figures.bytes == Self.message(2).size)
        try again.close()
        let last = try Spool(file: file, maximumBytes: 1 << 20)
        #expect(try await last.next(100, bytes: 1 << 20).map(\.message.id) == ["id-2"])
        try last.close()
        let rights = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
        #expect(rights == 0o600)
    }

    @Test("beyond its bound it takes nothing, also of many at once, and all of a put or none")
    func bound() async throws {
        let file = Self.file()
        defer { Self.remove(file) }
        let spool = try Spool(file: file, maximumBytes: 10_000)
        let taken = await withTaskGroup(of: Bool.self) { group in
            for number in 0..<30 {
                group.addTask { (try? await spool.put([Self.message(number, 400), Self.message(number + 100, 400)])) != nil }
            }
            return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        let figures = spool.figures
        #expect(figures.bytes <= 10_000 && figures.bytes > 9000 && figures.messages == 2 * taken)
        let all = try await spool.next(1000, bytes: 1 << 20)
        #expect(all.count == 2 * taken)
        try await spool.remove(all)
        #expect(spool.figures == Spool.Figures(maximumBytes: 10_000))
        // What was said is not left in the file.
        let bytes = try Data(contentsOf: URL(fileURLWithPath: file))
        #expect(bytes.range(of: Data("id-0".utf8)) == nil)
        try spool.close()
    }

    @Test("a second server on the same file is refused with a sentence")
    func alone() throws {
        let file = Self.file()
        defer { Self.remove(file) }
        let spool = try Spool(file: file, maximumBytes: 1000)
        #expect {
            _ = try Spool(file: file, maximumBytes: 1000)
        } throws: {
            "\($0)".contains("a data folder of its own")
        }
        try spool.close()
        let text = Self.file()
        try Data("this is no database, and longer than a header of one would be".utf8).write(to: URL(fileURLWithPath: text))
        defer { Self.remove(text) }
        #expect(throws: Spool.OpenFailure.self) { try Spool(file: text, maximumBytes: 1000) }
    }

    @Test("a server that dies costs nobody an event: they are stored at once, and in the stream once it is back")
    func outage() async throws {
        let file = Self.file()
        defer { Self.remove(file) }
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let stream = try await JetStream.forTest([server])
        let settings = StreamSettings.forTest()
        try await stream.prepareSoon(settings)
        let spool = try Spool(file: file, maximumBytes: 10 << 20)
        var configuration = StreamSink.Configuration()
        configuration.acknowledgeWithin = .seconds(1)
        let sink = StreamSink(stream, settings: settings, configuration: configuration, spool: spool)
        let forwarding = Task { await sink.forward() }
        #expect(try await sink.append(someDeliveries(0..<100)).allSatisfy { $0 == [.stored] })
        #expect(spool.figures.messages == 0)
        try await eventually("the servers' limit is noted", within: .seconds(30)) { await spool.maximumPayload() == 8 << 20 }

        server.kill9()
        for start in stride(from: 100, to: 200, by: 10) {
            #expect(try await sink.append(someDeliveries(start..<start + 10)).allSatisfy { $0 == [.stored] })
        }
        #expect(try await sink.append([]).isEmpty)
        #expect(spool.figures.messages == 100 && sink.figures.spooled == 100 && sink.figures.failed == 0)

        try await server.start()
        try await eventually("all of it is in the stream", within: .seconds(30)) {
            guard spool.figures.messages == 0 else { return false }
            return (try? await stream.lag(of: settings).messages) == 200
        }
        // Straight again.
        try await eventually("the next goes to the servers", within: .seconds(30)) {
            let before = sink.figures
            _ = try await sink.append(someDeliveries(200..<201))
            return sink.figures.spooled == before.spooled
        }
        forwarding.cancel()
        await forwarding.value
        await stream.close()
        try spool.close()
    }

    @Test("a spool that is full is told as a store that is away, and takes again what it can send")
    func full() async throws {
        let file = Self.file()
        defer { Self.remove(file) }
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let stream = try await JetStream.forTest([server])
        let settings = StreamSettings.forTest()
        try await stream.prepareSoon(settings)
        let spool = try Spool(file: file, maximumBytes: 20_000)
        await spool.note(maximumPayload: 1 << 20)
        let sink = StreamSink(stream, settings: settings, spool: spool)
        server.kill9()
        var stored = 0
        var failure: SinkFailure?
        for number in 0..<100 {
            do throws(SinkFailure) {
                stored += try await sink.append(someDeliveries(number..<number + 1, text: String(repeating: "x", count: 1000))).count
            } catch {
                failure = error
                break
            }
        }
        #expect(stored > 5 && stored == spool.figures.messages)
        #expect(failure?.cause == .unavailable)
        await #expect(throws: SinkFailure.self) { try await sink.append([]) }
        try await server.start()
        let forwarding = Task { await sink.forward() }
        try await eventually("it is in the stream", within: .seconds(30)) { (try? await stream.lag(of: settings).messages) == stored }
        forwarding.cancel()
        await forwarding.value
        await stream.close()
        try spool.close()
    }
}
