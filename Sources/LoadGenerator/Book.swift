/// Which verdict each event of one connection got; one byte an event, at its place in the sequence.
struct Book: Sendable {
    private(set) var marks: [UInt8] = []

    var count: Int { marks.count }

    subscript(_ sequence: Int) -> Verdict { Verdict(rawValue: marks[sequence])! }

    mutating func open(_ count: Int) {
        marks.append(contentsOf: repeatElement(Verdict.unanswered.rawValue, count: count))
    }

    /// False if the event already had its verdict: there must be exactly one.
    mutating func mark(_ sequence: Int, _ verdict: Verdict) -> Bool {
        guard marks[sequence] == Verdict.unanswered.rawValue else { return false }
        marks[sequence] = verdict.rawValue
        return true
    }
}
