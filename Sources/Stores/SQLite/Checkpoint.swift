import Events
import GRDB
import Logging
import Synchronization

extension SQLiteStore {
    /// Search, facts and checkpoints, beside the commits, until cancelled.
    public func runUpkeep() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.runFollowers() }
            group.addTask { try await self.runCheckpoints() }
            try await group.waitForAll()
        }
    }

    /// Moves the WAL into the file on a connection of its own, so that no commit waits for it.
    ///
    /// A passive checkpoint runs beside a writer (SQLite, "Write-Ahead Logging", section 2.2), but while commits go on it never
    /// catches the last of them, and only then does the WAL start over. So once it has grown to `walPages`, the writer itself
    /// moves the rest, which is what came in the meantime.
    func runCheckpoints() async throws {
        var options = GRDB.Configuration()
        options.busyMode = .timeout(1)
        let own: DatabaseQueue
        do {
            own = try DatabaseQueue(path: path, configuration: options)
            // The file is synced once a checkpoint, after its pages are written.
            try await own.writeWithoutTransaction { try $0.execute(sql: "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0") }
        } catch {
            logger.warning("checkpoints are left to the writer", metadata: ["error": "\(error)"])
            return
        }
        var pending = 0
        var isDirty = false
        while !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(200))
            let written = appended.exchange(0, ordering: .relaxed)
            pending += written
            isDirty = isDirty || written > 0
            let isIdle = written == 0 && isDirty
            guard pending >= configuration.checkpointEvents || isIdle else { continue }
            do {
                let frames = try await own.writeWithoutTransaction { db in
                    try Row.fetchOne(db, sql: "PRAGMA wal_checkpoint(PASSIVE)").map { $0[1] as Int } ?? 0
                }
                pending = 0
                if isIdle { isDirty = false }
                guard frames >= configuration.walPages else { continue }
                // Once more beside the commits, so that what is left for the writer is what came within milliseconds.
                try await own.writeWithoutTransaction { try $0.execute(sql: "PRAGMA wal_checkpoint(PASSIVE)") }
                try await pool.writeWithoutTransaction { try $0.execute(sql: "PRAGMA wal_checkpoint(PASSIVE)") }
            } catch is CancellationError {
                break
            } catch {
                logger.warning("a checkpoint failed; trying again", metadata: ["error": "\(error)"])
            }
        }
        try? own.close()
    }
}
