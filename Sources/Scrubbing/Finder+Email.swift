extension Finder {
    /// E-mail addresses (RFC 5321, section 4.1.2; names in any script by RFC 6531), also with the `%40` of a URL. The name in front
    /// has 64 characters at most (RFC 5321, section 4.5.3.1.1), and the domain two labels at least, the last of letters.
    static func emails(in text: Text, _ found: (Range<Int>) -> Void) {
        var floor = 0
        var place = 0
        while place < text.count {
            let sign = text[place] == 0x40 ? 1 : text[place] == 0x25 && text.at(place + 1) == 0x34 && text.at(place + 2) == 0x30 ? 3 : 0
            guard sign > 0 else {
                place += 1
                continue
            }
            if let start = localStart(in: text, before: place, floor: floor), let end = domainEnd(in: text, from: place + sign) {
                found(start..<end)
                floor = end
                place = end
            } else {
                place += sign
            }
        }
    }

    /// Characters of a name, but for those that part it from what is in front in URLs and markup (`=`, `&`, `?`, `/`, `{`, `|`).
    private static func isLocal(_ byte: UInt8) -> Bool {
        if isWord(byte) { return true }
        switch byte {
        case UInt8(ascii: "."), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "%"), UInt8(ascii: "'"), UInt8(ascii: "~"),
            UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "!"), UInt8(ascii: "^"):
            return true
        default: return false
        }
    }

    private static func localStart(in text: Text, before at: Int, floor: Int) -> Int? {
        let least = max(floor, at - 64)
        var start = at
        if text.at(at - 1) == UInt8(ascii: "\"") {
            // "Ann Example"@shop.example
            start -= 2
            while start >= least, text[start] != UInt8(ascii: "\"") { start -= 1 }
            return start >= least && start < at - 2 ? start : nil
        }
        // Letters of a script without spaces are the name's only where the name ends in one.
        let isAdjoining = text.at(at - 1) == FoldedText.adjoining
        while start > least, isLocal(text[start - 1]) || (isAdjoining && text[start - 1] == FoldedText.adjoining) { start -= 1 }
        while start < at, !isWord(text[start]), text[start] != FoldedText.adjoining { start += 1 }
        return start < at ? start : nil
    }

    private static func domainEnd(in text: Text, from start: Int) -> Int? {
        if text.at(start) == UInt8(ascii: "[") {
            // An address in place of a name (RFC 5321, section 4.1.3).
            var end = start + 1
            while end < text.count, end - start < 60, isHex(text[end]) || text[end] == 0x3A || text[end] == 0x2E || isASCIILetter(text[end])
            {
                end += 1
            }
            return text.at(end) == UInt8(ascii: "]") && end > start + 3 ? end + 1 : nil
        }
        var good: Int?
        var labels = 0
        var place = start
        var firstLabel = start..<start
        while place - start < 253 {
            let label = place
            let isAdjoining = text.at(label) == FoldedText.adjoining
            while place < text.count, place - label < 63,
                isWord(text[place]) && text[place] != 0x5F || text[place] == 0x2D || (isAdjoining && text[place] == FoldedText.adjoining)
            {
                place += 1
            }
            var end = place
            while end > label, text[end - 1] == 0x2D { end -= 1 }
            guard end > label, text[label] != 0x2D else { break }
            labels += 1
            if labels == 1 { firstLabel = label..<end }
            if labels >= 2, isTopLevel(text, label..<end) { good = end }
            guard end == place, text.at(place) == 0x2E else { break }
            place += 1
        }
        // logo@2x.png is a picture for dense screens.
        if labels == 2, firstLabel.count == 2, isDigit(text[firstLabel.lowerBound]), text[firstLabel.lowerBound + 1] | 0x20 == 0x78 {
            return nil
        }
        return good
    }

    private static func isTopLevel(_ text: Text, _ label: Range<Int>) -> Bool {
        guard label.count >= 2 || text[label.lowerBound] == FoldedText.adjoining else { return false }
        // An A-label of an internationalized name (RFC 5890, section 2.3.2.1).
        let isEncoded =
            label.count > 4 && text[label.lowerBound] | 0x20 == 0x78 && text[label.lowerBound + 1] | 0x20 == 0x6E
            && text[label.lowerBound + 2] == 0x2D && text[label.lowerBound + 3] == 0x2D
        return isEncoded || label.allSatisfy { isASCIILetter(text[$0]) || text[$0] >= FoldedText.letter }
    }
}
