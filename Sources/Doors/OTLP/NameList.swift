/// A name as the door compares names: by numbers made of its bytes first, by its letters only where these agree.
struct NameMark: Sendable, Equatable {
    let hash: UInt64
    /// The first eight bytes, the first of them lowest; zeros behind a shorter name.
    let head: UInt64

    init(_ name: String) {
        var name = name
        (hash, head) = name.withUTF8 { bytes in
            var hash = UInt64(bytes.count)
            var head: UInt64 = 0
            var word: UInt64 = 0
            for (place, byte) in bytes.enumerated() {
                word |= UInt64(byte) << UInt64(8 * (place & 7))
                guard place & 7 == 7 || place == bytes.count - 1 else { continue }
                if place < 8 { head = word }
                // Any mixing would do: what agrees is compared letter by letter.
                hash = (hash ^ word) &* 0x9E37_79B9_7F4A_7C15
                hash ^= hash >> 32
                word = 0
            }
            return (hash, head)
        }
    }

    /// One of 64: a set of names is a word, and a name whose bit is not in it is not in the set.
    var bit: UInt64 { 1 << (hash >> 58) }
}

/// Names of attributes for one thing, the one that counts most first.
struct NameList: Sendable, ExpressibleByArrayLiteral {
    let names: [String]
    let marks: [NameMark]
    /// The bits of all of them.
    let bits: UInt64

    init(_ names: [String]) {
        self.names = names
        marks = names.map { NameMark($0) }
        bits = marks.reduce(0) { $0 | $1.bit }
    }

    init(arrayLiteral elements: String...) { self.init(elements) }

    static func + (a: Self, b: Self) -> Self { Self(a.names + b.names) }
}

/// What a name may begin with.
struct NamePrefix: Sendable, ExpressibleByStringLiteral {
    let text: String
    let length: Int
    private let head: UInt64
    private let mask: UInt64

    init(stringLiteral text: String) {
        self.text = text
        length = text.utf8.count
        head = NameMark(text).head
        mask = length >= 8 ? .max : (1 << UInt64(8 * length)) - 1
    }

    func begins(_ name: String, _ mark: NameMark) -> Bool {
        mark.head & mask == head && (length <= 8 || name.utf8.starts(with: text.utf8))
    }
}
