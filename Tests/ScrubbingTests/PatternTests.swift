import Events
import Testing
@testable import Scrubbing

@Suite("Patterns")
struct PatternTests {
    private func matches(_ pattern: Pattern, _ text: String) -> [String] {
        let bytes = Array(text.utf8)
        var found: [String] = []
        bytes.withUnsafeBufferPointer { buffer in
            _ = pattern.eachMatch(in: buffer) { found.append(String(decoding: buffer[$0], as: UTF8.self)) }
        }
        return found
    }

    @Test("a pattern finds every place, from left to right")
    func finds() throws {
        #expect(matches(try Pattern(#"ORDER-\d+"#), "ORDER-12, ORDER-3 and order-4") == ["ORDER-12", "ORDER-3"])
        #expect(matches(try Pattern(#"(?i)\bkunde\s+(\d{4})\b"#), "Kunde 1234, kunde 12345") == ["Kunde 1234"])
        #expect(matches(try Pattern("ü+"), "füür über") == ["üü", "ü"])
        #expect(matches(try Pattern("^a"), "aaa") == ["a"])
        #expect(matches(try Pattern("a$"), "aaa") == ["a"])
    }

    @Test("a long match is found whole across the stretches a search sees, up to its bound")
    func long() throws {
        let pattern = try Pattern("BEGIN[^!]*END")
        for length in [0, 100, 3000, Pattern.longest - 8] {
            for before in [0, 4000, 8190, 20_000] {
                let key = "BEGIN" + String(repeating: "k", count: length) + "END"
                let text = String(repeating: "-", count: before) + key + String(repeating: "-", count: 10_000)
                #expect(matches(pattern, text) == [key], "\(length) behind \(before)")
            }
        }
    }

    @Test(
        "a bad pattern is refused in RE2's words",
        arguments: [("(", "missing )"), ("a**", "bad repetition"), (#"(?=a)"#, "invalid perl operator"), (#"\1"#, "invalid escape")])
    func bad(pattern: String, words: String) {
        #expect { _ = try Pattern(pattern) } throws: { error in
            (error as? Refusal)?.message.contains(words) ?? false
        }
    }

    @Test(
        "a pattern that matches the empty text, or whose program is too large, is refused",
        arguments: ["a*", "", "(a|b)?", "((a{100}){100}){100}", "(\\pL{500}){1000}"])
    func refused(pattern: String) {
        #expect(throws: Refusal.self) { try Pattern(pattern) }
    }

    @Test("patterns that are catastrophic elsewhere, or quadratic over all their matches, cost a bounded amount a byte")
    func catastrophic() throws {
        for (pattern, piece) in [
            ("(a+)+$", "a"), ("(a|aa)+$", "a"), ("(a+)+b", "a"), ("a.*b|a", "a"), (".*x|.", "ab"), (#"(\w+\s?)+!"#, "word "),
        ] {
            let compiled = try Pattern(pattern)
            let text = Array((String(repeating: piece, count: 65_536 / piece.utf8.count) + "c").utf8)
            let shown = text.withUnsafeBufferPointer { compiled.eachMatch(in: $0) { _ in } }
            // Searches are linear in what they are shown, so that this is a bound on the work.
            #expect(shown <= 700 * text.count, "\(pattern)")
        }
    }
}
