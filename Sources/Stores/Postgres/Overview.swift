public import Conversations
public import Events

extension PostgresStore {
    /// Days shown at most: ten years.
    private static let maximumDays: Int64 = 3660

    public func overview(in project: ProjectID, from: Timestamp, to: Timestamp, offsetMinutes: Int) async throws -> Overview {
        let span = max(to.microseconds - from.microseconds, 0)
        return try await pool.read { db in
            let reader = OverviewReader(db: db, project: project, offset: Int64(offsetMinutes) * 60_000_000)
            let days = try reader.byDay(from: from.microseconds, to: to.microseconds)
            var listed: [DayFigures] = []
            if span > 0 {
                let first = reader.day(of: from.microseconds)
                let last = min(reader.day(of: to.microseconds - 1), first + Self.maximumDays)
                listed = (first...last).map { DayFigures(day: Day.name(of: $0), figures: days[$0] ?? Figures()) }
            }
            return Overview(
                days: listed, total: try reader.total(from: from.microseconds, to: to.microseconds),
                previous: try reader.total(from: from.microseconds - span, to: from.microseconds))
        }
    }
}

extension PostgresStore {
    /// Of a project's last events, whichever node they came to: their clocks are not the same.
    static let lastReceived = """
        SELECT max(received) FROM (SELECT received FROM event WHERE project = $1 ORDER BY sequence DESC LIMIT 100) newest
        """
    /// Where all of them were erased.
    static let lastStored = "SELECT minute FROM outcome WHERE project = $1 AND name = 'stored' ORDER BY minute DESC LIMIT 1"

    public func standing(of project: ProjectID) async throws -> (lastEventAt: Timestamp?, threads: Int) {
        try await pool.read { db in
            var pipeline = Pipeline()
            let exact = pipeline.add(Self.lastReceived, [project.number])
            let last = pipeline.add(Self.lastStored, [project.number])
            let threads = pipeline.add("SELECT count(*) FROM thread WHERE project = $1", [project.number])
            let answers = try db.run(pipeline)
            let received: Int64? = answers[exact][0][0]
            let minute: Int64? = answers[last].first?[0]
            return ((received ?? minute).map { Timestamp(microseconds: $0) }, answers[threads][0][0])
        }
    }
}

/// Adds up the counts of a span, by day or as a whole.
struct OverviewReader {
    static let conversations = """
        SELECT (first_at + $4) / 86400000000, count(*), count(DISTINCT person) FROM thread
        WHERE project = $1 AND first_at >= $2 AND first_at < $3 GROUP BY 1
        """
    static let conversationsInAll = """
        SELECT 0, count(*), count(DISTINCT person) FROM thread
        WHERE project = $1 AND first_at >= $2 AND first_at < $3 AND $4::bigint IS NOT NULL
        """
    static let votes = """
        SELECT (at + $4) / 86400000000, count(*) FILTER (WHERE thumb = 1), count(*) FILTER (WHERE thumb = -1)
        FROM vote WHERE project = $1 AND at >= $2 AND at < $3 AND voter NOT LIKE 'reviewer:%' GROUP BY 1
        """
    static let counts = """
        SELECT (slot * \(FigureFold.slot) + $4) / 86400000000, name, sum(value) FROM figure
        WHERE project = $1 AND slot >= $2 / \(FigureFold.slot) AND slot <= $3 / \(FigureFold.slot) AND slot * \(FigureFold.slot) < $3
        GROUP BY 1, 2
        """

    let db: Database
    let project: ProjectID
    let offset: Int64

    func day(of time: Int64) -> Int64 { Day.number(of: time + offset) }

    func byDay(from: Int64, to: Int64) throws -> [Int64: Figures] { try read(from: from, to: to, inAll: false) }

    func total(from: Int64, to: Int64) throws -> Figures { try read(from: from, to: to, inAll: true)[0] ?? Figures() }

    /// - Parameter inAll: everything as one, under 0.
    private func read(from: Int64, to: Int64, inAll: Bool) throws -> [Int64: Figures] {
        let arguments: Arguments = [project.number, from, to, offset]
        var pipeline = Pipeline()
        let began = pipeline.add(inAll ? Self.conversationsInAll : Self.conversations, arguments)
        let voted = pipeline.add(Self.votes, arguments)
        let counted = pipeline.add(Self.counts, arguments)
        let answers = try db.run(pipeline)
        var figures: [Int64: Figures] = [:]
        for row in answers[began] {
            figures[row[0], default: Figures()].conversations = row[1]
            figures[row[0], default: Figures()].users = row[2]
        }
        for row in answers[voted] {
            let day: Int64 = inAll ? 0 : row[0]
            figures[day, default: Figures()].up += row[1] as Int
            figures[day, default: Figures()].down += row[2] as Int
        }
        var buckets: [Int64: [Int: Int]] = [:]
        for row in answers[counted] {
            let (day, name, value): (Int64, Int, Int) = (inAll ? 0 : row[0], row[1], row[2])
            switch name {
            case FigureFold.Name.messages.number: figures[day, default: Figures()].messages += value
            case FigureFold.Name.runs.number: figures[day, default: Figures()].runs += value
            case FigureFold.Name.errors.number: figures[day, default: Figures()].errors += value
            default: buckets[day, default: [:]][name, default: 0] += value
            }
        }
        for (day, counts) in buckets {
            figures[day, default: Figures()].latencyP50 = FigureFold.quantile(0.5, of: counts)
            figures[day, default: Figures()].latencyP95 = FigureFold.quantile(0.95, of: counts)
        }
        return figures
    }
}
