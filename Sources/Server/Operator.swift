import Conversations
import Events

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Who works at this machine, as the audit log names them: `cli:` and the name the operating system has for this process's user.
enum Operator {
    static let name: String = {
        guard let entry = getpwuid(geteuid()) else { return "cli:\(geteuid())" }
        return "cli:" + String(cString: entry.pointee.pw_name)
    }()
}

extension ReviewStore {
    /// Writes down what a command did, once it is done. IDs, names of projects and members, and numbers only: no texts, no secrets.
    func note(
        _ action: String, by name: String = Operator.name, in project: ProjectID? = nil, subject: String? = nil,
        _ detail: ((inout JSONWriter) -> Void)? = nil
    ) async throws {
        let text = detail.map { write in
            var writer = JSONWriter()
            writer.object(write)
            return JSONText(trusted: writer.bytes)
        }
        try await note(
            AuditEntry(at: WallClock.system.now(), by: name, action: action, subject: subject, detail: text), in: project)
    }
}
