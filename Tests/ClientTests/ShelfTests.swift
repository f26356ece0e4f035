import Foundation
import Testing

@testable import ParleyClient

@Suite("What outlasts the process") struct ShelfTests {
    private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("parley-shelf-" + UUID().uuidString)

    private func files(_ suffix: String = "") -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).filter { $0.hasSuffix(suffix) }
    }

    private func bench(key: String = "pk_test") -> Bench { Bench(key: key) { $0.storage = folder } }

    @Test("what has no verdict is sent at the next start, the same to the byte, before anything new, and then forgotten")
    func takenOver() {
        defer { try? FileManager.default.removeItem(at: folder) }
        var texts: [String] = []
        do {
            let first = bench()
            let thread = first.parley.openThread(id: "t")
            thread.trackMessage(role: .user, content: "one \"two\"\nthree")
            thread.trackMessage(role: .user, content: "two")
            first.time.advance(10)
            texts = first.farEnd.last?.texts ?? []
            #expect(files(".events").count == 1, "it is on disk when it leaves")
        }
        #expect(texts.count == 2 && files(".events").count == 1)
        let second = bench()
        second.parley.openThread(id: "t").trackMessage(role: .user, content: "three")
        let delivery = second.next()
        #expect(delivery?.events.count == 3 && delivery?.texts.prefix(2) == texts[...])
        second.answer(.duplicate, .stored, .stored)
        second.time.advance(1000)
        #expect(files(".events").isEmpty && files(".lock").count == 1)
        second.parley.courier.close()
    }

    @Test("the disk is not touched unless a folder is named, and after an orderly end nothing is left on it")
    func orderly() {
        defer { try? FileManager.default.removeItem(at: folder) }
        do {
            let bench = Bench()
            bench.parley.openThread(id: "t").trackMessage(role: .user, content: "x")
            bench.time.advance(1000)
        }
        #expect(files().isEmpty)
        do {
            let bench = bench()
            bench.parley.openThread(id: "t").trackMessage(role: .user, content: "x")
            _ = bench.next()
            bench.answer(.stored)
        }
        #expect(files().isEmpty)
    }

    @Test("what belongs to a living instance, or to another key, is let be")
    func living() {
        defer { try? FileManager.default.removeItem(at: folder) }
        let first = bench()
        first.parley.openThread(id: "t").trackMessage(role: .user, content: "one")
        first.time.advance(10)
        let second = bench()
        second.time.advance(1000)
        #expect(second.farEnd.count == 0 && files(".events").count == 1)
        let stranger = bench(key: "pk_other")
        stranger.time.advance(1000)
        #expect(stranger.farEnd.count == 0)
        withExtendedLifetime(first) {}
    }

    @Test("the newest 200 are kept, in 256 KB, for nobody else to read")
    func bounds() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        do {
            let bench = bench()
            bench.farEnd.refuse(true)
            let thread = bench.parley.openThread(id: "t")
            for number in 0..<300 { thread.trackMessage(role: .user, content: "\(number)") }
            bench.time.advance(1000)
        }
        let file = try folder.appendingPathComponent(#require(files(".events").first))
        let rights = try FileManager.default.attributesOfItem(atPath: file.path)[.posixPermissions] as? Int
        #expect(rights == 0o600)
        do {
            let bench = bench()
            #expect(bench.next()?.contents == (100..<300).map(String.init))
            let thread = bench.parley.openThread(id: "t")
            for _ in 0..<20 { thread.trackMessage(role: .user, content: String(repeating: "x", count: 20_000)) }
            bench.time.advance(1000)
        }
        let size =
            try FileManager.default.attributesOfItem(atPath: folder.appendingPathComponent(#require(files(".events").first)).path)[.size]
            as? Int
        #expect(size ?? 0 > 200_000 && size ?? 0 <= 262_144)
    }

    @Test("what is older than a day is dropped and reported")
    func expired() {
        defer { try? FileManager.default.removeItem(at: folder) }
        do {
            let bench = bench()
            bench.parley.openThread(id: "t").trackMessage(role: .user, content: "old")
            bench.time.advance(10)
        }
        let time = ManualTime()
        time.advance(24 * 3600 * 1000 + 11)
        let farEnd = FarEnd()
        var options = Parley.Options()
        options.storage = folder
        let parley = Parley(
            key: "pk_test", url: URL(string: "http://127.0.0.1:1")!, options: options, transport: farEnd, time: time, random: { 0.5 })
        time.advance(10)
        #expect(farEnd.last?.events.map { $0["reasons"] } == [["expired": 1]])
        withExtendedLifetime(parley) {}
    }

    @Test("a torn or foreign line costs only itself")
    func torn() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        do {
            let bench = bench()
            bench.parley.openThread(id: "t").trackMessage(role: .user, content: "whole")
            bench.time.advance(10)
        }
        let file = try folder.appendingPathComponent(#require(files(".events").first))
        let content = try String(contentsOf: file, encoding: .utf8)
        try ("rubbish\n" + content + "1795262400000 {\"id\":\"half").write(to: file, atomically: true, encoding: .utf8)
        #expect(bench().next()?.contents == ["whole"])
    }

    @Test("a folder that cannot be used costs a warning and nothing else")
    func unusable() {
        let bench = Bench { $0.storage = URL(fileURLWithPath: "/dev/null/parley") }
        bench.parley.openThread(id: "t").trackMessage(role: .user, content: "x")
        #expect(bench.next()?.contents == ["x"] && bench.warnings.withLock { $0 }.count == 1)
    }
}
