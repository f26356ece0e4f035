import Events

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// What can stand for a `$n` of a statement: sent in binary, with the type that its Swift type has there.
///
/// Whole numbers are `bigint`, `Double` is `double precision`, `String` is `text`, `[UInt8]` is `bytea`; arrays of these are arrays.
/// Where a function takes another type, the statement casts: `$1::int4`.
protocol Bindable: Sendable {
    /// The object ID of its type in PostgreSQL (pg_type.dat), and of arrays of it.
    static var type: UInt32 { get }
    static var arrayType: UInt32 { get }
    /// Whether it is NULL.
    var isNull: Bool { get }
    func append(to bytes: inout [UInt8])
    /// The elements of an array, each behind its length; answers whether one of them is NULL. Asked of the type and not of its array, so that
    /// there is code of its own for each type: a batch has tens of thousands of elements.
    static func append(elements: [Self], to bytes: inout [UInt8]) -> Bool
    static func append(elements: [Self?], to bytes: inout [UInt8]) -> Bool
}

extension Bindable {
    var isNull: Bool { false }

    static func append(elements: [Self], to bytes: inout [UInt8]) -> Bool {
        for element in elements { element.appendBehindLength(to: &bytes) }
        return false
    }

    static func append(elements: [Self?], to bytes: inout [UInt8]) -> Bool {
        var hasNull = false
        for element in elements {
            if let element {
                element.appendBehindLength(to: &bytes)
            } else {
                bytes.append(bigEndian: Int32(-1))
                hasNull = true
            }
        }
        return hasNull
    }

    private func appendBehindLength(to bytes: inout [UInt8]) {
        // The length is known once the element is there.
        let place = bytes.count
        bytes.append(bigEndian: Int32(0))
        append(to: &bytes)
        let length = UInt32(bytes.count - place - 4)
        for byte in 0..<4 { bytes[place + byte] = UInt8(truncatingIfNeeded: length >> (24 - 8 * UInt32(byte))) }
    }
}

/// The values of a statement's `$1`, `$2`, …: `[project.number, id, time.microseconds]`.
struct Arguments: ExpressibleByArrayLiteral, Sendable {
    private(set) var values: [any Bindable]
    init(arrayLiteral elements: any Bindable...) { values = elements }
    init(_ values: [any Bindable] = []) { self.values = values }
    static func + (a: Arguments, b: Arguments) -> Arguments { Arguments(a.values + b.values) }
    mutating func append(_ value: any Bindable) { values.append(value) }
}

extension [UInt8] {
    /// Appends a number as the protocol writes it: the greatest byte first.
    mutating func append<Number: FixedWidthInteger>(bigEndian number: Number) {
        Swift.withUnsafeBytes(of: number.bigEndian) { append(contentsOf: $0) }
    }
}

extension Int64: Bindable {
    static var type: UInt32 { 20 }
    static var arrayType: UInt32 { 1016 }
    func append(to bytes: inout [UInt8]) { bytes.append(bigEndian: self) }
}

extension Int: Bindable {
    static var type: UInt32 { 20 }
    static var arrayType: UInt32 { 1016 }
    func append(to bytes: inout [UInt8]) { bytes.append(bigEndian: Int64(self)) }
}

extension Double: Bindable {
    static var type: UInt32 { 701 }
    static var arrayType: UInt32 { 1022 }
    func append(to bytes: inout [UInt8]) { bytes.append(bigEndian: bitPattern) }
}

extension Bool: Bindable {
    static var type: UInt32 { 16 }
    static var arrayType: UInt32 { 1000 }
    func append(to bytes: inout [UInt8]) { bytes.append(self ? 1 : 0) }
}

extension String: Bindable {
    static var type: UInt32 { 25 }
    static var arrayType: UInt32 { 1009 }
    func append(to bytes: inout [UInt8]) {
        var text = self
        text.withUTF8 { StoredText.append($0, to: &bytes) }
    }
}

/// A text that is there as its bytes already, like all JSON of ours.
struct TextBytes: Bindable {
    var bytes: [UInt8]
    init(_ bytes: [UInt8]) { self.bytes = bytes }
    static var type: UInt32 { 25 }
    static var arrayType: UInt32 { 1009 }
    func append(to bytes: inout [UInt8]) { self.bytes.withUnsafeBufferPointer { StoredText.append($0, to: &bytes) } }
}

/// Bytes for a `bytea`.
struct Blob: Bindable, Hashable {
    var bytes: [UInt8]
    init(_ bytes: [UInt8]) { self.bytes = bytes }
    static var type: UInt32 { 17 }
    static var arrayType: UInt32 { 1001 }
    func append(to bytes: inout [UInt8]) { bytes.append(contentsOf: self.bytes) }
}

extension Optional: Bindable where Wrapped: Bindable {
    static var type: UInt32 { Wrapped.type }
    static var arrayType: UInt32 { Wrapped.arrayType }
    var isNull: Bool { self == nil }
    func append(to bytes: inout [UInt8]) { self?.append(to: &bytes) }
    static func append(elements: [Wrapped?], to bytes: inout [UInt8]) -> Bool { Wrapped.append(elements: elements, to: &bytes) }
}

/// An array of one dimension, as PostgreSQL's `array_recv` takes it.
extension Array: Bindable where Element: Bindable {
    static var type: UInt32 { Element.arrayType }
    static var arrayType: UInt32 { preconditionFailure("PostgreSQL has no arrays of arrays") }

    func append(to bytes: inout [UInt8]) {
        bytes.append(bigEndian: Int32(isEmpty ? 0 : 1))
        let flags = bytes.count
        bytes.append(bigEndian: Int32(0))
        bytes.append(bigEndian: Element.type)
        if isEmpty { return }
        bytes.append(bigEndian: Int32(count))
        bytes.append(bigEndian: Int32(1))
        // Whether one of them is NULL is the last byte of the flags.
        if Element.append(elements: self, to: &bytes) { bytes[flags + 3] = 1 }
    }
}

/// How texts stand in a `text` column, which may hold any character but NUL (PostgreSQL, "Character Types").
///
/// NUL is written as U+001A `0`, and U+001A itself, which nobody types, as U+001A `1`; all other texts stand as they are. It is done
/// where arguments are bound and undone where columns are read, so that no statement or fold knows of it, and nothing is lost.
package enum StoredText {
    private static let escape: UInt8 = 0x1A

    private static func has(_ byte: UInt8, in bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        bytes.baseAddress.map { memchr($0, Int32(byte), bytes.count) != nil } ?? false
    }

    package static func append(_ text: UnsafeBufferPointer<UInt8>, to bytes: inout [UInt8]) {
        guard has(0, in: text) || has(escape, in: text) else { return bytes.append(contentsOf: text) }
        for byte in text {
            switch byte {
            case 0: bytes.append(contentsOf: [escape, UInt8(ascii: "0")])
            case escape: bytes.append(contentsOf: [escape, UInt8(ascii: "1")])
            default: bytes.append(byte)
            }
        }
    }

    package static func bytes(of stored: UnsafeBufferPointer<UInt8>) -> [UInt8] {
        guard has(escape, in: stored) else { return Array(stored) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(stored.count)
        var rest = stored.makeIterator()
        while let byte = rest.next() {
            guard byte == escape else {
                bytes.append(byte)
                continue
            }
            bytes.append(rest.next() == UInt8(ascii: "0") ? 0 : escape)
        }
        return bytes
    }

    static func string(of stored: UnsafeBufferPointer<UInt8>) -> String {
        guard has(escape, in: stored) else { return String(decoding: stored, as: UTF8.self) }
        return String(decoding: bytes(of: stored), as: UTF8.self)
    }
}
