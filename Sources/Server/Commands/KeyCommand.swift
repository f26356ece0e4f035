import ArgumentParser
import Events
import Keys

/// `parley key`: makes, lists and revokes keys.
struct KeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key", abstract: "Make, list and revoke keys.", subcommands: [Create.self, List.self, Revoke.self])

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make a key; its text is shown once.")

        @OptionGroup var project: ProjectOption
        @Option(help: "public for pages, secret for backends.")
        var lane: Lane
        @Option(help: "One project, or the whole workspace (secret keys only).")
        var scope: KeyRecord.Scope = .project
        @Option(help: "What the key is for.")
        var label: String?
        @Option(help: ArgumentHelp("When it ends: 30d, 12h, or ISO 8601; without this, never.", valueName: "time"))
        var expires: Moment?
        @OptionGroup var data: DataOptions

        func validate() throws {
            if scope == .workspace, lane == .public { throw ValidationError("A public key is for one project: leave --scope out.") }
            if scope == .workspace, project.project != nil {
                throw ValidationError("A workspace key is for all projects: leave --project out.")
            }
        }

        func run() async throws {
            let now = WallClock.system.now()
            let expiresAt = expires?.after(now)
            if let expiresAt, expiresAt <= now {
                throw Complaint("The key would end at \(expiresAt), which has passed: name a later time.")
            }
            try await data.folder.withStore { store in
                let project = scope == .workspace ? nil : try await self.project.choose(from: store)
                let (text, record) = KeyRecord.issue(
                    lane, scope: scope, project: project?.number, label: label, expiresAt: expiresAt, at: now)
                try await store.insert(record)
                try await store.note("key.create", in: project?.number, subject: record.id) {
                    $0.field("lane", lane.rawValue); $0.field("scope", scope.rawValue)
                }
                if data.json {
                    try Console.json { json in
                        json.object { json in
                            json.field("key", text.text)
                            json.field("id", record.id)
                            json.field("lane", lane.rawValue)
                            json.field("scope", scope.rawValue)
                            json.field(orNull: "project", project?.name)
                            json.field(orNull: "expiresAt", expiresAt)
                        }
                    }
                    return
                }
                try Console.line("\(text.text)")
                Console.note("This is \(record.id), a \(lane.rawValue) key for \(project?.name ?? "the whole workspace").")
                if lane == .secret { Console.note("It is shown this once and can't be read back: keep it now.") }
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List keys.")

        @Option(help: ArgumentHelp("Only this project's.", valueName: "name"))
        var project: String?
        @OptionGroup var data: DataOptions

        func run() async throws {
            let now = WallClock.system.now()
            try await data.folder.withStore { store in
                let choice = try await ProjectChoice(store)
                let only = try project.map { try choice.project($0).number }
                let keys = try await store.keys().filter { only == nil || $0.project == only }.sorted { $0.createdAt < $1.createdAt }
                if data.json {
                    try Console.json { json in
                        json.object {
                            $0.key("keys"); $0.array(keys) { $0.key($1, project: choice.name(of: $1.project), now: now) }
                        }
                    }
                    return
                }
                guard !keys.isEmpty else { return try Console.line("No keys: make one with `parley key create`.") }
                var table = Table("ID", "LANE", "PROJECT", "STATE", "KEY", "LABEL")
                for key in keys {
                    table.add(
                        key.id, key.lane.rawValue, choice.name(of: key.project), key.state(at: now), key.shown,
                        key.label?.forTerminal() ?? "")
                }
                try table.write()
            }
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Revoke a key; it stops within seconds, on open sockets too.")

        @Argument(help: "The key's ID (key_…), or the key itself.") var key: String
        @OptionGroup var data: DataOptions

        func run() async throws {
            let now = WallClock.system.now()
            try await data.folder.withStore { store in
                let keys = try await store.keys()
                let digest = key.hasPrefix("key_") ? nil : try KeyText(reading: key).digest
                guard let record = keys.first(where: { $0.id == key || $0.digest == digest }) else {
                    throw Complaint("There is no such key in \(data.folder.path): see `parley key list`.")
                }
                let wasLive = try await store.revokeKey(record.id, at: now)
                if wasLive { try await store.note("key.revoke", in: record.project, subject: record.id) }
                if data.json {
                    try Console.json { json in
                        json.object {
                            $0.field("id", record.id); $0.field("revoked", wasLive)
                        }
                    }
                } else {
                    try Console.line(wasLive ? "\(record.id) is revoked." : "\(record.id) was revoked before.")
                }
            }
        }
    }
}

extension KeyRecord {
    fileprivate func state(at now: Timestamp) -> String {
        if let revokedAt { return "revoked \(revokedAt)" }
        guard let expiresAt else { return "live" }
        return expiresAt <= now ? "expired \(expiresAt)" : "until \(expiresAt)"
    }
}

extension JSONWriter {
    fileprivate mutating func key(_ key: KeyRecord, project: String, now: Timestamp) {
        object { json in
            json.field("id", key.id)
            json.field("lane", key.lane.rawValue)
            json.field("scope", key.scope.rawValue)
            json.field(orNull: "project", key.project == nil ? nil : project)
            json.field("shown", key.shown)
            json.field(orNull: "label", key.label)
            json.field("live", key.isLive(at: now))
            json.field("createdAt", key.createdAt)
            json.field(orNull: "expiresAt", key.expiresAt)
            json.field(orNull: "revokedAt", key.revokedAt)
        }
    }
}
