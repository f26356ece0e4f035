import Events
import Keys
import Synchronization

/// What all bodies and messages hold in memory while they are on their way, and the bound on it.
///
/// A body may be large and slow, and many at once may be honest; so what counts is their sum. Nobody takes it all: an address gets at most
/// half of what is then left, a key at most twice what is then left, and public keys together half of all. Small bodies need nothing but
/// room. What finds none is refused as `overloaded`, and its sender sends it again.
final class Holdings: Sendable {
    /// Who holds something.
    struct Holder: Sendable {
        /// nil for backends: many may share one, and each has its key.
        var address: AddressBlock?
        /// nil where no key was needed.
        var key: String?
        var isPublic: Bool
    }

    fileprivate struct State {
        var held = 0
        var heldByPublic = 0
        var byAddress: [AddressBlock: Int] = [:]
        var byKey: [String: Int] = [:]
    }

    /// What a body may hold without being looked at for its share: the batches of pages, and what unpacking needs.
    static let smallBytes = 64 * 1024

    let total: Int
    private let state = Mutex(State())

    /// - Parameter total: the bound of all together, in bytes.
    init(total: Int) { self.total = total }

    /// The bytes that are held now.
    var held: Int { state.withLock { $0.held } }

    /// The most that one body can ever hold: a larger one is no matter of waiting.
    func largest(isPublic: Bool) -> Int { (isPublic ? total / 6 : total / 2) - Self.smallBytes }

    /// Lets a holding that had `before` bytes have `after`; false when there is no room for it.
    fileprivate func grow(_ holder: Holder, from before: Int, to after: Int) -> Bool {
        let more = after - before
        return state.withLock { state in
            let ownPool = holder.isPublic ? total / 2 - state.heldByPublic : total - state.held
            let left = min(ownPool, total - state.held) - more
            guard left >= 0 else { return false }
            if after > Self.smallBytes {
                if let address = holder.address, (state.byAddress[address] ?? 0) + more > left / 2 { return false }
                if let key = holder.key, (state.byKey[key] ?? 0) + more > left * (holder.isPublic ? 2 : 1) { return false }
            }
            state.change(holder, by: more)
            return true
        }
    }

    fileprivate func giveBack(_ bytes: Int, of holder: Holder) { state.withLock { $0.change(holder, by: -bytes) } }
}

extension Holdings.Holder {
    init(address: AddressBlock, key: KeyRecord) {
        let isPublic = key.lane == .public
        self.init(address: isPublic ? address : nil, key: key.id, isPublic: isPublic)
    }

    init(_ access: Access) { self.init(address: access.address, key: access.key) }
}

extension Holdings.State {
    fileprivate mutating func change(_ holder: Holdings.Holder, by bytes: Int) {
        held += bytes
        if holder.isPublic { heldByPublic += bytes }
        if let address = holder.address { Self.change(&byAddress[address], by: bytes) }
        if let key = holder.key { Self.change(&byKey[key], by: bytes) }
    }

    /// Who holds nothing is not remembered.
    private static func change(_ count: inout Int?, by bytes: Int) {
        let after = (count ?? 0) + bytes
        count = after == 0 ? nil : after
    }
}

/// The memory of one body or socket; all of it is given back when the last who knows of it is gone.
///
/// It grows and shrinks on one event loop, and may end anywhere.
final class Holding: Sendable {
    private let holdings: Holdings
    private let holder: Holdings.Holder
    private let count = Atomic(0)

    init(_ holdings: Holdings, for holder: Holdings.Holder) { (self.holdings, self.holder) = (holdings, holder) }

    deinit { if bytes > 0 { holdings.giveBack(bytes, of: holder) } }

    var bytes: Int { count.load(ordering: .relaxed) }

    /// Makes it so many bytes; false when there is no room for them.
    func resize(to bytes: Int) -> Bool {
        let before = self.bytes
        if bytes > before {
            guard holdings.grow(holder, from: before, to: bytes) else { return false }
        } else if bytes < before {
            holdings.giveBack(before - bytes, of: holder)
        }
        count.store(bytes, ordering: .relaxed)
        return true
    }
}
