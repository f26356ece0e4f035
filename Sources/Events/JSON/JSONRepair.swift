/// Mends what senders really get wrong in otherwise sound JSON, in one pass over the bytes.
enum JSONRepair {
    /// A copy in which each escaped half of a surrogate pair is `\ufffd`, and each integer beyond 64 bits is a double.
    ///
    /// - Parameter nullingNonNumbers: bare `NaN`, `Infinity` and `-Infinity` become `null` as well.
    static func mend(_ bytes: some Collection<UInt8>, nullingNonNumbers: Bool = false) -> [UInt8] {
        let source = Array(bytes)
        var mended: [UInt8] = []
        mended.reserveCapacity(source.count + 16)
        var index = 0
        var inString = false
        while index < source.count {
            let byte = source[index]
            if inString {
                if byte == UInt8(ascii: "\\"), index + 1 < source.count {
                    index = appendEscape(of: source, at: index, to: &mended)
                    continue
                }
                if byte == UInt8(ascii: "\"") { inString = false }
            } else if byte == UInt8(ascii: "\"") {
                inString = true
            } else if nullingNonNumbers, let length = nonNumber(source, at: index) {
                mended.append(contentsOf: "null".utf8)
                index += length
                continue
            } else if isDigit(byte) {
                index = appendNumber(of: source, at: index, to: &mended)
                continue
            }
            mended.append(byte)
            index += 1
        }
        return mended
    }

    /// The length of the word at `index` that stands for a number JSON can't say, if one does.
    private static func nonNumber(_ source: [UInt8], at index: Int) -> Int? {
        let word: StaticString
        switch source[index] {
        case UInt8(ascii: "N"): word = "NaN"
        case UInt8(ascii: "I"): word = "Infinity"
        case UInt8(ascii: "-"): word = "-Infinity"
        default: return nil
        }
        let length = word.utf8CodeUnitCount
        guard index + length <= source.count, word.withUTF8Buffer({ $0.elementsEqual(source[index..<index + length]) }) else { return nil }
        return length
    }

    private static func appendEscape(of source: [UInt8], at index: Int, to mended: inout [UInt8]) -> Int {
        guard let unit = escapedUnit(source, at: index) else {
            mended.append(contentsOf: source[index..<index + 2])
            return index + 2
        }
        switch unit {
        case 0xD800..<0xDC00:
            if let low = escapedUnit(source, at: index + 6), (0xDC00..<0xE000).contains(low) {
                mended.append(contentsOf: source[index..<index + 12])
                return index + 12
            }
            mended.append(contentsOf: #"\ufffd"#.utf8)
        case 0xDC00..<0xE000:
            mended.append(contentsOf: #"\ufffd"#.utf8)
        default:
            mended.append(contentsOf: source[index..<index + 6])
        }
        return index + 6
    }

    /// The code unit of `\uXXXX` at `index`, if one stands there.
    private static func escapedUnit(_ source: [UInt8], at index: Int) -> UInt32? {
        guard index + 6 <= source.count, source[index] == UInt8(ascii: "\\"), source[index + 1] == UInt8(ascii: "u") else { return nil }
        var unit: UInt32 = 0
        for byte in source[index + 2..<index + 6] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { return nil }
            unit = unit << 4 | UInt32(digit)
        }
        return unit
    }

    private static func appendNumber(of source: [UInt8], at index: Int, to mended: inout [UInt8]) -> Int {
        var end = index
        while end < source.count, isDigit(source[end]) { end += 1 }
        mended.append(contentsOf: source[index..<end])
        let next = end < source.count ? source[end] : 0
        let isInteger = next != UInt8(ascii: ".") && next | 0x20 != UInt8(ascii: "e")
        if isInteger, end - index > 18, !fits64Bits(source[index..<end], negative: index > 0 && source[index - 1] == UInt8(ascii: "-")) {
            mended.append(contentsOf: "e0".utf8)
        }
        if !isInteger {  // Fraction and exponent are copied whole, so that their digits aren't taken for integers.
            while end < source.count, isDigit(source[end]) || ".eE+-".utf8.contains(source[end]) {
                mended.append(source[end])
                end += 1
            }
        }
        return end
    }

    private static func fits64Bits(_ digits: ArraySlice<UInt8>, negative: Bool) -> Bool {
        let text = String(decoding: digits, as: UTF8.self)
        return negative ? Int64("-" + text) != nil : UInt64(text) != nil
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }
}
