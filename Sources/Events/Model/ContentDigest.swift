import Crypto

/// The fingerprint of what a sender said in an event: the first 128 bits of a SHA-256 over its fields.
///
/// Two events with the same digest have the same content, whatever the order of their JSON members and whichever
/// transport carried them. `sentAt` and everything the server adds are left out.
public struct ContentDigest: Sendable, Hashable {
    public let bytes: [UInt8]

    /// `bytes` are the 16 bytes of a digest made before.
    public init(stored bytes: [UInt8]) { self.bytes = bytes }

    public init(_ event: Event) {
        var input = FieldStream()
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
            input.reserve(more: 448 + part.carried)
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
        bytes = input.digest.withUnsafeBytes { Array($0.prefix(16)) }
    }
}

/// Fields one after the other, each with its kind and length in front, so that no two events read the same.
private struct FieldStream {
    private var bytes: [UInt8] = []

    /// Room for a message as most are, and little enough that allocators have it at hand (glibc: 1032 bytes with the array's own head).
    init() { bytes.reserveCapacity(960) }

    mutating func reserve(more count: Int) { bytes.reserveCapacity(bytes.count + count) }

    var digest: SHA256.Digest {
        var hash = SHA256()
        bytes.withUnsafeBytes { hash.update(bufferPointer: $0) }
        return hash.finalize()
    }

    private mutating func add(kind: UInt8, _ content: some Collection<UInt8>) {
        bytes.append(kind)
        withUnsafeBytes(of: UInt32(truncatingIfNeeded: content.count).littleEndian) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: content)
    }

    mutating func add(_ text: String?) {
        if let text { add(kind: 1, text.utf8) } else { bytes.append(0) }
    }

    mutating func add(_ json: JSONText?) {
        if let json { add(kind: 2, json.canonical) } else { bytes.append(0) }
    }

    mutating func add(_ time: Timestamp?) {
        guard let time else { return bytes.append(0) }
        bytes.append(3)
        withUnsafeBytes(of: time.microseconds.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func add(_ list: [String]) {
        add(kind: 4, String(list.count).utf8)
        for item in list { add(item) }
    }
}
