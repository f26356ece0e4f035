import Foundation
import NIOCore

/// The gateway's own account of what it received and what became of it.
struct Ledger: Sendable, Codable {
    var received = 0
    var stored = 0
    var duplicate = 0
    var conflict = 0
    var quarantined = 0
    var dropped = 0
    var retry = 0

    /// received = stored + duplicate + conflict + quarantined + dropped + retry.
    var balances: Bool { received == stored + duplicate + conflict + quarantined + dropped + retry }

    static func - (later: Ledger, earlier: Ledger) -> Ledger {
        Ledger(
            received: later.received - earlier.received, stored: later.stored - earlier.stored,
            duplicate: later.duplicate - earlier.duplicate, conflict: later.conflict - earlier.conflict,
            quarantined: later.quarantined - earlier.quarantined, dropped: later.dropped - earlier.dropped,
            retry: later.retry - earlier.retry)
    }

    /// The total since `from`.
    static func read(since from: Date, through reader: inout Reader) async throws -> Ledger {
        let body = try await reader.get("/v1/outcomes?from=\(from.formatted(.iso8601))")
        return try body.withUnsafeReadableBytes { bytes in
            var ledger = Ledger()
            var cursor = JSONCursor(bytes)
            try cursor.object { key, value in
                guard key.spells("total") else { return }
                try value.object { key, value in
                    if key.spells("received") {
                        ledger.received = try value.integer()
                    } else if key.spells("stored") {
                        ledger.stored = try value.integer()
                    } else if key.spells("duplicate") {
                        ledger.duplicate = try value.integer()
                    } else if key.spells("conflict") {
                        ledger.conflict = try value.integer()
                    } else if key.spells("quarantined") {
                        ledger.quarantined = try value.integer()
                    } else if key.spells("dropped") {
                        ledger.dropped = try value.integer()
                    } else if key.spells("retry") {
                        ledger.retry = try value.integer()
                    }
                }
            }
            return ledger
        }
    }
}
