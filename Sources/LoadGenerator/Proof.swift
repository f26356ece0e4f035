/// A claim that was checked after the run, and what was found.
struct Proof: Codable, Sendable {
    let claim: String
    let holds: Bool
    let finding: String
    /// How many events it was checked on; a claim about nothing holds, and proves nothing.
    let cases: Int

    var label: String { !holds ? "BROKEN" : cases == 0 ? "EMPTY" : "PROVEN" }

    static let ledgerClaim = "the ledger balances and agrees with the verdicts"
    static let readBackClaim = "every acked id is read back exactly once"

    /// Every event that was sent got one verdict, and only one.
    static func ofVerdicts(_ outcome: Outcome) -> Proof {
        let tally = outcome.tally
        let without = tally.sent - tally.answered
        var finding = "\(tally.sent) sent, \(tally.answered) answered"
        if tally.resent > 0 { finding += ", \(tally.resent) of them sent again after a broken connection" }
        if tally[.refused] > 0 { finding += "; \(tally[.refused]) turned away with their whole request" }
        if tally.violationCount > 0 {
            finding += "; the protocol was broken \(tally.violationCount) times: " + tally.violations.joined(separator: "; ")
        }
        return Proof(
            claim: "every event sent got exactly one verdict",
            holds: without == 0 && tally[.refused] == 0 && tally.violationCount == 0 && tally.sent > 0, finding: finding,
            cases: tally.sent)
    }

    /// The gateway's ledger balances, and says what its acks said.
    static func ofLedger(_ ledger: Ledger, _ tally: Tally) -> Proof {
        // An event whose answer was lost may have been stored the first time and come back as a duplicate, or never have been heard of again.
        let unsure = min(tally.resent, tally[.duplicate]) + (tally.sent - tally.answered)
        let stored = tally[.stored]...(tally[.stored] + unsure)
        let sum =
            "\(ledger.stored) stored + \(ledger.duplicate) duplicate + \(ledger.conflict) conflict + \(ledger.quarantined) quarantined"
            + " + \(ledger.dropped) dropped + \(ledger.retry) retry"
        let acked = unsure == 0 ? "\(tally[.stored])" : "\(stored.lowerBound) to \(stored.upperBound)"
        var finding = "\(ledger.received) received \(ledger.balances ? "=" : "≠") \(sum); acked as stored: \(acked)"
        var agrees = stored.contains(ledger.stored)
        // With nothing repeated, lost or turned away unread, each event was counted once, so every figure is known.
        if tally.resent == 0, tally.whole == 0, tally.sent == tally.answered {
            let pairs = [
                ("received", ledger.received, tally.sent), ("duplicate", ledger.duplicate, tally[.duplicate]),
                ("conflict", ledger.conflict, tally[.conflict]), ("quarantined", ledger.quarantined, tally[.quarantined]),
                ("dropped", ledger.dropped, tally[.dropped]), ("retry", ledger.retry, tally[.retry]),
            ]
            for (name, counted, told) in pairs where counted != told {
                agrees = false
                finding += "; \(name) should be \(told)"
            }
        }
        return Proof(claim: ledgerClaim, holds: ledger.balances && agrees, finding: finding, cases: ledger.received)
    }

    /// What was acked can be read, once.
    static func ofReadBack(_ back: ReadBack) -> Proof {
        var finding =
            "\(back.expected) acked ids looked for in \(back.threadsRead) of \(back.threadsUsed) threads: "
            + "\(back.missing) missing, \(back.repeated) more than once"
        if back.unkept > 0 { finding += ", \(back.unkept) there that were said not to be kept" }
        if back.miscounted > 0 { finding += ", \(back.miscounted) threads with a wrong messageCount" }
        if back.unanswered > 0 { finding += ", \(back.unanswered) there whose answer was lost" }
        if back.foreign > 0 { finding += ", \(back.foreign) of another run" }
        if !back.examples.isEmpty { finding += "; " + back.examples.joined(separator: "; ") }
        return Proof(claim: readBackClaim, holds: back.holds, finding: finding, cases: back.expected)
    }

    static func failed(_ claim: String, _ error: any Error) -> Proof {
        Proof(claim: claim, holds: false, finding: "could not be checked: \(error)", cases: 0)
    }
}
