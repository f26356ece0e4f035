/// UTF-8 text as finders see it: one byte a character, look-alikes of ASCII (full-width forms, digits of other scripts, dashes and
/// spaces of typesetters) as that ASCII, everything else as one of a few classes. Characters without width are left out, so that
/// none of them hides a number.
struct FoldedText {
    /// A letter of a script that puts spaces between words.
    static let letter: UInt8 = 0xC0
    /// A letter of a script without spaces (Chinese, Japanese, Thai), or whose particles stick to a word (Korean): what it touches
    /// may be a word of its own.
    static let adjoining: UInt8 = 0xC1
    /// Any other character.
    static let mark: UInt8 = 0x1F

    private(set) var bytes: [UInt8] = []
    /// Where each of `bytes` begins in the text, then the text's end.
    private(set) var origins: [Int] = []

    init(_ text: UnsafeBufferPointer<UInt8>) {
        bytes.reserveCapacity(text.count)
        origins.reserveCapacity(text.count + 1)
        var place = 0
        while place < text.count {
            let start = place
            let first = text[place]
            place += 1
            if first < 0x80 {
                append(first, at: start)
                continue
            }
            // Valid UTF-8 (RFC 3629): the first byte says how many follow.
            var value = UInt32(first) & (first < 0xE0 ? 0x1F : first < 0xF0 ? 0x0F : 0x07)
            while place < text.count, text[place] & 0xC0 == 0x80 {
                value = value << 6 | UInt32(text[place] & 0x3F)
                place += 1
            }
            if let byte = Self.fold(value) { append(byte, at: start) }
        }
        origins.append(text.count)
    }

    private mutating func append(_ byte: UInt8, at origin: Int) {
        bytes.append(byte)
        origins.append(origin)
    }

    func range(_ folded: Range<Int>) -> Range<Int> {
        // Up to the last character's own end: what has no width behind it stays.
        origins[folded.lowerBound]..<origins[folded.upperBound]
    }

    /// The zeros of scripts whose ten digits stand in a row (Unicode, general category Nd), of those that people type.
    private static let zeros: [UInt32] = [0x660, 0x6F0, 0x966, 0x9E6, 0xE50, 0xFF10]

    /// nil: it has no width.
    private static func fold(_ scalar: UInt32) -> UInt8? {
        for zero in zeros where scalar &- zero < 10 { return UInt8(48 + scalar - zero) }
        switch scalar {
        // Mathematical digits come in five styles.
        case 0x1D7CE...0x1D7FF: return UInt8(48 + (scalar - 0x1D7CE) % 10)
        case 0xAD, 0x200B...0x200F, 0x202A...0x202E, 0x2060...0x2064, 0xFE00...0xFE0F, 0xFEFF: return nil
        case 0xA0, 0x2000...0x200A, 0x202F, 0x205F, 0x3000: return 0x20
        case 0x2010...0x2015, 0x2212, 0xFE58, 0xFE63: return UInt8(ascii: "-")
        case 0x3002, 0xFF61: return UInt8(ascii: ".")  // They part the labels of a domain too (UTS 46, section 2.3).
        case 0xFF01...0xFF5E: return UInt8(scalar - 0xFF01 + 0x21)
        case 0x80...0xBF where scalar != 0xAA && scalar != 0xB5 && scalar != 0xBA: return mark
        case 0xD7, 0xF7, 0x2016...0x2BFF, 0x3001...0x303F, 0xFF5F...0xFF65, 0x1F000...0x1FAFF: return mark
        case 0x0E00...0x109F, 0x1100...0x11FF, 0x1780...0x17FF, 0x2E80..., 0x19E0...0x19FF: return adjoining
        default: return letter
        }
    }
}

/// What a text has of the marks that finders begin at, counted in one pass without allocating.
struct Signals {
    var ats = 0
    var digits = 0
    var colons = 0
    var dots = 0
    var isWide = false

    init(_ text: UnsafeBufferPointer<UInt8>) {
        var place = 0
        var high: UInt8 = 0
        while place < text.count {
            // As many as a byte counts: sums of bytes are what compilers turn into vectors of bytes.
            let end = min(text.count, place + 255)
            var counts: (ats: UInt8, digits: UInt8, colons: UInt8, dots: UInt8) = (0, 0, 0, 0)
            for byte in UnsafeBufferPointer(rebasing: text[place..<end]) {
                counts.digits &+= byte &- 48 < 10 ? 1 : 0
                counts.ats |= byte == 0x40 || byte == 0x25 ? 1 : 0
                counts.colons &+= byte == 0x3A ? 1 : 0
                counts.dots &+= byte == 0x2E ? 1 : 0
                high |= byte
            }
            ats += Int(counts.ats)
            digits += Int(counts.digits)
            colons += Int(counts.colons)
            dots += Int(counts.dots)
            place = end
        }
        isWide = high >= 0x80
        if isWide { countLookAlikes(text) }
    }

    /// Adds what `FoldedText` will make such marks of; more than that does no harm.
    private mutating func countLookAlikes(_ text: UnsafeBufferPointer<UInt8>) {
        var place = 0
        while place < text.count {
            let next = place + 1 < text.count ? text[place + 1] : 0
            switch text[place] {
            case 0xD9 where next &- 0xA0 < 10, 0xDB where next &- 0xB0 < 10: digits += 1
            case 0xE0 where next == 0xA5 || next == 0xA7 || next == 0xB9: digits += 1
            case 0xEF where next == 0xBC:
                switch place + 2 < text.count ? text[place + 2] : 0 {
                case 0x90...0x99: digits += 1
                case 0xA0, 0x85: ats += 1
                case 0x9A: colons += 1
                case 0x8E: dots += 1
                default: break
                }
            case 0xF0 where next == 0x9D: digits += 1
            case 0xE3 where next == 0x80: dots += 1
            default: break
            }
            place += 1
        }
    }
}
