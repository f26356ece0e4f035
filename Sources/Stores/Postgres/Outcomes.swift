public import Conversations
public import Events

extension PostgresStore {
    public func outcomes(in project: ProjectID, from: Timestamp?, to: Timestamp?) async throws -> [OutcomeRow] {
        try await pool.read { db in
            let rows = try db.fetchAll(
                "SELECT minute, key, name, count FROM outcome WHERE project = $1 AND minute >= $2 AND minute < $3 ORDER BY minute, key",
                [project.number, from?.microseconds ?? 0, to?.microseconds ?? .max])
            var outcomes: [OutcomeRow] = []
            for row in rows {
                let minute = Timestamp(microseconds: row[0])
                let key: String = row[1]
                if outcomes.last?.minute != minute || outcomes.last?.key != key {
                    outcomes.append(OutcomeRow(key: key, minute: minute, tally: Tally()))
                }
                outcomes[outcomes.count - 1].tally.add(row[2] as String, count: row[3])
            }
            return outcomes
        }
    }
}

extension Tally {
    /// Adds a line of the ledger under the name it was booked with.
    fileprivate mutating func add(_ name: String, count: Int) {
        if name == "received" {
            received += count
        } else if let verdict = Verdict.Name(rawValue: name) {
            verdicts[verdict, default: 0] += count
        } else if name.hasPrefix("reason:"), let reason = Reason(rawValue: String(name.dropFirst(7))) {
            reasons[reason, default: 0] += count
        } else if name.hasPrefix("overlooked:"), let reason = Reason(rawValue: String(name.dropFirst(11))) {
            overlooked[reason, default: 0] += count
        }
    }
}
