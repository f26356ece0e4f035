import Events
import Hummingbird
import NIOCore

/// Collects a body into memory, inflating it as it comes, and never more of it than its lane allows.
///
/// The pace is `RequestGuard`'s business: it ends a stalled body with `BodyTimeout`.
struct BodyReader: Sendable {
    /// In bytes, before and after decompression.
    let limit: Int
    let encoding: ContentEncoding

    /// - Parameter declared: the Content-Length, where there is one.
    func read(_ body: RequestBody, declared: Int?) async throws(Refusal) -> [UInt8] {
        if let declared, declared > limit { throw tooLarge }
        var plain: [UInt8] = []
        let inflater = encoding == .identity ? nil : Inflater(encoding, limit: limit)
        // A Content-Length is only a promise: it reserves no more than a small body's worth.
        if inflater == nil, let declared { plain.reserveCapacity(min(declared, 64 * 1024)) }
        var received = 0
        var pieces = body.makeAsyncIterator()
        while let piece = try await next(&pieces) {
            received += piece.readableBytes
            guard received <= limit else { throw tooLarge }
            if let inflater {
                try inflate(piece, into: inflater)
            } else {
                plain.append(contentsOf: piece.readableBytesView)
            }
        }
        if let declared, received < declared { throw Refusal(.bodyIncomplete) }
        guard let inflater else { return plain }
        return received == 0 ? [] : try inflater.finish()
    }

    private var tooLarge: Refusal { Refusal(.bodyTooLarge, "A body here may have \(limit) bytes, counted after decompression.") }

    private func next(_ pieces: inout RequestBody.AsyncIterator) async throws(Refusal) -> ByteBuffer? {
        do {
            return try await pieces.next()
        } catch is BodyTimeout {
            throw Refusal(.bodyTimeout)
        } catch {
            // The connection ended, or what followed was not HTTP.
            throw Refusal(.bodyIncomplete)
        }
    }

    private func inflate(_ piece: ByteBuffer, into inflater: Inflater) throws(Refusal) {
        let outcome: Result<Void, Refusal> = piece.withUnsafeReadableBytes { bytes in
            do throws(Refusal) { return .success(try inflater.append(bytes.bindMemory(to: UInt8.self))) } catch { return .failure(error) }
        }
        try outcome.get()
    }
}
