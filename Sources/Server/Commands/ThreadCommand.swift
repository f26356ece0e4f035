import ArgumentParser
import Conversations
import Events
import Review

/// `parley thread`: lists conversations and shows one.
struct ThreadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "thread", abstract: "List conversations, and show one.", subcommands: [List.self, Show.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List conversations, newest activity first.")

        @OptionGroup var project: ProjectOption
        @OptionGroup var filters: ThreadFilterOptions
        @Option(help: "How many.") var limit = 50
        @Option(help: "Where the page before ended.") var cursor: String?
        @OptionGroup var data: DataOptions

        func validate() throws {
            guard (1...1000).contains(limit) else { throw ValidationError("--limit is between 1 and 1000.") }
        }

        func run() async throws {
            let now = WallClock.system.now()
            try await data.folder.withStore { store in
                let project = try await project.choose(from: store)
                let page: Page<ThreadSummary>
                do {
                    page = try await store.threads(
                        in: project, matching: try filters.filter(now: now), limit: limit, after: cursor, now: now)
                } catch ReadFailure.badCursor {
                    throw Complaint("The cursor is none that a page gave out: leave --cursor out to begin at the top.")
                }
                if data.json {
                    try Console.json { json in
                        json.object { json in
                            json.key("threads")
                            json.array(page.items) { $0.summary($1) }
                            json.field(orNull: "next", page.next)
                        }
                    }
                    return
                }
                guard !page.items.isEmpty else { return try Console.line("No conversations match.") }
                var table = Table("THREAD", "LAST", "STATUS", "MESSAGES", "USER", "FEEDBACK", "FIRST MESSAGE")
                for thread in page.items {
                    table.add(
                        thread.id.forTerminal(limit: 40), thread.lastAt.description, thread.status.rawValue, String(thread.messageCount),
                        thread.user?.id.forTerminal(limit: 24) ?? "", "+\(thread.up) -\(thread.down)",
                        thread.first?.text.forTerminal(limit: 60) ?? "")
                }
                try table.write()
                if let next = page.next { Console.note("There are more: --cursor \(next)") }
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a conversation: its messages in order, with the runs under each.")

        @Argument(help: "The thread's ID.") var id: String
        @OptionGroup var project: ProjectOption
        @Option(help: "How many items.") var limit = 200
        @Option(help: "Where the page before ended.") var cursor: String?
        @OptionGroup var data: DataOptions

        func validate() throws {
            guard (1...1000).contains(limit) else { throw ValidationError("--limit is between 1 and 1000.") }
        }

        func run() async throws {
            try await data.folder.withStore { store in
                let project = try await project.choose(from: store)
                let found: Conversation?
                do {
                    found = try await store.conversation(id, in: project, limit: limit, after: cursor, now: WallClock.system.now())
                } catch ReadFailure.badCursor {
                    throw Complaint("The cursor is none that a page gave out: leave --cursor out to begin at the top.")
                }
                guard let conversation = found else {
                    throw Complaint("There is no thread \(id.forTerminal()) in \(project.name): see `parley thread list`.")
                }
                if data.json {
                    try Console.json { $0.object { $0.members(of: conversation) } }
                    return
                }
                try Transcript(conversation).write()
                if let next = conversation.next { Console.note("There is more: --cursor \(next)") }
            }
        }
    }
}

/// A conversation as lines to read.
private struct Transcript {
    let conversation: Conversation

    init(_ conversation: Conversation) { self.conversation = conversation }

    func write() throws {
        let thread = conversation.thread
        let user = thread.user.map { ", user \($0.id.forTerminal())" } ?? ""
        let tags = thread.tags.isEmpty ? "" : ", tags \(thread.tags.joined(separator: " ").forTerminal())"
        try Console.line("\(thread.id.forTerminal()): \(thread.messageCount) messages, \(thread.status.rawValue)\(user)\(tags)")
        for item in conversation.items { try write(item) }
        if !conversation.looseRuns.isEmpty {
            try Console.line("\nRuns under no message:")
            for run in conversation.looseRuns { try write(run, depth: 1) }
        }
    }

    private func write(_ item: ConversationItem) throws {
        switch item.event.body {
        case .message(let message):
            try Console.line("\n\(item.at)  \(message.role.rawValue)  (\(item.event.id.forTerminal()), \(item.provenance.rawValue))")
            let text =
                switch message.content {
                case .text(let text): text
                case .blocks(let blocks): blocks.string
                }
            for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
                try Console.line("  " + String(line).forTerminal(limit: 2000))
            }
            if item.feedback.up + item.feedback.down > 0 { try Console.line("  feedback: +\(item.feedback.up) -\(item.feedback.down)") }
            for score in item.scores {
                try Console.line(
                    "  score \(score.name.forTerminal()): \(score.value.map { "\($0)" } ?? score.category?.forTerminal() ?? "") by \(score.author.forTerminal())"
                )
            }
            for run in item.runs { try write(run, depth: 1) }
        case .event(let name):
            try Console.line("\n\(item.at)  event  \(name.forTerminal())  \(item.event.metadata?.string.forTerminal(limit: 200) ?? "")")
        default: break
        }
    }

    private func write(_ node: RunNode, depth: Int) throws {
        let run = node.run
        let facts = [
            run.kind?.rawValue, run.name, run.model, run.latencyMilliseconds.map { "\(Int64($0)) ms" }, run.usage?.string,
            run.failed ? "FAILED \(run.error?.string ?? "")" : nil, node.link == .bound ? nil : "parent \(node.link.name)",
        ]
        let line = facts.compactMap { $0?.forTerminal(limit: 200) }.joined(separator: " · ")
        try Console.line(String(repeating: "  ", count: depth) + "└ \(run.id.forTerminal(limit: 40)) " + line)
        for child in node.children { try write(child, depth: depth + 1) }
    }
}
