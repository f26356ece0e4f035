import Events
import Foundation
import NATSStream
import Synchronization
import TestKit
import Testing

extension StreamSettings {
    /// A small stream for a test.
    static func forTest(shards: Int = 4, replicas: Int = 1) -> StreamSettings {
        var settings = StreamSettings()
        settings.shards = Shards(count: shards)
        settings.replicas = replicas
        settings.maximumBytes = 200 << 20
        return settings
    }
}

/// Deliveries of one message each, over many projects.
func someDeliveries(_ range: Range<Int>, projects: Int = 20, text: String = "Hello") -> [Delivery] {
    range.map { number in
        Sample.delivery(
            [Sample.message("m-\(number)", thread: "t-\(number % 7)", text)], project: ProjectID(Int64(number % projects + 1)))
    }
}

@Suite("Publishing to real servers", .serialized)
struct StreamSinkTests {
    @Test("several nodes make the stream at once, and what is there already is told where it differs, and stays")
    func preparing() async throws {
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let streams = [try await JetStream.forTest([server]), try await .forTest([server]), try await .forTest([server])]
        let settings = StreamSettings.forTest()
        try await streams[0].prepareSoon(settings)
        try await withThrowingTaskGroup(of: StreamSettings.Report.self) { group in
            for stream in streams + streams { group.addTask { try await stream.prepare(settings) } }
            for try await report in group { #expect(report.differences.isEmpty) }
        }
        var other = settings
        other.maximumBytes = 100 << 20
        other.shards = Shards(count: 8)
        let report = try await streams[1].prepare(other)
        #expect(report.differences.map(\.setting) == ["subjects", "max_bytes"])
        #expect(report.graveDifferences.map(\.setting) == ["subjects"])
        #expect(try await streams[1].prepare(settings).differences.isEmpty)
        try await streams[1].change(to: other)
        #expect(try await streams[2].prepare(other).differences.isEmpty)
        for stream in streams { await stream.close() }
    }

    @Test("thousands of deliveries are acknowledged, each with a verdict for each event")
    func many() async throws {
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let stream = try await JetStream.forTest([server])
        let settings = StreamSettings.forTest()
        try await stream.prepareSoon(settings)
        let sink = StreamSink(stream, settings: settings)
        var deliveries = someDeliveries(0..<4000)
        deliveries[7].setAside = [SetAside(id: "x", type: "message", refusal: Refusal(.invalidField), payload: "{}")]
        let verdicts = try await sink.append(deliveries)
        #expect(verdicts.count == 4000)
        #expect(verdicts[6] == [.stored])
        #expect(verdicts[7] == [.stored, .quarantined(Refusal(.invalidField))])
        #expect(try await stream.lag(of: settings).messages == 4000)
        #expect(sink.figures.acknowledged == 4000 && sink.figures.messagesInFlight == 0)
        sink.close()
        await #expect(throws: SinkFailure.self) { try await sink.append(someDeliveries(0..<1)) }
        await stream.close()
    }

    @Test("a message that is sent again with its ID is in the stream once")
    func repetition() async throws {
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let stream = try await JetStream.forTest([server])
        let settings = StreamSettings.forTest()
        try await stream.prepareSoon(settings)
        // So short that answers come late: attempts pile up.
        var configuration = StreamSink.Configuration()
        configuration.acknowledgeWithin = .microseconds(1)
        let sink = StreamSink(stream, settings: settings, configuration: configuration)
        _ = try? await sink.append(someDeliveries(0..<500))
        #expect(sink.figures.repeated > 0)
        configuration.acknowledgeWithin = .seconds(2)
        _ = try await StreamSink(stream, settings: settings, configuration: configuration).append(someDeliveries(500..<600))
        #expect(try await stream.lag(of: settings).messages == 600)
        await stream.close()
    }

    @Test("a server that takes small messages gets several, and an event too large for any is refused alone")
    func smallMessages() async throws {
        let server = try await NATSServer.alone(maximumPayload: "64KB")
        defer { server.stop() }
        let stream = try await JetStream.forTest([server])
        let settings = StreamSettings.forTest()
        try await stream.prepareSoon(settings)
        let sink = StreamSink(stream, settings: settings)
        var events = (0..<20).map { Sample.message("m-\($0)", String(repeating: "x", count: 10_000)) }
        events[5] = Sample.message("m-5", String(repeating: "x", count: 70_000))
        let delivery = Sample.delivery(events, project: ProjectID(1))
        var configuration = StreamSink.Configuration()
        configuration.preferredMessageBytes = 60_000
        let verdicts = try await StreamSink(stream, settings: settings, configuration: configuration).append([delivery])[0]
        #expect(verdicts.count == 20)
        #expect(verdicts.enumerated().allSatisfy { place, verdict in place == 5 ? verdict.name == .dropped : verdict == .stored })
        #expect(verdicts[5].refusal?.reason == .eventTooLarge)
        #expect(try await stream.lag(of: settings).messages == 4)
        _ = sink
        await stream.close()
    }

    @Test("with no broker the sender is told so within the bound, and it goes on when the broker is back")
    func brokerDown() async throws {
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let stream = try await JetStream.forTest([server])
        let settings = StreamSettings.forTest()
        try await stream.prepareSoon(settings)
        var configuration = StreamSink.Configuration()
        configuration.patience = .seconds(2)
        let sink = StreamSink(stream, settings: settings, configuration: configuration)
        _ = try await sink.append(someDeliveries(0..<10))
        server.kill9()
        let began = ContinuousClock.now
        do {
            _ = try await sink.append(someDeliveries(10..<20))
            Issue.record("stored without a server")
        } catch {
            #expect(error.cause == .unavailable)
        }
        #expect(ContinuousClock.now - began < .seconds(5))
        #expect(stream.state == .reconnecting)
        try await server.start()
        try await eventually("it is taken again", within: .seconds(15)) { (try? await sink.append(someDeliveries(10..<20))) != nil }
        #expect(stream.state == .connected && stream.reconnections >= 1)
        #expect(try await stream.lag(of: settings).messages >= 20)
        await stream.close()
        #expect(stream.state == .closed)
    }

    @Test("a broker that hangs with its connections open is told within the bound, and nothing is there twice when it goes on")
    func brokerHangs() async throws {
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let stream = try await JetStream.forTest([server]) { $0.writeWithin = .seconds(1) }
        let settings = StreamSettings.forTest()
        try await stream.prepareSoon(settings)
        var configuration = StreamSink.Configuration()
        configuration.patience = .seconds(3)
        configuration.acknowledgeWithin = .seconds(1)
        let sink = StreamSink(stream, settings: settings, configuration: configuration)
        server.pause()
        let began = ContinuousClock.now
        // More than fits into the line.
        let deliveries = someDeliveries(0..<800, text: String(repeating: "x", count: 10_000))
        do {
            _ = try await sink.append(deliveries)
            Issue.record("stored by a server that does nothing")
        } catch {
            #expect(error.cause == .unavailable)
        }
        #expect(ContinuousClock.now - began < .seconds(8))
        server.resume()
        try await eventually("it is taken again", within: .seconds(15)) { (try? await sink.append(someDeliveries(0..<10))) != nil }
        // What lay on the line may have been taken too, each message once.
        #expect(try await stream.lag(of: settings).messages <= 810)
        await stream.close()
    }

    @Test("with no stream for the subjects the sender is told that it is away")
    func noStream() async throws {
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let stream = try await JetStream.forTest([server])
        var configuration = StreamSink.Configuration()
        configuration.patience = .seconds(1)
        let sink = StreamSink(stream, settings: .forTest(), configuration: configuration)
        do {
            _ = try await sink.append(someDeliveries(0..<10))
            Issue.record("stored without a stream")
        } catch {
            #expect(error.cause == .unavailable && error.description.contains("does not exist"))
        }
        await stream.close()
    }

    @Test("a connection begun before there is a server comes up with it")
    func early() async throws {
        let server = try await NATSServer.alone()
        defer { server.stop() }
        server.kill9()
        let stream = try await JetStream.forTest([server])
        #expect(stream.state == .connecting)
        #expect(await !stream.connected(within: .milliseconds(300)))
        try await server.start()
        #expect(await stream.connected(within: .seconds(10)))
        await stream.close()
    }

    @Test("a full stream refuses what is new as a full disk, keeps what is old, and takes more once there is room")
    func full() async throws {
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let stream = try await JetStream.forTest([server])
        var settings = StreamSettings.forTest()
        settings.maximumBytes = 1 << 20
        try await stream.prepareSoon(settings)
        let sink = StreamSink(stream, settings: settings)
        let text = String(repeating: "x", count: 10_000)
        var stored = 0
        var refusal: Refusal?
        for batch in 0..<20 where refusal == nil {
            do {
                for verdicts in try await sink.append(someDeliveries(batch * 10..<batch * 10 + 10, text: text)) {
                    if verdicts == [.stored] { stored += 1 } else { refusal = verdicts[0].refusal }
                }
            } catch {
                refusal = error.refusal
            }
        }
        #expect(refusal?.reason == .diskFull)
        #expect(stored > 50)
        #expect(try await stream.lag(of: settings).messages == stored)
        settings.maximumBytes = 10 << 20
        try await stream.change(to: settings)
        #expect(try await sink.append(someDeliveries(900..<901, text: text)) == [[.stored]])
        await stream.close()
    }

    @Test("senders share what may be on its way")
    func window() async throws {
        let server = try await NATSServer.alone()
        defer { server.stop() }
        let stream = try await JetStream.forTest([server])
        let settings = StreamSettings.forTest()
        try await stream.prepareSoon(settings)
        var configuration = StreamSink.Configuration()
        configuration.maximumMessagesInFlight = 8
        let sink = StreamSink(stream, settings: settings, configuration: configuration)
        try await withThrowingTaskGroup(of: Int.self) { group in
            for task in 0..<6 {
                group.addTask { try await sink.append(someDeliveries(task * 100..<task * 100 + 100)).count { $0 == [.stored] } }
            }
            var stored = 0
            for try await count in group { stored += count }
            #expect(stored == 600)
        }
        await stream.close()
    }

    @Test("a wrong password is not taken for a server that is away for ever, and the right one opens")
    func password() async throws {
        let server = try await NATSServer.alone(more: #"authorization { user: parley, password: "s3cret" }"#)
        defer { server.stop() }
        let right = try await JetStream.forTest([server]) { $0.login = .password(user: "parley", .init("s3cret")) }
        try await right.prepareSoon(.forTest())
        #expect("\(right.configuration.login)".contains("***") && !"\(right.configuration.login)".contains("s3cret"))
        await right.close()
        let wrong = try? await JetStream.forTest([server]) { $0.login = .password(user: "parley", .init("guess")) }
        if let wrong {
            #expect(await !wrong.connected(within: .seconds(1)))
            await wrong.close()
        }
    }

    @Test(
        "with TLS both ends show certificates, and one that the authority did not sign gets nowhere", .enabled(if: Certificates.canBeMade))
    func tls() async throws {
        let certificates = try Certificates()
        let server = try await NATSServer.alone(
            more: """
                tls {
                    cert_file: "\(certificates.path("server.pem"))"
                    key_file: "\(certificates.path("server.key"))"
                    ca_file: "\(certificates.path("ca.pem"))"
                    verify: true
                }
                """)
        defer { server.stop() }
        let stream = try await JetStream.forTest([server]) {
            $0.tls = .init(
                authorities: certificates.path("ca.pem"), certificate: certificates.path("client.pem"), key: certificates.path("client.key")
            )
        }
        try await stream.prepareSoon(.forTest())
        await stream.close()
        let stranger = try? await JetStream.forTest([server]) { $0.tls = .init(authorities: certificates.path("ca.pem")) }
        if let stranger {
            #expect(await !stranger.connected(within: .seconds(1)))
            await stranger.close()
        }
        await #expect(throws: JetStream.Failure.self) {
            try await JetStream.forTest([server]) { $0.tls = .init(authorities: "/nowhere/ca.pem") }
        }
    }
}

/// An authority made for a test, with a certificate for either end.
private final class Certificates {
    private static let openssl = ["/usr/bin/openssl", "/opt/homebrew/bin/openssl"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }
    static var canBeMade: Bool { openssl != nil }
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "parley-tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        try run(["req", "-x509"] + key + ["-subj", "/CN=test authority", "-keyout", path("ca.key"), "-out", path("ca.pem")])
        for end in ["server", "client"] {
            try run(
                ["req", "-x509"] + key + [
                    "-subj", "/CN=\(end)", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
                    "-CA", path("ca.pem"), "-CAkey", path("ca.key"), "-keyout", path("\(end).key"), "-out", path("\(end).pem"),
                ])
        }
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func path(_ name: String) -> String { folder.appending(path: name).path }

    private func run(_ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(filePath: Self.openssl!)
        process.arguments = arguments
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(arguments)")
    }
}
