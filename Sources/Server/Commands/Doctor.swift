import ArgumentParser
import Conversations
import Events
import Keys

#if canImport(FoundationNetworking)
import Foundation
import FoundationNetworking
#else
import Foundation
#endif

/// `parley doctor`: looks a set-up over and says what is wrong and what to do.
struct Doctor: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check a set-up, and say what is wrong.",
        discussion: "Ends with 1 when something is broken; what is only worth a look is marked `note`.")

    @Option(help: ArgumentHelp("The server's address (PARLEY_URL; default: where the server on this folder listens).", valueName: "url"))
    var url: String?
    @OptionGroup var data: DataOptions

    func run() async throws {
        var findings: [Finding] = []
        findings += await store()
        findings += await server(at: ServerURL.choose(url, data.folder))
        if data.json {
            try Console.json { json in
                json.object { json in
                    json.field("ok", !findings.contains { $0.state == .broken })
                    json.key("checks")
                    json.array(findings) { json, finding in
                        json.object { json in
                            json.field("check", finding.check)
                            json.field("state", finding.state.rawValue)
                            json.field("detail", finding.detail)
                            json.field(ifPresent: "remedy", finding.remedy)
                        }
                    }
                }
            }
        } else {
            for finding in findings {
                try Console.line(
                    "\(finding.state.mark)  \(finding.check)\(finding.detail.isEmpty ? "" : ": \(finding.detail.forTerminal(limit: 300))")")
                if let remedy = finding.remedy { try Console.line("         \(remedy)") }
            }
            let broken = findings.count { $0.state == .broken }
            try Console.line(broken == 0 ? "\nAll is well." : "\n\(broken) of \(findings.count) checks failed.")
        }
        if findings.contains(where: { $0.state == .broken }) { throw ExitCode.failure }
    }

    /// One thing looked at.
    private struct Finding: Sendable {
        enum State: String {
            case fine, note, broken
            var mark: String { ["fine": "ok    ", "note": "note  ", "broken": "BROKEN"][rawValue]! }
        }

        var check: String
        var state: State
        var detail: String
        var remedy: String?

        static func fine(_ check: String, _ detail: String = "") -> Finding { Finding(check: check, state: .fine, detail: detail) }
        static func note(_ check: String, _ detail: String, _ remedy: String) -> Finding {
            Finding(check: check, state: .note, detail: detail, remedy: remedy)
        }
        /// - Parameter remedy: nil where the detail itself says what to do.
        static func broken(_ check: String, _ detail: String, _ remedy: String? = nil) -> Finding {
            Finding(check: check, state: .broken, detail: detail, remedy: remedy)
        }
    }

    // MARK: what rests

    private func store() async -> [Finding] {
        do {
            return try await data.folder.withStore { store in
                let isFile = data.folder.database == nil
                let mend =
                    isFile
                    ? "Stop the server, copy the folder aside, and restore the last backup of parley.sqlite."
                    : "Mend the settings of the database's server; `parley doctor` says when it is well."
                var findings = [Finding.fine(isFile ? "data folder" : "store", isFile ? data.folder.path : "PostgreSQL")]
                for look in try await store.examine() {
                    findings.append(
                        look.isFine
                            ? .fine(look.check, look.detail)
                            : .broken(look.check, look.detail, mend))
                }
                let projects = try await store.projects()
                if projects.isEmpty {
                    findings.append(
                        .note("projects", "there is none", "Make one: parley project create NAME --origin https://shop.example"))
                }
                for project in projects { findings += try await look(at: project, in: store) }
                return findings
            }
        } catch let complaint as Complaint {
            return [.broken(data.folder.database == nil ? "data folder" : "store", complaint.description)]
        } catch  where data.folder.database != nil {
            return [.broken("store", "\(error)", "See that the database runs, and that its server takes connections from here.")]
        } catch {
            return [
                .broken("data folder", "\(error)", "Stop the server, copy the folder aside, and restore the last backup of parley.sqlite.")
            ]
        }
    }

    private func look(at project: Project, in store: any OpenStore) async throws -> [Finding] {
        let name = project.name
        let now = WallClock.system.now()
        var findings: [Finding] = []

        let settings = project.settings
        if settings.origins.isEmpty, !settings.allowsMissingOrigin, !settings.allowsNullOrigin {
            findings.append(
                .note(
                    "\(name): origins", "no page may use its public keys",
                    "Allow yours: parley project set \(name) --origin https://shop.example"))
        } else {
            findings.append(.fine("\(name): origins", settings.origins.joined(separator: " ")))
        }

        let keys = try await store.keys().filter { $0.project == project.number }
        let expired = keys.filter { $0.revokedAt == nil && !$0.isLive(at: now) }
        for lane in Lane.allCases where !keys.contains(where: { $0.lane == lane && $0.isLive(at: now) }) {
            findings.append(
                .note(
                    "\(name): \(lane.rawValue) keys", "none is live",
                    "Make one: parley key create --project \(name) --lane \(lane.rawValue)"))
        }
        if !expired.isEmpty {
            let ids = expired.map(\.id).joined(separator: ", ")
            findings.append(
                .note("\(name): expired keys", ids, "Make new ones with `parley key create`, or revoke these to be rid of this line."))
        }

        let pending = try await store.pendingLinks(in: project.number)
        findings.append(
            pending == 0
                ? .fine("\(name): parents", "every run found its own")
                : .note(
                    "\(name): parents", "\(pending) runs wait for a parent that has not arrived",
                    "If they are old, look whether the page's messages arrive: parley tail --project \(name)"))

        let quarantine = try await store.quarantineCounts(in: project.number).sorted { $0.key.rawValue < $1.key.rawValue }
        findings.append(
            quarantine.isEmpty
                ? .fine("\(name): quarantine", "empty")
                : .note(
                    "\(name): quarantine", quarantine.map { "\($0.key.rawValue) \($0.value)" }.joined(separator: ", "),
                    "See why: parley quarantine list --project \(name); send it in again once mended: parley quarantine replay"))

        // P-LAW-1: received = stored + duplicate + conflict + quarantined + dropped + retry, for each key and minute.
        let rows = try await store.outcomes(in: project.number, from: nil, to: nil)
        let total = rows.reduce(into: Tally()) { $0.add($1.tally) }
        if let broken = rows.first(where: { !$0.tally.holds }) {
            let sum = broken.tally.verdicts.values.reduce(0, +)
            findings.append(
                .broken(
                    "\(name): outcomes add up",
                    "\(broken.key) at \(broken.minute): \(broken.tally.received) received, \(sum) accounted for",
                    "This is a fault of Parley's own: please report it with the server's log of that minute."))
        } else {
            findings.append(.fine("\(name): outcomes add up", "\(total.received) received, \(total.verdicts[.stored] ?? 0) stored"))
        }
        return findings
    }

    // MARK: what runs

    private func server(at url: String) async -> [Finding] {
        var findings: [Finding] = []
        for (path, check, remedy) in [
            ("/healthz", "server answers", "Start it: parley serve --data \(data.folder.path); or name its address with --url."),
            ("/readyz", "server takes traffic", "It is starting, ending, or its store does not answer: see its log."),
        ] {
            switch await Self.answer(of: url + path) {
            case .success((200, let text)):
                findings.append(.fine(check, url))
                if path == "/readyz" { findings += Self.parts(toldIn: text.split(separator: "\n").map(String.init)) }
            case .success((let status, let text)):
                findings.append(.broken(check, "\(url)\(path) answered \(status)", remedy))
                if path == "/readyz" { findings += Self.parts(toldIn: Self.message(ofRefusal: text)) }
            case .failure(let complaint):
                findings.append(.broken(check, "\(url)\(path): \(complaint.description)", remedy))
                return findings
            }
        }
        return findings
    }

    /// What stands behind the server, a line each: `stream: ok, 3 waiting for the store`.
    private static func parts(toldIn lines: [String]) -> [Finding] {
        lines.compactMap { line in
            guard let colon = line.firstIndex(of: ":") else { return nil }
            let (name, state) = (String(line[..<colon]), line[line.index(after: colon)...].drop { $0 == " " })
            let check = "behind the server: \(name)"
            if state.hasPrefix("ok") { return .fine(check, String(state)) }
            return state.contains("not needed")
                ? .note(check, String(state), "Traffic is taken meanwhile; see its log for why it is away.")
                : .broken(check, String(state), "See that it runs and that the server reaches it; the server's log says why it is away.")
        }
    }

    /// The same lines as a 503 has them, in the message of its refusal: `store: ok; stream: away, reconnecting.`
    private static func message(ofRefusal text: String) -> [String] {
        let message = try? JSONDocument.read(Array(text.utf8)) { $0["error"]?["message"]?.string }
        guard var message = message ?? nil else { return [] }
        if message.hasSuffix(".") { message.removeLast() }
        return message.components(separatedBy: "; ")
    }

    private static func answer(of address: String) async -> Result<(Int, String), Complaint> {
        guard let url = URL(string: address), url.host != nil else { return .failure(Complaint("this is no address")) }
        var request = URLRequest(url: url)
        request.timeoutInterval = 5  // a healthy server answers in milliseconds
        do {
            let (body, response) = try await URLSession.shared.data(for: request)
            return .success(((response as? HTTPURLResponse)?.statusCode ?? 0, String(decoding: body, as: UTF8.self)))
        } catch {
            return .failure(Complaint(error.localizedDescription))
        }
    }
}
