/// What finds one kind of text. Each looks at a character a bounded number of times, so that finding is linear in the text.
///
/// They work on bytes of ASCII, or of a `FoldedText`.
enum Finder {
    typealias Text = UnsafeBufferPointer<UInt8>

    static func isDigit(_ byte: UInt8) -> Bool { byte &- 48 < 10 }
    static func isASCIILetter(_ byte: UInt8) -> Bool { (byte | 0x20) &- 97 < 26 }
    static func isHex(_ byte: UInt8) -> Bool { isDigit(byte) || (byte | 0x20) &- 97 < 6 }
    /// Part of a word, but for letters that what they touch need not belong to.
    static func isWord(_ byte: UInt8) -> Bool { isDigit(byte) || isASCIILetter(byte) || byte == FoldedText.letter || byte == 0x5F }
}

extension UnsafeBufferPointer<UInt8> {
    /// The byte there; NUL in front of the text and behind it.
    func at(_ place: Int) -> UInt8 { place >= 0 && place < count ? self[place] : 0 }
}
