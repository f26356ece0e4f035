public import Events
import Logging
import Synchronization

/// Keys that IDs are named with.
extension KeyRing {
    /// The texts that senders name a project's IDs with; empty for most projects.
    public func namingKeys(in project: ProjectID) -> [String] {
        ring.withLock { ring in
            ring.namingKeys.isEmpty ? [] : ring.namingKeys.filter { $0.project == nil || $0.project == project }.map(\.text)
        }
    }

    /// Notes that a key's holder names IDs with it, the first time it is seen doing so.
    public func noteNaming(with text: String) async {
        guard let read = try? KeyText(reading: text), let key = ring.withLock({ $0.keys[read.digest] }),
            !ring.withLock({ $0.namingKeys.contains { $0.id == key.id } })
        else { return }
        do {
            if let sealed = sealer?.seal(text, for: key.id) {
                try await store.keep(sealed: sealed, ofKey: key.id)
                try await refresh()
            }
        } catch {
            logger.warning("a key that IDs are named with could not be kept", metadata: ["key": "\(key.id)", "error": "\(error)"])
        }
        ring.withLock { ring in
            guard !ring.namingKeys.contains(where: { $0.id == key.id }) else { return }
            ring.namingKeys.append(NamingKey(id: key.id, project: key.project, text: text, owesNames: false))
        }
    }

    /// Gives what was stored before a key was noted the names it has for that key's holder, a stretch at a time.
    /// Answers whether there is more to do.
    public func payOwedNames(_ schemes: [IDScheme]) async throws -> Bool {
        let owing = ring.withLock { $0.namingKeys.filter(\.owesNames) }
        var isMore = false
        for key in owing {
            let isDone = try await store.giveNames(ofKey: key.id) { id in schemes.flatMap { $0.names(id, key.text) } }
            if !isDone { isMore = true }
        }
        if !owing.isEmpty { try await refresh() }
        return isMore
    }
}
