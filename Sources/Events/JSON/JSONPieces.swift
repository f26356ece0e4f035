/// The elements of a list as raw slices of a body, found by counting brackets, without parsing any of them.
///
/// For bodies that `JSONDocument` can't read whole: each piece is then read alone, so that what is wrong with one (broken,
/// too deep, not UTF-8) costs only that one. One pass, no recursion, nothing allocated but the list of slices. Brackets are
/// not matched by kind and nothing between them is checked: that is the reading's business. A piece that opens more than it
/// closes, or a string without its end, takes the rest of the body with it.
public enum JSONPieces {
    /// The elements of the list under `key` of a top-level object, or of a top-level list where `key` is nil or there is no
    /// object; an object in the list's place is its only piece. nil where none of these is there.
    ///
    /// A body that ends too early gives what is there: its last piece is the unfinished one.
    public static func split(_ bytes: [UInt8], under key: StaticString? = nil) -> [ArraySlice<UInt8>]? {
        bytes.withUnsafeBufferPointer { buffer in
            var scanner = Scanner(bytes: buffer)
            guard let ranges = scanner.ranges(under: key) else { return nil }
            return ranges.map { bytes[$0] }
        }
    }

    private struct Scanner {
        let bytes: UnsafeBufferPointer<UInt8>
        var index = 0

        mutating func ranges(under key: StaticString?) -> [Range<Int>]? {
            skipSpace()
            guard let first = current else { return nil }
            if first == UInt8(ascii: "[") { return elements() }
            guard let key, first == UInt8(ascii: "{"), find(key) else { return nil }
            switch current {
            case UInt8(ascii: "["): return elements()
            case UInt8(ascii: "{"): return [value()]
            default: return nil
            }
        }

        private var current: UInt8? { index < bytes.count ? bytes[index] : nil }

        private mutating func skipSpace() {
            while let byte = current, byte <= 0x20 { index += 1 }
        }

        private mutating func take(_ character: Unicode.Scalar) -> Bool {
            skipSpace()
            guard current == UInt8(ascii: character) else { return false }
            index += 1
            return true
        }

        /// Goes to the value of that member of the object that begins here.
        private mutating func find(_ key: StaticString) -> Bool {
            index += 1
            repeat {
                skipSpace()
                guard current == UInt8(ascii: "\"") else { return false }
                let start = index + 1
                skipString()
                let isIt = start < index && UnsafeBufferPointer(rebasing: bytes[start..<index - 1]).equals(key)
                guard take(":") else { return false }
                skipSpace()
                if isIt { return index < bytes.count }
                _ = value()
            } while take(",")
            return false
        }

        /// The elements of the list that begins here.
        private mutating func elements() -> [Range<Int>] {
            index += 1
            var found: [Range<Int>] = []
            while true {
                skipSpace()
                guard let byte = current, byte != UInt8(ascii: "]") else { return found }
                let piece = value()
                // Empty where a comma or a stray brace stands in its place.
                if !piece.isEmpty { found.append(piece) }
                skipSpace()
                guard let next = current, next != UInt8(ascii: "]") else { return found }
                index += 1
            }
        }

        /// The value that begins here, up to the comma or bracket behind it, without the space around it.
        private mutating func value() -> Range<Int> {
            let start = index
            var end = index
            var depth = 0
            scan: while let byte = current {
                switch byte {
                case UInt8(ascii: "\""):
                    skipString()
                    end = index
                    continue scan
                case UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
                case UInt8(ascii: "]"), UInt8(ascii: "}"):
                    if depth == 0 { break scan }
                    depth -= 1
                case UInt8(ascii: ","): if depth == 0 { break scan }
                default: break
                }
                index += 1
                if byte > 0x20 { end = index }
            }
            return start..<end
        }

        /// Goes behind the string that begins here.
        private mutating func skipString() {
            index += 1
            while let byte = current {
                index += 1
                if byte == UInt8(ascii: "\"") { return }
                if byte == UInt8(ascii: "\\") { index = min(index + 1, bytes.count) }
            }
        }
    }
}
