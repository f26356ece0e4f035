import Events
import Foundation
import GRDB
import Logging
import Synchronization

extension SQLiteStore {
    /// Search and checkpoints, beside the commits, until cancelled.
    public func runUpkeep() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.runIndexer() }
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
        while !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(200))
            guard let wal = walFrames() else { continue }
            let isIdle = clock.now().microseconds - lastAppend.withLock { $0.microseconds } > 1_000_000
            let new = wal.written - wal.moved
            guard new >= configuration.checkpointPages || (isIdle && new > 0) else { continue }
            do {
                try await own.writeWithoutTransaction { try $0.execute(sql: "PRAGMA wal_checkpoint(PASSIVE)") }
                guard wal.written >= configuration.walPages else { continue }
                try await pool.writeWithoutTransaction { try $0.execute(sql: "PRAGMA wal_checkpoint(PASSIVE)") }
            } catch is CancellationError {
                break
            } catch {
                logger.warning("a checkpoint failed; trying again", metadata: ["error": "\(error)"])
            }
        }
        try? own.close()
    }

    /// The frames in the WAL and those of them that are in the file too, out of the WAL index (SQLite, "WAL-mode File Format",
    /// section 2.1: `mxFrame` at byte 16, `nBackfill` at byte 96, in the machine's byte order).
    private func walFrames() -> (written: Int, moved: Int)? {
        guard let index = FileHandle(forReadingAtPath: path + "-shm") else { return nil }
        defer { try? index.close() }
        guard let header = try? index.read(upToCount: 136), header.count >= 100 else { return nil }
        return header.withUnsafeBytes { bytes in
            (
                Int(bytes.loadUnaligned(fromByteOffset: 16, as: UInt32.self)),
                Int(bytes.loadUnaligned(fromByteOffset: 96, as: UInt32.self))
            )
        }
    }
}
