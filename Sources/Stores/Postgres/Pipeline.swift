/// Statements that go to the server in one round trip; none of them can depend on another's answer.
///
///     var pipeline = Pipeline()
///     let threads = pipeline.add("SELECT id, number FROM thread WHERE project = $1 AND id = ANY($2)", [project, ids])
///     pipeline.add("UPDATE control SET revision = revision + 1")
///     let answers = try db.run(pipeline)
///     for row in answers[threads] { … }
struct Pipeline {
    /// Where in a pipeline a statement stands.
    struct Place {
        fileprivate let index: Int
    }

    /// What a pipeline's statements answered.
    struct Answers {
        private let rows: [Rows]
        init(_ rows: [Rows]) { self.rows = rows }
        subscript(place: Place) -> Rows { rows[place.index] }
    }

    struct Statement {
        var sql: String
        var arguments: Arguments
    }

    private(set) var statements: [Statement] = []
    var isEmpty: Bool { statements.isEmpty }

    @discardableResult
    mutating func add(_ sql: String, _ arguments: Arguments = []) -> Place {
        statements.append(Statement(sql: sql, arguments: arguments))
        return Place(index: statements.count - 1)
    }

    mutating func add(_ other: Pipeline) { statements += other.statements }
}
