import Synchronization

/// Whether the gateway is on its way out: set once, read by everything that would let somebody in.
final class Draining: Sendable {
    private let begun = Atomic(false)

    var hasBegun: Bool { begun.load(ordering: .relaxed) }
    func begin() { begun.store(true, ordering: .relaxed) }
}
