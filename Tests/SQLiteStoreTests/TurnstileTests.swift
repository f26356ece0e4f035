import Events
import Foundation
import GRDB
import Logging
import Synchronization
import TestKit
import Testing
@testable import SQLiteStore

@Suite("Writers await their turn")
struct TurnstileTests {
    let directory = NSTemporaryDirectory() + "parley-turns-" + UUID().uuidString
    let store: SQLiteStore
    let other: SQLiteStore

    init() throws {
        store = try SQLiteStore(directory: directory, logger: Logger(label: "test"))
        other = try SQLiteStore(directory: directory, logger: Logger(label: "test"))
    }

    private func end() throws {
        try store.close()
        try other.close()
        try FileManager.default.removeItem(atPath: directory)
    }

    private final class Counter: Sendable {
        private let count = Atomic(0)

        var now: Int { count.load(ordering: .relaxed) }
        func step() { count.add(1, ordering: .relaxed) }
    }

    @Test("a change gets in between commits that follow each other without a pause", .timeLimit(.minutes(2)))
    func beside() async throws {
        let project = try await store.createProject(named: "busy", settings: .init())
        let commits = Counter()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                let delivery = Sample.delivery(
                    (0..<500).map { Sample.message(Sample.id($0), thread: "t-\($0 % 7)", "Hello \($0)") }, project: project.number)
                while !Task.isCancelled {
                    _ = try await store.append([delivery])
                    commits.step()
                }
            }
            while commits.now < 3 { try await Task.sleep(for: .milliseconds(5)) }
            var most = 0
            for number in 0..<40 {
                let before = commits.now
                _ = try await other.createProject(named: "between-\(number)", settings: .init())
                most = max(most, commits.now - before)
            }
            // One as a rule, some more where the machine has no time at once; without turns it is hundreds, or for ever.
            #expect(most <= 50, "a change waited for \(most) commits")
            group.cancelAll()
        }
        try end()
    }

    @Test("one is in at a time, and who has waited for a second goes on")
    func courtesy() async throws {
        let first = Turnstile(of: store.path)
        let second = Turnstile(of: store.path)
        #expect(first.enter())
        #expect(!second.enter())
        _ = try await store.createProject(named: "all the same", settings: .init())
        first.leave()
        #expect(second.enter())
        second.leave()
        try end()
    }

    private struct Spoilt: Error {}

    @Test("a transaction that fails, or can't begin, holds nobody up")
    func failures() async throws {
        let turnstile = Turnstile(of: store.path)
        await #expect(throws: Spoilt.self) { try await store.write { _ in throw Spoilt() } }
        #expect(turnstile.enter())
        turnstile.leave()
        try await store.pool.writeWithoutTransaction { db in
            try db.inTransaction {
                #expect(throws: DatabaseError.self) { try store.turnstile.transaction(db) {} }
                #expect(turnstile.enter())
                turnstile.leave()
                return .commit
            }
        }
        try end()
    }

    @Test("where its file can't be made, writers go on without it")
    func absent() throws {
        let nowhere = Turnstile(of: directory + "/nowhere/parley.sqlite")
        #expect(!nowhere.enter())
        nowhere.leave()
        try end()
    }
}
