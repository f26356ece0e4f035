import ArgumentParser
import Conversations
import Events
import Keys
import Logging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif
#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What every command takes: which data folder, and whether a program reads the answer.
struct DataOptions: ParsableArguments {
    @Option(name: .customLong("data"), help: ArgumentHelp("The data folder (PARLEY_DATA; default: ./parley-data).", valueName: "dir"))
    var path: String?

    @Option(
        help: ArgumentHelp(
            "A PostgreSQL that several servers share, like postgresql://parley@db.example/parley?sslmode=verify-full (PARLEY_STORE; default: a file in the data folder).",
            valueName: "url"))
    var store: String?

    @Flag(help: "Answer in JSON.")
    var json = false

    var folder: DataFolder {
        let environment = ProcessInfo.processInfo.environment
        return DataFolder(
            path: path ?? environment["PARLEY_DATA"] ?? ServerConfiguration.defaultData,
            database: DataFolder.address(store ?? environment["PARLEY_STORE"]))
    }
}

/// The folder with all that an installation keeps: the database, the demo's keys, where the server listens.
struct DataFolder: Sendable {
    var path: String
    /// The connection string of the database that is used instead of a file here; it may hold a password.
    var database: String?

    /// The database's address without users and passwords.
    var shownDatabase: String? {
        database.map { text in
            guard text.contains("://") else { return "a connection string of \(text.utf8.count) bytes" }
            let host = text.split(separator: "@", omittingEmptySubsequences: false).last ?? ""
            return "postgresql://" + host.prefix { $0 != "?" }
        }
    }

    /// A connection string as it was given; an empty one is none.
    static func address(_ text: String?) -> String? { text.flatMap { $0.isEmpty ? nil : $0 } }

    /// Where the server that runs here, or ran here last, listens; a default for links and checks, nothing more.
    private var servingFile: String { path + "/serving.json" }
    static let demoName = "demo.json"
    static let sealingKeyName = "sealing.key"
    var spoolFile: String { path + "/spool.sqlite" }
    var demoFile: String { path + "/" + Self.demoName }
    private var sealingKeyFile: String { path + "/" + Self.sealingKeyName }

    /// Whether there is a database: a mistyped folder must not become a new, empty one.
    var exists: Bool { FileManager.default.fileExists(atPath: path + "/parley.sqlite") }

    func requireData() throws {
        try requireStay()
        guard database != nil || exists else {
            throw Complaint(
                "There is no Parley data in \(path): name its folder with --data, or begin with `parley project create` or `parley serve`.")
        }
    }

    /// Where the data went that was here (`parley migrate`): the database's address, without users and passwords.
    private var movedFile: String { path + "/moved.json" }

    func noteMove(at time: Timestamp) throws {
        var writer = JSONWriter()
        writer.object {
            $0.field("to", shownDatabase ?? "")
            $0.field("at", time)
        }
        writer.endLine()
        try write(writer.bytes, to: movedFile)
    }

    /// What was moved to a database is not written to here any more: two places would then hold a part each.
    private func requireStay() throws {
        guard database == nil, let data = FileManager.default.contents(atPath: movedFile) else { return }
        let to = (try? JSONDocument.read(data) { $0["to"]?.string }) ?? "a database"
        throw Complaint(
            "The data of \(path) was moved to \(to.forTerminal(limit: 200)): name that with --store, or PARLEY_STORE. To work on what is left here all the same, remove \(movedFile)."
        )
    }

    /// For what is about the file alone.
    func requireFile(for what: String) throws {
        guard database == nil else {
            throw Complaint(
                "`parley \(what)` is for the file in a data folder. Of PostgreSQL, pg_dump or pg_basebackup make a copy; keep sealing.key, or PARLEY_SEALING_KEY, with it."
            )
        }
    }

    /// Makes the folder, where it is not there, for its owner alone.
    func make() throws {
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw Complaint("The data folder \(path) can't be made: choose another with --data, or mend its rights.")
        }
    }

    /// A server's claim on the folder: several may work on it, but not beside a restore.
    func serve() throws -> Lease {
        try make()
        try requireStay()
        guard let lease = try Lease(of: path, isShared: true) else {
            throw Complaint("\(path) is being restored, or moved by `parley migrate`: start again when that is done.")
        }
        return lease
    }

    /// Opens the store for one command's work.
    /// - Parameter creating: whether a folder that is not there is made.
    func withStore<Result>(creating: Bool = false, _ work: (any OpenStore) async throws -> Result) async throws -> Result {
        if !creating { try requireData() }
        var logger = Logger(label: "parley") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .error
        let store = try await Assembly.openStore(in: self, logger: logger)
        let result: Result
        do {
            result = try await work(store)
        } catch {
            try? store.close()
            throw error
        }
        try store.close()
        return result
    }

    /// Writes a file that only its owner may read, whole or not at all.
    func write(_ bytes: [UInt8], to file: String) throws {
        let draft = file + ".new"
        try? FileManager.default.removeItem(atPath: draft)
        guard FileManager.default.createFile(atPath: draft, contents: Data(bytes), attributes: [.posixPermissions: 0o600]) else {
            throw Complaint("\(file) can't be written: mend the rights of the folder or free some space.")
        }
        guard rename(draft, file) == 0 else { throw Complaint("\(file) can't be replaced: mend its rights or the folder's.") }
    }

    /// The key that other keys' texts are sealed with: out of the environment (`PARLEY_SEALING_KEY`, 64 hex digits), else of a file
    /// beside the database, which is made the first time. Whoever copies the database alone can't open what is sealed in it.
    func sealer() throws -> Sealer {
        if Self.hasSealingKeyInEnvironment, let text = ProcessInfo.processInfo.environment["PARLEY_SEALING_KEY"] {
            guard let key = Self.bytes(ofHex: text), let sealer = Sealer(key: key) else {
                throw Complaint("PARLEY_SEALING_KEY must be 64 hex digits, as `openssl rand -hex 32` prints them.")
            }
            return sealer
        }
        let file = sealingKeyFile
        if let data = FileManager.default.contents(atPath: file) {
            let text = String(decoding: data, as: UTF8.self).filter { !$0.isWhitespace }
            guard let key = Self.bytes(ofHex: text), let sealer = Sealer(key: key) else {
                throw Complaint(
                    "\(file) must hold 64 hex digits; restore it from a backup, or remove it and what was sealed with it is lost.")
            }
            return sealer
        }
        try make()
        var random = SystemRandomNumberGenerator()
        let key = (0..<Sealer.keyLength).map { _ in UInt8.random(in: .min ... .max, using: &random) }
        try write(Array((key.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + "\n").utf8), to: file)
        guard let sealer = Sealer(key: key) else { throw Complaint("No sealing key could be made.") }
        return sealer
    }

    var hasSealingKeyFile: Bool { FileManager.default.fileExists(atPath: sealingKeyFile) }
    static var hasSealingKeyInEnvironment: Bool { ProcessInfo.processInfo.environment["PARLEY_SEALING_KEY"].map { !$0.isEmpty } ?? false }

    private static func bytes(ofHex text: String) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let byte = UInt8(String(decoding: digits[index...index + 1], as: UTF8.self), radix: 16) else { return nil }
            bytes.append(byte)
        }
        return bytes
    }

    func noteServing(at url: String) throws {
        var writer = JSONWriter()
        writer.object { $0.field("url", url) }
        try write(writer.bytes, to: servingFile)
    }

    /// The address of the server, as it said itself; the default where none ever ran.
    var servingAt: String {
        guard let data = FileManager.default.contents(atPath: servingFile),
            let url = try? JSONDocument.read(data, { $0["url"]?.string })
        else { return "http://127.0.0.1:8787" }
        return url
    }
}
