/// Makes UUIDv7s (RFC 9562, 5.7) that sort in the order they were made: 48 bits of time, a 12-bit counter that keeps the
/// order within a millisecond (6.2, method 1), 62 random bits. A counter that runs over borrows the next millisecond; a
/// clock set back changes nothing.
struct IDSource: Sendable {
    private var last: Int64 = 0
    private var counter: UInt64 = 0

    /// `now` in milliseconds since 1970; `random` gives 64 bits that nobody can guess (P-ID-3).
    mutating func next(at now: Int64, random: () -> UInt64) -> String {
        if now > last {
            last = now
            counter = random() & 0xff
        } else {
            counter += 1
            if counter > 0xfff {
                last += 1
                counter = 0
            }
        }
        let high = UInt64(truncatingIfNeeded: last) << 16 | 0x7000 | counter
        let low = random() & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000
        let digits = Self.hex(high) + Self.hex(low)
        var id = ""
        for (place, digit) in digits.enumerated() {
            if place == 8 || place == 12 || place == 16 || place == 20 { id.append("-") }
            id.append(digit)
        }
        return id
    }

    private static func hex(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
