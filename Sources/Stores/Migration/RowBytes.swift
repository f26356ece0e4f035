import Crypto
import PostgresStore

/// The fields of a row as the database sends and takes them (PostgreSQL, "COPY", "Binary Format"): what is written, read back and compared
/// are the same bytes. Each field is its length, −1 for NULL, and its value; those of the key are the first.
struct RowBytes: Hashable, Sendable {
    var bytes: [UInt8] = []

    mutating func appendNull() { append(bigEndian: Int32(-1)) }

    mutating func append(_ value: Int64) {
        append(bigEndian: Int32(8))
        append(bigEndian: value)
    }

    mutating func append(small value: Int16) {
        append(bigEndian: Int32(2))
        append(bigEndian: value)
    }

    mutating func append(_ value: Bool) {
        append(bigEndian: Int32(1))
        bytes.append(value ? 1 : 0)
    }

    mutating func append(_ value: Double) {
        append(bigEndian: Int32(8))
        append(bigEndian: value.bitPattern)
    }

    /// As texts stand in the database: without NUL (`StoredText`).
    mutating func append(text: UnsafeBufferPointer<UInt8>) {
        let place = bytes.count
        append(bigEndian: Int32(0))
        StoredText.append(text, to: &bytes)
        let length = UInt32(bytes.count - place - 4)
        for byte in 0..<4 { bytes[place + byte] = UInt8(truncatingIfNeeded: length >> (24 - 8 * UInt32(byte))) }
    }

    mutating func append(blob: UnsafeBufferPointer<UInt8>) {
        append(bigEndian: Int32(blob.count))
        bytes.append(contentsOf: blob)
    }

    private mutating func append<Number: FixedWidthInteger>(bigEndian number: Number) {
        withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
    }

    /// Its first fields alone.
    func prefix(fields count: Int) -> RowBytes {
        var offset = 0
        for _ in 0..<count { offset = end(ofFieldAt: offset) }
        return RowBytes(bytes: Array(bytes[..<offset]))
    }

    /// The value of each field; nil is NULL.
    var fields: [ArraySlice<UInt8>?] {
        var fields: [ArraySlice<UInt8>?] = []
        var offset = 0
        while offset < bytes.count {
            let end = end(ofFieldAt: offset)
            fields.append(length(at: offset) < 0 ? nil : bytes[(offset + 4)..<end])
            offset = end
        }
        return fields
    }

    private func length(at offset: Int) -> Int {
        var length: UInt32 = 0
        for byte in bytes[offset..<(offset + 4)] { length = length << 8 | UInt32(byte) }
        return Int(Int32(bitPattern: length))
    }

    private func end(ofFieldAt offset: Int) -> Int { offset + 4 + max(0, length(at: offset)) }

    /// A whole number of two or eight bytes.
    static func integer(_ field: ArraySlice<UInt8>) -> Int64 {
        var value: UInt64 = field.first.map { $0 & 0x80 == 0 ? 0 : .max } ?? 0
        for byte in field { value = value << 8 | UInt64(byte) }
        return Int64(bitPattern: value)
    }
}

/// Rows of a table, as their number and a digest that does not ask for their order: the sum of the first sixteen bytes of each row's
/// SHA-256, in two halves.
public struct TableDigest: Sendable, Equatable {
    public private(set) var rows = 0
    private var halves: (UInt64, UInt64) = (0, 0)

    /// What one row adds.
    struct Share {
        fileprivate let halves: (UInt64, UInt64)

        init(of row: RowBytes) {
            halves = SHA256.hash(data: row.bytes).withUnsafeBytes { hash in
                (hash.loadUnaligned(as: UInt64.self), hash.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            }
        }
    }

    mutating func add(_ share: Share) {
        rows += 1
        halves.0 &+= share.halves.0
        halves.1 &+= share.halves.1
    }

    mutating func add(_ row: RowBytes) { add(Share(of: row)) }

    /// Takes in other rows.
    mutating func add(_ other: TableDigest) {
        rows += other.rows
        halves.0 &+= other.halves.0
        halves.1 &+= other.halves.1
    }

    /// Thirty-two hex digits.
    public var text: String {
        [halves.0, halves.1].map { half in
            let digits = String(half.bigEndian, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }

    public static func == (a: TableDigest, b: TableDigest) -> Bool { a.rows == b.rows && a.halves == b.halves }
}
