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
    /// What it holds in memory; to be kept for as long as its bytes are.
    let holding: Holding

    /// - Parameter declared: the Content-Length, where there is one. A body that says it is too large is refused unread.
    init(limit: Int, encoding: ContentEncoding, declared: Int?, holding: Holding) throws(Refusal) {
        self.limit = limit
        self.declared = declared
        self.holding = holding
        inflater = encoding == .identity ? nil : Inflater(encoding, limit: limit, holding: holding)
        if let declared, declared > limit { throw tooLarge }
    }

    func append(_ piece: ByteBuffer) throws(Refusal) {
        received += piece.readableBytes
        guard received <= limit else { throw tooLarge }
        if let inflater {
            try inflate(piece, into: inflater)
        } else {
            // A Content-Length is only a promise: it reserves no more than a small body's worth, and nothing before the first piece.
            let expected = received == piece.readableBytes ? min(declared ?? 0, Holdings.smallBytes) : 0
            try plain.makeRoom(for: max(piece.readableBytes, expected), upTo: limit, in: holding)
            plain.append(contentsOf: piece.readableBytesView)
        }
    }

    /// The body, once all of it was appended.
    func finish() throws(Refusal) -> [UInt8] {
        if let declared, received < declared { throw Refusal(.bodyIncomplete) }
        guard let inflater else { return plain }
        return received == 0 ? [] : try inflater.finish()
    }

    /// What finds no room is told to come again.
    static let noRoom = Refusal(.overloaded, "More bodies are on their way than memory may hold.", retryAfterMilliseconds: 2000)

    private var tooLarge: Refusal { Refusal(.bodyTooLarge, "A body here may have \(limit) bytes, counted after decompression.") }

    private func inflate(_ piece: ByteBuffer, into inflater: Inflater) throws(Refusal) {
        let outcome: Result<Void, Refusal> = piece.withUnsafeReadableBytes { bytes in
            do throws(Refusal) { return .success(try inflater.append(bytes.bindMemory(to: UInt8.self))) } catch { return .failure(error) }
        }
        try outcome.get()
    }
}

extension [UInt8] {
    /// Reserves memory for so many bytes more, at least twice as much each time, up to the limit; all of it is the holding's.
    mutating func makeRoom(for more: Int, upTo limit: Int, overhead: Int = 0, in holding: Holding) throws(Refusal) {
        let needed = count + more
        guard needed + overhead > holding.bytes else { return }
        let capacity = Swift.max(needed, Swift.min((holding.bytes - overhead) * 2, limit))
        guard holding.resize(to: capacity + overhead) else { throw BodyReader.noRoom }
        reserveCapacity(capacity)
    }
}
