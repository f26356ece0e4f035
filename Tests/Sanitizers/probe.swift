// Says whether ThreadSanitizer can be trusted here: what is under a `Mutex` is no race, what is beside it is one.
import Foundation
import Synchronization

final class Counters: Sendable {
    let guarded = Mutex(0)
    nonisolated(unsafe) var bare = 0
}

let counters = Counters()
let isBare = CommandLine.arguments.dropFirst().first == "bare"
let done = DispatchSemaphore(value: 0)
for _ in 0..<8 {
    Thread {
        for _ in 0..<5_000 {
            if isBare { counters.bare += 1 } else { counters.guarded.withLock { $0 += 1 } }
        }
        done.signal()
    }.start()
}
for _ in 0..<8 { done.wait() }
print(isBare ? counters.bare : counters.guarded.withLock { $0 })
