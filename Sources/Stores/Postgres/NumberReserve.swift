/// Numbers for new threads and users that were taken from their sequences ahead, so that a transaction need not ask for each.
///
/// Those that a transaction doesn't use it gives back; those it used are gone, also where it fails: gaps do no harm.
final class NumberReserve {
    enum Kind: String, CaseIterable {
        case thread = "thread_number"
        case person = "person_number"

        fileprivate var select: String { "SELECT nextval('\(rawValue)') FROM generate_series(1, $1)" }
    }

    /// How many are asked for at a time: rarely more than a batch needs.
    private static let stretch = 256

    private(set) var numbers: [Kind: [Int64]]

    init(_ numbers: [Kind: [Int64]] = [:]) { self.numbers = numbers }

    func next(_ kind: Kind, _ db: Database) throws -> Int64 {
        if let number = numbers[kind]?.popLast() { return number }
        try keep(kind, db.fetchAll(kind.select, [Self.stretch]))
        return numbers[kind]!.removeLast()
    }

    /// Asks for more where there may be too few; answers where the numbers will be.
    func fill(_ kind: Kind, for count: Int, _ pipeline: inout Pipeline) -> Pipeline.Place? {
        let missing = count - (numbers[kind]?.count ?? 0)
        return missing > 0 ? pipeline.add(kind.select, [max(missing, Self.stretch)]) : nil
    }

    func keep(_ kind: Kind, _ rows: Rows) {
        // The lowest is used first.
        numbers[kind] = rows.map { $0[0] as Int64 }.reversed() + (numbers[kind] ?? [])
    }
}
