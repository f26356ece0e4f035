import ArgumentParser
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
        commandName: "review", abstract: "Let people in to the review page.", subcommands: [Link.self])

    struct Link: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make a sign-in link: it works once, within 24 hours.")

        @Option(
            help: ArgumentHelp("The server's address (PARLEY_URL; default: where the server on this folder listens).", valueName: "url"))
        var url: String?
        @OptionGroup var data: DataOptions

        func run() async throws {
            let now = WallClock.system.now()
            try await data.folder.withStore { store in
                let link = try await ReviewLink.make(at: ServerURL.choose(url, data.folder), store: store, now: now)
                if data.json {
                    try Console.json { json in
                        json.object {
                            $0.field("url", link); $0.field("expiresAt", now.advanced(bySeconds: ReviewLink.lifetime))
                        }
                    }
                } else {
                    try Console.line(link)
                }
            }
        }
    }
}

/// A link that signs a reviewer in, once.
enum ReviewLink {
    /// A day: long enough to be sent to a colleague, short enough to be forgotten in a chat.
    static let lifetime = 24.0 * 3600

    static func make(at url: String, store: some ControlStore, now: Timestamp) async throws -> String {
        let token = Ticket()
        try await store.insertSignIn(token.digest, expiresAt: now.advanced(bySeconds: lifetime))
        return token.link(at: url)
    }
}

/// Where a command finds the server.
enum ServerURL {
    static func choose(_ url: String?, _ folder: DataFolder) -> String {
        let url = url ?? ProcessInfo.processInfo.environment["PARLEY_URL"] ?? folder.servingAt
        return url.hasSuffix("/") ? String(url.dropLast()) : url
    }
}
