/// A moment in UTC, in microseconds since 1970; read and written as ISO 8601 or epoch milliseconds.
public struct Timestamp: Sendable, Hashable, Comparable, CustomStringConvertible {
    public var microseconds: Int64

    public init(microseconds: Int64) { self.microseconds = microseconds }
    public init(milliseconds: Int64) { microseconds = milliseconds.multipliedReportingOverflow(by: 1000).partialValue }

    public var milliseconds: Int64 { microseconds / 1000 }
    public var seconds: Double { Double(microseconds) / 1_000_000 }

    public static func < (a: Timestamp, b: Timestamp) -> Bool { a.microseconds < b.microseconds }

    public func advanced(bySeconds seconds: Double) -> Timestamp {
        Timestamp(microseconds: microseconds + Int64(seconds * 1_000_000))
    }

    /// The latest time that is taken: the year 9999, so that four digits always do.
    static let latest = Timestamp(microseconds: 253_402_300_799_999_999)

    /// `2026-11-21T14:03:22.123Z`; microseconds only where there are any.
    public var description: String {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.mostDigits) { String(decoding: $0[..<write(into: $0)], as: UTF8.self) }
    }

    /// Room for `description`, of any year there is.
    static let mostDigits = 48

    /// Writes `description` and answers how long it is. Most events carry two or three times, so no text is made for their parts.
    /// - Parameter buffer: of `mostDigits` bytes.
    func write(into buffer: UnsafeMutableBufferPointer<UInt8>) -> Int {
        let days = microseconds.floorDivided(by: 86_400_000_000)
        let (year, month, day) = Self.civil(fromDays: days)
        let rest = microseconds &- days &* 86_400_000_000
        let second = rest / 1_000_000
        let micros = rest % 1_000_000
        var count = 0
        func put(_ byte: UInt8) {
            buffer[count] = byte
            count += 1
        }
        func put(_ number: Int64, _ width: Int) {
            for place in stride(from: width - 1, through: 0, by: -1) {
                buffer[count + place] = UInt8(ascii: "0") + UInt8(number / Self.powers[width - 1 - place] % 10)
            }
            count += width
        }
        // Others are nobody's times, but a number may be any.
        if (0...9999).contains(year) { put(year, 4) } else { for byte in String(year).utf8 { put(byte) } }
        put(UInt8(ascii: "-"))
        put(month, 2)
        put(UInt8(ascii: "-"))
        put(day, 2)
        put(UInt8(ascii: "T"))
        put(second / 3600, 2)
        put(UInt8(ascii: ":"))
        put(second / 60 % 60, 2)
        put(UInt8(ascii: ":"))
        put(second % 60, 2)
        put(UInt8(ascii: "."))
        if micros % 1000 == 0 { put(micros / 1000, 3) } else { put(micros, 6) }
        put(UInt8(ascii: "Z"))
        return count
    }

    private static let powers: [Int64] = [1, 10, 100, 1000, 10_000, 100_000]

    /// Reads RFC 3339 (`2026-11-21T14:03:22.123456+00:00`, also with a space and without seconds' fraction or zone).
    /// Answers nil for anything else, and for years outside 1970-9999.
    public init?(iso8601 text: UnsafeBufferPointer<UInt8>) {
        var scanner = DigitScanner(text)
        guard let year = scanner.digits(4), scanner.take("-"), let month = scanner.digits(2), scanner.take("-"),
            let day = scanner.digits(2), (1...12).contains(month), (1...Self.days(in: month, of: year)).contains(day)
        else { return nil }
        var micros: Int64 = 0
        var offsetMinutes: Int64 = 0
        if !scanner.isAtEnd {
            guard scanner.take("T") || scanner.take("t") || scanner.take(" "), let hour = scanner.digits(2), scanner.take(":"),
                let minute = scanner.digits(2), hour < 24, minute < 60
            else { return nil }
            var second: Int64 = 0
            if scanner.take(":") {
                guard let seconds = scanner.digits(2), seconds <= 60 else { return nil }
                second = seconds
                if scanner.take(".") || scanner.take(",") {
                    guard let fraction = scanner.fraction() else { return nil }
                    micros = fraction
                }
            }
            micros += ((hour * 60 + minute) * 60 + second) * 1_000_000
            if !scanner.isAtEnd, !scanner.take("Z"), !scanner.take("z") {
                let east = scanner.take("+")
                guard east || scanner.take("-"), let hours = scanner.digits(2) else { return nil }
                let hasColon = scanner.take(":")
                let minutes = scanner.isAtEnd && !hasColon ? 0 : scanner.digits(2) ?? -1
                guard hours < 24, (0..<60).contains(minutes) else { return nil }
                offsetMinutes = (hours * 60 + minutes) * (east ? 1 : -1)
            }
            guard scanner.isAtEnd else { return nil }
        }
        let days = Self.daysFromCivil(year: year, month: month, day: day)
        self.init(microseconds: days * 86_400_000_000 + micros - offsetMinutes * 60_000_000)
        guard microseconds >= 0, self <= Self.latest else { return nil }
    }

    public init?(iso8601 text: String) {
        var text = text
        guard let parsed = text.withUTF8({ Timestamp(iso8601: $0) }) else { return nil }
        self = parsed
    }

    /// A time as an event may carry it: ISO 8601 text, or epoch milliseconds as a number.
    public init?(_ value: JSONValue) {
        if let text = value.utf8 {
            self.init(iso8601: text)
        } else if let milliseconds = value.double, milliseconds >= 0, milliseconds < Double(Self.latest.milliseconds + 1) {
            self.init(microseconds: value.integer.map { $0 * 1000 } ?? Int64((milliseconds * 1000).rounded()))
            guard self <= Self.latest else { return nil }
        } else {
            return nil
        }
    }

    // Days and civil dates: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    private static func daysFromCivil(year: Int64, month: Int64, day: Int64) -> Int64 {
        let y = month <= 2 ? year - 1 : year
        let era = y.floorDivided(by: 400)
        let yearOfEra = y - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func civil(fromDays days: Int64) -> (Int64, Int64, Int64) {
        let z = days + 719_468
        let era = z.floorDivided(by: 146_097)
        let dayOfEra = z - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted + (shifted < 10 ? 3 : -9)
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }

    private static func days(in month: Int64, of year: Int64) -> Int64 {
        switch month {
        case 4, 6, 9, 11: 30
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        default: 31
        }
    }
}

extension Int64 {
    fileprivate func floorDivided(by divisor: Int64) -> Int64 {
        let quotient = self / divisor
        return self % divisor < 0 ? quotient - 1 : quotient
    }
}

/// Reads fixed-width digits off the front of bytes.
private struct DigitScanner {
    let bytes: UnsafeBufferPointer<UInt8>
    var index = 0

    init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    var isAtEnd: Bool { index == bytes.count }

    mutating func digits(_ count: Int) -> Int64? {
        guard index + count <= bytes.count else { return nil }
        var number: Int64 = 0
        for byte in bytes[index..<index + count] {
            guard byte &- UInt8(ascii: "0") < 10 else { return nil }
            number = number * 10 + Int64(byte - UInt8(ascii: "0"))
        }
        index += count
        return number
    }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard index < bytes.count, bytes[index] == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }

    /// Digits after the point as microseconds; what is finer is cut.
    mutating func fraction() -> Int64? {
        var micros: Int64 = 0
        var count = 0
        while index < bytes.count, bytes[index] &- UInt8(ascii: "0") < 10 {
            if count < 6 { micros = micros * 10 + Int64(bytes[index] - UInt8(ascii: "0")) }
            count += 1
            index += 1
        }
        guard count > 0 else { return nil }
        for _ in 0..<max(0, 6 - count) { micros *= 10 }
        return micros
    }
}
