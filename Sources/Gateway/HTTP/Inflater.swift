import CZlib
import Events

/// The codings a body may come in (RFC 9110, section 8.4.1).
enum ContentEncoding: Sendable, Equatable {
    case identity, gzip, deflate

    /// One coding; none of them twice, for a bomb in a bomb.
    init?(header: String?) {
        switch header?.lowercased() {
        case nil, "", "identity": self = .identity
        case "gzip", "x-gzip": self = .gzip
        case "deflate": self = .deflate
        default: return nil
        }
    }
}

/// Inflates a body piece by piece and stops the moment it grows past its limit.
///
/// A class because zlib remembers the address of its stream.
final class Inflater {
    private let stream: UnsafeMutablePointer<z_stream>
    private let encoding: ContentEncoding
    private let limit: Int
    private let holding: Holding
    private var isStarted = false
    private var isAtEnd = false
    private(set) var output: [UInt8] = []

    /// What one call of zlib may write: larger saves calls, smaller saves stack.
    private static let stepBytes = 32 * 1024
    /// zlib's own memory: its state and a window of 32 KiB (zlib.h, "memory requirements").
    private static let ownBytes = 44 * 1024

    init(_ encoding: ContentEncoding, limit: Int, holding: Holding) {
        self.encoding = encoding
        self.limit = limit
        self.holding = holding
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
    }

    deinit {
        end()
        stream.deinitialize(count: 1)
        stream.deallocate()
    }

    func append(_ bytes: UnsafeBufferPointer<UInt8>) throws(Refusal) {
        guard let base = bytes.baseAddress, !bytes.isEmpty else { return }
        if !isStarted { try start(firstByte: base.pointee) }
        stream.pointee.next_in = UnsafeMutablePointer(mutating: base)
        stream.pointee.avail_in = UInt32(bytes.count)
        while stream.pointee.avail_in > 0 {
            if isAtEnd {
                // A gzip file may have several members (RFC 1952, section 2.2); behind the end of a deflate stream is nothing.
                guard encoding == .gzip, inflateReset(stream) == Z_OK else { throw Self.mismatch }
                isAtEnd = false
            }
            let before = output.count
            try step()
            if output.count == before, stream.pointee.avail_in > 0, !isAtEnd { throw Self.mismatch }
        }
        // What the stream still holds back because a step was full.
        while !isAtEnd {
            let before = output.count
            try step()
            if output.count == before { break }
        }
        stream.pointee.next_in = nil
    }

    /// The whole body, when its last stream is complete.
    func finish() throws(Refusal) -> [UInt8] {
        guard isAtEnd else { throw Self.mismatch }
        end()
        _ = holding.resize(to: holding.bytes - Self.ownBytes)
        return output
    }

    private func end() {
        if isStarted { inflateEnd(stream) }
        isStarted = false
    }

    /// `deflate` means zlib's wrapping (RFC 1950); many senders leave it off. A wrapped stream begins with 0x?8.
    private func start(firstByte: UInt8) throws(Refusal) {
        guard holding.resize(to: Self.ownBytes) else { throw BodyReader.noRoom }
        let windowBits: Int32 = encoding == .gzip ? 15 + 16 : firstByte & 0x0F == 8 ? 15 : -15
        guard inflateInit2_(stream, windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw Refusal(.overloaded)
        }
        isStarted = true
    }

    private func step() throws(Refusal) {
        var status = Z_OK
        var refusal: Refusal?
        let stream = stream
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.stepBytes) { buffer in
            stream.pointee.next_out = buffer.baseAddress
            stream.pointee.avail_out = UInt32(Self.stepBytes)
            status = inflate(stream, Z_NO_FLUSH)
            let written = Self.stepBytes - Int(stream.pointee.avail_out)
            // P-BODY-2: the limit is on what the bytes become, kept while they do.
            guard output.count + written <= limit else { return refusal = Refusal(.bodyTooLarge) }
            do throws(Refusal) {
                try output.makeRoom(for: written, upTo: limit, overhead: Self.ownBytes, in: holding)
            } catch { return refusal = error }
            output.append(contentsOf: UnsafeBufferPointer(rebasing: buffer[..<written]))
        }
        if let refusal { throw refusal }
        switch status {
        case Z_STREAM_END: isAtEnd = true
        case Z_OK, Z_BUF_ERROR: break
        default: throw Self.mismatch
        }
    }

    private static let mismatch = Refusal(.unsupportedEncoding, "The bytes are not what Content-Encoding says.")
}
