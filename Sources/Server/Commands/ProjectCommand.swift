import ArgumentParser
import Events
import Keys
import Scrubbing

/// `parley project`: makes projects and sets what their keys may do.
struct ProjectCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "project", abstract: "Make projects, and set what their keys may do.",
        subcommands: [Create.self, List.self, Show.self, Set.self, Scrub.self, Delete.self])

    /// What `create` and `set` share.
    struct Settings: ParsableArguments {
        @Option(
            help: ArgumentHelp(
                "A page's origin that may use the public key, like https://shop.example or https://*.shop.example; may be repeated.",
                valueName: "url"))
        var origin: [String] = []
        @Option(help: ArgumentHelp("Whether a public key works without an Origin header.", valueName: "true|false"))
        var allowMissingOrigin: Bool?
        @Option(help: ArgumentHelp("Whether a public key works from an opaque origin.", valueName: "true|false"))
        var allowNullOrigin: Bool?
        @Option(help: ArgumentHelp("Events a second and burst of each public key, like 2000/s:20000, or none.", valueName: "quota"))
        var keyQuota: QuotaArgument?
        @Option(help: ArgumentHelp("Events a second and burst of each address, like 50/s:1000, or none.", valueName: "quota"))
        var addressQuota: QuotaArgument?
        @Option(
            name: .customLong("quota"),
            help: ArgumentHelp(
                """
                What may come with public keys, like thread=20/s:500 or address.bytes=1M/s:64M, or none; may be repeated. Whose: key, \
                address, session (one socket), thread, project; events, or with .bytes the bytes of what they say.
                """, valueName: "name=quota"))
        var quotas: [NamedQuotaArgument] = []
        @Flag(help: "Forget all quotas; only those given here stay.")
        var noQuotas = false
        @Option(help: ArgumentHelp("How long without a new item until a thread is inactive, like 15m.", valueName: "time"))
        var inactiveAfter: TimeSpan?
        @Option(
            help: ArgumentHelp(
                """
                When conversations may be scored. review: people score inactive ones, and their scores go when a conversation goes on; open: \
                anybody at any time; strict: nobody scores active ones, and all scores go.
                """, valueName: "review|open|strict"))
        var scoring: Project.Scoring?
        @Option(help: ArgumentHelp("Erase conversations this long after their last activity, like 90d, or none.", valueName: "days"))
        var retention: RetentionArgument?
        @Option(
            name: .customLong("check"),
            help: ArgumentHelp(
                """
                How much a check has to say, like origin=dry_run; may be repeated. Checks: key (revoked and expired ones), origin, identity \
                (proofs of users, see `parley identity`), quota, schema (what an event says beside what it needs). enforce refuses, dry_run \
                counts what enforce would refuse (`GET /v1/outcomes`), off does not look.
                """, valueName: "check=mode"))
        var checks: [CheckArgument] = []
        @Option(
            help: ArgumentHelp(
                """
                Take something out of texts before they are stored; may be repeated. WHAT=ACTION[:NAME][@PATH,PATH]: what is email, phone, \
                card, iban, ip or pattern:RE2; the action remove ([removed]), mask ([email]) or hash ([email:3f9a…], equal for equal \
                values); the paths fields, * being one level and ** any. Like email=mask, card=remove@metadata, \
                'pattern:ORDER-\\d+=hash:order@content', email=hash@user.id.
                """, valueName: "rule"))
        var scrub: [String] = []
        @Flag(help: "Forget the present scrubbing rules; only those given here stay.")
        var noScrub = false

        func apply(to settings: inout Project.Settings) throws {
            for origin in origin {
                _ = try OriginPattern(origin)
                if !settings.origins.contains(origin) { settings.origins.append(origin) }
            }
            settings.allowsMissingOrigin = allowMissingOrigin ?? settings.allowsMissingOrigin
            settings.allowsNullOrigin = allowNullOrigin ?? settings.allowsNullOrigin
            if noQuotas { settings.quotas = .none }
            if let keyQuota { settings.quotas[.key, .events] = keyQuota.quota }
            if let addressQuota { settings.quotas[.address, .events] = addressQuota.quota }
            for named in quotas { settings.quotas[named.owner, named.unit] = named.quota }
            settings.inactiveAfterSeconds = inactiveAfter?.seconds ?? settings.inactiveAfterSeconds
            settings.scoring = scoring ?? settings.scoring
            if let retention { settings.retentionDays = retention.days }
            for check in checks { settings.checks[check.name] = check.mode }
            if noScrub { settings.scrubbing = [] }
            for rule in try ProjectCommand.rules(scrub) where !settings.scrubbing.contains(rule) { settings.scrubbing.append(rule) }
            do { _ = try Scrubber(settings.scrubbing, key: nil) } catch { throw Complaint(error.message) }
        }
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make a project with a public and a secret key.")

        @Argument(help: "The project's name.") var name: String
        @OptionGroup var settings: Settings
        @OptionGroup var data: DataOptions

        func run() async throws {
            let name = name
            guard (1...200).contains(name.count), name.unicodeScalars.allSatisfy({ $0.properties.generalCategory != .control }) else {
                throw Complaint("A project's name has 1 to 200 characters, none of them a control character.")
            }
            var settings = Project.Settings()
            try self.settings.apply(to: &settings)
            try await data.folder.withStore(creating: true) { [settings] store in
                let project: Project
                do {
                    project = try await store.createProject(named: name, settings: settings)
                } catch ControlFailure.nameTaken {
                    throw Complaint(
                        "There is a project \(name) already: choose another name, or change that one with `parley project set`.")
                }
                let keys = try await ProjectKeys.issue(for: project, in: store, now: WallClock.system.now())
                try await store.note("project.create", in: project.number, subject: project.id) { $0.field("name", project.name) }
                if data.json {
                    try Console.json { json in
                        json.object { json in
                            json.key("project")
                            json.object {
                                $0.field("id", project.id); $0.field("name", project.name)
                            }
                            json.field("publicKey", keys.publicKey)
                            json.field("secretKey", keys.secretKey)
                        }
                    }
                    return
                }
                try Console.line(
                    """
                    Project \(project.name) (\(project.id))

                      Public key  \(keys.publicKey)  (for pages; anyone may see it)
                      Secret key  \(keys.secretKey)
                                  (for backends; it is shown this once and can't be read back: keep it now)

                    In your page:
                      \(PageSnippet(url: data.folder.servingAt, key: keys.publicKey).text)
                    """)
                if settings.origins.isEmpty {
                    try Console.line(
                        "\nNo page may use the public key yet. Allow yours: parley project set \(name) --origin https://shop.example")
                }
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the projects.")

        @OptionGroup var data: DataOptions

        func run() async throws {
            try await data.folder.withStore { store in
                let projects = try await store.projects().sorted { $0.name < $1.name }
                if data.json {
                    try Console.json { json in
                        json.object {
                            $0.key("projects"); $0.array(projects) { $0.project($1) }
                        }
                    }
                    return
                }
                guard !projects.isEmpty else { return try Console.line("No projects yet: make one with `parley project create NAME`.") }
                var table = Table("NAME", "ID", "ORIGINS")
                for project in projects { table.add(project.name, project.id, project.settings.origins.joined(separator: " ")) }
                try table.write()
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a project's settings.")

        @Argument(help: "The project, by name or ID.") var name: String
        @OptionGroup var data: DataOptions

        func run() async throws {
            try await data.folder.withStore { store in
                let project = try await ProjectChoice(store).project(name)
                if data.json { try Console.json { $0.project(project) } } else { try ProjectCommand.show(project) }
            }
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take a project away: its keys, and all that was recorded in it.",
            discussion: "There is no way back but a backup. A running server refuses its keys within a second.")

        @Argument(help: "The project, by name or ID.") var name: String
        @Flag(help: "Do it; without this nothing is taken away.") var yes = false
        @OptionGroup var data: DataOptions

        func run() async throws {
            try await data.folder.withStore { store in
                let project = try await ProjectChoice(store).project(name)
                guard yes else {
                    throw Complaint("This would take \(project.name) away with all its conversations and keys. Say --yes to do it.")
                }
                try await store.deleteProject(project.number)
                try await store.note("project.delete", subject: project.id) { $0.field("name", project.name) }
                if data.json {
                    try Console.json { $0.object { $0.field("deleted", project.name) } }
                } else {
                    try Console.line("\(project.name) is gone.")
                }
            }
        }
    }

    struct Set: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Change a project's settings.",
            discussion: "A running server takes the change over within a second.")

        @Argument(help: "The project, by name or ID.") var name: String
        @OptionGroup var settings: Settings
        @Option(help: ArgumentHelp("An origin to take off the list; may be repeated.", valueName: "url"))
        var removeOrigin: [String] = []
        @Flag(help: "Forget the present origins; only those given here stay.")
        var replaceOrigins = false
        @OptionGroup var data: DataOptions

        func run() async throws {
            try await data.folder.withStore { store in
                var project = try await ProjectChoice(store).project(name)
                if replaceOrigins { project.settings.origins = [] }
                for origin in removeOrigin {
                    guard project.settings.origins.contains(origin) else {
                        throw Complaint(
                            "\(origin.forTerminal()) is not on the list of \(project.name): see `parley project show \(project.name)`.")
                    }
                    project.settings.origins.removeAll { $0 == origin }
                }
                try settings.apply(to: &project.settings)
                try await store.update(project)
                let changed = project
                try await store.note("project.change", in: changed.number, subject: changed.id) { $0.members(of: changed) }
                if data.json { try Console.json { $0.project(changed) } } else { try ProjectCommand.show(changed) }
            }
        }
    }

    /// Reads rules as the command line has them.
    static func rules(_ texts: [String]) throws -> [ScrubbingRule] {
        var rules: [ScrubbingRule] = []
        for text in texts {
            do { rules.append(try ScrubbingRule(text: text)) } catch { throw Complaint("\(text.forTerminal()): \(error.message)") }
        }
        return rules
    }

    private static func show(_ project: Project) throws {
        let settings = project.settings
        let quotas = Project.Quotas.all.compactMap { owner, unit in
            settings.quotas[owner, unit].map {
                "\($0.perSecond.plain) \(unit.rawValue)/s, burst \($0.burst.plain), for each \(owner.rawValue)"
            }
        }
        try Console.line(
            """
            \(project.name) (\(project.id))
              Origins          \(settings.origins.isEmpty ? "none: no page may use the public key" : settings.origins.joined(separator: " "))
              Missing origin   \(settings.allowsMissingOrigin ? "allowed" : "refused")
              Null origin      \(settings.allowsNullOrigin ? "allowed" : "refused")
              Quotas           \(quotas.isEmpty ? "none: keys may send what they like" : quotas.joined(separator: "\n                   "))
              Inactive after   \(settings.inactiveAfterSeconds.plain) s
              Scoring          \(settings.scoring.rawValue)
              Retention        \(settings.retentionDays.map { "\($0) days" } ?? "none: everything is kept")
              Checks           \(Project.Checks.Name.allCases.map { "\($0.rawValue) \(settings.checks[$0].rawValue)" }.joined(separator: ", "))
              Scrubbing        \(settings.scrubbing.isEmpty ? "none: texts are stored as they are sent" : settings.scrubbing.map { $0.text.forTerminal(limit: 200) }.joined(separator: "\n                   "))
            """)
    }
}

extension Project.Scoring: ExpressibleByArgument {}

/// A check and its mode, like `origin=dry_run`.
struct CheckArgument: ExpressibleByArgument {
    var name: Project.Checks.Name
    var mode: Project.CheckMode

    init?(argument: String) {
        let parts = argument.split(separator: "=", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, let name = Project.Checks.Name(rawValue: parts[0]), let mode = Project.CheckMode(rawValue: parts[1]) else {
            return nil
        }
        (self.name, self.mode) = (name, mode)
    }
}

/// A number of days, like `90d`, or `none`.
struct RetentionArgument: ExpressibleByArgument {
    var days: Int?

    init?(argument: String) {
        if argument == "none" { return }
        guard argument.last == "d", let days = Int(argument.dropLast()), (1...36500).contains(days) else { return nil }
        self.days = days
    }
}

extension Double {
    /// Without `.0` where it is whole.
    fileprivate var plain: String { self == rounded() ? String(Int64(self)) : "\(self)" }
}

extension JSONWriter {
    fileprivate mutating func project(_ project: Project) { object { $0.members(of: project) } }

    fileprivate mutating func members(of project: Project) {
        let settings = project.settings
        field("id", project.id)
        field("name", project.name)
        field("origins", settings.origins)
        field("allowMissingOrigin", settings.allowsMissingOrigin)
        field("allowNullOrigin", settings.allowsNullOrigin)
        members(of: settings.quotas)
        field("inactiveAfterSeconds", settings.inactiveAfterSeconds)
        field("scoring", settings.scoring.rawValue)
        field(orNull: "retentionDays", settings.retentionDays.map(Int64.init))
        key("checks")
        object { for name in Project.Checks.Name.allCases { $0.field(name.rawValue, settings.checks[name].rawValue) } }
        key("scrubbing")
        array(settings.scrubbing) { $0.value($1) }
    }
}
