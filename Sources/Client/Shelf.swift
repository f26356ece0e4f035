import Foundation

/// Where events without a verdict outlast the process: one file of this instance's own in a folder that instances share.
///
/// Each instance holds a lock on a second file, which the system lets go when the process ends, however it ends. A file whose lock is free
/// belongs to nobody and is taken over. Sameness of ids makes it harmless if two take over the same (P-ID-4).
///
/// Bound: 200 events, 256 KB, the newest; what is older than 24 hours is dropped when it is taken over. Everything here may fail, and then
/// the events are in memory only.
struct Shelf: Sendable {
    private static let events = 200
    private static let bytes = 262_144
    private static let ageMs: Int64 = 24 * 3600 * 1000

    struct Left {
        var items: [(id: String, type: String, text: [UInt8], at: Int64)] = []
        var expired = 0
        fileprivate var files: [(file: URL, lock: URL, descriptor: Int32)] = []
    }

    private let folder: URL
    /// Of this key and gateway, so that a folder can serve several.
    private let prefix: String
    private let file: URL
    private let lock: URL
    private let descriptor: Int32

    /// Nil where the folder cannot be used.
    init?(folder: URL, key: String, url: URL, name: String) {
        self.folder = folder
        // FNV-1a: names the pair, and does not give the key away.
        let digest = (key + " " + url.absoluteString).utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        prefix = "parley-" + String(digest, radix: 16) + "-"
        file = folder.appendingPathComponent(prefix + name + ".events")
        lock = folder.appendingPathComponent(prefix + name + ".lock")
        try? FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        guard let descriptor = Self.take(lock, create: true) else { return nil }
        self.descriptor = descriptor
    }

    /// What instances that are no more have left, oldest first. It stays on disk until ``forget``.
    func takeOver(at wall: Int64) -> Left {
        var left = Left()
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).sorted()
        for name in names where name.hasPrefix(prefix) && name.hasSuffix(".lock") && name != lock.lastPathComponent {
            let theirLock = folder.appendingPathComponent(name)
            guard let theirs = Self.take(theirLock, create: false) else { continue }
            let theirFile = theirLock.deletingPathExtension().appendingPathExtension("events")
            left.files.append((theirFile, theirLock, theirs))
            guard let content = try? Data(contentsOf: theirFile) else { continue }
            for line in content.split(separator: UInt8(ascii: "\n")) {
                guard let space = line.firstIndex(of: UInt8(ascii: " ")), let at = Int64(String(decoding: line[..<space], as: UTF8.self))
                else { continue }
                let text = line[line.index(after: space)...]
                guard let event = try? JSONDecoder().decode(Envelope.self, from: Data(text)) else { continue }
                if wall - at > Self.ageMs {
                    left.expired += 1
                } else {
                    left.items.append((event.id, event.type, Array(text), at))
                }
            }
        }
        left.items.sort { $0.at < $1.at }
        return left
    }

    private struct Envelope: Decodable {
        let id: String
        let type: String
    }

    /// Removes what was taken over. To be called once it is kept elsewhere.
    func forget(_ left: Left) {
        for (file, lock, descriptor) in left.files {
            try? FileManager.default.removeItem(at: file)
            try? FileManager.default.removeItem(at: lock)
            Foundation.close(descriptor)
        }
    }

    /// Puts these in the place of what was kept, whole or not at all. A line is the time it was tracked, a space, and the event.
    func keep(_ items: [Outbox.Item]) {
        var room = Self.bytes
        var kept: [Outbox.Item] = []
        for item in items.suffix(Self.events).reversed() {
            room -= item.text.count + 16
            guard room >= 0 else { break }
            kept.append(item)
        }
        guard !kept.isEmpty else {
            try? FileManager.default.removeItem(at: file)
            return
        }
        var content: [UInt8] = []
        for item in kept.reversed() {
            content += String(item.trackedAt).utf8
            content.append(UInt8(ascii: " "))
            content += item.text
            content.append(UInt8(ascii: "\n"))
        }
        let fresh = file.appendingPathExtension("new")
        var attributes: [FileAttributeKey: Any] = [.posixPermissions: 0o600]
        #if os(iOS) || os(tvOS) || os(watchOS) || os(visionOS)
        attributes[.protectionKey] = FileProtectionType.completeUntilFirstUserAuthentication
        #endif
        guard FileManager.default.createFile(atPath: fresh.path, contents: Data(content), attributes: attributes) else { return }
        // POSIX rename replaces in one step, so that a process killed here leaves the one or the other.
        rename(fresh.path, file.path)
    }

    /// Lets go. Without `keeping` nothing stays on disk.
    func close(keeping: Bool) {
        if !keeping {
            try? FileManager.default.removeItem(at: file)
            try? FileManager.default.removeItem(at: lock)
        }
        Foundation.close(descriptor)
    }

    /// The lock of a file, if nobody has it.
    private static func take(_ file: URL, create: Bool) -> Int32? {
        let descriptor = open(file.path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0o600)
        guard descriptor >= 0 else { return nil }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            Foundation.close(descriptor)
            return nil
        }
        return descriptor
    }
}
