/// Whose request it is when proxies stand in between.
struct ClientAddress: Sendable {
    let trustedProxies: [AddressRange]

    /// The right-most address that no trusted proxy has: everything left of it is what a client may have made up.
    ///
    /// - Parameter forwarded: the `X-Forwarded-For` fields, in order.
    func resolve(peer: String, forwarded: [String]) -> String {
        guard !trustedProxies.isEmpty, isTrusted(peer) else { return peer }
        let hops = forwarded.flatMap { $0.split(separator: ",") }
        var client = peer
        for hop in hops.reversed() {
            // What is no address ends the trail: the hop before it is the last that can be believed.
            guard let address = Self.address(in: hop) else { return client }
            client = address
            if !isTrusted(address) { return address }
        }
        return client
    }

    func isTrusted(_ address: String) -> Bool { trustedProxies.contains { $0.contains(address) } }

    /// Without spaces, brackets and port: some proxies write `[2001:db8::1]:443` or `192.0.2.7:52100`.
    private static func address(in hop: Substring) -> String? {
        var text = String(hop.drop { $0 == " " })
        while text.last == " " { text.removeLast() }
        if text.first == "[", let end = text.firstIndex(of: "]") {
            text = String(text[text.index(after: text.startIndex)..<end])
        } else if text.utf8.count(where: { $0 == UInt8(ascii: ":") }) == 1, let colon = text.firstIndex(of: ":") {
            text = String(text[..<colon])
        }
        return AddressRange.bytes(of: text) == nil ? nil : text
    }
}
