import Conversations
import Events
import Foundation
import GRDB

/// Counts of a quarter of an hour: zones are off by quarters, and a day is added up from them.
struct FigureRows {
    /// A quarter of an hour in microseconds.
    static let slot: Int64 = 900_000_000
    /// Buckets of latency are 5 % wide.
    static let growth = 1.05

    enum Name {
        case messages, runs, errors
        /// Runs that took about as long.
        case latency(bucket: Int)

        var number: Int {
            switch self {
            case .messages: 0
            case .runs: 1
            case .errors: 2
            case .latency(let bucket): 100 + bucket
            }
        }
    }

    struct Place: Hashable {
        var slot: Int64
        var name: Int
    }

    /// What is added to the counts, or taken off.
    struct Changes {
        fileprivate(set) var values: [Place: Int] = [:]

        mutating func add(_ name: Name, _ count: Int, at time: Timestamp) {
            values[Place(slot: time.microseconds.dividedDown(by: FigureRows.slot), name: name.number), default: 0] += count
        }
    }

    let db: Database
    let project: ProjectID

    /// What a run adds: itself and how long it took where it is no step of another, and its failure.
    static func tally(of run: Run, isRoot: Bool) -> [Place: Int] {
        let time = run.startedAt ?? run.endedAt ?? run.createdAt
        var changes = Changes()
        if isRoot {
            changes.add(.runs, 1, at: time)
            if let latency = run.latencyMilliseconds { changes.add(.latency(bucket: bucket(of: latency)), 1, at: time) }
        }
        if run.failed { changes.add(.errors, 1, at: time) }
        return changes.values
    }

    static func bucket(of milliseconds: Double) -> Int { milliseconds <= 1 ? 0 : Int(log(milliseconds) / log(growth)) }

    /// The middle of a bucket, within half its width of what is in it.
    static func milliseconds(ofBucket bucket: Int) -> Double { pow(growth, Double(bucket) + 0.5) }

    /// Notes what a run or thread adds now, and takes off what it added before.
    func replace(_ subject: String, with tally: [Place: Int], in changes: inout Changes) throws {
        let stored = try String.fetchOne(
            db.cachedStatement(sql: "SELECT tally FROM counted WHERE project = ? AND subject = ?"), arguments: [project.number, subject])
        let before = stored.map(Self.parse) ?? [:]
        guard before != tally else { return }
        for (place, count) in before { changes.values[place, default: 0] -= count }
        for (place, count) in tally { changes.values[place, default: 0] += count }
        if tally.isEmpty {
            try db.cachedStatement(sql: "DELETE FROM counted WHERE project = ? AND subject = ?")
                .execute(arguments: [project.number, subject])
        } else {
            let text = tally.map { "\($0.key.slot).\($0.key.name).\($0.value)" }.sorted().joined(separator: ",")
            try db.cachedStatement(sql: "INSERT OR REPLACE INTO counted VALUES (?,?,?)").execute(arguments: [project.number, subject, text])
        }
    }

    private static func parse(_ text: String) -> [Place: Int] {
        var tally: [Place: Int] = [:]
        for entry in text.split(separator: ",") {
            let parts = entry.split(separator: ".")
            guard parts.count == 3, let slot = Int64(parts[0]), let name = Int(parts[1]), let count = Int(parts[2]) else { continue }
            tally[Place(slot: slot, name: name)] = count
        }
        return tally
    }

    func write(_ changes: Changes) throws {
        for (place, count) in changes.values where count != 0 {
            try db.cachedStatement(sql: "INSERT INTO figure VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET value = value + excluded.value")
                .execute(arguments: [project.number, place.slot, place.name, count])
        }
    }
}

extension Int64 {
    func dividedDown(by divisor: Int64) -> Int64 { self >= 0 ? self / divisor : (self + 1) / divisor - 1 }
}
