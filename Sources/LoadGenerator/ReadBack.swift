import NIOCore

/// The conversations as the gateway shows them after the run, held against what it said about each event.
struct ReadBack: Sendable {
    private(set) var threadsUsed = 0
    private(set) var threadsRead = 0
    /// Acked ids that were to be found in the threads that were read.
    private(set) var expected = 0
    private(set) var missing = 0
    private(set) var repeated = 0
    /// Found although the verdict said it was not kept.
    private(set) var unkept = 0
    /// Found, sent, and never answered: allowed, the answer may have been lost on the way.
    private(set) var unanswered = 0
    /// Found under ids this run did not send: another run's, with the same seed.
    private(set) var foreign = 0
    private(set) var miscounted = 0
    private(set) var examples: [String] = []

    var holds: Bool { missing == 0 && repeated == 0 && unkept == 0 && miscounted == 0 }

    /// Reads up to `limit` threads, evenly spread over all that were used; 0 reads all.
    init(of books: [Book], workload: Workload, limit: Int, through reader: inout Reader) async throws {
        var used: [(connection: Int, threads: Int)] = []
        for (connection, book) in books.enumerated() { used.append((connection, workload.threadsUsed(by: book.count))) }
        threadsUsed = used.reduce(0) { $0 + $1.threads }
        let count = limit == 0 ? threadsUsed : min(limit, threadsUsed)
        var before = 0
        var next = 0
        for (connection, threads) in used {
            // Thread number k of all is picked when it is the next of `count` even steps.
            while next < count, case let pick = next * threadsUsed / count, pick < before + threads {
                try await read(thread: pick - before, on: connection, book: books[connection], workload: workload, through: &reader)
                next += 1
            }
            before += threads
        }
    }

    private mutating func read(
        thread: Int, on connection: Int, book: Book, workload: Workload, through reader: inout Reader
    ) async throws {
        let name = workload.threadName(thread, on: connection)
        var found: [Int: Int] = [:]
        var messages = 0
        var announced: Int?
        var cursor: String?
        repeat {
            let path = "/v1/threads/\(name)?limit=200" + (cursor.map { "&cursor=" + ReadBack.escaped($0) } ?? "")
            let page: Page
            do {
                let body = try await reader.get(path)
                page = try body.withUnsafeReadableBytes { try Page($0, workload: workload, connection: connection) }
            } catch let failure as Reader.Failure where failure.answer.hasPrefix("404") {
                break  // No such thread: whatever was to be in it is missing.
            }
            for sequence in page.sequences { found[sequence, default: 0] += 1 }
            foreign += page.foreign
            messages += page.sequences.count + page.foreign
            announced = page.messageCount ?? announced
            guard page.next != cursor || page.next == nil else { throw Reader.Failure(path: path, answer: "the same cursor again") }
            cursor = page.next
        } while cursor != nil
        threadsRead += 1
        if let announced, announced != messages {
            miscounted += 1
            note("\(name): messageCount \(announced), listed \(messages)")
        }
        // The sequences of a thread: both messages of each of its turns.
        for turn in stride(from: 2 * thread, to: book.count, by: 2 * workload.threadsPerConnection) {
            for sequence in turn..<min(turn + 2, book.count) {
                let times = found.removeValue(forKey: sequence) ?? 0
                let verdict = book[sequence]
                if verdict.isKept { expected += 1 }
                switch times {
                case 0 where verdict.isKept:
                    missing += 1
                    note("\(workload.id(of: sequence, on: connection)) was \(verdict) and is not in \(name)")
                case 0: break
                case 1 where verdict == .unanswered: unanswered += 1
                // A conflict's id is there, as someone else's event; a retry may have been kept after all, so neither proves anything.
                case 1 where verdict == .quarantined || verdict == .dropped || verdict == .refused:
                    unkept += 1
                    note("\(workload.id(of: sequence, on: connection)) was \(verdict) and is in \(name)")
                case 1: break
                default:
                    repeated += 1
                    note("\(workload.id(of: sequence, on: connection)) is in \(name) \(times) times")
                }
            }
        }
        foreign += found.values.reduce(0, +)
    }

    private mutating func note(_ sentence: String) {
        if examples.count < 5 { examples.append(sentence) }
    }

    private static func escaped(_ cursor: String) -> String {
        cursor.utf8.map { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "~"):
                String(UnicodeScalar(byte))
            default: "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }.joined()
    }

    /// One page of a thread: which of a connection's events it lists.
    private struct Page {
        var messageCount: Int?
        var sequences: [Int] = []
        var foreign = 0
        var next: String?

        init(_ bytes: UnsafeRawBufferPointer, workload: Workload, connection: Int) throws {
            var cursor = JSONCursor(bytes)
            try cursor.object { key, value in
                if key.spells("thread") {
                    try value.object { key, value in
                        if key.spells("messageCount") { messageCount = try value.integer() }
                    }
                } else if key.spells("items") {
                    try value.array { try item(&$0, workload: workload, connection: connection) }
                } else if key.spells("next") {
                    next = try value.text()
                }
            }
        }

        private mutating func item(_ value: inout JSONCursor, workload: Workload, connection: Int) throws {
            var isMessage = false
            var id: UnsafeRawBufferPointer?
            try value.object { key, value in
                if key.spells("type") {
                    isMessage = try value.string().spells("message")
                } else if key.spells("id") {
                    id = try value.string()
                }
            }
            guard isMessage else { return }
            if let id, let sequence = workload.sequence(of: id, on: connection) {
                sequences.append(sequence)
            } else {
                foreign += 1
            }
        }
    }
}
