/// Writes minified JSON into bytes; commas are its business, well-formed nesting the caller's.
public struct JSONWriter: Sendable {
    public private(set) var bytes: [UInt8] = []
    private var needsComma = false

    public init() {}

    /// - Parameter capacity: bytes that it will take, about.
    public init(capacity: Int) { bytes.reserveCapacity(capacity) }

    mutating func reserve(more count: Int) { bytes.reserveCapacity(bytes.count + count) }

    public var string: String { String(decoding: bytes, as: UTF8.self) }

    public mutating func object(_ write: (inout JSONWriter) throws -> Void) rethrows {
        open("{")
        try write(&self)
        close("}")
    }

    public mutating func array(_ write: (inout JSONWriter) throws -> Void) rethrows {
        open("[")
        try write(&self)
        close("]")
    }

    /// A list of values, each written by `write`.
    public mutating func array<Items: Sequence>(_ items: Items, _ write: (inout JSONWriter, Items.Element) throws -> Void) rethrows {
        try array { writer in for item in items { try write(&writer, item) } }
    }

    /// A list that is closed by `closeArray`, for writers that don't nest as what they write does.
    public mutating func openArray() { open("[") }
    public mutating func closeArray() { close("]") }

    public mutating func key(_ name: String) {
        separate()
        quote(name.utf8)
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    /// A key as UTF-8.
    public mutating func key(utf8 name: UnsafeBufferPointer<UInt8>) {
        separate()
        quote(name)
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    /// A text as UTF-8.
    public mutating func value(utf8 text: UnsafeBufferPointer<UInt8>) { separate(); quote(text); needsComma = true }

    public mutating func value(_ text: String) { separate(); quote(text.utf8); needsComma = true }
    public mutating func value(_ number: some BinaryInteger) { scalar(String(number)) }
    public mutating func value(_ flag: Bool) { scalar(flag ? "true" : "false") }
    public mutating func value(_ number: Double) {
        // JSON has no infinities; null is what JSON.stringify writes too.
        guard number.isFinite else { return null() }
        scalar(number == number.rounded() && abs(number) < 1e15 ? String(Int64(number)) : "\(number)")
    }
    public mutating func value(_ json: JSONText) { separate(); bytes.append(contentsOf: json.bytes); needsComma = true }
    public mutating func value(_ time: Timestamp) {
        separate()
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Timestamp.mostDigits) { buffer in
            let count = time.write(into: buffer)
            bytes.append(UInt8(ascii: "\""))
            bytes.append(contentsOf: buffer[..<count])
            bytes.append(UInt8(ascii: "\""))
        }
        needsComma = true
    }
    public mutating func null() { scalar("null") }

    public mutating func field(_ name: String, _ text: String) { key(name); value(text) }
    public mutating func field(_ name: String, _ number: some BinaryInteger) { key(name); value(number) }
    public mutating func field(_ name: String, _ number: Double) { key(name); value(number) }
    public mutating func field(_ name: String, _ flag: Bool) { key(name); value(flag) }
    public mutating func field(_ name: String, _ json: JSONText) { key(name); value(json) }
    public mutating func field(_ name: String, _ time: Timestamp) { key(name); value(time) }

    /// A member that is `null` when there is nothing, for readers that expect it to be there.
    public mutating func field(orNull name: String, _ text: String?) { key(name); if let text { value(text) } else { null() } }
    public mutating func field(orNull name: String, _ number: Int64?) { key(name); if let number { value(number) } else { null() } }
    public mutating func field(orNull name: String, _ number: Double?) { key(name); if let number { value(number) } else { null() } }
    public mutating func field(orNull name: String, _ flag: Bool?) { key(name); if let flag { value(flag) } else { null() } }
    public mutating func field(orNull name: String, _ json: JSONText?) { key(name); if let json { value(json) } else { null() } }
    public mutating func field(orNull name: String, _ time: Timestamp?) { key(name); if let time { value(time) } else { null() } }

    /// A member that is left out when there is nothing.
    public mutating func field(ifPresent name: String, _ text: String?) { if let text { field(name, text) } }
    public mutating func field(ifPresent name: String, _ number: Double?) { if let number { field(name, number) } }
    public mutating func field(ifPresent name: String, _ flag: Bool?) { if let flag { field(name, flag) } }
    public mutating func field(ifPresent name: String, _ json: JSONText?) { if let json { field(name, json) } }
    public mutating func field(ifPresent name: String, _ time: Timestamp?) { if let time { field(name, time) } }
    public mutating func field(ifPresent name: String, _ list: [String]) {
        if !list.isEmpty { field(name, list) }
    }
    public mutating func field(_ name: String, _ list: [String]) { key(name); array(list) { $0.value($1) } }

    /// A line break between the documents of a JSON-lines stream.
    public mutating func endLine() {
        bytes.append(UInt8(ascii: "\n"))
        needsComma = false
    }

    // MARK: parsed values

    /// Appends a parsed value as it was written; answers whether every object's keys were in sorted order.
    @discardableResult
    mutating func append(_ value: JSONValue) -> Bool {
        switch value.kind {
        case .object:
            var inOrder = true
            var previous: UnsafeBufferPointer<UInt8>?
            open("{")
            value.forEachMember { key, member in
                if let previous, !previous.lexicographicallyPrecedes(key) { inOrder = false }
                previous = key
                self.key(utf8: key)
                inOrder = append(member) && inOrder
            }
            close("}")
            return inOrder
        case .array:
            var inOrder = true
            open("[")
            value.forEachElement { inOrder = append($0) && inOrder }
            close("]")
            return inOrder
        default:
            appendScalar(value)
            return true
        }
    }

    /// Appends a parsed value with every object's members sorted by the bytes of their keys.
    mutating func appendSorted(_ value: JSONValue) {
        switch value.kind {
        case .object:
            var members: [(key: UnsafeBufferPointer<UInt8>, value: JSONValue)] = []
            value.forEachMember { members.append(($0, $1)) }
            members.sort { $0.key.lexicographicallyPrecedes($1.key) }
            open("{")
            for member in members {
                self.key(utf8: member.key)
                appendSorted(member.value)
            }
            close("}")
        case .array:
            open("[")
            value.forEachElement { appendSorted($0) }
            close("]")
        default:
            appendScalar(value)
        }
    }

    private mutating func appendScalar(_ value: JSONValue) {
        if let text = value.utf8 {
            separate()
            quote(text)
            needsComma = true
        } else if let flag = value.bool {
            self.value(flag)
        } else if value.isNull {
            null()
        } else if let number = value.unsignedBeyondInt64 {
            scalar(String(number))
        } else if let number = value.exactInteger {
            scalar(String(number))
        } else if let number = value.double {
            scalar(number.isFinite ? "\(number)" : "null")
        }
    }

    // MARK: pieces

    private mutating func separate() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
    }

    private mutating func open(_ bracket: Unicode.Scalar) {
        separate()
        bytes.append(UInt8(ascii: bracket))
        needsComma = false
    }

    private mutating func close(_ bracket: Unicode.Scalar) {
        bytes.append(UInt8(ascii: bracket))
        needsComma = true
    }

    private mutating func scalar(_ text: String) {
        separate()
        bytes.append(contentsOf: text.utf8)
        needsComma = true
    }

    private mutating func quote(_ text: some Collection<UInt8>) {
        bytes.append(UInt8(ascii: "\""))
        if text.withContiguousStorageIfAvailable({ appendEscaped($0) }) == nil {
            Array(text).withUnsafeBufferPointer { appendEscaped($0) }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    /// Most texts have little to escape: what lies between is found eight bytes at a time and copied whole.
    private mutating func appendEscaped(_ text: UnsafeBufferPointer<UInt8>) {
        var start = 0
        var place = 0
        while place < text.count {
            if place + 8 <= text.count {
                // Within the text, by the line above; it may lie at any address.
                let word = UnsafeRawPointer(text.baseAddress! + place).loadUnaligned(as: UInt64.self)
                if !Self.mayNeedEscape(word) {
                    place += 8
                    continue
                }
            }
            let byte = text[place]
            if byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
                bytes.append(contentsOf: UnsafeBufferPointer(rebasing: text[start..<place]))
                appendEscape(of: byte)
                start = place + 1
            }
            place += 1
        }
        bytes.append(contentsOf: UnsafeBufferPointer(rebasing: text[start...]))
    }

    /// Whether one of eight bytes is below 0x20, a quote or a backslash: the lowest that is sets its top bit here (Anderson, "Bit
    /// Twiddling Hacks", "Determine if a word has a byte less than n").
    private static func mayNeedEscape(_ word: UInt64) -> Bool {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let tops: UInt64 = 0x8080_8080_8080_8080
        let quotes = word ^ (ones &* 0x22)
        let backslashes = word ^ (ones &* 0x5C)
        let found = ((word &- ones &* 0x20) & ~word) | ((quotes &- ones) & ~quotes) | ((backslashes &- ones) & ~backslashes)
        return found & tops != 0
    }

    private mutating func appendEscape(of byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""): bytes.append(contentsOf: #"\""#.utf8)
        case UInt8(ascii: "\\"): bytes.append(contentsOf: #"\\"#.utf8)
        case 0x0A: bytes.append(contentsOf: #"\n"#.utf8)
        case 0x0D: bytes.append(contentsOf: #"\r"#.utf8)
        case 0x09: bytes.append(contentsOf: #"\t"#.utf8)
        default:
            bytes.append(contentsOf: #"\u00"#.utf8)
            bytes.append(Self.hex[Int(byte >> 4)])
            bytes.append(Self.hex[Int(byte & 15)])
        }
    }

    private static let hex = Array("0123456789abcdef".utf8)
}

extension JSONValue {
    fileprivate var unsignedBeyondInt64: UInt64? {
        UInt8(truncatingIfNeeded: tape[index] >> 56) == UInt8(ascii: "u") ? tape[index + 1] : nil
    }

    fileprivate var exactInteger: Int64? {
        UInt8(truncatingIfNeeded: tape[index] >> 56) == UInt8(ascii: "l") ? Int64(bitPattern: tape[index + 1]) : nil
    }
}
