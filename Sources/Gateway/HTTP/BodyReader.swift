import Events
import NIOCore

/// Collects a body into memory, inflating it as it comes, and never more of it than its lane allows.
///
/// A class, so that a body is appended to in place whoever holds it. The pace is `RequestGuard`'s business: it ends a stalled body with `BodyTimeout`.
final class BodyReader {
    /// In bytes, before and after decompression.
    private let limit: Int
    private let declared: Int?
    private let inflater: Inflater?
    private var plain: [UInt8] = []
    private var received = 0

    /// - Parameter declared: the Content-Length, where there is one. A body that says it is too large is refused unread.
    init(limit: Int, encoding: ContentEncoding, declared: Int?) throws(Refusal) {
        self.limit = limit
        self.declared = declared
        inflater = encoding == .identity ? nil : Inflater(encoding, limit: limit)
        if let declared {
            guard declared <= limit else { throw tooLarge }
            // A Content-Length is only a promise: it reserves no more than a small body's worth.
            if inflater == nil { plain.reserveCapacity(min(declared, 64 * 1024)) }
        }
    }

    func append(_ piece: ByteBuffer) throws(Refusal) {
        received += piece.readableBytes
        guard received <= limit else { throw tooLarge }
        if let inflater {
            try inflate(piece, into: inflater)
        } else {
            plain.append(contentsOf: piece.readableBytesView)
        }
    }

    /// The body, once all of it was appended.
    func finish() throws(Refusal) -> [UInt8] {
        if let declared, received < declared { throw Refusal(.bodyIncomplete) }
        guard let inflater else { return plain }
        return received == 0 ? [] : try inflater.finish()
    }

    private var tooLarge: Refusal { Refusal(.bodyTooLarge, "A body here may have \(limit) bytes, counted after decompression.") }

    private func inflate(_ piece: ByteBuffer, into inflater: Inflater) throws(Refusal) {
        let outcome: Result<Void, Refusal> = piece.withUnsafeReadableBytes { bytes in
            do throws(Refusal) { return .success(try inflater.append(bytes.bindMemory(to: UInt8.self))) } catch { return .failure(error) }
        }
        try outcome.get()
    }
}
