import Crypto
import Events

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif
#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A folder with all that a data folder needs to be made again: the database as it stood at one moment, the key that secrets are
/// sealed with, the demo's keys, and a manifest that says what must be in them.
///
/// It has its name only once it is whole and was looked over; until then it is called `NAME.part`.
struct Backup {
    let path: String

    var manifestFile: String { path + "/" + Manifest.name }

    /// What else of a data folder a restore needs; where a server listens is no part of it.
    static let companions = [DataFolder.sealingKeyName, DataFolder.demoName]

    /// What a database holds: the schema it was written by, and its rows, by table.
    struct Contents {
        var schema: Int
        var counts: [String: Int]
    }

    // MARK: making

    /// Backs a data folder up, while servers and commands work on it.
    /// - Parameter includesSealingKey: without it what is sealed can't be read out of the backup, nor after a restore without the key.
    static func make(
        of folder: DataFolder, at path: String, includesSealingKey: Bool, now: Timestamp,
        onStep: (_ done: Int64, _ total: Int64) throws -> Void
    ) throws -> (backup: Backup, manifest: Manifest) {
        guard !Paths.exist(path) else {
            throw Complaint("There is something at \(path) already: a backup never takes its place. Name a folder that is not there.")
        }
        let draft = Backup(path: path + ".part")
        let lease = try draft.begin()
        defer { lease.end() }
        do {
            let database = draft.path + "/" + Assembly.databaseName
            try Paths.makeEmpty(database)
            try Assembly.copyDatabase(of: folder, to: database, onStep: onStep)
            // After the database: a key that was made in between is only one more than is needed.
            for name in companions where includesSealingKey || name != DataFolder.sealingKeyName {
                guard Paths.exist(folder.path + "/" + name) else { continue }
                _ = try Paths.copy(folder.path + "/" + name, to: draft.path + "/" + name)
            }
            let contents = try Assembly.contents(ofDatabase: database, isThorough: true)
            let files = try ([Assembly.databaseName] + companions).filter { Paths.exist(draft.path + "/" + $0) }.map { name in
                let (bytes, digest) = try Paths.digest(draft.path + "/" + name)
                return Manifest.File(name: name, bytes: bytes, sha256: digest)
            }
            let manifest = Manifest(madeAt: now, program: Parley.version, schema: contents.schema, counts: contents.counts, files: files)
            try Paths.write(manifest.bytes, to: draft.manifestFile)
            try Paths.sync(draft.path)
            guard !Paths.exist(path), rename(draft.path, path) == 0 else {
                throw Complaint("\(path) can't take the backup's name: something else has it now. Name another folder.")
            }
            try Paths.sync(Paths.parent(of: path))
            return (Backup(path: path), manifest)
        } catch {
            draft.discard()
            throw error
        }
    }

    /// Makes the folder for a backup under way; what one that was cut off has left there goes.
    private func begin() throws -> Lease {
        if mkdir(path, 0o700) != 0, errno != EEXIST {
            throw Complaint("\(path) can't be made (\(Paths.fault)): name another folder, or mend the rights of the one it is in.")
        }
        guard let lease = try Lease(of: path, isShared: false) else { throw Complaint("Another backup is being written to \(path).") }
        for name in try FileManager.default.contentsOfDirectory(atPath: path) { unlink(path + "/" + name) }
        return lease
    }

    private func discard() {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] { unlink(path + "/" + name) }
        rmdir(path)
    }

    // MARK: looking over

    /// Compares each file with the manifest, byte for byte, and the database's rows with its numbers.
    func verify(isThorough: Bool = true) throws -> Manifest {
        guard Paths.exist(path) else { throw Complaint("There is no backup at \(path).") }
        let manifest = try Manifest(of: self)
        for file in manifest.files {
            guard Paths.exist(path + "/" + file.name) else {
                throw Complaint("\(file.name) is missing in \(path): this backup is not whole.")
            }
            let (bytes, digest) = try Paths.digest(path + "/" + file.name)
            guard bytes == file.bytes, digest == file.sha256 else {
                throw Complaint(
                    "\(path)/\(file.name) is damaged: it is not what the manifest says (\(bytes) bytes, SHA-256 \(digest.prefix(16))…; it was \(file.bytes) bytes, \(file.sha256.prefix(16))…)."
                )
            }
        }
        let contents = try Assembly.contents(ofDatabase: path + "/" + Assembly.databaseName, isThorough: isThorough)
        guard contents.schema == manifest.schema, contents.counts == manifest.counts else {
            throw Complaint("\(manifestFile) is damaged: its numbers are not those of the database beside it.")
        }
        return manifest
    }

    // MARK: restoring

    /// Makes a data folder of it, after it was looked over; answers its manifest. The database gets its name last.
    func restore(to folder: DataFolder, onStep: (_ done: Int64, _ total: Int64) throws -> Void) throws -> Manifest {
        try folder.make()
        guard let lease = try Lease(of: folder.path, isShared: false) else {
            throw Complaint("A server or another restore is at work on \(folder.path): end it first, or restore to another folder.")
        }
        defer { lease.end() }
        let taken = ([Assembly.databaseName] + Assembly.databaseSideNames + Self.companions).filter { Paths.exist(folder.path + "/" + $0) }
        guard taken.isEmpty else {
            throw Complaint(
                "\(folder.path) holds data already (\(taken.joined(separator: ", "))): a restore never takes its place. Move it away, or name another folder with --data."
            )
        }
        let manifest = try verify(isThorough: false)
        guard manifest.schema <= Assembly.databaseSchema else {
            throw Complaint(
                "\(path) was made by a newer Parley (\(manifest.program.forTerminal(limit: 20)), schema \(manifest.schema)): restore it with that one, or a later one."
            )
        }
        func draft(_ name: String) -> String { folder.path + "/" + name + ".part" }
        do {
            for file in manifest.files {
                let (bytes, digest) = try Paths.copy(path + "/" + file.name, to: draft(file.name)) { try onStep($0, file.bytes) }
                // What was read, and what now stands there.
                guard bytes == file.bytes, digest == file.sha256, try Paths.digest(draft(file.name)) == (bytes, digest) else {
                    throw Complaint(
                        "\(file.name) did not arrive in \(folder.path) as it stands in the backup: look at the disk, and try again.")
                }
            }
            let contents = try Assembly.contents(ofDatabase: draft(Assembly.databaseName), isThorough: true)
            guard contents.counts == manifest.counts else {
                throw Complaint("The restored database does not hold what the manifest says: look at the disk, and try again.")
            }
            for file in manifest.files.reversed() where rename(draft(file.name), folder.path + "/" + file.name) != 0 {
                throw Complaint("\(file.name) can't take its place in \(folder.path): \(Paths.fault).")
            }
            try Paths.sync(folder.path)
        } catch {
            for file in manifest.files { unlink(draft(file.name)) }
            throw error
        }
        return manifest
    }
}

// MARK: - what must be in it

extension Backup {
    /// What a backup holds: a JSON object beside its files.
    struct Manifest {
        static let name = "manifest.json"
        /// Grows when an older program would misread a backup.
        static let format = 1

        struct File {
            var name: String
            var bytes: Int64
            var sha256: String
        }

        var madeAt: Timestamp
        /// The version of the program that made it.
        var program: String
        var schema: Int
        /// Rows of the database, by table.
        var counts: [String: Int]
        /// The database first.
        var files: [File]

        var hasSealingKey: Bool { files.contains { $0.name == DataFolder.sealingKeyName } }

        func write(to json: inout JSONWriter) {
            json.field("format", Self.format)
            json.field("madeAt", madeAt)
            json.field("parley", program)
            json.field("schema", schema)
            json.key("counts")
            json.object { json in for (name, count) in counts.sorted(by: { $0.key < $1.key }) { json.field(name, count) } }
            json.key("files")
            json.array(files) { json, file in
                json.object {
                    $0.field("name", file.name); $0.field("bytes", file.bytes); $0.field("sha256", file.sha256)
                }
            }
        }

        var bytes: [UInt8] {
            var writer = JSONWriter()
            writer.object(write)
            writer.endLine()
            return writer.bytes
        }
    }
}

extension Backup.Manifest {
    /// Reads it; only files that a backup may hold are taken from it.
    fileprivate init(of backup: Backup) throws {
        let file = backup.manifestFile
        guard let data = FileManager.default.contents(atPath: file) else {
            throw Complaint("\(file) can't be read: \(backup.path) is no whole backup.")
        }
        let damaged = Complaint("\(file) is damaged: it is not what `parley backup` writes.")
        var read: Self?
        do {
            try JSONDocument.read(data) { json in
                guard json["format"]?.integer == Int64(Self.format) else {
                    if let format = json["format"]?.integer, format > Self.format {
                        throw Complaint("\(backup.path) was made by a newer Parley: use that one, or a later one.")
                    }
                    throw damaged
                }
                guard let madeAt = json["madeAt"].flatMap({ Timestamp($0) }), let program = json["parley"]?.string,
                    let schema = json["schema"]?.integer.flatMap({ Int(exactly: $0) })
                else { throw damaged }
                var counts: [String: Int] = [:]
                json["counts"]?.forEachMember { name, count in counts[String(decoding: name, as: UTF8.self)] = count.integer.map { Int($0) }
                }
                var files: [File] = []
                try json["files"]?.forEachElement { json in
                    guard let name = json["name"]?.string, ([Assembly.databaseName] + Backup.companions).contains(name),
                        !files.contains(where: { $0.name == name }), let bytes = json["bytes"]?.integer, let digest = json["sha256"]?.string
                    else { throw damaged }
                    files.append(File(name: name, bytes: bytes, sha256: digest))
                }
                guard files.first?.name == Assembly.databaseName else { throw damaged }
                read = Self(madeAt: madeAt, program: program, schema: schema, counts: counts, files: files)
            }
        } catch is JSONDocument.Fault {
            throw damaged
        }
        guard let read else { throw damaged }
        self = read
    }
}

// MARK: - files

/// A claim on a folder, which ends with the process (flock(2)): a server shares it, a restore has it alone.
struct Lease {
    private let descriptor: Int32

    /// nil where somebody else's claim stands against it.
    init?(of folder: String, isShared: Bool) throws {
        descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Complaint("\(folder) can't be opened: \(Paths.fault).") }
        guard flock(descriptor, (isShared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0 else {
            close(descriptor)
            return nil
        }
    }

    func end() { close(descriptor) }
}

/// What backups do with files: each is its owner's alone, and on the disk when a call returns.
private enum Paths {
    private static let chunk = 1 << 20

    static var fault: String { String(cString: strerror(errno)) }

    static func exist(_ path: String) -> Bool {
        var entry = stat()
        return lstat(path, &entry) == 0
    }

    static func parent(of path: String) -> String {
        var parts = path.split(separator: "/", omittingEmptySubsequences: false)
        while parts.last?.isEmpty == true, parts.count > 1 { parts.removeLast() }
        guard parts.count > 1 else { return "." }
        let parent = parts.dropLast().joined(separator: "/")
        return parent.isEmpty ? "/" : parent
    }

    static func makeEmpty(_ path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Complaint("\(path) can't be made: \(fault).") }
        close(descriptor)
    }

    static func write(_ bytes: [UInt8], to path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Complaint("\(path) can't be made: \(fault).") }
        defer { close(descriptor) }
        try Console.write(bytes, to: descriptor)
        guard fsync(descriptor) == 0 else { throw Complaint("\(path) can't be written: \(fault).") }
    }

    /// Makes the names in a folder last.
    static func sync(_ folder: String) throws {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Complaint("\(folder) can't be opened: \(fault).") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw Complaint("\(folder) can't be written: \(fault).") }
    }

    static func digest(_ path: String) throws -> (bytes: Int64, sha256: String) { try read(path) { _ in } }

    /// Copies a file over whatever stands at the target; answers what was read.
    static func copy(_ path: String, to target: String, onChunk: (Int64) throws -> Void = { _ in }) throws -> (bytes: Int64, sha256: String)
    {
        let descriptor = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw Complaint("\(target) can't be made: \(fault).") }
        defer { close(descriptor) }
        var written: Int64 = 0
        let read = try read(path) { bytes in
            try Console.write(bytes, to: descriptor)
            written += Int64(bytes.count)
            try onChunk(written)
        }
        guard fsync(descriptor) == 0 else { throw Complaint("\(target) can't be written: \(fault).") }
        return read
    }

    private static func read(_ path: String, _ body: ([UInt8]) throws -> Void) throws -> (bytes: Int64, sha256: String) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Complaint("\(path) can't be read: \(fault).") }
        defer { close(descriptor) }
        var hash = SHA256()
        var total: Int64 = 0
        while true {
            var count = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: chunk) { buffer, filled in
                repeat { count = systemRead(descriptor, buffer.baseAddress!, buffer.count) } while count < 0 && errno == EINTR
                filled = max(0, count)
            }
            guard count >= 0 else { throw Complaint("\(path) can't be read: \(fault).") }
            if count == 0 { break }
            hash.update(data: bytes)
            total += Int64(count)
            try body(bytes)
        }
        return (total, hash.finalize().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined())
    }

    private static func systemRead(_ descriptor: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
        #if canImport(Glibc)
        Glibc.read(descriptor, bytes, count)
        #elseif canImport(Musl)
        Musl.read(descriptor, bytes, count)
        #else
        Darwin.read(descriptor, bytes, count)
        #endif
    }
}
