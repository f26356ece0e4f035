extension Finder {
    /// A stretch of digits with nothing between them.
    private struct Group {
        var start: Int
        var end: Int
        var count: Int { end - start }
    }

    // MARK: cards

    /// Numbers of payment cards: 13 to 19 digits that satisfy the Luhn formula (ISO/IEC 7812-1, annex B) under an issuer's prefix in the
    /// length that issuer uses, in one piece or in groups with spaces, dashes or dots between them.
    static func cards(in text: Text, _ found: (Range<Int>) -> Void) {
        var groups: [Group] = []
        var place = 0
        while place < text.count {
            guard isDigit(text[place]) else {
                place += 1
                continue
            }
            groups.removeAll(keepingCapacity: true)
            // The whole run of groups, then the cards in it.
            while true {
                let start = place
                while place < text.count, isDigit(text[place]) { place += 1 }
                groups.append(Group(start: start, end: place))
                guard let next = cardGroup(in: text, after: place) else { break }
                place = next
            }
            var first = 0
            while first < groups.count {
                if let last = lastGroupOfCard(text, groups, from: first) {
                    found(groups[first].start..<groups[last].end)
                    first = last + 1
                } else {
                    first += 1
                }
            }
        }
    }

    /// Where the next group begins: behind up to three spaces and dashes, or one dot.
    private static func cardGroup(in text: Text, after end: Int) -> Int? {
        var place = end
        if text.at(place) == 0x2E {
            place += 1
        } else {
            while place - end < 3, text.at(place) == 0x20 || text.at(place) == 0x2D { place += 1 }
        }
        return place > end && isDigit(text.at(place)) ? place : nil
    }

    private static func lastGroupOfCard(_ text: Text, _ groups: [Group], from first: Int) -> Int? {
        let before = text.at(groups[first].start - 1)
        guard !isWord(before) else { return nil }
        // A piece of a UUID or of an order's number: 2024-4111…
        if before == 0x2D, isDigit(text.at(groups[first].start - 2)) { return nil }
        var digits = (UInt64(0), UInt64(0))  // The number and how many digits it has; 19 digits fit.
        var answer: Int?
        var last = first
        let isSpelled = groups[first].count == 1
        while last < groups.count {
            let group = groups[last]
            guard Int(digits.1) + group.count <= 19, !isSpelled || group.count == 1 else { break }
            for place in group.start..<group.end { digits = (digits.0 * 10 + UInt64(text[place] - 48), digits.1 + 1) }
            let after = text.at(group.end)
            let isEnd = !isWord(after) && !(after == 0x2D && isWord(text.at(group.end + 1)) && last + 1 == groups.count)
            if isEnd, digits.1 >= 13, isIssued(digits.0, length: Int(digits.1)), isLuhn(digits.0) { answer = last }
            // Groups of a card are not shorter than this, but for the last.
            if !isSpelled, group.count < 3 { break }
            last += 1
        }
        return answer
    }

    /// Whether issuers of those digits give out numbers of that length.
    private static func isIssued(_ number: UInt64, length: Int) -> Bool {
        var prefix = number
        for _ in 0..<length - 4 { prefix /= 10 }
        switch prefix {
        case 4000...4999: return length == 13 || length == 16 || length == 19
        case 5100...5599, 2221...2720: return length == 16
        case 3400...3499, 3700...3799: return length == 15
        case 3000...3059, 3095, 3600...3699, 3800...3999: return length >= 14
        case 3528...3589: return length >= 16
        case 2200...2204: return length >= 16
        case 5000...5099, 5600...5899: return true
        case 6000...6999: return true
        case 8100...8299, 9792: return length == 16
        default: return false
        }
    }

    static func isLuhn(_ number: UInt64) -> Bool {
        var rest = number
        var sum: UInt64 = 0
        var isDoubled = false
        while rest > 0 {
            let digit = rest % 10
            sum += !isDoubled ? digit : digit < 5 ? digit * 2 : digit * 2 - 9
            isDoubled.toggle()
            rest /= 10
        }
        return sum % 10 == 0
    }

    // MARK: telephone numbers

    /// Telephone numbers: international ones (ITU-T E.164: `+` or `00`, then 7 to 15 digits), national ones that begin with a 0 (in
    /// groups with 9 digits or more, in one piece with 10 to 12), and those of North America in their groups of 3, 3 and 4.
    static func phones(in text: Text, _ found: (Range<Int>) -> Void) {
        var place = 0
        while place < text.count {
            let byte = text[place]
            guard isDigit(byte) || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "(") else {
                place += 1
                continue
            }
            if let end = phoneEnd(in: text, from: place) {
                found(place..<end)
                place = end
            } else {
                // On to the next group; what follows in this one begins no number.
                place += 1
                if isDigit(byte) { while place < text.count, isDigit(text[place]) { place += 1 } }
            }
        }
    }

    private static func phoneEnd(in text: Text, from start: Int) -> Int? {
        let before = text.at(start - 1)
        let isInternational = text[start] == UInt8(ascii: "+")
        guard !isWord(before) else { return nil }
        if !isInternational {
            switch before {
            case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "/"), UInt8(ascii: "#"), UInt8(ascii: "+"), UInt8(ascii: "@"):
                return nil
            case UInt8(ascii: ":"), UInt8(ascii: ","):
                if isDigit(text.at(start - 2)) { return nil }
            default: break
            }
        }
        // The groups from here, with where each ends and how long it is, until there are more digits than any number has.
        var place = isInternational ? start + 1 : start
        if text.at(place) == UInt8(ascii: "(") { place += 1 }
        var groups = PhoneGroups()
        while groups.digits <= 17, groups.count < 10 {
            let group = place
            while place < text.count, place - group <= 17, isDigit(text[place]) { place += 1 }
            guard place > group else { break }
            groups.append(length: place - group, end: place)
            let next = phoneGroup(in: text, after: place)
            guard let next else { break }
            place = next
        }
        guard groups.count > 0 else { return nil }
        let firstDigit = isDigit(text[start]) ? text[start] : isDigit(text.at(start + 1)) ? text.at(start + 1) : text.at(start + 2)
        // The longest that holds; what is cut off is another number behind it.
        while groups.count > 0 {
            let end = groups.end
            let after = text.at(end)
            let behind = text.at(end + 1)
            let goesOn = (after == 0x2D || after == 0x2E || after == 0x2F) && (isWord(behind) || behind == 0x2D)
            if !isWord(after), after != UInt8(ascii: "@"), !goesOn {
                let isNumber =
                    isInternational
                    ? firstDigit != 48 && (7...15).contains(groups.digits)
                    : groups.isNational(text, start: start, first: firstDigit) || groups.isNorthAmerican(first: firstDigit)
                // A bracket in front is the number's where it closes within.
                let isWhole = text[start] != UInt8(ascii: "(") || text[start..<end].contains(UInt8(ascii: ")"))
                if isNumber, isWhole { return end }
            }
            groups.removeLast()
        }
        return nil
    }

    /// Where the next group begins: behind up to three of space, dash, dot, slash and bracket.
    private static func phoneGroup(in text: Text, after end: Int) -> Int? {
        var place = end
        while place - end < 3 {
            switch text.at(place) {
            case 0x20, 0x2D, 0x2E, 0x2F, UInt8(ascii: "("), UInt8(ascii: ")"): place += 1
            default: return place > end && isDigit(text.at(place)) ? place : nil
            }
        }
        return isDigit(text.at(place)) ? place : nil
    }

    /// The groups of digits of what may be a telephone number, ten at most.
    private struct PhoneGroups {
        private var lengths = InlineTen()
        private var ends = InlineTen()
        private(set) var count = 0
        private(set) var digits = 0

        mutating func append(length: Int, end: Int) {
            lengths[count] = length
            ends[count] = end
            count += 1
            digits += length
        }

        mutating func removeLast() {
            count -= 1
            digits -= lengths[count]
        }

        var end: Int { ends[count - 1] }

        func isNational(_ text: Text, start: Int, first: UInt8) -> Bool {
            guard first == 48 else { return false }
            let second = text.at(start + (isDigit(text[start]) ? 1 : 2))
            if second == 48 {
                // 00 and a country's code, which begins with no 0.
                let third = text.at(start + 2)
                return third &- 49 < 9 && digits <= 17 && digits >= (count == 1 ? 12 : 10)
            }
            if count == 1 { return (10...12).contains(digits) && text[start] == 48 }
            guard lengths[0] > 1, (9...12).contains(digits) else { return false }
            // 01.02.2024 and 01-02-24 are dates; 01 23 45 67 89 is a number.
            if lengths[0] == 2, lengths[1] == 2, count > 2 {
                if lengths[2] == 4 { return false }
                if lengths[2] == 2 { return count == 5 && lengths[3] == 2 && lengths[4] == 2 }
            }
            return true
        }

        /// The North American Numbering Plan: an area's code begins with 2 to 9.
        func isNorthAmerican(first: UInt8) -> Bool {
            let skipped = count == 4 && lengths[0] == 1 && first == 49 ? 1 : 0
            guard count - skipped == 3, skipped == 1 || first &- 50 < 8 else { return false }
            return lengths[skipped] == 3 && lengths[skipped + 1] == 3 && lengths[skipped + 2] == 4
        }
    }

    /// Ten numbers without an allocation.
    private struct InlineTen {
        private var values = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        subscript(_ index: Int) -> Int {
            get { withUnsafeBytes(of: values) { $0.load(fromByteOffset: index * MemoryLayout<Int>.stride, as: Int.self) } }
            set {
                withUnsafeMutableBytes(of: &values) {
                    $0.storeBytes(of: newValue, toByteOffset: index * MemoryLayout<Int>.stride, as: Int.self)
                }
            }
        }
    }

    // MARK: bank accounts

    /// International bank account numbers (ISO 13616-1): a country, two check digits and an account in that country's length, whose
    /// remainder by 97 is 1 (ISO/IEC 7064, MOD 97-10); in any case, in one piece or with a space or dash between groups.
    static func ibans(in text: Text, _ found: (Range<Int>) -> Void) {
        var place = 0
        while place + 14 < text.count {
            // The first of the check digits may stand behind a space.
            guard isDigit(text[place + 2]) || isDigit(text[place + 3]), isASCIILetter(text[place]), isASCIILetter(text[place + 1]),
                !isWord(text.at(place - 1)), let end = ibanEnd(in: text, from: place)
            else {
                place += 1
                continue
            }
            found(place..<end)
            place = end
        }
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x2D }

    private static func ibanEnd(in text: Text, from start: Int) -> Int? {
        let country = UInt16(text[start] & 0xDF) << 8 | UInt16(text[start + 1] & 0xDF)
        guard let length = ibanLengths[country] else { return nil }
        var place = start
        var taken = 0
        var head = 0  // The first four characters, which go to the end for the check.
        var headDigits = 0
        var remainder = 0
        while taken < length {
            if taken > 1, isBlank(text.at(place)) { place += 1 }
            let byte = text.at(place)
            let value: Int
            if isDigit(byte) {
                value = Int(byte - 48)
                if taken < 2 { return nil }
            } else if isASCIILetter(byte) {
                value = Int(byte | 0x20) - 87
                if taken == 2 || taken == 3 { return nil }
            } else {
                return nil
            }
            if taken < 4 {
                head = head * (value < 10 ? 10 : 100) + value
                headDigits += value < 10 ? 1 : 2
            } else {
                remainder = (remainder * (value < 10 ? 10 : 100) + value) % 97
            }
            place += 1
            taken += 1
        }
        guard !isWord(text.at(place)) else { return nil }
        for _ in 0..<headDigits { remainder = remainder * 10 % 97 }
        return (remainder + head) % 97 == 1 ? place : nil
    }

    /// The lengths by country, out of the IBAN registry (SWIFT, release 99).
    private static let ibanLengths: [UInt16: Int] = {
        let list: StaticString =
            "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30"
        let bytes = list.withUTF8Buffer { Array($0) }
        var lengths: [UInt16: Int] = [:]
        for place in stride(from: 0, to: bytes.count - 3, by: 4) {
            lengths[UInt16(bytes[place]) << 8 | UInt16(bytes[place + 1])] = Int(bytes[place + 2] - 48) * 10 + Int(bytes[place + 3] - 48)
        }
        return lengths
    }()
}
