import Events
import HTTPTypes
import Synchronization

/// What every answer says where its route says nothing else: nothing is sniffed, framed, run or kept.
enum DefaultHeaders {
    static let fields: [(name: HTTPField.Name, value: String)] = [
        (.xContentTypeOptions, "nosniff"),
        (.referrerPolicy, "no-referrer"),
        (.contentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'"),
        (.cacheControl, "no-store"),
    ]
}

/// The time of answers, `Sat, 21 Nov 2026 14:03:22 GMT` (RFC 9110, section 5.6.7), written once a second.
final class DateHeader: Sendable {
    private let written = Mutex<(second: Int64, text: String)>((.min, ""))
    private let clock: WallClock

    init(clock: WallClock) { self.clock = clock }

    var text: String {
        let now = clock.now()
        let second = now.microseconds / 1_000_000
        return written.withLock { written in
            if written.second != second { written = (second, Self.text(of: now)) }
            return written.text
        }
    }

    static func text(of time: Timestamp) -> String {
        let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]  // 1970 began on a Thursday
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        // 2026-11-21T14:03:22
        let parts = time.description.prefix(19).split { $0 == "-" || $0 == "T" }
        let weekday = weekdays[Int(time.microseconds / 86_400_000_000 % 7)]
        return "\(weekday), \(parts[2]) \(months[Int(parts[1])! - 1]) \(parts[0]) \(parts[3]) GMT"
    }
}
