import Events
import Testing

@Suite("Timestamp")
struct TimestampTests {
    @Test(
        "ISO 8601 in its usual forms",
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("1970-01-01T00:00:00.000001Z", 1), ("2026-11-21T12:00:00Z", 1_795_262_400_000_000),
            ("2026-11-21T12:00:00.5Z", 1_795_262_400_500_000), ("2026-11-21T12:00:00.123456Z", 1_795_262_400_123_456),
            ("2026-11-21T12:00:00.123456999Z", 1_795_262_400_123_456), ("2026-11-21T12:00:00,25Z", 1_795_262_400_250_000),
            ("2026-11-21t12:00:00z", 1_795_262_400_000_000), ("2026-11-21 12:00:00Z", 1_795_262_400_000_000),
            ("2026-11-21T12:00:00", 1_795_262_400_000_000), ("2026-11-21T12:00Z", 1_795_262_400_000_000),
            ("2026-11-21", 1_795_219_200_000_000),
            ("2026-11-21T14:00:00+02:00", 1_795_262_400_000_000), ("2026-11-21T14:00:00+0200", 1_795_262_400_000_000),
            ("2026-11-21T14:00:00+02", 1_795_262_400_000_000), ("2026-11-21T06:30:00-05:30", 1_795_262_400_000_000),
            ("2026-11-22T11:59:00+23:59", 1_795_262_400_000_000), ("2026-11-21T12:00:00-00:00", 1_795_262_400_000_000),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000_000), ("2000-02-29T00:00:00Z", 951_782_400_000_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000_000), ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
        ])
    func forms(_ text: String, _ microseconds: Int64) { #expect(Timestamp(iso8601: text)?.microseconds == microseconds) }

    @Test(
        "what is no time, or none we take, is nil",
        arguments: [
            "", "yesterday", "2026", "2026-11", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-11-00T00:00:00Z",
            "2026-11-31T00:00:00Z",
            "2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2026-11-21T24:00:00Z", "2026-11-21T12:60:00Z", "2026-11-21T12:00:61Z",
            "2026-11-21T12",
            "2026-11-21T12:00:00.Z", "2026-11-21T12:00:00ZZ", "2026-11-21T12:00:00 Z", "2026-11-21T12:00:00+", "2026-11-21T12:00:00+2",
            "2026-11-21T12:00:00+24:00", "2026-11-21T12:00:00+02:60", "2026-11-21T12:00:00+02:", "2026-11-21T12:00:00+02:0",
            "2026-11-21T12:00:00*02:00",
            "2026/11/21", "26-11-21", "+2026-11-21", "2026-11-21T", " 2026-11-21", "2026-11-21 ", "2026-1-1", "１970-01-01", "1795262400",
            "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "12026-11-21",
        ])
    func refused(_ text: String) { #expect(Timestamp(iso8601: text) == nil) }

    @Test(
        "an event may carry text or epoch milliseconds",
        arguments: [
            ("0", 0), ("1795262400000", 1_795_262_400_000_000), ("1795262400000.5", 1_795_262_400_000_500),
            ("1.7952624e12", 1_795_262_400_000_000),
            ("\"2026-11-21T12:00:00Z\"", 1_795_262_400_000_000), ("253402300799999", 253_402_300_799_999_000),
            ("-1", nil), ("253402300800000", nil), ("1e300", nil), ("true", nil), ("null", nil), ("[]", nil), ("\"1795262400000\"", nil),
        ] as [(String, Int64?)])
    func values(_ json: String, _ microseconds: Int64?) throws {
        #expect(try JSONDocument.read(Array(json.utf8)) { Timestamp($0)?.microseconds } == microseconds)
    }

    @Test(
        "a time is written in milliseconds, or microseconds where there are any",
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (1_795_262_400_123_000, "2026-11-21T12:00:00.123Z"),
            (1_795_262_400_123_456, "2026-11-21T12:00:00.123456Z"),
            (1_795_262_400_000_001, "2026-11-21T12:00:00.000001Z"), (1_709_251_199_999_000, "2024-02-29T23:59:59.999Z"),
            (-1, "1969-12-31T23:59:59.999999Z"), (253_402_300_800_000_000, "10000-01-01T00:00:00.000Z"),
            (.max, "294247-01-10T04:00:54.775807Z"), (.min, "-290308-12-21T19:59:05.224192Z"),
        ] as [(Int64, String)])
    func written(_ microseconds: Int64, _ text: String) { #expect(Timestamp(microseconds: microseconds).description == text) }

    @Test("every moment reads as it was written, and text sorts as time does")
    func roundTrips() {
        var state: UInt64 = 42
        var moments = (0..<3000).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407  // Knuth's MMIX generator
            return Timestamp(microseconds: Int64(state >> 1) % 253_402_300_800_000_000)
        }
        // The first and last day of every month for a century and the days around leap years.
        for day in 0..<36_525 where day % 7 < 3 { moments.append(Timestamp(microseconds: Int64(day) * 86_400_000_000)) }
        for moment in moments { #expect(Timestamp(iso8601: moment.description) == moment) }
        let whole = Set(moments.map { Timestamp(milliseconds: $0.milliseconds) })
        #expect(whole.sorted().map(\.description) == whole.map(\.description).sorted())
    }

    @Test("arithmetic keeps microseconds")
    func arithmetic() {
        let time = Timestamp(milliseconds: 1000)
        #expect(time.advanced(bySeconds: 0.25).microseconds == 1_250_000)
        #expect(time.advanced(bySeconds: -1).microseconds == 0)
        #expect(time.milliseconds == 1000 && time.seconds == 1)
        #expect(time < time.advanced(bySeconds: 1e-6))
    }
}
