import ArgumentParser
import Conversations
import Events

/// `parley audit`: who did what, on the review page, over the API and at this machine.
struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "Show who did what: projects, keys, members, erasures, backups.",
        discussion: """
            Newest first. A name that begins with cli: is a user of this machine's operating system, key_… a key of the API, parley what happened \
            by itself, and any other a member of the review page. Entries have names and numbers, never texts or secrets. Those of a project \
            outlive it.
            """)

    @Option(help: ArgumentHelp("Only what was done to this project, by name, ID or number.", valueName: "name"))
    var project: String?
    @Flag(help: "Only what belongs to no project.") var installation = false
    @Option(help: "An action, like key.revoke, or all that begin with a word, like key.") var action: String?
    @Option(help: ArgumentHelp("Who did it.", valueName: "name")) var by: String?
    @Option(help: ArgumentHelp("Since: ISO 8601, or 12h, 30d ago.", valueName: "time")) var from: Moment?
    @Option(help: ArgumentHelp("Until: ISO 8601, or 12h, 30d ago.", valueName: "time")) var to: Moment?
    @Option(help: "How many.") var limit = 50
    @Option(help: "Where the page before ended.") var cursor: String?
    @OptionGroup var data: DataOptions

    func validate() throws {
        guard (1...1000).contains(limit) else { throw ValidationError("--limit is between 1 and 1000.") }
        if installation, project != nil { throw ValidationError("--installation is for what belongs to no project: leave --project out.") }
    }

    func run() async throws {
        let now = WallClock.system.now()
        try await data.folder.withStore { store in
            let choice = try await ProjectChoice(store)
            var filter = AuditFilter()
            if installation { filter.scope = .installation }
            // The number is all that is left of a project that was deleted.
            if let project { filter.scope = .project(try Int64(project).map { ProjectID($0) } ?? choice.project(project).number) }
            filter.action = action
            filter.by = by
            filter.from = from?.before(now)
            filter.to = to?.before(now)
            let page: Page<AuditEntry>
            do {
                page = try await store.audit(matching: filter, limit: limit, after: cursor)
            } catch ReadFailure.badCursor {
                throw Complaint("The cursor is none that a page gave out: leave --cursor out to begin at the top.")
            }
            if data.json {
                return try Console.json { json in
                    json.object { json in
                        json.key("entries")
                        json.array(page.items) { json, entry in
                            json.object { json in
                                json.field("id", entry.id)
                                json.field("at", entry.at)
                                json.field("by", entry.by)
                                json.field("action", entry.action)
                                json.field(orNull: "project", entry.project.map { choice.name(of: $0) })
                                json.field(orNull: "subject", entry.subject)
                                json.field(orNull: "detail", entry.detail)
                            }
                        }
                        json.field(orNull: "next", page.next)
                    }
                }
            }
            guard !page.items.isEmpty else { return try Console.line("Nothing was noted of that.") }
            var table = Table("AT", "BY", "ACTION", "PROJECT", "SUBJECT", "DETAIL")
            for entry in page.items {
                table.add(
                    entry.at.description, entry.by.forTerminal(limit: 40), entry.action, entry.project.map { choice.name(of: $0) } ?? "",
                    entry.subject?.forTerminal(limit: 40) ?? "", entry.detail?.string.forTerminal(limit: 160) ?? "")
            }
            try table.write()
            if let next = page.next { Console.note("There are more: --cursor \(next)") }
        }
    }
}
