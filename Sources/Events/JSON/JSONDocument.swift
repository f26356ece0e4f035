import CSimdJSON
import Synchronization

/// Reads JSON text (RFC 8259) through simdjson; the value is valid only while `read` runs.
///
/// A document deeper than `maximumDepth` is refused before anything is allocated for it. Two faults that real senders
/// make are mended instead of refused: an escape of half a surrogate pair (`JSON.stringify` writes it for a string cut
/// in the middle of an emoji) becomes U+FFFD, and an integer beyond 64 bits becomes a double.
public enum JSONDocument {
    /// Deeper than any chat payload seen in the field; the parser's own stack is sized by it.
    public static let maximumDepth = 64

    /// What we wrote ourselves is read deeper: around what a sender wrote stand a few levels of ours.
    fileprivate static let parserDepth = maximumDepth + 8

    public enum Fault: Error, Sendable, Equatable {
        case malformed, tooDeep, invalidUTF8, outOfMemory
    }

    /// - Parameter isOurs: the text was written by us, around a sender's that was measured when it came.
    /// - Parameter tolerant: bare `NaN`, `Infinity` and `-Infinity`, as Python's `json.dumps` writes them, are read as null.
    ///   Costs a second pass where they occur.
    public static func read<Result>(
        _ bytes: some Collection<UInt8>, isOurs: Bool = false, tolerant: Bool = false, _ read: (JSONValue) throws -> Result
    ) throws -> Result {
        let lease = ParserPool.shared.take()
        defer { ParserPool.shared.giveBack(lease) }
        var status = lease.parse(bytes)
        if status == PARLEY_JSON_BAD_STRING.rawValue || status == PARLEY_JSON_BAD_NUMBER.rawValue
            || tolerant && status == PARLEY_JSON_MALFORMED.rawValue
        {
            status = lease.parse(JSONRepair.mend(bytes, nullingNonNumbers: tolerant))
        }
        switch status {
        case PARLEY_JSON_OK.rawValue: break
        case PARLEY_JSON_TOO_DEEP.rawValue: throw Fault.tooDeep
        case PARLEY_JSON_BAD_UTF8.rawValue: throw Fault.invalidUTF8
        case PARLEY_JSON_NO_MEMORY.rawValue: throw Fault.outOfMemory
        default: throw Fault.malformed
        }
        // Word 0 is the root; the document's value starts at word 1 (doc/tape.md).
        let value = JSONValue(tape: lease.tape, strings: lease.strings, index: 1)
        // A body too short to be that deep needs no measuring: each level takes two brackets.
        if !isOurs, bytes.count >= 2 * maximumDepth, value.isDeeper(than: maximumDepth) { throw Fault.tooDeep }
        return try read(value)
    }
}

/// A parser on loan: used by one thread at a time, handed over through the pool's lock.
private struct ParserLease: @unchecked Sendable {
    // Unchecked: the pointer is owned by exactly one lease, and a lease is either in the pool or with one caller.
    let parser: OpaquePointer

    func parse(_ bytes: some Collection<UInt8>) -> UInt32 {
        let parsed = bytes.withContiguousStorageIfAvailable { buffer in
            parley_json_parse(parser, buffer.baseAddress, buffer.count)
        }
        let status = parsed ?? Array(bytes).withUnsafeBufferPointer { parley_json_parse(parser, $0.baseAddress, $0.count) }
        return UInt32(status)
    }

    var tape: UnsafePointer<UInt64> { parley_json_tape(parser) }
    var strings: UnsafePointer<UInt8> { parley_json_strings(parser) }
}

private final class ParserPool: Sendable {
    static let shared = ParserPool()

    /// One per core is in use at a time; more only sit on memory.
    private static let maximumIdle = 8
    /// A parser that grew past this is freed: its buffers are about five times the document.
    private static let maximumKeptCapacity = 1 << 20

    private let idle = Mutex<[ParserLease]>([])

    func take() -> ParserLease {
        if let lease = idle.withLock({ $0.popLast() }) { return lease }
        guard let parser = parley_json_create(JSONDocument.parserDepth) else { fatalError("no memory for a JSON parser") }
        return ParserLease(parser: parser)
    }

    func giveBack(_ lease: ParserLease) {
        let kept =
            parley_json_capacity(lease.parser) <= Self.maximumKeptCapacity
            && idle.withLock { idle in
                guard idle.count < Self.maximumIdle else { return false }
                idle.append(lease)
                return true
            }
        if !kept { parley_json_destroy(lease.parser) }
    }
}
