import Foundation
import Synchronization

/// Counts from whichever thread.
final class Counter: Sendable {
    private let count = Mutex(0)
    func next() -> Int {
        count.withLock {
            $0 += 1; return $0
        }
    }
    var value: Int { count.withLock { $0 } }
}

/// Lets nobody past before all are there; then everybody, at any time.
final class Barrier: Sendable {
    private let missing: Mutex<Int>
    private let all = DispatchSemaphore(value: 0)
    init(_ count: Int) { missing = Mutex(count) }
    func wait() {
        if missing.withLock({
            $0 -= 1; return $0
        }) <= 0 {
            all.signal()
        }
        // Bounded, so that a test that fails ends.
        if all.wait(timeout: .now() + 10) == .success { all.signal() }
    }
}
