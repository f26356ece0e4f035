import Crypto
import Events

/// What nodes of one installation say to each other, sealed: anybody with a connection to the database may listen and speak on its channels,
/// but only who has the sealing key can read it, or make it up.
///
/// `1`, the node (8 bytes) and the message's number (8, both big-endian), then what AES-256-GCM (NIST SP 800-38D) makes of the words with
/// these 17 bytes as additional data. Each node's key is its own, derived from the sealing key and the number it drew when it started, so
/// that a message's number serves as its nonce and never comes twice under one key. What is said again is told by its number.
struct NodeSeal {
    enum Letter: Equatable {
        /// What this node said itself.
        case own
        case said([UInt8])
        case refused(Fault)
    }

    enum Fault: String, CaseIterable, Sendable {
        /// It is no sealed message.
        case garbled
        /// It was sealed with another sealing key, or changed.
        case forged
        /// It was heard before.
        case repeated
    }

    private struct Peer {
        var key: SymmetricKey
        var lastNumber: UInt64 = 0
        var heardAt: Timestamp
    }

    static let overhead = headLength + tagLength
    private static let version: UInt8 = 1
    private static let (headLength, tagLength) = (17, 16)
    /// A node that says nothing for so long counts as gone: three of its signs of life.
    static let patience = 15.0
    /// Nodes that are remembered, gone ones among them, so that nobody can say their words again.
    private static let maximumPeers = 1000

    private let sealer: Sealer
    let node: UInt64
    private let key: SymmetricKey
    private var number: UInt64 = 0
    private var peers: [UInt64: Peer] = [:]

    /// - Parameter node: drawn at random, once a process.
    init(sealer: Sealer, node: UInt64) {
        (self.sealer, self.node, key) = (sealer, node, Self.key(of: node, sealer))
    }

    private static func key(of node: UInt64, _ sealer: Sealer) -> SymmetricKey { sealer.key(for: "words of node \(node)") }

    mutating func seal(_ words: [UInt8]) -> [UInt8] {
        number += 1
        let head = [Self.version] + Self.bytes(of: node) + Self.bytes(of: number)
        guard let nonce = try? AES.GCM.Nonce(data: Self.nonce(number)),
            let box = try? AES.GCM.seal(words, using: key, nonce: nonce, authenticating: head)
        else { preconditionFailure("AES-GCM takes a nonce of 12 bytes and any words") }
        return head + box.ciphertext + box.tag
    }

    mutating func open(_ bytes: [UInt8], at now: Timestamp) -> Letter {
        guard bytes.count >= Self.overhead, bytes[0] == Self.version else { return .refused(.garbled) }
        let head = bytes.prefix(Self.headLength)
        let (sender, number) = (Self.number(of: head[1..<9]), Self.number(of: head[9..<17]))
        // Whoever else says it: nothing is taken from it.
        if sender == node { return .own }
        var peer = peers[sender] ?? Peer(key: Self.key(of: sender, sealer), heardAt: now)
        guard let nonce = try? AES.GCM.Nonce(data: Self.nonce(number)),
            let box = try? AES.GCM.SealedBox(
                nonce: nonce, ciphertext: bytes.dropFirst(Self.headLength).dropLast(Self.tagLength), tag: bytes.suffix(Self.tagLength)),
            let words = try? AES.GCM.open(box, using: peer.key, authenticating: head)
        else { return .refused(.forged) }
        guard number > peer.lastNumber else { return .refused(.repeated) }
        (peer.lastNumber, peer.heardAt) = (number, now)
        if peers[sender] == nil, peers.count >= Self.maximumPeers, let oldest = peers.min(by: { $0.value.heardAt < $1.value.heardAt }) {
            peers[oldest.key] = nil
        }
        peers[sender] = peer
        return .said(Array(words))
    }

    /// Other nodes that were heard of lately.
    func peers(at now: Timestamp) -> Int { peers.values.count { now.seconds - $0.heardAt.seconds < Self.patience } }

    private static func nonce(_ number: UInt64) -> [UInt8] { [0, 0, 0, 0] + bytes(of: number) }
    private static func bytes(of number: UInt64) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }
    private static func number(of bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
}
