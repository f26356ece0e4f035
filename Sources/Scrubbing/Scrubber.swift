import Crypto
public import Events

/// A project's scrubbing rules, ready to be applied: takes e-mail addresses, numbers of cards and the like out of texts.
///
/// The same text under the same rules and key always becomes the same, so that an event sent twice stays a duplicate. What was
/// put in a found text's place is not found again, but by patterns that match it. Costs one pass over a text that has nothing,
/// and no allocation; finding is linear in the text, whatever the rules.
public final class Scrubber: Sendable {
    struct Rule: Sendable {
        var what: ScrubbingRule.What
        var action: ScrubbingRule.Action
        var name: [UInt8]
        var paths: [FieldPath]
        var pattern: Pattern?
        /// Whether it looks at users' IDs, which nothing but a path of their own does.
        var hashesUserIDs: Bool
    }

    /// Rules by their bits.
    typealias Selection = UInt64

    let rules: [Rule]
    /// Those that look everywhere, and those that have to be asked at each field.
    private let everywhere: Selection
    private let somewhere: Selection
    private let key: SymmetricKey?
    /// The rules as they were given.
    public let source: [ScrubbingRule]

    /// - Parameter key: the project's own, for `hash`; nil: such rules mask instead.
    public init(_ rules: [ScrubbingRule], key: [UInt8]?) throws(Refusal) {
        guard rules.count <= ScrubbingRule.Bounds.rules else {
            throw Refusal(.badRequest, field: "scrubbing", "A project has at most \(ScrubbingRule.Bounds.rules) scrubbing rules.")
        }
        var compiled: [Rule] = []
        var everywhere: Selection = 0
        var somewhere: Selection = 0
        for (index, rule) in rules.enumerated() {
            var pattern: Pattern?
            if case .pattern(let text) = rule.what { pattern = try Pattern(text) }
            var paths: [FieldPath] = []
            for path in rule.paths { paths.append(try FieldPath(path)) }
            let hashesUserIDs = paths.contains(.userID)
            guard !hashesUserIDs || rule.action == .hash else {
                throw Refusal(
                    .badRequest, field: "scrubbing",
                    "The path user.id takes only hash: users would become one. Write \(rule.what.name)=hash@user.id.")
            }
            paths.removeAll { $0 == .userID }
            if paths.isEmpty && !hashesUserIDs { everywhere |= 1 << index } else if !paths.isEmpty { somewhere |= 1 << index }
            compiled.append(
                Rule(
                    what: rule.what, action: rule.action, name: Array(rule.name.utf8), paths: paths, pattern: pattern,
                    hashesUserIDs: hashesUserIDs))
        }
        self.rules = compiled
        self.everywhere = everywhere
        self.somewhere = somewhere
        self.key = key.map { SymmetricKey(data: $0) }
        source = rules
    }

    /// Whether a rule has to be asked where a text stands.
    var hasPaths: Bool { somewhere != 0 }

    /// The rules that look at what lies at `trail`.
    func selection(at trail: [String]) -> Selection {
        var selection = everywhere
        for index in rules.indices where somewhere & 1 << index != 0 {
            if rules[index].paths.contains(where: { $0.covers(trail) }) { selection |= 1 << index }
        }
        return selection
    }

    /// Those that look everywhere: what `selection(at:)` answers where no rule has paths.
    var selection: Selection { everywhere }

    /// Those that look at users' IDs.
    var userIDSelection: Selection {
        rules.indices.reduce(0) { $0 | (rules[$1].hashesUserIDs ? 1 << $1 : 0) }
    }

    /// Whether a text may be scrubbed without being taken apart: there is nothing in these bytes that a rule could begin at.
    func mayFind(in bytes: UnsafeBufferPointer<UInt8>, _ selection: Selection) -> Bool {
        guard selection != 0 else { return false }
        let signals = Signals(bytes)
        return rules.indices.contains { selection & 1 << $0 != 0 && rules[$0].mayBegin(signals) }
    }

    // MARK: texts

    /// Something found, and the rule that found it.
    struct Found {
        var range: Range<Int>
        var rule: Int
    }

    /// What the selected rules find, from left to right, without overlaps: of two rules that find the same place the first takes
    /// it, and what the other found around it.
    func find(in text: UnsafeBufferPointer<UInt8>, _ selection: Selection) -> [Found] {
        guard selection != 0, !text.isEmpty else { return [] }
        let signals = Signals(text)
        var found: [Found] = []
        var folded: FoldedText?
        for index in rules.indices where selection & 1 << index != 0 && rules[index].mayBegin(signals) {
            if let pattern = rules[index].pattern {
                pattern.eachMatch(in: text) { range in
                    if !isOurs(text, range) { found.append(Found(range: range, rule: index)) }
                }
            } else if signals.isWide {
                let view = folded ?? FoldedText(text)
                folded = view
                view.bytes.withUnsafeBufferPointer { bytes in
                    rules[index].find(in: bytes, signals) { found.append(Found(range: view.range($0), rule: index)) }
                }
            } else {
                rules[index].find(in: text, signals) { found.append(Found(range: $0, rule: index)) }
            }
        }
        return found.count < 2 ? found : Self.merged(found)
    }

    private static func merged(_ found: [Found]) -> [Found] {
        let sorted = found.sorted { ($0.range.lowerBound, $0.rule) < ($1.range.lowerBound, $1.rule) }
        var merged: [Found] = []
        for next in sorted {
            if let last = merged.last, next.range.lowerBound < last.range.upperBound {
                merged[merged.count - 1] = Found(
                    range: last.range.lowerBound..<max(last.range.upperBound, next.range.upperBound), rule: min(last.rule, next.rule))
            } else {
                merged.append(next)
            }
        }
        return merged
    }

    /// Whether a range lies in what a rule of this project puts in a text's place.
    private func isOurs(_ text: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> Bool {
        var start = range.lowerBound
        // The longest is a name, a colon and the hash, in brackets.
        let least = max(0, start - ScrubbingRule.Bounds.name - Self.hashDigits - 2)
        while start > least, text[start] != UInt8(ascii: "[") { start -= 1 }
        guard text[start] == UInt8(ascii: "[") else { return false }
        var end = start + 1
        while end < text.count, end - start <= ScrubbingRule.Bounds.name + Self.hashDigits + 2, text[end] != UInt8(ascii: "]") { end += 1 }
        guard text.at(end) == UInt8(ascii: "]"), range.upperBound <= end + 1 else { return false }
        let inner = text[start + 1..<end]
        let name = inner.prefix { $0 != UInt8(ascii: ":") }
        let hash = inner.dropFirst(name.count + 1)
        if name.count == inner.count {
            return name.elementsEqual(Self.removed) || rules.contains { $0.name.elementsEqual(name) }
        }
        return hash.count == Self.hashDigits && hash.allSatisfy(Finder.isHex) && !hash.allSatisfy(Finder.isDigit)
            && rules.contains { $0.action == .hash && $0.name.elementsEqual(name) }
    }

    // MARK: what stands in its place

    private static let removed = Array("removed".utf8)
    /// 64 bits: among a million values of a project the chance that two share theirs is below one in ten million.
    private static let hashDigits = 16

    /// The text with what was found replaced.
    func replacing(_ found: [Found], in text: UnsafeBufferPointer<UInt8>) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count + found.count * 24)
        var place = 0
        for each in found {
            bytes.append(contentsOf: text[place..<each.range.lowerBound])
            append(replacementOf: UnsafeBufferPointer(rebasing: text[each.range]), rules[each.rule], to: &bytes)
            place = each.range.upperBound
        }
        bytes.append(contentsOf: text[place...])
        return bytes
    }

    func append(replacementOf text: UnsafeBufferPointer<UInt8>, _ rule: Rule, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "["))
        bytes.append(contentsOf: rule.action == .remove ? Self.removed : rule.name)
        if rule.action == .hash, let key {
            bytes.append(UInt8(ascii: ":"))
            var hmac = HMAC<SHA256>(key: key)
            hmac.update(data: rule.name + [0])
            hmac.update(data: rule.normalized(text))
            let hex = Array("0123456789abcdef".utf8)
            var digits = hmac.finalize().prefix(Self.hashDigits / 2).flatMap { [hex[Int($0 >> 4)], hex[Int($0 & 15)]] }
            // All digits would look like a number, and be found when the text comes again.
            if digits.allSatisfy(Finder.isDigit) { digits[0] = hex[10 + Int(digits[0] - 48) % 6] }
            bytes.append(contentsOf: digits)
        }
        bytes.append(UInt8(ascii: "]"))
    }
}

extension Scrubber.Rule {
    /// Whether a text with these marks may hold what it looks for.
    func mayBegin(_ signals: Signals) -> Bool {
        switch what {
        case .email: signals.ats > 0
        case .phone: signals.digits >= 7
        case .card: signals.digits >= 13
        case .iban: signals.digits >= 6
        case .ip: signals.dots >= 3 && signals.digits >= 4 || signals.colons >= 2
        case .pattern: true
        }
    }

    fileprivate func find(in text: UnsafeBufferPointer<UInt8>, _ signals: Signals, _ found: (Range<Int>) -> Void) {
        switch what {
        case .email: Finder.emails(in: text, found)
        case .phone: Finder.phones(in: text, found)
        case .card: Finder.cards(in: text, found)
        case .iban: Finder.ibans(in: text, found)
        case .ip: Finder.addresses(in: text, signals, found)
        case .pattern: break
        }
    }

    /// The value in one spelling, so that equal values have equal hashes.
    fileprivate func normalized(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8] {
        if case .pattern = what { return Array(text) }
        // Letters of other scripts are all one in a folded text, so such a value is taken as it was written.
        let folded = FoldedText(text).bytes
        let isPlain = folded.allSatisfy { $0 < 0x80 }
        switch what {
        case .card: return folded.filter(Finder.isDigit)
        case .phone:
            let digits = folded.filter(Finder.isDigit)
            if folded.first == UInt8(ascii: "+") { return [UInt8(ascii: "+")] + digits }
            return digits.starts(with: [48, 48]) ? [UInt8(ascii: "+")] + digits.dropFirst(2) : digits
        case .iban: return folded.filter { Finder.isDigit($0) || Finder.isASCIILetter($0) }.map { Finder.isDigit($0) ? $0 : $0 & 0xDF }
        default: return (isPlain ? folded : Array(text)).map { $0 &- 65 < 26 ? $0 | 0x20 : $0 }
        }
    }
}
