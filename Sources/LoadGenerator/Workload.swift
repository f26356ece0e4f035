import NIOCore

/// The events themselves: event `n` of connection `c` under a seed, always the same one.
///
/// An event is a message in a thread of its connection, user and assistant in turn. Its id is a UUIDv7 whose time is the seed's plus its place in
/// the sequence, in milliseconds, and whose other bits are mixed from seed, connection and place: ids rise as real ones do, can be recognized
/// when they come back in an answer, and can be made again after the run to check the store. Nothing is kept per event.
struct Workload: Sendable {
    let seed: UInt64
    let threadsPerConnection: Int
    let size: Int
    private let tape: [UInt8]
    private let seedName: [UInt8]

    init(seed: UInt64, threadsPerConnection: Int, size: Int) {
        self.seed = seed
        self.threadsPerConnection = threadsPerConnection
        self.size = size
        // 1 MiB of text is past the processor's second cache, as real traffic would be.
        self.tape = Vocabulary.tape(length: max(1 << 20, 2 * size), seed: seed)
        self.seedName = Array(String(seed, radix: 36).utf8)
    }

    // MARK: Threads

    /// A turn is two messages; turns go round the connection's threads.
    func thread(of sequence: Int) -> Int { sequence / 2 % threadsPerConnection }

    func threadName(_ thread: Int, on connection: Int) -> String {
        "load-\(String(decoding: seedName, as: UTF8.self))-\(connection)-\(thread)"
    }

    /// The first `count` events of a connection reach this many threads.
    func threadsUsed(by count: Int) -> Int { min(threadsPerConnection, (count + 1) / 2) }

    // MARK: Ids

    static let idLength = 36
    private var startMillis: UInt64 { seed / 1000 }
    private static let timeMask: UInt64 = (1 << 48) - 1

    private func bits(_ sequence: Int, _ connection: Int) -> (time: UInt64, a: UInt64, b: UInt64) {
        let place = UInt64(truncatingIfNeeded: connection) << 40 ^ UInt64(truncatingIfNeeded: sequence)
        let a = SplitMix.mix(seed ^ SplitMix.mix(place &+ 0x9E37_79B9_7F4A_7C15))
        return (startMillis &+ UInt64(sequence) & Workload.timeMask, a, SplitMix.mix(a &+ 0x9E37_79B9_7F4A_7C15))
    }

    /// Writes the 36 bytes of an id.
    func writeID(of sequence: Int, on connection: Int, to out: UnsafeMutablePointer<UInt8>) {
        let (time, a, b) = bits(sequence, connection)
        let high = time << 16 | 0x7000 | a & 0x0FFF
        let low = 1 << 63 | b >> 2
        var at = 0
        for nibble in 0..<32 {
            if nibble == 8 || nibble == 12 || nibble == 16 || nibble == 20 {
                out[at] = UInt8(ascii: "-")
                at += 1
            }
            let word = nibble < 16 ? high : low
            let digit = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * (nibble & 15))) & 15
            out[at] = digit < 10 ? digit &+ UInt8(ascii: "0") : digit &+ (UInt8(ascii: "a") - 10)
            at += 1
        }
    }

    func id(of sequence: Int, on connection: Int) -> String {
        String(unsafeUninitializedCapacity: Workload.idLength) { bytes in
            writeID(of: sequence, on: connection, to: bytes.baseAddress!)
            return Workload.idLength
        }
    }

    /// Whether these bytes are the id of that event.
    func isID(_ bytes: UnsafeRawBufferPointer, of sequence: Int, on connection: Int) -> Bool {
        guard bytes.count == Workload.idLength else { return false }
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Workload.idLength) { own in
            writeID(of: sequence, on: connection, to: own.baseAddress!)
            return UnsafeRawBufferPointer(own).elementsEqual(bytes)
        }
    }

    /// The place of the event with this id, nil if it is none of this connection's.
    func sequence(of id: UnsafeRawBufferPointer, on connection: Int) -> Int? {
        guard id.count == Workload.idLength else { return nil }
        var time: UInt64 = 0
        for place in 0..<13 where place != 8 {
            switch id[place] {
            case let byte where byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9"): time = time << 4 | UInt64(byte - UInt8(ascii: "0"))
            case let byte where byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "f"):
                time = time << 4 | UInt64(byte - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        let sequence = Int(time &- startMillis & Workload.timeMask)
        return isID(id, of: sequence, on: connection) ? sequence : nil
    }

    // MARK: Bytes

    private static let head = Array(#"{"type":"message","id":""#.utf8)
    private static let threadKey = Array(#"","thread":"load-"#.utf8)
    private static let user = Array(#"","role":"user","at":"#.utf8)
    private static let assistant = Array(#"","role":"assistant","at":"#.utf8)
    private static let content = Array(#","content":""#.utf8)
    private static let tail = Array(#""}"#.utf8)

    /// Appends the events of a flight, with commas between them.
    func write(_ flight: Flight, on connection: Int, into buffer: inout ByteBuffer) {
        // 320: more than an event's bytes around its text (about 150), with the longest numbers and a last word.
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: flight.count * (size + 320)) { room in
            let start = room.baseAddress!.assumingMemoryBound(to: UInt8.self)
            var pen = Pen(at: start)
            tape.withUnsafeBufferPointer { tape in
                for sequence in flight.range {
                    if sequence > flight.first { pen.write(UInt8(ascii: ",")) }
                    writeEvent(sequence, on: connection, at: flight.at, tape: tape, with: &pen)
                }
            }
            return pen.point - start
        }
    }

    private func writeEvent(
        _ sequence: Int, on connection: Int, at: Int64, tape: UnsafeBufferPointer<UInt8>, with pen: inout Pen
    ) {
        let start = pen.point
        pen.write(Workload.head)
        writeID(of: sequence, on: connection, to: pen.point)
        pen.point += Workload.idLength
        pen.write(Workload.threadKey)
        pen.write(seedName)
        pen.write(UInt8(ascii: "-"))
        pen.write(decimal: UInt64(connection))
        pen.write(UInt8(ascii: "-"))
        pen.write(decimal: UInt64(thread(of: sequence)))
        pen.write(sequence & 1 == 0 ? Workload.user : Workload.assistant)
        pen.write(decimal: UInt64(at))
        pen.write(Workload.content)
        pen.write(text(of: sequence, on: connection, length: size - (pen.point - start) - Workload.tail.count, tape: tape))
        pen.write(Workload.tail)
    }

    /// A stretch of the tape, from the start of a word to the end of one, of about that length; one word at least.
    private func text(
        of sequence: Int, on connection: Int, length: Int, tape: UnsafeBufferPointer<UInt8>
    ) -> Slice<UnsafeBufferPointer<UInt8>> {
        let space = UInt8(ascii: " ")
        let length = max(length, 1)
        var from = Int(bits(sequence, connection).b % UInt64(tape.count - length - 128))
        while tape[from] != space { from += 1 }
        from += 1
        var end = from + length
        while tape[end] != space { end -= 1 }
        if end <= from {
            end = from + 1
            while tape[end] != space { end += 1 }
        }
        return tape[from..<end]
    }

    /// A point that moves through memory as it writes.
    private struct Pen {
        var point: UnsafeMutablePointer<UInt8>

        init(at point: UnsafeMutablePointer<UInt8>) { self.point = point }

        mutating func write(_ byte: UInt8) {
            point.pointee = byte
            point += 1
        }

        mutating func write(_ bytes: [UInt8]) {
            bytes.withUnsafeBufferPointer { point.update(from: $0.baseAddress!, count: $0.count) }
            point += bytes.count
        }

        mutating func write(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) {
            point.update(from: bytes.base.baseAddress! + bytes.startIndex, count: bytes.count)
            point += bytes.count
        }

        mutating func write(decimal number: UInt64) {
            var digits = 1
            var bound: UInt64 = 10
            while number >= bound, digits < 20 {
                digits += 1
                bound = bound.multipliedReportingOverflow(by: 10).partialValue
            }
            var rest = number
            for place in stride(from: digits - 1, through: 0, by: -1) {
                point[place] = UInt8(ascii: "0") + UInt8(rest % 10)
                rest /= 10
            }
            point += digits
        }
    }
}
