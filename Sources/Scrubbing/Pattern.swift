import CRE2
import Events

/// An expression in RE2's syntax (https://github.com/google/re2/wiki/Syntax), with a bound on what looking for it costs.
///
/// Refuses what RE2 refuses, in RE2's words, and a pattern that also matches the empty text. What it finds may be as long as
/// `longest`, where the text is not one that was made to cost much (see `eachMatch`).
final class Pattern: @unchecked Sendable {
    // Unchecked: the pointer is set once, and RE2's matching is safe from any number of threads (re2.h, "thread-safe").

    /// What RE2 may use for a pattern's program and tables; a larger one is refused when it is compiled.
    private static let maximumMemory: Int64 = 1 << 20
    /// Some patterns have RE2 look to the end of the text for each match, which is quadratic in all. A search sees this many bytes…
    private static let window = 8192
    /// …until all of them together have seen the text this many times, and this many from then on.
    private static let rounds = 64
    private static let narrowWindow = 512

    /// Every match up to this many bytes is found whole.
    static let longest = window / 2

    private let compiled: OpaquePointer

    init(_ text: String) throws(Refusal) {
        var fault = [CChar](repeating: 0, count: 300)
        let bytes = Array(text.utf8)
        guard let compiled = parley_re2_create(bytes, bytes.count, Self.maximumMemory, &fault, fault.count) else {
            let words = String(decoding: fault.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            throw Refusal(.badRequest, field: "scrubbing", "The pattern \(text) is refused by RE2: \(words).")
        }
        guard !parley_re2_occurs(compiled, [], 0) else {
            parley_re2_destroy(compiled)
            throw Refusal(.badRequest, field: "scrubbing", "The pattern \(text) also matches the empty text; make it need something.")
        }
        self.compiled = compiled
    }

    deinit { parley_re2_destroy(compiled) }

    /// Calls `body` with each match, from left to right; answers how many bytes the searches were shown at most.
    @discardableResult
    func eachMatch(in text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void) -> Int {
        guard let bytes = text.baseAddress, parley_re2_occurs(compiled, bytes, text.count) else { return text.count }
        let budget = Self.rounds * (text.count + Self.window)
        var shown = text.count
        var place = 0
        var start = 0
        var end = 0
        while place < text.count {
            let width = shown < budget ? Self.window : Self.narrowWindow
            let limit = min(text.count, place + width)
            shown += limit - place
            guard parley_re2_find(compiled, bytes, text.count, place, limit, &start, &end) else {
                guard limit < text.count else { break }
                place += width / 2
                continue
            }
            if limit < text.count, end == limit, start > place {
                // It may go on behind the window: looked at again from its own beginning.
                place = start
                continue
            }
            if end > start { body(start..<end) }
            place = max(end, start + 1)
            // Searches begin between characters (RFC 3629, section 3).
            while place < text.count, text[place] & 0xC0 == 0x80 { place += 1 }
        }
        return shown
    }
}
