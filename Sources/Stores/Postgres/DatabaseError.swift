import CLibPQ
import Events

/// What the database could not do, and why.
struct DatabaseError: Error, CustomStringConvertible {
    enum Cause: Equatable {
        /// The server refused a statement: its SQLSTATE (PostgreSQL, "Error Codes").
        case server(String)
        /// There is no connection: it could not be made, or it broke.
        case disconnected
        /// No answer came in time; the connection was given up.
        case timedOut
        /// All connections are in use, and too many wait for one or waited too long.
        case overloaded
        case closed
    }

    var cause: Cause
    /// One sentence; names no values and no password.
    var message: String
    /// The statement that failed.
    var statement: String?
    /// Whether a COMMIT was under way: nobody knows whether it was carried out.
    var isUnknown = false

    var description: String {
        var text = message
        if case .server(let code) = cause { text = "\(code): \(message)" }
        if let statement { text += " (in: \(statement.prefix(200)))" }
        return text
    }

    init(_ cause: Cause, _ message: String, statement: String? = nil) {
        (self.cause, self.message, self.statement) = (cause, message, statement)
    }

    /// What the server said of a statement. Its details stay out: they have values in them.
    init(_ answer: Answer, statement: String) {
        func field(_ code: Character) -> String? {
            PQresultErrorField(answer.pointer, Int32(code.asciiValue!)).map { String(cString: $0) }
        }
        // PG_DIAG_SQLSTATE and PG_DIAG_MESSAGE_PRIMARY, which are macros of characters in C.
        let (code, message) = (field("C"), field("M"))
        self.init(
            code.map { .server($0) } ?? .disconnected, message ?? String(cString: PQresultErrorMessage(answer.pointer)),
            statement: statement)
    }

    private var code: String? {
        if case .server(let code) = cause { return code }
        return nil
    }

    /// Whether the same transaction may succeed when it is tried again at once: others were in its way.
    var isTransient: Bool { ["40001", "40P01"].contains(code) }

    /// Whether the connection is of no more use.
    var endsConnection: Bool {
        switch cause {
        case .disconnected, .timedOut: true
        case .server(let code): Self.endings.contains(code) || code.hasPrefix("08") || code.hasPrefix("57P")
        case .overloaded, .closed: false
        }
    }

    /// `read_only_sql_transaction`: what was the primary server has become another's standby.
    private static let endings: Set<String> = ["25006"]

    var sinkFailure: SinkFailure {
        switch cause {
        case .overloaded, .server("55P03"), .server("53300"), .server("53200"): SinkFailure(.overloaded, description)
        case .server("53100"): SinkFailure(.diskFull, description)
        case .server, .disconnected, .timedOut, .closed: SinkFailure(.unavailable, description)
        }
    }
}
