import ArgumentParser
import Events
import Keys

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// `parley identity`: what backends sign the proofs of their users with.
struct IdentityCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "identity", abstract: "Make, list and revoke what proofs of users are signed with.",
        discussion: """
            A page's `user` is what the page says. To prove it, your backend signs a short-lived JWT (sub: the user's ID, aud: the \
            project's ID or name, exp: at most an hour away; thread, if it is for one conversation only) and the page hands it over: \
            parley.identify({id}, {token: () => fetch("/chat-token").then(r => r.text())}).

            Then say how much the check has to say: parley project set NAME --check identity=dry_run, and later identity=enforce. \
            Two keys may be live at once, so that one can replace the other.
            """,
        subcommands: [Create.self, Add.self, List.self, Revoke.self, Check.self])

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a signing secret (HS256); it is shown once.",
            discussion: "It is kept sealed: without the installation's sealing key nobody reads it out of the database.")

        @Argument(help: "The project, by name or ID.") var name: String
        @OptionGroup var data: DataOptions

        func run() async throws {
            var random = SystemRandomNumberGenerator()
            // 256 bits, as many as the hash has (RFC 7518, section 3.2).
            let secret = (0..<64).map { _ in String(UInt8.random(in: 0..<16, using: &random), radix: 16) }.joined()
            let key = try await IdentityCommand.keep(.hs256, secret: secret, pem: nil, in: name, data)
            if data.json {
                return try Console.json {
                    $0.object {
                        $0.field("id", key.id); $0.field("algorithm", key.algorithm.rawValue); $0.field("secret", secret)
                    }
                }
            }
            try Console.line(secret)
            Console.note("This is \(key.id). Sign with HS256 and these 64 letters as they are; they are shown this once: keep them now.")
        }
    }

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Add a public key: your backend keeps the private one to itself.",
            discussion: "A P-256 key is for ES256, an Ed25519 key for EdDSA. `openssl ec -in private.pem -pubout` prints it.")

        @Argument(help: "The project, by name or ID.") var name: String
        @Option(help: ArgumentHelp("The file of the public key, in PEM.", valueName: "file")) var publicKey: String
        @OptionGroup var data: DataOptions

        func run() async throws {
            guard let contents = FileManager.default.contents(atPath: publicKey) else {
                throw Complaint("\(publicKey) can't be read: check its name and its rights.")
            }
            let pem = String(decoding: contents, as: UTF8.self)
            guard !pem.contains("PRIVATE") else {
                throw Complaint("\(publicKey) has a private key, which belongs to your backend alone. Add its public half.")
            }
            var fitting: Project.IdentityKey.Algorithm?
            for algorithm in [Project.IdentityKey.Algorithm.es256, .edDSA] where fitting == nil {
                let key = Project.IdentityKey(id: "", algorithm: algorithm, pem: pem, createdAt: WallClock.system.now())
                if (try? await Project.IdentityKey.check(key, secret: nil)) != nil { fitting = algorithm }
            }
            guard let fitting else { throw Complaint("\(publicKey) is no public key in PEM of the curve P-256 or Ed25519.") }
            let key = try await IdentityCommand.keep(fitting, secret: nil, pem: pem, in: name, data)
            if data.json {
                return try Console.json {
                    $0.object {
                        $0.field("id", key.id); $0.field("algorithm", key.algorithm.rawValue)
                    }
                }
            }
            try Console.line("\(key.id) (\(key.algorithm.rawValue))")
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List a project's keys.")

        @Argument(help: "The project, by name or ID.") var name: String
        @OptionGroup var data: DataOptions

        func run() async throws {
            try await data.folder.withStore { store in
                let keys = try await ProjectChoice(store).project(name).settings.identityKeys
                if data.json {
                    return try Console.json { json in
                        json.object { json in
                            json.key("keys")
                            json.array(keys) { json, key in
                                json.object {
                                    $0.field("id", key.id); $0.field("algorithm", key.algorithm.rawValue)
                                    $0.field("createdAt", key.createdAt)
                                }
                            }
                        }
                    }
                }
                guard !keys.isEmpty else { return try Console.line("None yet: make one with `parley identity create \(name)`.") }
                var table = Table("ID", "ALGORITHM", "MADE")
                for key in keys { table.add(key.id, key.algorithm.rawValue, key.createdAt.description) }
                try table.write()
            }
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take a key away; tokens signed with it prove nobody within a second.")

        @Argument(help: "The project, by name or ID.") var name: String
        @Argument(help: "The key: idk_…") var id: String
        @OptionGroup var data: DataOptions

        func run() async throws {
            try await data.folder.withStore { store in
                var project = try await ProjectChoice(store).project(name)
                guard project.settings.identityKeys.contains(where: { $0.id == id }) else {
                    throw Complaint("\(project.name) has no identity key \(id.forTerminal()): see `parley identity list \(name)`.")
                }
                project.settings.identityKeys.removeAll { $0.id == id }
                try await store.update(project)
                try await store.note("identity.revoke", in: project.number, subject: id)
                if data.json { try Console.json { $0.object { $0.field("revoked", id) } } } else { try Console.line("\(id) is revoked.") }
            }
        }
    }

    struct Check: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say whom a token proves, or why it proves nobody.",
            discussion:
                "The token is read from standard input, so that it stays out of your shell's history. It ends with 1 where it proves nobody."
        )

        @Argument(help: "The project, by name or ID.") var name: String
        @OptionGroup var data: DataOptions

        func run() async throws {
            let token = (readLine(strippingNewline: true) ?? "").filter { !$0.isWhitespace }
            guard !token.isEmpty else { throw Complaint("Nothing came on standard input: echo TOKEN | parley identity check \(name)") }
            let sealer = try data.folder.sealer()
            try await data.folder.withStore { store in
                var project = try await ProjectChoice(store).project(name)
                project.settings.checks[.identity] = .enforce
                let proof = await KeyRing.proof(of: token, in: project, sealer: sealer, at: WallClock.system.now())
                switch proof {
                case .user(let user):
                    if data.json {
                        return try Console.json {
                            $0.object {
                                $0.field("user", user.id); $0.field(orNull: "thread", user.thread); $0.field("until", user.expiresAt)
                            }
                        }
                    }
                    try Console.line(
                        "It proves the user \(user.id.forTerminal())\(user.thread.map { " in the thread \($0.forTerminal())" } ?? ""), until \(user.expiresAt)."
                    )
                case .failed(let refusal): throw Complaint("It proves nobody: \(refusal.message)")
                case .none: throw Complaint("It proves nobody.")
                }
            }
        }
    }

    private static func keep(
        _ algorithm: Project.IdentityKey.Algorithm, secret: String?, pem: String?, in name: String, _ data: DataOptions
    ) async throws -> Project.IdentityKey {
        let id = "idk_" + String(UInt64.random(in: 1 << 60 ... .max), radix: 36)
        let sealer = try data.folder.sealer()
        let key = Project.IdentityKey(
            id: id, algorithm: algorithm, sealed: secret.flatMap { sealer.seal($0, for: id) }, pem: pem, createdAt: WallClock.system.now())
        try await Project.IdentityKey.check(key, secret: secret)
        try await data.folder.withStore { store in
            var project = try await ProjectChoice(store).project(name)
            guard project.settings.identityKeys.count < Project.IdentityKey.most else {
                throw Complaint(
                    "\(project.name) has \(Project.IdentityKey.most) identity keys: revoke the older one first (`parley identity list \(name)`)."
                )
            }
            project.settings.identityKeys.append(key)
            try await store.update(project)
            try await store.note("identity.add", in: project.number, subject: id) { $0.field("algorithm", algorithm.rawValue) }
        }
        return key
    }
}
