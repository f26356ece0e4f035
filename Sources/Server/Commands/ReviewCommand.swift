import ArgumentParser
import Conversations
import Events
import Review

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// `parley review`: lets people in to the review page.
struct ReviewCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "review", abstract: "Let people in to the review page.", subcommands: [Link.self, List.self, Remove.self])

    struct Link: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a sign-in link: it works once, within 24 hours.",
            discussion: """
                The link is for the person of --name, who is made where there is nobody of that name yet: with --role reader (reads and \
                exports), reviewer (judges too) or admin (sets up too), and for all projects unless --project names some. Without --name it \
                is for the admin of the installation.
                """)

        @Option(help: "Whose link it is.") var name = ReviewLink.admin
        @Option(help: "reader, reviewer or admin; for somebody new, or to change it (default: admin for the admin, else reviewer).")
        var role: Member.Role?
        @Option(help: ArgumentHelp("A project they see; may be repeated. Without any: all.", valueName: "name"))
        var project: [String] = []
        @Option(
            help: ArgumentHelp("The server's address (PARLEY_URL; default: where the server on this folder listens).", valueName: "url"))
        var url: String?
        @OptionGroup var data: DataOptions

        func run() async throws {
            let now = WallClock.system.now()
            try await data.folder.withStore { store in
                let projects = try await store.projects()
                let seen = try project.map { wanted in
                    guard let found = projects.first(where: { $0.name == wanted || $0.id == wanted }) else {
                        throw Complaint("There is no project \(wanted.forTerminal()): see `parley project list`.")
                    }
                    return found.id
                }
                let member = try await ReviewLink.member(
                    named: name, role: role, projects: seen.isEmpty ? nil : seen, in: store, now: now)
                let link = try await ReviewLink.make(for: member, at: ServerURL.choose(url, data.folder), store: store, now: now)
                if data.json {
                    try Console.json { json in
                        json.object {
                            $0.field("url", link.url); $0.field("expiresAt", link.expiresAt)
                            $0.field("name", member.name); $0.field("role", member.role.rawValue)
                        }
                    }
                } else {
                    try Console.line(link.url)
                }
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List who may sign in.")

        @OptionGroup var data: DataOptions

        func run() async throws {
            try await data.folder.withStore { store in
                let members = try await store.members()
                let projects = try await store.projects()
                let names = Dictionary(projects.map { ($0.id, $0.name) }, uniquingKeysWith: { first, _ in first })
                if data.json {
                    return try Console.json { json in
                        json.object { json in
                            json.key("members")
                            json.array(members) { json, member in
                                json.object { json in
                                    json.field("id", member.id)
                                    json.field("name", member.name)
                                    json.field("role", member.role.rawValue)
                                    json.key("projects")
                                    if let projects = member.projects { json.array(projects) { $0.value($1) } } else { json.null() }
                                    json.field(orNull: "lastSeenAt", member.lastSeenAt)
                                }
                            }
                        }
                    }
                }
                guard !members.isEmpty else { return try Console.line("Nobody yet: `parley review link` lets the admin in.") }
                var table = Table("NAME", "ROLE", "PROJECTS", "LAST SEEN")
                for member in members {
                    table.add(
                        member.name.forTerminal(limit: 80), member.role.rawValue,
                        member.projects?.map { names[$0] ?? $0 }.joined(separator: " ").forTerminal(limit: 80) ?? "all",
                        member.lastSeenAt?.description ?? "never")
                }
                try table.write()
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Take somebody away; their sessions end at once.")

        @Argument(help: "Their name.") var name: String
        @OptionGroup var data: DataOptions

        func run() async throws {
            try await data.folder.withStore { store in
                guard let member = try await store.members().first(where: { $0.name.lowercased() == name.lowercased() }) else {
                    throw Complaint("There is nobody called \(name.forTerminal()): see `parley review list`.")
                }
                _ = try await store.removeMember(member.id)
                try await store.note("member.remove", subject: member.id) { $0.field("name", member.name) }
                try Console.line("\(member.name) is gone; what they said of conversations stays.")
            }
        }
    }
}

extension Member.Role: ExpressibleByArgument {}

/// A link that signs somebody in, once.
enum ReviewLink {
    /// The member that an installation begins with.
    static let admin = "admin"

    /// Somebody of that name, made or changed as said.
    static func member(
        named name: String, role: Member.Role? = nil, projects: [String]? = nil, in store: some MemberStore & ReviewStore, now: Timestamp
    ) async throws -> Member {
        if var member = try await store.members().first(where: { $0.name.lowercased() == name.lowercased() }) {
            guard role != nil || projects != nil else { return member }
            member.role = role ?? member.role
            member.projects = projects ?? member.projects
            try await store.update(member)
            let changed = member
            try await store.note("member.change", subject: changed.id) {
                $0.field("name", changed.name); $0.field("role", changed.role.rawValue)
            }
            return member
        }
        let member = Member(new: name, role: role ?? (name == admin ? .admin : .reviewer), projects: projects, at: now)
        try await store.insert(member)
        try await store.note("member.add", subject: member.id) {
            $0.field("name", member.name); $0.field("role", member.role.rawValue)
        }
        return member
    }

    static func make(
        for member: Member, at url: String, store: some MemberStore & ReviewStore, now: Timestamp
    ) async throws -> (url: String, expiresAt: Timestamp) {
        let (ticket, expiresAt) = try await SignInLink.make(for: member.id, in: store, now: now)
        try await store.note("member.link", subject: member.id)
        return (ticket.link(at: url), expiresAt)
    }
}

/// Where a command finds the server.
enum ServerURL {
    static func choose(_ url: String?, _ folder: DataFolder) -> String {
        let url = url ?? ProcessInfo.processInfo.environment["PARLEY_URL"] ?? folder.servingAt
        return url.hasSuffix("/") ? String(url.dropLast()) : url
    }
}
