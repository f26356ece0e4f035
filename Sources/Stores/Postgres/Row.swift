import CLibPQ

/// The rows of one statement's answer; they live as long as somebody holds one of them.
///
/// Not `Sendable`: what leaves a transaction's closure is made of them there.
struct Rows: RandomAccessCollection {
    let answer: Answer
    let startIndex = 0
    var endIndex: Int { answer.rowCount }
    subscript(position: Int) -> Row { Row(answer: answer, position: Int32(position)) }

    /// How many rows the statement inserted, updated, deleted or found.
    var changesCount: Int { answer.changesCount }
}

/// One row; columns are read by their position, from 0.
///
/// `row[0] as Int64`, `row[1] as String?`. A NULL read as a type without NULL, or a column of a type that is none of the wanted, is a
/// mistake in the statement and traps with a message that says so.
struct Row {
    fileprivate let answer: Answer
    fileprivate let position: Int32

    subscript<Value: ColumnValue>(_ column: Int) -> Value {
        guard let value = Value(Column(answer: answer, row: position, column: Int32(column))) else {
            preconditionFailure("column \(column) is \(isNull(column) ? "NULL" : "of type \(type(of: column))"), which is no \(Value.self)")
        }
        return value
    }

    subscript<Value: ColumnValue>(_ column: Int) -> Value? {
        if isNull(column) { return nil }
        let value: Value = self[column]
        return value
    }

    func isNull(_ column: Int) -> Bool { PQgetisnull(answer.pointer, position, Int32(column)) == 1 }

    /// The object ID of a column's type.
    func type(of column: Int) -> UInt32 { PQftype(answer.pointer, Int32(column)) }

    var count: Int { Int(PQnfields(answer.pointer)) }
}

/// A column as it came: its type and bytes.
struct Column {
    let type: UInt32
    let bytes: UnsafeBufferPointer<UInt8>
    let isNull: Bool

    fileprivate init(answer: Answer, row: Int32, column: Int32) {
        precondition(column < PQnfields(answer.pointer), "the statement has no column \(column)")
        type = PQftype(answer.pointer, column)
        isNull = PQgetisnull(answer.pointer, row, column) == 1
        let start = UnsafeRawPointer(PQgetvalue(answer.pointer, row, column)!).assumingMemoryBound(to: UInt8.self)
        bytes = UnsafeBufferPointer(start: start, count: Int(PQgetlength(answer.pointer, row, column)))
    }

    private init(type: UInt32, bytes: UnsafeBufferPointer<UInt8>) { (self.type, self.bytes, isNull) = (type, bytes, false) }

    fileprivate func number<Number: FixedWidthInteger>(at offset: Int = 0, as: Number.Type = Number.self) -> Number {
        Number(bigEndian: UnsafeRawPointer(bytes.baseAddress! + offset).loadUnaligned(as: Number.self))
    }

    fileprivate var integer: Int64? {
        if isNull { return nil }
        switch type {
        case 20: return number(as: Int64.self)
        case 23: return Int64(number(as: Int32.self))
        case 21: return Int64(number(as: Int16.self))
        case 26: return Int64(number(as: UInt32.self))
        case 16: return bytes[0] == 0 ? 0 : 1
        case 1700: return double.flatMap { Int64(exactly: $0) }
        default: return nil
        }
    }

    fileprivate var double: Double? {
        if isNull { return nil }
        switch type {
        case 701: return Double(bitPattern: number())
        case 700: return Double(Float(bitPattern: number()))
        case 1700: return numeric
        default: return integer.map { Double($0) }
        }
    }

    /// A `numeric`, which sums and means of `bigint` are: digits to the base of 10,000 (PostgreSQL, `numeric_send`).
    private var numeric: Double? {
        let (count, weight, sign) = (number(as: Int16.self), number(at: 2, as: Int16.self), number(at: 4, as: UInt16.self))
        guard sign == 0 || sign == 0x4000 else { return nil }
        var value = 0.0
        for place in 0..<Int(count) { value = value * 10_000 + Double(number(at: 8 + 2 * place, as: Int16.self)) }
        for _ in 0..<max(0, Int(weight) + 1 - Int(count)) { value *= 10_000 }
        var divisor = 1.0
        for _ in 0..<max(0, Int(count) - Int(weight) - 1) { divisor *= 10_000 }
        return (sign == 0 ? value : -value) / divisor
    }

    fileprivate var isText: Bool { !isNull && [25, 1043, 1042, 19, 705].contains(type) }

    /// The elements of an array of one dimension; those that are NULL are left out.
    fileprivate func elements<Value>(_ read: (Column) -> Value?) -> [Value]? {
        guard !isNull, [1000, 1001, 1005, 1007, 1009, 1015, 1016, 1022].contains(type) else { return nil }
        guard number(as: Int32.self) == 1 else { return [] }
        let element = number(at: 8, as: UInt32.self)
        var values: [Value] = []
        var offset = 20
        for _ in 0..<Int(number(at: 12, as: Int32.self)) {
            let length = Int(number(at: offset, as: Int32.self))
            offset += 4
            guard length >= 0 else { continue }
            if let value = read(Column(type: element, bytes: UnsafeBufferPointer(rebasing: bytes[offset..<offset + length]))) {
                values.append(value)
            }
            offset += length
        }
        return values
    }
}

/// What a column can be read as.
protocol ColumnValue {
    /// nil: it is none.
    init?(_ column: Column)
}

extension ColumnValue {
    /// The first column of the first row; nil where there is none or it is NULL.
    static func fetchOne(_ db: Database, sql: String, arguments: Arguments = []) throws -> Self? {
        guard let row = try db.fetchOne(sql, arguments) else { return nil }
        let value: Self? = row[0]
        return value
    }

    /// The first column of all rows.
    static func fetchAll(_ db: Database, sql: String, arguments: Arguments = []) throws -> [Self] {
        try db.fetchAll(sql, arguments).map { $0[0] }
    }
}

extension Row {
    static func fetchOne(_ db: Database, sql: String, arguments: Arguments = []) throws -> Row? { try db.fetchOne(sql, arguments) }
    static func fetchAll(_ db: Database, sql: String, arguments: Arguments = []) throws -> Rows { try db.fetchAll(sql, arguments) }
}

extension Int64: ColumnValue {
    init?(_ column: Column) {
        guard let value = column.integer else { return nil }
        self = value
    }
}

extension Int: ColumnValue {
    init?(_ column: Column) {
        guard let value = column.integer else { return nil }
        self = Int(value)
    }
}

extension Double: ColumnValue {
    init?(_ column: Column) {
        guard let value = column.double else { return nil }
        self = value
    }
}

extension Bool: ColumnValue {
    init?(_ column: Column) {
        guard let value = column.integer else { return nil }
        self = value != 0
    }
}

extension String: ColumnValue {
    init?(_ column: Column) {
        guard column.isText else { return nil }
        self = StoredText.string(of: column.bytes)
    }
}

extension TextBytes: ColumnValue {
    init?(_ column: Column) {
        guard column.isText else { return nil }
        self.init(StoredText.bytes(of: column.bytes))
    }
}

extension Blob: ColumnValue {
    init?(_ column: Column) {
        guard !column.isNull, column.type == 17 else { return nil }
        self.init(Array(column.bytes))
    }
}

extension Array: ColumnValue where Element: ColumnValue {
    init?(_ column: Column) {
        guard let elements = column.elements({ Element($0) }) else { return nil }
        self = elements
    }
}

/// What libpq keeps of a statement's answer, freed with the last that looks at it.
final class Answer {
    let pointer: OpaquePointer

    /// - Parameter pointer: a `PGresult`, which it takes over.
    init(_ pointer: OpaquePointer) { self.pointer = pointer }

    deinit { PQclear(pointer) }

    var rowCount: Int { Int(PQntuples(pointer)) }
    var changesCount: Int { Int(String(cString: PQcmdTuples(pointer))) ?? 0 }
    var status: ExecStatusType { PQresultStatus(pointer) }
}
