/// What a run adds up to.
struct Tally: Sendable {
    var sent = 0
    /// Events sent once more because their connection broke before the answer came.
    var resent = 0
    var batches = 0
    /// Open loop: events that were due before the end and never left, because earlier ones were still unanswered.
    var late = 0
    var reconnects = 0
    /// Events whose verdict was their whole request's: the gateway may never have counted what was in it.
    var whole = 0
    /// By `Verdict.rawValue`.
    private var verdicts = [Int](repeating: 0, count: Verdict.allCases.count)
    /// `verdict/reason` → how many.
    private(set) var reasons: [String: Int] = [:]
    /// What the gateway did that the protocol does not allow; bounded, the first few are telling enough.
    private(set) var violations: [String] = []
    private(set) var violationCount = 0
    /// Sentences of the gateway and of the network, each once.
    private(set) var remarks: [String] = []

    subscript(_ verdict: Verdict) -> Int { verdicts[Int(verdict.rawValue)] }

    var answered: Int { verdicts.reduce(0, +) }
    var kept: Int { self[.stored] + self[.duplicate] }

    mutating func count(_ verdict: Verdict) { verdicts[Int(verdict.rawValue)] += 1 }

    mutating func count(_ verdict: Verdict, for reason: String) {
        // 64: the gateway's list of reasons is shorter, so only a broken gateway gets here.
        guard reasons.count < 64 || reasons["\(verdict)/\(reason)"] != nil else { return }
        reasons["\(verdict)/\(reason)", default: 0] += 1
    }

    mutating func violation(_ sentence: @autoclosure () -> String) {
        violationCount += 1
        if violations.count < 8 { violations.append(sentence()) }
    }

    mutating func remark(_ sentence: String) {
        if remarks.count < 12, !remarks.contains(sentence) { remarks.append(sentence) }
    }
}
