import Foundation

/// Carries bodies to the gateway.
protocol Transport: Sendable {
    /// Sends one body and calls `then` once, on any thread. `token` proves the user.
    func send(_ body: [UInt8], token: String?, then: @escaping @Sendable (Reply) -> Void)
    /// Asks about a receipt and calls `then` once, on any thread.
    func check(_ body: [UInt8], then: @escaping @Sendable (Reply) -> Void)
    /// Gives up what is under way and takes no more.
    func close()
}

/// Time, and somewhere to work in turn.
protocol Timekeeper: Sendable {
    /// Milliseconds since 1970.
    var wall: Int64 { get }
    /// Milliseconds that only go forward.
    var now: Int64 { get }
    /// Does the work after so many milliseconds. Works never overlap.
    func after(_ milliseconds: Int64, _ work: @escaping @Sendable () -> Void)
}

/// The machine's own clocks, and a queue.
struct SystemTime: Timekeeper {
    private let queue = DispatchQueue(label: "parley", qos: .utility)

    var wall: Int64 { (Date().timeIntervalSince1970 * 1000).milliseconds }
    var now: Int64 { Int64(DispatchTime.now().uptimeNanoseconds / 1_000_000) }

    func after(_ milliseconds: Int64, _ work: @escaping @Sendable () -> Void) {
        queue.asyncAfter(deadline: .now() + .milliseconds(Int(max(0, milliseconds))), execute: work)
    }
}

/// One value and its lock.
///
/// `@unchecked` holds because the value is reached inside the lock only. `Mutex` would do, but needs iOS 18.
final class Locked<Value: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var value: Value

    init(_ value: Value) { self.value = value }

    func withLock<Answer>(_ work: (inout Value) throws -> Answer) rethrows -> Answer {
        lock.lock()
        defer { lock.unlock() }
        return try work(&value)
    }
}
