import ArgumentParser
import Conversations
import Events
import Review

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// `parley erase`: takes away all that a user said, and gives a record of it.
struct EraseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "erase", abstract: "Take away all that a user said, and keep it away.",
        discussion: """
            Conversations, messages, runs, votes, remarks, words in the search index and what lies in quarantine go; keyed hashes of the IDs stay, \
            so that what is sent again is dropped. The record says what was erased, by whom and when, what a look afterwards found left, and what \
            is out of reach: backups, exports, others' copies. It has nothing of what was erased, and stays in `parley audit --action user.erase`.

            --check reads a record (JSON) and says whether this installation made it as it stands, and whether the user is back, as after a restore.
            """)

    @Argument(help: "The user's ID, as pages and backends send it.") var user: String?
    @Option(help: ArgumentHelp("A record to check; nothing is erased.", valueName: "file")) var check: String?
    @OptionGroup var project: ProjectOption
    @Flag(help: "Do it; without this nothing is taken away.") var yes = false
    @OptionGroup var data: DataOptions

    func validate() throws {
        guard (user == nil) != (check == nil) else { throw ValidationError("Say whom to erase, or a record to --check.") }
    }

    func run() async throws {
        if let check { return try await look(at: check) }
        guard let user else { return }
        try await data.folder.withStore { store in
            let project = try await project.choose(from: store)
            guard yes else {
                throw Complaint("This would take away all that \(user.forTerminal()) said in \(project.name). Say --yes to do it.")
            }
            let record = try await ErasureRecord.erase(user, in: project, by: Operator.name, store: store, clock: .system)
            if data.json { return try Console.json { $0.object(record.write) } }
            let erased = record.erased
            try Console.line(
                """
                Erased \(record.id): \(erased.threads) conversations, \(erased.messages) messages, \(erased.runs) runs, \(erased.events) events in all, \
                \(erased.quarantined) in quarantine; \(erased.tombstones) hashes keep it away.
                """)
            try Console.line(
                record.left.isNone ? "A look afterwards found nothing left." : "Still there: \(record.left.sentence). Erase again.")
            if !record.left.isPurged {
                try Console.line("Free pages of the file are overwritten beside the commits of a running server, within minutes.")
            }
            try Console.line("Not reached: \(record.backups) backups and \(record.exports) exports that are noted, and other copies.")
        }
    }

    private func look(at file: String) async throws {
        guard let bytes = FileManager.default.contents(atPath: file) else { throw Complaint("\(file) can't be read.") }
        // The record itself, or its entry of the audit log.
        guard let record = try? JSONDocument.read(bytes, { ErasureRecord($0["detail"] ?? $0) }) else {
            throw Complaint("\(file) has no record of an erasure.")
        }
        try await data.folder.withStore { store in
            guard try await record.isGenuine(in: store) else {
                throw Complaint("\(record.id.forTerminal()) was not made here, or was changed since.")
            }
            guard let project = try await store.projects().first(where: { $0.id == record.project }) else {
                return try tell(record, "its project is gone", back: [])
            }
            let back = try await store.users(ofFingerprint: record.user, in: project.number)
            try tell(record, back.isEmpty ? "the user is not there" : "the user is there again", back: back)
            if !back.isEmpty { throw ExitCode.failure }
        }
    }

    private func tell(_ record: ErasureRecord, _ finding: String, back: [String]) throws {
        if data.json {
            return try Console.json {
                $0.object {
                    $0.field("id", record.id); $0.field("genuine", true); $0.field("back", back)
                }
            }
        }
        try Console.line("\(record.id) was made here at \(record.endedAt) by \(record.by.forTerminal()); \(finding).")
        for user in back { Console.note("Erase again: parley erase \(user.forTerminal()) --project \(record.project) --yes") }
    }
}

extension UserTraces {
    fileprivate var sentence: String {
        "\(threads) conversations, \(events) events, \(votes) votes, \(names) names, \(quarantined) in quarantine"
    }
}
