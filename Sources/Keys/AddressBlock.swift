/// Who an address belongs to for quotas: an IPv4 address, or the /56 an IPv6 customer gets (RFC 6177).
public struct AddressBlock: Sendable, Hashable {
    public let text: String

    public init(_ address: String) {
        guard address.utf8.contains(UInt8(ascii: ":")) else {
            text = address
            return
        }
        // A zone names an interface of ours, not whose address it is (RFC 4007, section 11).
        let bare = address.split(separator: "%", maxSplits: 1).first.map(String.init) ?? address
        if let mapped = bare.split(separator: ":").last, mapped.utf8.contains(UInt8(ascii: ".")) {
            text = String(mapped)  // IPv4-mapped: ::ffff:192.0.2.1
            return
        }
        let groups = Self.groups(of: bare)
        if groups.count == 8, groups[..<5].allSatisfy({ $0 == 0 }), groups[5] == 0xFFFF {
            text = "\(groups[6] >> 8).\(groups[6] & 255).\(groups[7] >> 8).\(groups[7] & 255)"  // the same in hex
            return
        }
        text =
            groups.prefix(3).map { String($0, radix: 16) }.joined(separator: ":")
            + ":" + String((groups.count > 3 ? groups[3] : 0) & 0xFF00, radix: 16) + "::/56"
    }

    /// The eight 16-bit groups, `::` filled in (RFC 4291, section 2.2).
    private static func groups(of address: String) -> [UInt16] {
        let halves = address.split(separator: "::", maxSplits: 1, omittingEmptySubsequences: false).map { half in
            half.split(separator: ":").compactMap { UInt16($0, radix: 16) }
        }
        guard halves.count == 2 else { return halves.first ?? [] }
        return halves[0] + Array(repeating: 0, count: max(0, 8 - halves[0].count - halves[1].count)) + halves[1]
    }
}
