import ArgumentParser
import Events

/// The entrance: one command a file in `Commands`, the rooms wired in `Assembly.swift`.
@main
struct Parley: AsyncParsableCommand {
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "parley",
        abstract: "Records the chats people have with chatbots, and ties every message to the runs behind it.",
        discussion: """
            Every command works on a data folder (--data, or PARLEY_DATA), also while a server is running on it; or on a PostgreSQL \
            that several servers share (--store, or PARLEY_STORE).
            Begin with `parley serve --demo`, or with `parley project create NAME --origin https://shop.example`.
            """,
        version: version,
        subcommands: [
            Serve.self, DrainCommand.self, ProjectCommand.self, KeyCommand.self, IdentityCommand.self, ThreadCommand.self,
            ExportCommand.self, Tail.self,
            Doctor.self, QuarantineCommand.self, ReviewCommand.self, EraseCommand.self, AuditCommand.self,
            BackupCommand.self, RestoreCommand.self, MigrateCommand.self,
        ])

    /// Usage mistakes end with 64 (sysexits.h, EX_USAGE) and the usage; what goes wrong later with 1 and one sentence.
    static func main() async {
        do {
            var command = try await asyncParseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch let error as SinkFailure {
            exit(withError: Complaint("The store did not take it: \(error.description). See `parley doctor`."))
        } catch let error as Refusal {
            exit(withError: Complaint(error.message))
        } catch {
            exit(withError: error)
        }
    }
}

/// A sentence for the person at the terminal: what is wrong, and what to do.
struct Complaint: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}
