import Events

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// What messages and runs add to the figures: counts of a quarter of an hour, since zones are off by quarters; a day is added up from
/// them.
public struct FigureFold: Sendable {
    /// A quarter of an hour in microseconds.
    public static let slot: Int64 = 900_000_000
    /// Buckets of latency are 5 % wide.
    private static let growth = 1.05

    public enum Name: Sendable {
        case messages, runs, errors
        /// Runs that took about as long.
        case latency(bucket: Int)

        public var number: Int {
            switch self {
            case .messages: 0
            case .runs: 1
            case .errors: 2
            case .latency(let bucket): 100 + bucket
            }
        }
    }

    public struct Place: Hashable, Sendable {
        public var slot: Int64
        public var name: Int
    }

    /// What is added to the counts, or taken off.
    public private(set) var values: [Place: Int] = [:]

    public init() {}

    public mutating func add(_ name: Name, _ count: Int, at time: Timestamp) {
        values[Place(slot: time.microseconds.dividedDown(by: Self.slot), name: name.number), default: 0] += count
    }

    /// Takes off what a subject added before, and adds what it does now.
    public mutating func replace(_ before: [Place: Int], with tally: [Place: Int]) {
        for (place, count) in before { values[place, default: 0] -= count }
        for (place, count) in tally { values[place, default: 0] += count }
    }

    /// What a run adds: itself and how long it took where it is no step of another, and its failure.
    public static func tally(of run: Run, isRoot: Bool) -> [Place: Int] {
        let time = run.startedAt ?? run.endedAt ?? run.createdAt
        var changes = FigureFold()
        if isRoot {
            changes.add(.runs, 1, at: time)
            if let latency = run.latencyMilliseconds { changes.add(.latency(bucket: bucket(of: latency)), 1, at: time) }
        }
        if run.failed { changes.add(.errors, 1, at: time) }
        return changes.values
    }

    private static func bucket(of milliseconds: Double) -> Int { milliseconds <= 1 ? 0 : Int(log(milliseconds) / log(growth)) }

    /// The middle of a bucket, within half its width of what is in it.
    private static func milliseconds(ofBucket bucket: Int) -> Double { pow(growth, Double(bucket) + 0.5) }

    /// The latency that a part of the runs stays below, of counts by `Name.number`.
    public static func quantile(_ part: Double, of counts: [Int: Int]) -> Double? {
        let total = counts.values.reduce(0) { $0 + max($1, 0) }
        guard total > 0 else { return nil }
        var rest = max(1, Int((part * Double(total)).rounded(.up)))
        for (name, count) in counts.sorted(by: { $0.key < $1.key }) where count > 0 {
            rest -= count
            if rest <= 0 { return milliseconds(ofBucket: name - Name.latency(bucket: 0).number) }
        }
        return nil
    }

    // MARK: as it is stored

    /// A tally as text: `slot.name.count`, comma separated.
    public static func stored(_ tally: [Place: Int]) -> String {
        tally.map { "\($0.key.slot).\($0.key.name).\($0.value)" }.sorted().joined(separator: ",")
    }

    public static func tally(stored text: String) -> [Place: Int] {
        var tally: [Place: Int] = [:]
        for entry in text.split(separator: ",") {
            let parts = entry.split(separator: ".")
            guard parts.count == 3, let slot = Int64(parts[0]), let name = Int(parts[1]), let count = Int(parts[2]) else { continue }
            tally[Place(slot: slot, name: name)] = count
        }
        return tally
    }
}

/// A day by a reader's clock.
public enum Day {
    /// In microseconds.
    public static let length: Int64 = 86_400_000_000

    /// The days since 1970.
    public static func number(of microseconds: Int64) -> Int64 { microseconds.dividedDown(by: length) }

    /// `2026-11-21` of a day's number since 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days).
    public static func name(of number: Int64) -> String {
        let shifted = number + 719_468
        let era = shifted.dividedDown(by: 146_097)
        let ofEra = shifted - era * 146_097
        let yearOfEra = (ofEra - ofEra / 1460 + ofEra / 36_524 - ofEra / 146_096) / 365
        let ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * ofYear + 2) / 153
        let day = ofYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        func padded(_ number: Int64, _ width: Int) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, width - text.count)) + text
        }
        return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))"
    }
}

extension Int64 {
    fileprivate func dividedDown(by divisor: Int64) -> Int64 { self >= 0 ? self / divisor : (self + 1) / divisor - 1 }
}
