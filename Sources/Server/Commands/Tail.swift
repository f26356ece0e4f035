import ArgumentParser
import Conversations
import Events

/// `parley tail`: follows what is stored, live.
struct Tail: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Follow stored events live; Ctrl-C ends it.",
        discussion: "With --json, one event a line: what the server noted, and the event as it came.")

    @Option(help: ArgumentHelp("Only this project's.", valueName: "name"))
    var project: String?
    @Option(help: ArgumentHelp("Begin this many events back.", valueName: "count"))
    var last = 0
    @Flag(help: "End when all that is stored has been written.")
    var once = false
    @OptionGroup var data: DataOptions

    /// Two looks a second: a person sees no difference, an idle database no load.
    private static let interval = Duration.milliseconds(500)
    private static let page = 500

    func run() async throws {
        try await data.folder.withStore { store in
            var choice = try await ProjectChoice(store)
            let only = try project.map { try choice.project($0).number }
            var sequence = max(0, try await store.lastSequence() - Int64(max(0, last)))
            if !data.json, !once { Console.note("Following \(project ?? "all projects"); Ctrl-C ends it.") }
            while !Task.isCancelled {
                let events = try await store.events(after: sequence, in: only, limit: Self.page)
                for event in events {
                    sequence = event.sequence
                    if choice.projects.allSatisfy({ $0.number != event.project }) { choice = try await ProjectChoice(store) }
                    let name = choice.name(of: event.project)
                    if data.json {
                        try Console.json { $0.stored(event, project: name) }
                    } else {
                        try Console.line(Self.line(event, project: name))
                    }
                }
                if events.count == Self.page { continue }
                if once { return }
                try await Task.sleep(for: Self.interval)
            }
        }
    }

    private static func line(_ stored: StoredEvent, project: String) -> String {
        let event = stored.event
        let what: String =
            switch event.body {
            case .message(let message):
                switch message.content {
                case .text(let text): "\(message.role.rawValue): \(text.forTerminal(limit: 100))"
                case .blocks(let blocks): "\(message.role.rawValue): \(blocks.string.forTerminal(limit: 100))"
                }
            case .event(let name): name.forTerminal()
            case .feedback(let feedback): "\(feedback.thumb?.rawValue ?? "none") on \(feedback.target.forTerminal(limit: 40))"
            case .run(let part):
                [part.kind?.rawValue, part.name, part.model].compactMap { $0?.forTerminal(limit: 40) }.joined(separator: " ")
            case .score(let score): "\(score.name.forTerminal(limit: 40)) on \(score.target.forTerminal(limit: 40))"
            case .identify: event.user?.id.forTerminal(limit: 40) ?? ""
            default: ""
            }
        let thread = event.thread?.forTerminal(limit: 40) ?? "-"
        return
            "\(stored.receivedAt)  \(project)  \(thread)  \(event.type.forTerminal(limit: 20)) \(event.id.forTerminal(limit: 40))  \(what)"
    }
}

extension JSONWriter {
    /// An event as it was stored, with what the server noted beside it.
    fileprivate mutating func stored(_ stored: StoredEvent, project: String) {
        object { json in
            json.field("sequence", stored.sequence)
            json.field("project", project)
            json.field("at", stored.at)
            json.field("receivedAt", stored.receivedAt)
            json.field("provenance", stored.source.provenance(of: stored.event.user).rawValue)
            json.field("lane", stored.source.lane.rawValue)
            json.field("key", stored.source.key)
            json.field(orNull: "origin", stored.source.origin)
            json.field("transport", stored.source.transport.rawValue)
            json.field("event", stored.event.json())
        }
    }
}
