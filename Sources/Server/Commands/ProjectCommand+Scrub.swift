import ArgumentParser
import Conversations
import Events
import Keys
import Scrubbing

extension ProjectCommand {
    /// `parley project scrub`: what scrubbing rules make of a text, or would have made of what is stored. Writes nothing.
    struct Scrub: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Try scrubbing rules on a text or on what is stored; nothing is changed.",
            discussion: """
                Without --rule the project's own rules are tried. To set rules: parley project set NAME --scrub email=mask. They hold for \
                what comes in from then on; what is stored stays as it is.

                  parley project scrub shop --text 'mail me at ann@shop.example'
                  parley project scrub shop --preview --last 1000 --rule phone=mask --rule card=remove
                """)

        /// Changes shown at most; the counts are of all.
        private static let shown = 50

        @Argument(help: "The project, by name or ID.") var name: String
        @Option(help: ArgumentHelp("Scrub this text.", valueName: "text")) var text: String?
        @Flag(help: "Say what would change in the events stored last.") var preview = false
        @Option(help: ArgumentHelp("How many events --preview looks at.", valueName: "number")) var last = 1000
        @Option(
            help: ArgumentHelp("A rule in place of the project's, as `project set --scrub` takes it; may be repeated.", valueName: "rule"))
        var rule: [String] = []
        @OptionGroup var data: DataOptions

        func validate() throws {
            guard preview != (text != nil) else { throw ValidationError("Say what to try the rules on: --text TEXT, or --preview.") }
            guard (1...100_000).contains(last) else { throw ValidationError("--last is 1 to 100000.") }
        }

        func run() async throws {
            try await data.folder.withStore { store in
                let project = try await ProjectChoice(store).project(name)
                let rules = rule.isEmpty ? project.settings.scrubbing : try ProjectCommand.rules(rule)
                guard !rules.isEmpty else {
                    throw Complaint("\(project.name) has no scrubbing rules: try some with --rule, like --rule email=mask.")
                }
                let scrubber: Scrubber
                do {
                    scrubber = try Scrubber(rules, key: try data.folder.sealer().scrubbingKey(of: project))
                } catch let refusal as Refusal {
                    throw Complaint(refusal.message)
                }
                if let text { try show(text, by: scrubber) } else { try await preview(project, in: store, by: scrubber) }
            }
        }

        private func show(_ text: String, by scrubber: Scrubber) throws {
            let (scrubbed, findings) = scrubber.scrub(text: text)
            guard data.json else { return try Console.line(scrubbed.forTerminal(limit: .max)) }
            try Console.json { json in
                json.object { json in
                    json.field("text", scrubbed)
                    json.found(scrubber.names(findings))
                }
            }
        }

        private func preview(_ project: Project, in store: any OpenStore, by scrubber: Scrubber) async throws {
            let events = try await latest(in: project, of: store)
            var findings = Findings()
            var changed = 0
            var samples: [(id: String, text: ScrubbedText)] = []
            for event in events {
                let id = event.id
                var event = event
                let found = scrubber.scrub(&event) { if samples.count < Self.shown { samples.append((id, $0)) } }
                if !found.isEmpty { changed += 1 }
                findings.add(found)
            }
            if data.json {
                return try Console.json { json in
                    json.object { json in
                        json.field("events", events.count)
                        json.field("changed", changed)
                        json.found(scrubber.names(findings))
                        json.key("samples")
                        json.array(samples) { json, sample in
                            json.object { json in
                                json.field("id", sample.id)
                                json.field("path", sample.text.path)
                                json.field("before", sample.text.before)
                                json.field("after", sample.text.after)
                            }
                        }
                    }
                }
            }
            for (id, text) in samples {
                try Console.line("\(id.forTerminal()) \(text.path.forTerminal())")
                for change in text.changes {
                    try Console.line("  - \(change.text.forTerminal(limit: 200))\n  + \(change.replacement)")
                }
            }
            let counts = scrubber.names(findings).map { "\($0.count) \($0.name)" }.joined(separator: ", ")
            try Console.line(
                "\(changed) of the last \(events.count) events would change\(counts.isEmpty ? "" : ": " + counts). Nothing was written.")
        }

        /// The project's last events, oldest first. Others' may lie between them, so the look back grows until there are enough.
        private func latest(in project: Project, of store: any OpenStore) async throws -> [Event] {
            let end = try await store.lastSequence()
            var reach = Int64(last)
            while true {
                let start = max(0, end - reach)
                var events: [Event] = []
                var after = start
                while true {
                    let page = try await store.events(after: after, in: project.number, limit: 1000)
                    guard let newest = page.last else { break }
                    events += page.map(\.event)
                    if events.count > last { events.removeFirst(events.count - last) }
                    after = newest.sequence
                }
                if events.count >= last || start == 0 { return events }
                reach *= 4
            }
        }
    }
}

extension JSONWriter {
    fileprivate mutating func found(_ names: [(name: String, count: Int)]) {
        key("found")
        object { for each in names { $0.field(each.name, each.count) } }
    }
}
