import Conversations
import Events

extension PostgresStore {
    /// Texts that one step of the indexer reads: it takes no more rows once it has so many bytes.
    private static let maximumStepBytes = 16 << 20

    /// Events that search takes on in one step.
    static let indexChunk = 1024

    /// Indexes what is in the log, without anything else that follows it, until all of it is or the time is over; for a copy from elsewhere.
    public func index(within time: Duration) async throws {
        let deadline = ContinuousClock.now + time
        while ContinuousClock.now < deadline, let done = try await indexNext(waits: true), done > 0 {}
    }

    /// Indexes the next events; answers how many there were, or `limit` where it stopped before; nil where it is another's turn.
    func indexNext(_ limit: Int = PostgresStore.indexChunk, waits: Bool = false) async throws -> Int? {
        try await derive(waits: waits) { db, end in
            let from = try Int64.fetchOne(db, sql: "SELECT indexed FROM search_state") ?? 0
            let found = try db.fetchAll(SearchText.next, [from, end, limit, Self.maximumStepBytes])
            guard let last = found.last else { return 0 }
            let rows = found.compactMap { SearchRow(sequence: $0[0], project: ProjectID($0[1]), text: SearchText.words(of: $0)) }
            var pipeline = Pipeline()
            pipeline.add("UPDATE search_state SET indexed = $1", [last[0] as Int64])
            if !rows.isEmpty {
                pipeline.add(
                    SearchText.insert, [rows.map(\.project.number), rows.map(\.sequence), rows.map { TextBytes($0.words) }])
            }
            try db.commit(with: pipeline)
            return (last[5] as Bool) ? limit : found.count
        }
    }
}

/// A row of the search index: the words of an event, as the text of a `tsvector`.
struct SearchRow {
    let sequence: Int64
    let project: ProjectID
    let words: [UInt8]

    /// Bytes of words in a row, each counted once: PostgreSQL has place for a mebibyte ("Text Search", "Limitations"), which some hundred
    /// thousand different words fill. Words beyond are not found.
    static let maximumBytes = 1_000_000
    /// Words, and their bytes, that are gathered before those that are there twice are taken out.
    private static let gatheredWords = 1 << 16
    private static let gatheredBytes = 4 * maximumBytes

    /// nil where there is nothing to be found.
    init?(sequence: Int64, project: ProjectID, text: String) {
        var found = WordList()
        found.reserveCapacity(min(text.utf8.count, Self.gatheredWords))
        var room = Self.gatheredWords
        var isFull = false
        SearchText.forEachWord(of: text) { word in
            guard !isFull else { return }
            found.append(SearchText.lexeme(word))
            guard found.count >= room || found.byteCount >= Self.gatheredBytes else { return }
            found.sort()
            // As many again as there are, so that long texts are not sorted for each new word.
            room = max(Self.gatheredWords, 2 * found.count)
            isFull = found.byteCount >= Self.maximumBytes
        }
        guard !found.isEmpty else { return nil }
        if found.byteCount > Self.maximumBytes { found.sort() }
        found.removeLast(beyond: Self.maximumBytes)
        (self.sequence, self.project) = (sequence, project)
        found.append(Array(SearchText.scope(project).utf8))
        for level in SearchText.Window.levels { found.append(Array(SearchText.block(sequence >> level, at: level).utf8)) }
        // In the order in which PostgreSQL keeps them, it has nothing to sort.
        found.sort()
        var row: [UInt8] = []
        row.reserveCapacity(found.byteCount + 3 * found.count)
        found.forEach { word in
            row.append(UInt8(ascii: "'"))
            row.append(contentsOf: word)
            row.append(contentsOf: "' ".utf8)
        }
        words = row
    }
}

/// Words one after the other in one piece of memory.
///
/// They are looked at where they stand: each place is of bytes that `append` or `sort` wrote right before it, and is taken out with them
/// (`removeLast`), so that it never reaches beyond them; no pointer outlives the call in which it is made.
private struct WordList {
    private struct Place {
        /// The first eight bytes, the first of them the greatest, and zeros where there are fewer: what most words are told apart by.
        let key: UInt64
        let offset: Int
        let length: Int
    }

    private var bytes: [UInt8] = []
    private var places: [Place] = []

    var isEmpty: Bool { places.isEmpty }
    var count: Int { places.count }
    /// Bytes of all words.
    var byteCount: Int { bytes.count }

    /// Makes room for a text of so many bytes, and the words that are added to every row.
    mutating func reserveCapacity(_ count: Int) {
        bytes.reserveCapacity(count + 80)
        places.reserveCapacity(count / 5 + 8)
    }

    mutating func append(_ word: [UInt8]) {
        var key: UInt64 = 0
        for place in 0..<8 { key = key << 8 | (place < word.count ? UInt64(word[place]) : 0) }
        places.append(Place(key: key, offset: bytes.count, length: word.count))
        bytes.append(contentsOf: word)
    }

    /// Sorts the words by their bytes, each once.
    mutating func sort() {
        var kept: [UInt8] = []
        kept.reserveCapacity(bytes.count)
        var keptPlaces: [Place] = []
        keptPlaces.reserveCapacity(places.count)
        bytes.withUnsafeBufferPointer { bytes in
            func word(_ place: Place) -> UnsafeBufferPointer<UInt8> {
                UnsafeBufferPointer(rebasing: bytes[place.offset..<place.offset + place.length])
            }
            places.sort { a, b in
                if a.key != b.key { return a.key < b.key }
                return word(a).lexicographicallyPrecedes(word(b))
            }
            var last: Place?
            for place in places {
                if let last, last.key == place.key, word(last).elementsEqual(word(place)) { continue }
                last = place
                keptPlaces.append(Place(key: place.key, offset: kept.count, length: place.length))
                kept.append(contentsOf: word(place))
            }
        }
        (bytes, places) = (kept, keptPlaces)
    }

    /// Takes words off the end until all of them have no more bytes than that.
    mutating func removeLast(beyond maximum: Int) {
        while let last = places.last, last.offset + last.length > maximum {
            places.removeLast()
            bytes.removeLast(last.length)
        }
    }

    func forEach(_ body: (UnsafeBufferPointer<UInt8>) -> Void) {
        bytes.withUnsafeBufferPointer { bytes in
            for place in places { body(UnsafeBufferPointer(rebasing: bytes[place.offset..<place.offset + place.length])) }
        }
    }
}

/// Rows of the log as the search index takes them.
///
/// The index knows which rows have a word and not where: what is sought as a phrase is looked for again in the rows that have all of its
/// words (`SoughtWords.phrases`). It can't tell which rows are the newest either, and a common word is in very many; so each row has words
/// that stand for the stretches of the log it is in, and the newest stretches are asked first (`Window`).
extension SearchText {
    /// The columns `words(of:)` reads, in its order.
    static let columns = """
        sequence, project, space, content, CASE WHEN space = 0 OR space = 1
            AND (strpos(payload, '"question":') > 0 OR strpos(payload, '"answer":') > 0) THEN payload END AS payload
        """

    /// The next rows to index, and whether there are more of them than their bytes allow.
    static let next = """
        SELECT sequence, project, space, content, payload, held_back FROM (
            SELECT *, coalesce(bool_or(before > $4) OVER (), false) AS held_back FROM (
                SELECT *, sum(coalesce(octet_length(content), 0) + coalesce(octet_length(payload), 0))
                    OVER (ORDER BY sequence ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
                FROM (SELECT \(columns) FROM event WHERE sequence > $1 AND sequence <= $2 ORDER BY sequence LIMIT $3) e) e) e
        WHERE before IS NULL OR before <= $4 ORDER BY sequence
        """

    static let insert = """
        INSERT INTO search (project, sequence, words)
        SELECT new.project, new.sequence, new.words::tsvector
        FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS new(project, sequence, words) ON CONFLICT DO NOTHING
        """

    /// What is found of an event; empty where nothing is.
    static func words(of row: Row) -> String {
        switch Event.IDSpace(rawValue: row[2]) {
        case .message: (row[3] as String?) ?? (row[4] as String?).map { words(ofPayload: $0) } ?? ""
        case .run: (row[4] as String?).map { words(ofTurn: $0) } ?? ""
        default: ""
        }
    }

    /// Bytes of a word that are looked at; a lexeme may have 2046 (PostgreSQL, "Text Search", "Limitations").
    private static let maximumWordBytes = 1024

    /// A word as it stands in the index: a very long one is its beginning.
    static func lexeme(_ word: [UInt8]) -> [UInt8] {
        guard word.count > maximumWordBytes else { return word }
        var end = maximumWordBytes
        while word[end] & 0xC0 == 0x80 { end -= 1 }
        return Array(word[..<end])
    }

    /// The word of a stretch of the log: all events whose numbers, without their last `level` bits, are that.
    static func block(_ number: Int64, at level: Int) -> String { "\(scopeMark)b\(level)x\(String(number, radix: 36))" }

    /// A stretch of the log, up to its newest events, in which words are looked up: within one of them, and over what the ones before
    /// have left.
    struct Window {
        /// Stretches of 8 thousand events, of 131 thousand and of 2 million: a word in fewer than a quarter of all rows takes the second,
        /// where at most so many are looked at as there are in sixteen of the first.
        static let levels = [13, 17, 21]

        /// Whose words one of which a row has; empty for all rows.
        var blocks: [String]
        /// The first number in it.
        var start: Int64

        /// From the newest to all there is.
        static func all(upTo last: Int64) -> [Window] {
            levels.map { level in
                let block = last >> level
                return Window(
                    blocks: [block, block - 1].filter { $0 >= 0 }.map { SearchText.block($0, at: level) }, start: max(block - 1, 0) << level
                )
            } + [Window(blocks: [], start: .min)]
        }
    }
}

extension SoughtWords {
    /// A `tsquery` for rows of one project that have all of the words; nil where there is nothing to seek, which is not everything.
    /// - Parameters:
    ///   - blocks: words of which one must be there too.
    ///   - asBeginning: with the words that begin like the last one. All rows of these are gathered before the first is found, so that a
    ///     common beginning takes as long as the index is large.
    func query(in project: ProjectID, blocks: [String], asBeginning: Bool) -> String? {
        var lexemes: [String] = []
        for word in words { SearchText.forEachWord(of: word) { lexemes.append(String(decoding: SearchText.lexeme($0), as: UTF8.self)) } }
        guard let last = lexemes.popLast() else { return nil }
        var parts = ([SearchText.scope(project)] + lexemes).map { "'\($0)'" }
        parts.append("'\(last)'\(asBeginning ? ":*" : "")")
        if !blocks.isEmpty { parts.append("(\(blocks.map { "'\($0)'" }.joined(separator: "|")))") }
        return parts.joined(separator: "&")
    }
}

/// Finds threads by the words of their messages.
struct SearchReader {
    /// Messages in which words are looked up, the newest.
    static let maximumMatches = 2000

    let db: Database
    let project: ProjectID

    /// The threads of the newest messages with these words, and whether there are more messages.
    func threads(with words: String) throws -> (threads: [Int64], isPartial: Bool) {
        let sought = SoughtWords(words)
        guard let last = try Int64.fetchOne(db, sql: Self.newest, arguments: [project.number]) else { return ([], false) }
        // Where the words as they stand are in more messages than are looked at, what they begin is not asked for.
        var matches = try matches(of: sought, asBeginning: false, upTo: last)
        if matches.count <= Self.maximumMatches, sought.isBeginning {
            matches = try self.matches(of: sought, asBeginning: true, upTo: last)
        }
        guard !matches.isEmpty else { return ([], false) }
        let isPartial = matches.count > Self.maximumMatches
        guard !sought.phrases.isEmpty else {
            return (try Int64.fetchAll(db, sql: Self.threadsOfMatches, arguments: [project.number, matches]), isPartial)
        }
        var found: Set<Int64> = []
        // Texts may be long: some at a time.
        for first in stride(from: 0, to: matches.count, by: Self.textsAtATime) {
            let stretch = Array(matches[first..<min(first + Self.textsAtATime, matches.count)])
            for row in try db.fetchAll(Self.textsOfMatches, [project.number, stretch]) {
                if let thread: Int64 = row[5], sought.phrasesOccur(in: SearchText.words(of: row)) { found.insert(thread) }
            }
        }
        return (Array(found), isPartial)
    }

    private static let textsAtATime = 250

    /// The newest messages with the words, one more than are looked up at most.
    private func matches(of sought: SoughtWords, asBeginning: Bool, upTo last: Int64) throws -> [Int64] {
        var found: [Int64] = []
        var end = last + 1
        for window in SearchText.Window.all(upTo: last) where found.count <= Self.maximumMatches && window.start < end {
            guard let query = sought.query(in: project, blocks: window.blocks, asBeginning: asBeginning) else { return [] }
            let missing = Self.maximumMatches + 1 - found.count
            found += try Int64.fetchAll(db, sql: Self.matches, arguments: [project.number, query, window.start, end, missing])
            end = window.start
        }
        return found
    }

    static let newest = "SELECT max(sequence) FROM search WHERE project = $1"

    /// MATERIALIZED, so that the words are found in their index rather than on a walk from the newest message.
    static let matches = """
        WITH found AS MATERIALIZED (SELECT sequence FROM search WHERE project = $1 AND words @@ $2::text::tsquery)
        SELECT sequence FROM found WHERE sequence >= $3 AND sequence < $4 ORDER BY sequence DESC LIMIT $5
        """

    private static let threadOfMatch =
        "coalesce(e.thread, (SELECT r.thread FROM run r WHERE r.project = $1 AND r.id = e.id AND e.space = 1))"
    private static let eventsOfMatches = """
        FROM unnest($2::bigint[]) AS match CROSS JOIN LATERAL (SELECT * FROM event WHERE project = $1 AND sequence = match LIMIT 1) e
        """
    static let threadsOfMatches =
        "SELECT DISTINCT thread FROM (SELECT \(threadOfMatch) AS thread \(eventsOfMatches)) found WHERE thread IS NOT NULL"
    static let textsOfMatches = "SELECT \(SearchText.columns), \(threadOfMatch) \(eventsOfMatches)"
}
