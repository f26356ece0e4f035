import Crypto

/// The fingerprint of what a sender said in an event: the first 128 bits of a SHA-256 over its fields.
///
/// Two events with the same digest have the same content, whatever the order of their JSON members and whichever
/// transport carried them. `sentAt` and everything the server adds are left out.
public struct ContentDigest: Sendable, Hashable {
    // Two numbers, whose bytes in memory are the digest's: a list would be an allocation more for each event.
    private let first: UInt64
    private let second: UInt64

    /// All 16, in order.
    public var bytes: [UInt8] { withUnsafeBytes { Array($0) } }

    /// Calls `body` with the 16 bytes, valid while it runs.
    public func withUnsafeBytes<Result, Failure: Error>(_ body: (UnsafeRawBufferPointer) throws(Failure) -> Result) throws(Failure)
        -> Result
    {
        let words = (first, second)
        return try Swift.withUnsafeBytes(of: words, body)
    }

    /// `bytes` are the 16 bytes of a digest made before; what is missing of them counts as zero.
    public init(stored bytes: [UInt8]) { self.init(bytes.withUnsafeBytes { Self.words($0) }) }

    /// Borrowed: an initializer would have a copy of its own otherwise, of all that is in an event.
    public init(_ event: borrowing Event) { self.init(FieldStream.digest(of: event)) }

    private init(_ words: (UInt64, UInt64)) { (first, second) = words }

    fileprivate static func words(_ bytes: UnsafeRawBufferPointer) -> (UInt64, UInt64) {
        var words: (UInt64, UInt64) = (0, 0)
        Swift.withUnsafeMutableBytes(of: &words) { $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes.prefix($0.count))) }
        return words
    }

    fileprivate static func add(_ event: Event, to input: inout FieldStream) {
        input.add(event.type)
        input.add(event.id)
        input.add(event.thread)
        input.add(event.at)
        input.add(event.user?.id)
        input.add(event.user?.props)
        input.add(event.metadata)
        input.add(event.unknown)
        switch event.body {
        case .thread(let patch):
            input.add(patch.tags)
            input.add(patch.status?.rawValue)
            if !patch.untag.isEmpty { input.add(patch.untag) }
        case .message(let message):
            input.add(message.role.rawValue)
            switch message.content {
            case .text(let text): input.add(text)
            case .blocks(let blocks): input.add(blocks)
            }
            input.add(message.replyTo)
            input.add(message.retryOf)
            input.add(message.tags)
            input.add(message.trace)
        case .event(let name): input.add(name)
        case .feedback(let feedback):
            input.add(feedback.target)
            input.add(feedback.thumb?.rawValue)
            input.add(feedback.comment)
            if let leaves = feedback.leaves { input.add(leaves.rawValue) }
            if let author = feedback.author { input.add("author"); input.add(author) }
        case .identify, .other: break
        case .clientReport(let reasons): input.add(reasons)
        case .run(let part):
            input.add(part.kind?.rawValue)
            input.add(part.name)
            input.add(part.parent)
            input.add(part.input)
            input.add(part.output)
            input.add(part.model)
            input.add(part.provider)
            input.add(part.usage)
            input.add(part.cost.map { "\($0)" })
            input.add(part.success.map { "\($0)" })
            input.add(part.error)
            input.add(part.startedAt)
            input.add(part.endedAt)
            input.add(part.tags)
            // Added later: a part without these keeps the digest it always had.
            if part.question != nil || part.answer != nil || part.trace != nil || !part.linkedTraces.isEmpty || part.extra != nil
                || part.within != nil || part.receipt != nil
            {
                input.add(part.question)
                input.add(part.answer)
                input.add(part.trace)
                input.add(part.linkedTraces)
                input.add(part.extra)
                if let within = part.within { input.add(within) }
                if let receipt = part.receipt { input.add("receipt"); input.add(receipt) }
            }
        case .score(let score):
            input.add(score.target)
            input.add(score.name)
            input.add(score.value.map { "\($0)" })
            input.add(score.category)
            input.add(score.reason)
            input.add(score.author)
            if score.judge != .program { input.add(score.judge.rawValue) }
        case .comment(let comment):
            input.add(comment.target)
            input.add(comment.changes)
            input.add(comment.text)
            input.add(comment.author)
        case .trace(let target, let trace):
            input.add(target)
            input.add(trace)
        }
    }
}

/// Fields one after the other, each with its kind and length in front, so that no two events read the same.
///
/// They are gathered on the stack and hashed when that is full: most messages in one go, and none with an allocation of its own.
private struct FieldStream {
    private static let room = 1024

    private var hash = SHA256()
    /// Valid as long as `digest` runs, and with it this stream.
    private let gathered: UnsafeMutableRawBufferPointer
    private var count = 0

    private init(_ gathered: UnsafeMutableRawBufferPointer) { self.gathered = gathered }

    static func digest(of event: Event) -> (UInt64, UInt64) {
        withUnsafeTemporaryAllocation(byteCount: room, alignment: 1) { gathered in
            var stream = FieldStream(gathered)
            ContentDigest.add(event, to: &stream)
            stream.hashGathered()
            return stream.hash.finalize().withUnsafeBytes { ContentDigest.words($0) }
        }
    }

    private mutating func hashGathered() {
        hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: gathered[..<count]))
        count = 0
    }

    private mutating func append(_ bytes: UnsafeRawBufferPointer) {
        if bytes.count > gathered.count - count {
            hashGathered()
            guard bytes.count <= gathered.count else { return hash.update(bufferPointer: bytes) }
        }
        // In bounds: what does not fit was hashed above. Nothing to copy may have no address.
        guard let source = bytes.baseAddress else { return }
        (gathered.baseAddress! + count).copyMemory(from: source, byteCount: bytes.count)
        count += bytes.count
    }

    private mutating func append(_ byte: UInt8) { withUnsafeBytes(of: byte) { append($0) } }

    private mutating func add(kind: UInt8, _ content: UnsafeRawBufferPointer) {
        if gathered.count - count < 5 { hashGathered() }
        // In bounds: there is room for five bytes now.
        gathered.storeBytes(of: kind, toByteOffset: count, as: UInt8.self)
        gathered.storeBytes(of: UInt32(truncatingIfNeeded: content.count).littleEndian, toByteOffset: count + 1, as: UInt32.self)
        count += 5
        append(content)
    }

    mutating func add(_ text: String?) {
        guard let text else { return append(0) }
        let isAdded: Void? = text.utf8.withContiguousStorageIfAvailable { add(kind: 1, UnsafeRawBufferPointer($0)) }
        // A string that is not in one piece, as a bridged one may be.
        if isAdded == nil { Array(text.utf8).withUnsafeBytes { add(kind: 1, $0) } }
    }

    mutating func add(_ json: JSONText?) {
        guard let json else { return append(0) }
        json.canonical.withUnsafeBytes { add(kind: 2, $0) }
    }

    mutating func add(_ time: Timestamp?) {
        guard let time else { return append(0) }
        append(3)
        withUnsafeBytes(of: time.microseconds.littleEndian) { append($0) }
    }

    mutating func add(_ list: [String]) {
        var count = String(list.count)
        count.withUTF8 { add(kind: 4, UnsafeRawBufferPointer($0)) }
        for item in list { add(item) }
    }
}
