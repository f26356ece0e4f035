import CLibPQ
import Foundation

/// Where the database is and how to get in: libpq's own connection string or URI (PostgreSQL, "Connection Strings").
///
/// `postgresql://parley@db.example/parley?sslmode=verify-full&sslrootcert=/etc/ssl/db.pem`, or `host=db1,db2 dbname=parley
/// user=parley`. TLS is said there: with `sslmode=verify-full` nobody in between can read or answer, with libpq's own default (`prefer`)
/// somebody can. A password is better kept in a file (`passfile=…`) or in `PGPASSWORD` than here. With several hosts the one that
/// takes writes is used. Encryption by Kerberos is asked for there too: `gssencmode=require`.
public struct ConnectionString: Sendable, CustomStringConvertible, CustomDebugStringConvertible, ExpressibleByStringLiteral {
    let text: String
    public init(_ text: String) { self.text = text }
    public init(stringLiteral text: String) { self.text = text }
    /// It may hold a password.
    public var description: String { "***" }
    public var debugDescription: String { "***" }

    /// What a connection string that says nothing of these has. A line that is cut is noticed after 10 + 3 × 5 seconds, bytes that are
    /// not taken after 20; a server that accepts and says nothing is given up after 5.
    private static let defaults = [
        ("connect_timeout", "5"), ("keepalives", "1"), ("keepalives_idle", "10"), ("keepalives_interval", "5"), ("keepalives_count", "3"),
        ("tcp_user_timeout", "20000"), ("target_session_attrs", "read-write"), ("application_name", "parley"),
    ]

    /// Keywords and values for libpq; throws without repeating what was written.
    package func parameters() throws -> [(keyword: String, value: String)] {
        var problem: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(text, &problem) else {
            PQfreemem(problem)
            throw DatabaseError(
                .closed,
                "The database's connection string can't be read. It looks like postgresql://USER@HOST:5432/NAME?sslmode=verify-full.")
        }
        defer { PQconninfoFree(options) }
        var parameters: [(keyword: String, value: String)] = []
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { parameters.append((String(cString: keyword), String(cString: value))) }
            option += 1
        }
        for (keyword, value) in Self.defaults where !parameters.contains(where: { $0.keyword == keyword }) {
            parameters.append((keyword, value))
        }
        // Unless somebody asks for it, no Kerberos ticket is looked for, as libpq would do: what that leaves in a thread is cleared when the
        // thread ends, and if the process ends meanwhile, libkrb5support aborts it with an assertion.
        let places = ["PGGSSENCMODE", "PGSERVICE"].filter { getenv($0) != nil } + parameters.map(\.keyword)
        if !places.contains(where: ["gssencmode", "service", "PGGSSENCMODE", "PGSERVICE"].contains) {
            parameters.append(("gssencmode", "disable"))
        }
        // Texts travel and stand as UTF-8, whatever the environment says.
        parameters.removeAll { $0.keyword == "client_encoding" }
        parameters.append(("client_encoding", "UTF8"))
        return parameters
    }
}
