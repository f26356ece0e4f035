import Conversations
import Events

extension JSONWriter {
    /// Something in quarantine.
    mutating func quarantined(_ item: QuarantineItem) {
        object { writer in
            writer.field("id", item.id)
            writer.field("reason", item.reason.rawValue)
            writer.field(orNull: "field", item.field)
            writer.field("message", item.message)
            writer.field(orNull: "eventId", item.eventID)
            writer.field(orNull: "type", item.type)
            writer.field("receivedAt", item.receivedAt)
            writer.field("lane", item.source.lane.rawValue)
            writer.field(orNull: "origin", item.source.origin)
            writer.field("payload", item.payload)
            writer.key("differs")
            writer.array(item.differs) { writer, difference in
                writer.object { writer in
                    writer.field("field", difference.field)
                    writer.field(orNull: "stored", difference.stored)
                    writer.field(orNull: "received", difference.received)
                }
            }
        }
    }

    /// What became of a replayed item: as the write API says it, with the item's own ID beside.
    mutating func replayed(_ replayed: Replayed, index: Int) {
        object { writer in
            writer.field("index", index)
            writer.field("item", replayed.item)
            writer.field(ifPresent: "id", replayed.event)
            writer.field("verdict", replayed.verdict.name.rawValue)
            guard let refusal = replayed.verdict.refusal else { return }
            writer.field("reason", refusal.reason.rawValue)
            writer.field(ifPresent: "field", refusal.field)
            writer.field("message", refusal.message)
            if let wait = refusal.retryAfterMilliseconds { writer.field("retryAfterMs", wait) }
            writer.field("doc", refusal.reason.documentation)
        }
    }

    /// The ledger's rows and their sum.
    mutating func members(ofOutcomes rows: [OutcomeRow]) {
        var total = Tally()
        key("outcomes")
        array(rows) { writer, row in
            total.add(row.tally)
            writer.object { writer in
                writer.field("key", row.key)
                writer.field("minute", row.minute)
                writer.members(of: row.tally)
            }
        }
        key("total")
        object { $0.members(of: total) }
    }

    /// Counts by reason, in the order of their names.
    mutating func members(ofCounts counts: [Reason: Int]) {
        for (reason, count) in counts.sorted(by: { $0.key.rawValue < $1.key.rawValue }) { field(reason.rawValue, count) }
    }

    private mutating func members(of tally: Tally) {
        field("received", tally.received)
        for verdict in Verdict.Name.allCases { field(verdict.rawValue, tally.verdicts[verdict] ?? 0) }
        key("reasons")
        object { $0.members(ofCounts: tally.reasons) }
        if !tally.overlooked.isEmpty {
            key("dryRun")
            object { $0.members(ofCounts: tally.overlooked) }
        }
    }
}
