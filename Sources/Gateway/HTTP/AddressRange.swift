#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// An address or a block of them (`192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`).
public struct AddressRange: Sendable, Hashable {
    private let address: [UInt8]
    private let prefix: Int

    /// nil when the text is neither an address nor a block.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let bytes = Self.bytes(of: String(parts[0])) else { return nil }
        let width = bytes.count * 8
        guard parts.count == 2 else { (address, prefix) = (bytes, width); return }
        guard let length = Int(parts[1]), (0...width).contains(length) else { return nil }
        (address, prefix) = (bytes, length)
    }

    public func contains(_ text: String) -> Bool {
        guard let other = Self.bytes(of: text), other.count == address.count else { return false }
        let whole = prefix / 8
        guard address[..<whole] == other[..<whole] else { return false }
        let rest = prefix % 8
        guard rest > 0 else { return true }
        let mask = UInt8.max << (8 - rest)
        return address[whole] & mask == other[whole] & mask
    }

    /// Network order: 4 bytes, or 16; an IPv4-mapped IPv6 address counts as the IPv4 one it is.
    static func bytes(of text: String) -> [UInt8]? {
        var four = in_addr()
        if inet_pton(AF_INET, text, &four) == 1 { return withUnsafeBytes(of: &four) { Array($0) } }
        var six = in6_addr()
        guard inet_pton(AF_INET6, text, &six) == 1 else { return nil }
        let bytes = withUnsafeBytes(of: &six) { Array($0) }
        let isMapped = bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
        return isMapped ? Array(bytes[12...]) : bytes
    }
}
