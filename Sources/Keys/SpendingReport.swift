import Events

/// What a node took off its quotas since it last said so, for other nodes to take off theirs.
///
/// On the wire, for each quota: the project's number, which quota it is (one byte), the amount, and whose it is, as a length and UTF-8;
/// numbers are unsigned LEB128.
struct SpendingReport: Equatable {
    struct Entry: Equatable {
        var name: QuotaBook.Name
        var amount: Int
    }

    var entries: [Entry]

    init(entries: [Entry]) { self.entries = entries }

    /// Whose quotas nodes share, in the order of their numbers on the wire: a socket is on one node only.
    static let owners: [Project.Quotas.Owner] = [.key, .address, .thread, .project]
    private static let units: [Project.Quotas.Unit] = [.events, .bytes]

    /// No quota has a burst of so much (2⁵⁰), and sums of such amounts are still exact as `Double`.
    private static let largestAmount = 1 << 50
    /// An ID of 128 characters of four bytes.
    private static let longestID = 512

    /// The report in pieces, each of them a report of its own; none where there is nothing to say.
    /// - Parameter limit: bytes of a piece at most; an entry that is longer by itself is left out.
    func pieces(ofAtMost limit: Int) -> [[UInt8]] {
        var pieces: [[UInt8]] = []
        var piece: [UInt8] = []
        for entry in entries {
            guard let bytes = Self.bytes(of: entry), bytes.count <= limit else { continue }
            if piece.count + bytes.count > limit {
                pieces.append(piece)
                piece = []
            }
            piece += bytes
        }
        if !piece.isEmpty { pieces.append(piece) }
        return pieces
    }

    private static func bytes(of entry: Entry) -> [UInt8]? {
        let name = entry.name
        guard let owner = owners.firstIndex(of: name.owner), let unit = units.firstIndex(of: name.unit), entry.amount > 0,
            name.project.number >= 0
        else { return nil }
        let id = Array(name.id.utf8)
        var bytes: [UInt8] = []
        append(UInt64(name.project.number), to: &bytes)
        bytes.append(UInt8(owner * units.count + unit))
        append(UInt64(min(entry.amount, largestAmount)), to: &bytes)
        append(UInt64(id.count), to: &bytes)
        return bytes + id
    }

    private static func append(_ number: UInt64, to bytes: inout [UInt8]) {
        var rest = number
        while rest > 0x7F {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    /// nil where it is not one report from beginning to end.
    init?(bytes: [UInt8]) {
        entries = []
        var rest = bytes[...]
        func number() -> UInt64? {
            var number: UInt64 = 0
            for shift in stride(from: 0, to: 63, by: 7) {
                guard let byte = rest.popFirst() else { return nil }
                number |= UInt64(byte & 0x7F) << UInt64(shift)
                if byte & 0x80 == 0 { return number }
            }
            return nil
        }
        while !rest.isEmpty {
            guard let project = number().flatMap(Int64.init(exactly:)), let place = rest.popFirst().map(Int.init),
                place < Self.owners.count * Self.units.count,
                let amount = number().flatMap(Int.init(exactly:)), (1...Self.largestAmount).contains(amount),
                let length = number().flatMap(Int.init(exactly:)), length <= min(Self.longestID, rest.count),
                let id = String(validating: rest.prefix(length), as: UTF8.self)
            else { return nil }
            rest = rest.dropFirst(length)
            let name = QuotaBook.Name(
                project: ProjectID(project), owner: Self.owners[place / Self.units.count], unit: Self.units[place % Self.units.count],
                id: id)
            entries.append(Entry(name: name, amount: amount))
        }
    }
}
