import ArgumentParser
import Events

/// `parley backup`: copies a data folder while a server runs on it, or looks a copy over.
struct BackupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup", abstract: "Copy all data to a folder, while the server runs.",
        discussion: """
            The folder holds the database as it stood at one moment after the start, sealing.key, the demo's keys, and a manifest with \
            the rows and the SHA-256 of each file. It has its name only once it is whole and was looked over; what a backup that was cut off \
            leaves is called NAME.part and may be deleted. Keep it as safe as the data itself: texts are in it in the clear. \
            `parley restore` makes a data folder of it.
            """)

    @Argument(help: "The folder to make; nothing may be there yet. With --verify, the backup to look over.") var destination: String
    @Flag(help: "Make nothing: compare a backup with its manifest, and look through its database.") var verify = false
    @Flag(help: "Leave sealing.key out: who finds the backup can't open what is sealed. Keep the key elsewhere; a restore needs it.")
    var withoutSealingKey = false
    @OptionGroup var data: DataOptions

    func run() async throws {
        if verify {
            let manifest = try Backup(path: trimmed).verify()
            return try tell(manifest, "\(trimmed) is whole")
        }
        let folder = data.folder
        try folder.requireFile(for: "backup")
        try folder.requireData()
        let now = WallClock.system.now()
        let (backup, manifest): (Backup, Backup.Manifest)
        do {
            defer { Console.endProgress() }
            (backup, manifest) = try Backup.make(of: folder, at: trimmed, includesSealingKey: !withoutSealingKey, now: now) { done, total in
                Console.progress("\(done >> 20) of \(total >> 20) MB…")
                if done == total { Console.progress("Looking it over…") }
            }
        }
        // An older database must not be migrated by its backup.
        if manifest.schema == Assembly.databaseSchema {
            try await folder.withStore { store in
                try await store.note("backup") {
                    $0.field("events", manifest.counts["event"] ?? 0); $0.field("withSealingKey", manifest.hasSealingKey)
                }
            }
        }
        try tell(manifest, "Backed up to \(backup.path)")
        guard !manifest.hasSealingKey, !data.json else { return }
        if folder.hasSealingKeyFile {
            Console.note("sealing.key is not in it: keep it elsewhere, a restore needs it.")
        } else if DataFolder.hasSealingKeyInEnvironment {
            Console.note("PARLEY_SEALING_KEY is not in it: keep it elsewhere, a restore needs it.")
        }
    }

    /// Without the slash that a shell puts behind the name of a folder.
    private var trimmed: String {
        var path = destination
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        return path
    }

    private func tell(_ manifest: Backup.Manifest, _ sentence: String) throws {
        if data.json { return try Console.json { $0.object(manifest.write) } }
        try Console.line("\(sentence): \(manifest.summary).")
    }
}

/// `parley restore`: makes a data folder of a backup.
struct RestoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Make a data folder of a backup.",
        discussion: """
            The backup is compared with its manifest first, then what was written is. A folder that holds data, or that a server is at work on, \
            is left alone. Everything is as it was when the backup was made: keys that were revoked since work again, and what was erased since \
            is back; `parley audit` of the folder before, where it is still there, says what that was. Sessions and sign-in links of the \
            review page are ended.
            """)

    @Argument(help: "The folder that `parley backup` made.") var backup: String
    @OptionGroup var data: DataOptions

    func run() async throws {
        let folder = data.folder
        try folder.requireFile(for: "restore")
        let manifest: Backup.Manifest
        do {
            defer { Console.endProgress() }
            manifest = try Backup(path: backup).restore(to: folder) { done, total in Console.progress("\(done >> 20) of \(total >> 20) MB…")
            }
        }
        try await folder.withStore { store in
            try await store.endAllSessions()
            try await store.note("restore") {
                $0.field("madeAt", manifest.madeAt); $0.field("events", manifest.counts["event"] ?? 0)
            }
        }
        if data.json { return try Console.json { $0.object(manifest.write) } }
        try Console.line("Restored to \(folder.path): \(manifest.summary), as of \(manifest.madeAt).")
        if !manifest.hasSealingKey {
            Console.note(
                "sealing.key was not in the backup: put it into \(folder.path), or set PARLEY_SEALING_KEY, before the server starts.")
        }
    }
}

extension Backup.Manifest {
    fileprivate var summary: String {
        let megabytes = files.reduce(0) { $0 + $1.bytes } >> 20
        func count(_ name: String) -> Int { counts[name] ?? 0 }
        return "\(count("project")) projects, \(count("thread")) conversations, \(count("event")) events, \(megabytes) MB, schema \(schema)"
    }
}
