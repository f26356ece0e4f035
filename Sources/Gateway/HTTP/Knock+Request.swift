import Events
import HTTPTypes
import Keys
import NIOHTTP1

/// The parts of a request head that say who knocks.
struct KnockHeaders {
    var authorization: String?
    /// A header's first value, by its name in any case.
    var field: (String) -> String?
    var origin: String?
    var project: String?
    var forwarded: [String]
    /// The text behind `?`.
    var query: Substring
}

extension Knock {
    /// - Parameter places: where the key may be; a beacon for one can set no header, so one that is there belongs to something else.
    init(
        _ head: KnockHeaders, peer: String, addresses: ClientAddress,
        places: [Entrance.KeyPlace] = [.bearer, .header("X-API-Key"), .query], mayLackOrigin: Bool = false
    ) {
        var key: String?
        for place in places where key == nil {
            switch place {
            case .bearer: key = Self.bearer(head.authorization)
            case .bareAuthorization: key = head.authorization.flatMap { $0.isEmpty || $0.contains(" ") ? nil : $0 }
            case .header(let name): key = head.field(name)
            case .query: key = QueryText(head.query)["key"]
            }
        }
        self.init(
            key: key,
            origin: Origin(header: head.origin),
            address: addresses.resolve(peer: peer, forwarded: head.forwarded),
            project: head.project ?? QueryText(head.query)["project"], mayLackOrigin: mayLackOrigin)
    }

    /// The scheme's name is case-insensitive (RFC 9110, section 11.1).
    private static func bearer(_ header: String?) -> String? {
        guard let header, header.utf8.count > 7, header.prefix(7).lowercased() == "bearer " else { return nil }
        let key = header.dropFirst(7).drop { $0 == " " }
        return key.isEmpty ? nil : String(key)
    }
}

extension KnockHeaders {
    init(_ head: HTTPRequestHead) {
        let headers = head.headers
        self.init(
            authorization: headers.first(name: "Authorization"), field: { headers.first(name: $0) },
            // Of two none counts: together they are on nobody's list.
            origin: headers["Origin"].count > 1 ? headers["Origin"].joined(separator: ", ") : headers.first(name: "Origin"),
            project: headers.first(name: "Parley-Project"),
            forwarded: headers["X-Forwarded-For"], query: QueryText.behindQuestionMark(head.uri))
    }
}

/// The query of a URL, read one name at a time; byte by byte, since each request comes by here.
struct QueryText {
    private let bytes: Substring.UTF8View

    init(_ text: Substring) { bytes = text.utf8 }

    static func behindQuestionMark(_ target: String) -> Substring {
        guard let mark = target.utf8.firstIndex(of: UInt8(ascii: "?")) else { return "" }
        return Substring(target.utf8[target.utf8.index(after: mark)...].prefix { $0 != UInt8(ascii: "#") })
    }

    /// The first value of that name, decoded; nil when it is not there or empty.
    subscript(_ name: String) -> String? {
        var rest = bytes[...]
        while !rest.isEmpty {
            let pair = rest.prefix { $0 != UInt8(ascii: "&") }
            rest = rest[pair.endIndex...].dropFirst()
            guard let equals = pair.firstIndex(of: UInt8(ascii: "=")), pair[..<equals].elementsEqual(name.utf8) else { continue }
            let value = pair[pair.index(after: equals)...]
            return value.isEmpty ? nil : Self.decoded(Substring(value))
        }
        return nil
    }

    /// All of them, the first of a name counting.
    var values: [String: String] {
        var values: [String: String] = [:]
        for pair in bytes.split(separator: UInt8(ascii: "&")) {
            guard let equals = pair.firstIndex(of: UInt8(ascii: "=")) else { continue }
            let name = Self.decoded(Substring(pair[..<equals]))
            if values[name] == nil { values[name] = Self.decoded(Substring(pair[pair.index(after: equals)...])) }
        }
        return values
    }

    /// Percent-decoded; `+` is a space (application/x-www-form-urlencoded). What is no escape stays as it is.
    static func decoded(_ text: Substring, plusIsSpace: Bool = true) -> String {
        guard text.utf8.contains(where: { $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: "+") }) else { return String(text) }
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), let escaped = UInt8(String(rest.prefix(2)) ?? "", radix: 16), rest.count >= 2 {
                bytes.append(escaped)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte == UInt8(ascii: "+") && plusIsSpace ? UInt8(ascii: " ") : byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension HTTPField.Name {
    static let referrerPolicy = HTTPField.Name("Referrer-Policy")!
    static let webSocketVersion = HTTPField.Name("Sec-WebSocket-Version")!
}
