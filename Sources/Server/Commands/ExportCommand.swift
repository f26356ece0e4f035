import ArgumentParser
import Events
import Review

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// `parley export`: writes conversations to a file or a pipe.
struct ExportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Write conversations out.",
        discussion: """
            jsonl has a summary of each conversation and then one message, event or loose run a line, as the read API shows it; csv one row \
            for each message or event, where cells that a spreadsheet would take for a formula get an apostrophe in front; chat a conversation \
            a line as {"messages":[{"role","content"}]}, which trainers and evaluators of models take.
            """)

    @OptionGroup var project: ProjectOption
    @Option(help: "jsonl, csv or chat.") var format: Export.Format = .jsonl
    @OptionGroup var filters: ThreadFilterOptions
    @Option(help: ArgumentHelp("The file to write; without it, standard output.", valueName: "file"))
    var output: String?
    @OptionGroup var data: DataOptions

    func run() async throws {
        let now = WallClock.system.now()
        try await data.folder.withStore { store in
            let project = try await project.choose(from: store)
            let export = Export(store: store, project: project, filter: try filters.filter(now: now), format: format, now: now)
            let file = try output.map { try ExportFile($0) }
            let count = try await export.run { bytes, threads in
                try Console.write(bytes, to: file?.descriptor ?? STDOUT_FILENO)
                if threads % 50 == 0, threads > 0 { Console.progress("\(threads) conversations…") }
            }
            Console.endProgress()
            try file?.finish()
            // What left the house is out of an erasure's reach.
            try await store.note("export", in: project.number) {
                $0.field("format", format.rawValue); $0.field("threads", count)
            }
            if data.json, let output {
                try Console.json { json in
                    json.object {
                        $0.field("threads", count); $0.field("output", output)
                    }
                }
            } else {
                Console.note("\(count) conversations exported\(output.map { " to \($0)" } ?? "").")
            }
        }
    }
}

/// A file that takes its name only once it is whole, so that a half export is never taken for one.
private struct ExportFile {
    let path: String
    let descriptor: Int32
    private var draft: String { path + ".part" }

    init(_ path: String) throws {
        self.path = path
        // Conversations are private: only the owner reads them until they decide otherwise.
        descriptor = open(path + ".part", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw Complaint("\(path) can't be written (\(String(cString: strerror(errno)))): choose another with --output.")
        }
    }

    func finish() throws {
        guard fsync(descriptor) == 0, close(descriptor) == 0, rename(draft, path) == 0 else {
            throw Complaint("\(path) could not be finished (\(String(cString: strerror(errno)))): what there is stands in \(draft).")
        }
    }
}

extension Export.Format: ExpressibleByArgument {}
