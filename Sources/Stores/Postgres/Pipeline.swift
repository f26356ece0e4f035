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

    /// What statements that were added will say, once they were run.
    struct Question<Value> {
        let read: (Answers) throws -> Value
        init(_ read: @escaping (Answers) throws -> Value) { self.read = read }
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

    /// Adds a statement; its answer is read as what its rows mean.
    mutating func ask<Value>(_ sql: String, _ arguments: Arguments = [], _ read: @escaping (Rows) throws -> Value) -> Question<Value> {
        let place = add(sql, arguments)
        return Question { try read($0[place]) }
    }
}

extension Database {
    /// Asks in one round trip.
    func ask<Value>(_ question: (inout Pipeline) throws -> Pipeline.Question<Value>) throws -> Value {
        var pipeline = Pipeline()
        let asked = try question(&pipeline)
        return try asked.read(pipeline.isEmpty ? Pipeline.Answers([]) : run(pipeline))
    }
}
