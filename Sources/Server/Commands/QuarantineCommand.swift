import ArgumentParser
import Conversations
import Events
import Ingest
import Keys
import Logging
import Review

/// `parley quarantine`: shows what was kept aside, and sends it in again once the cause is gone.
struct QuarantineCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quarantine", abstract: "Show what was kept aside, and replay it.", subcommands: [List.self, Replay.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List what is in quarantine, newest first.")

        @OptionGroup var project: ProjectOption
        @Option(help: "Only items of this reason.") var reason: Reason?
        @Option(help: "How many.") var limit = 50
        @Option(help: "Where the page before ended.") var cursor: String?
        @OptionGroup var data: DataOptions

        func validate() throws {
            guard (1...1000).contains(limit) else { throw ValidationError("--limit is between 1 and 1000.") }
        }

        func run() async throws {
            try await data.folder.withStore { store in
                let project = try await project.choose(from: store)
                let counts = try await store.quarantineCounts(in: project.number).sorted { $0.key.rawValue < $1.key.rawValue }
                let page = try await store.quarantine(in: project.number, of: QuarantineCause(reason: reason), limit: limit, after: cursor)
                if data.json {
                    try Console.json { json in
                        json.object { json in
                            json.key("items")
                            json.array(page.items) { $0.item($1) }
                            json.key("counts")
                            json.object { for (reason, count) in counts { $0.field(reason.rawValue, count) } }
                            json.field(orNull: "next", page.next)
                        }
                    }
                    return
                }
                guard !page.items.isEmpty else { return try Console.line("Quarantine is empty.") }
                var table = Table("ID", "REASON", "FIELD", "EVENT", "RECEIVED", "WHY")
                for item in page.items {
                    let differs = item.differs.isEmpty ? "" : " Differs in: \(item.differs.map(\.field).joined(separator: ", "))."
                    table.add(
                        item.id, item.reason.rawValue, item.field?.forTerminal(limit: 30) ?? "",
                        "\(item.type ?? "?") \(item.eventID ?? "")".forTerminal(limit: 50), item.receivedAt.description,
                        (item.message + differs).forTerminal(limit: 160))
                }
                try table.write()
                Console.note(counts.map { "\($0.key.rawValue): \($0.value)" }.joined(separator: ", "))
                if let next = page.next { Console.note("There are more: --cursor \(next)") }
            }
        }
    }

    struct Replay: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Send items through the same checks again; what is stored leaves quarantine.",
            discussion: "With --trust you vouch for them: what a public key may not say then counts as said by a secret one.")

        @OptionGroup var project: ProjectOption
        @Option(help: "Only items of this reason.") var reason: Reason?
        @Option(name: .customLong("id"), help: "An item's ID; may be repeated.") var ids: [String] = []
        @Flag(help: "Everything in the project's quarantine.") var all = false
        @Flag(help: "Apply the rules of a secret key.") var trust = false
        @OptionGroup var data: DataOptions

        func validate() throws {
            let choices = [reason != nil, !ids.isEmpty, all].count { $0 }
            guard choices == 1 else { throw ValidationError("Say what to replay: --reason REASON, --id ID (may be repeated), or --all.") }
        }

        func run() async throws {
            try await data.folder.withStore { store in
                let project = try await project.choose(from: store)
                var logger = Logger(label: "parley") { StreamLogHandler.standardError(label: $0) }
                logger.logLevel = .error
                let commits = GroupCommit(sink: store, logger: logger)
                // The project's scrubbing rules hold here too, with the key its hashes are made with.
                let keys = KeyRing(store: store, sealer: try data.folder.sealer(), logger: logger)
                try await keys.refresh()
                let replay = QuarantineReplay(store: store, ingest: Ingest(keys: keys, commits: commits))
                var tally: [String: Int] = [:]
                var lines: [QuarantineReplay.Outcome] = []
                func count(_ outcomes: [QuarantineReplay.Outcome]) {
                    for outcome in outcomes {
                        let why = outcome.verdict.refusal.map { " (\($0.reason.rawValue))" } ?? ""
                        tally[outcome.verdict.name.rawValue + why, default: 0] += 1
                    }
                    // Told one by one up to here; beyond, the numbers say more.
                    if lines.count < 1000 { lines += outcomes }
                    Console.progress("\(tally.values.reduce(0, +)) replayed…")
                }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await commits.run() }
                    if ids.isEmpty {
                        try await replay.replayAll(in: project.number, reason: reason, Mending(trusts: trust), onBatch: count)
                    } else {
                        let items = try await store.quarantineItems(ids, in: project.number)
                        let missing = Set(ids).subtracting(items.map(\.id))
                        guard missing.isEmpty else {
                            throw Complaint(
                                "There is no \(missing.sorted().joined(separator: ", ").forTerminal()) in quarantine: see `parley quarantine list`."
                            )
                        }
                        count(try await replay.replay(items, Mending(trusts: trust)))
                    }
                    group.cancelAll()
                }
                Console.endProgress()
                let counts = tally
                try await store.note("quarantine.replay", in: project.number) { json in
                    json.field("items", counts.values.reduce(0, +))
                    json.field("trust", trust)
                    json.key("verdicts")
                    json.object { json in for (name, count) in counts.sorted(by: { $0.key < $1.key }) { json.field(name, count) } }
                }
                if data.json {
                    try Console.json { json in
                        json.object { json in
                            json.key("results")
                            json.array(lines) { json, outcome in
                                json.object { json in
                                    json.field("id", outcome.item.id)
                                    json.field("verdict", outcome.verdict.name.rawValue)
                                    json.field(ifPresent: "reason", outcome.verdict.refusal?.reason.rawValue)
                                    json.field(ifPresent: "message", outcome.verdict.refusal?.message)
                                }
                            }
                            json.key("counts")
                            json.object { for (name, count) in tally.sorted(by: { $0.key < $1.key }) { $0.field(name, count) } }
                        }
                    }
                } else {
                    let counts = tally.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
                    try Console.line(counts.isEmpty ? "Nothing to replay." : counts.joined(separator: ", "))
                }
            }
        }
    }
}

extension JSONWriter {
    fileprivate mutating func item(_ item: QuarantineItem) {
        object { json in
            json.field("id", item.id)
            json.field("reason", item.reason.rawValue)
            json.field(orNull: "field", item.field)
            json.field("message", item.message)
            json.field(orNull: "eventId", item.eventID)
            json.field(orNull: "type", item.type)
            json.field("receivedAt", item.receivedAt)
            json.field("lane", item.source.lane.rawValue)
            json.field(orNull: "origin", item.source.origin)
            json.field("payload", item.payload)
            json.key("differs")
            json.array(item.differs) { json, difference in
                json.object { json in
                    json.field("field", difference.field)
                    json.field(orNull: "stored", difference.stored)
                    json.field(orNull: "received", difference.received)
                }
            }
        }
    }
}
