extension Finder {
    /// IP addresses: four numbers up to 255 with dots between them, or the text forms of version 6 (RFC 4291, section 2.2) with or
    /// without a zone (RFC 4007, section 11). A version number of four parts looks the same as an address.
    static func addresses(in text: Text, _ signals: Signals, _ found: (Range<Int>) -> Void) {
        if signals.dots > 2 { version4(in: text, found) }
        if signals.colons > 1 { version6(in: text, found) }
    }

    private static func version4(in text: Text, _ found: (Range<Int>) -> Void) {
        var place = 0
        while place < text.count {
            guard isDigit(text[place]) else {
                place += 1
                continue
            }
            let start = place
            while place < text.count, isDigit(text[place]) || text[place] == 0x2E { place += 1 }
            // The dot of the sentence around it.
            let end = text[place - 1] == 0x2E ? place - 1 : place
            let before = text.at(start - 1)
            if !isWord(before), before != 0x2E, end < place || !isWord(text.at(end)), isVersion4(text, start..<end) { found(start..<end) }
        }
    }

    private static func version6(in text: Text, _ found: (Range<Int>) -> Void) {
        var place = 0
        var looked = 0
        while place < text.count {
            let byte = text[place]
            let before = text.at(place - 1)
            // Behind a colon only where that is no part of it, as in host:::1.
            guard isHex(byte) || byte == 0x3A, !isWord(before), before != 0x2E, before != 0x3A || place > looked else {
                place += 1
                continue
            }
            // The longest stretch of what addresses are made of; none is longer than 45 characters.
            var end = place
            while end < text.count, end - place <= 46, isHex(text[end]) || text[end] == 0x3A || text[end] == 0x2E { end += 1 }
            if let last = version6End(in: text, place..<end) {
                found(place..<last)
                end = last
            }
            looked = end
            place = max(end, place + 1)
        }
    }

    private static func version6End(in text: Text, _ range: Range<Int>) -> Int? {
        var end = range.upperBound
        guard !isWord(text.at(end)) else { return nil }
        // The dots and colons of the sentence around it.
        while end > range.lowerBound {
            if isVersion6(text, range.lowerBound..<end) {
                guard end == range.upperBound, text.at(end) == 0x25, isWord(text.at(end + 1)) else { return end }
                var zone = end + 1
                while zone - end < 17, isWord(text.at(zone)) { zone += 1 }
                return zone
            }
            guard text[end - 1] == 0x2E || text[end - 1] == 0x3A else { return nil }
            end -= 1
        }
        return nil
    }

    private static func isVersion4(_ text: Text, _ range: Range<Int>) -> Bool {
        guard (7...15).contains(range.count) else { return false }
        var parts = 0
        var place = range.lowerBound
        while place < range.upperBound {
            let start = place
            var value = 0
            while place < range.upperBound, isDigit(text[place]), place - start < 4 {
                value = value * 10 + Int(text[place] - 48)
                place += 1
            }
            guard place > start, value <= 255, place - start == 1 || text[start] != 48 else { return false }
            parts += 1
            if place == range.upperBound { return parts == 4 }
            guard text[place] == 0x2E else { return false }
            place += 1
        }
        return false
    }

    private static func isVersion6(_ text: Text, _ range: Range<Int>) -> Bool {
        guard (3...45).contains(range.count) else { return false }
        var groups = 0
        var isShort = false
        var hasDigit = false
        var place = range.lowerBound
        if text[place] == 0x3A {
            guard text.at(place + 1) == 0x3A else { return false }
            isShort = true
            place += 2
        }
        while place < range.upperBound {
            let start = place
            while place < range.upperBound, isHex(text[place]) {
                if isDigit(text[place]) { hasDigit = true }
                place += 1
            }
            if place < range.upperBound, text[place] == 0x2E {
                guard isVersion4(text, start..<range.upperBound) else { return false }
                groups += 2
                break
            }
            guard (1...4).contains(place - start) else { return false }
            groups += 1
            if place == range.upperBound { break }
            guard text[place] == 0x3A else { return false }
            place += 1
            if place == range.upperBound { return false }
            if text[place] == 0x3A {
                guard !isShort else { return false }
                isShort = true
                place += 1
            }
        }
        // a::b is an expression in some languages.
        return isShort ? groups >= 1 && groups < 8 && (hasDigit || groups > 2) : groups == 8
    }
}
