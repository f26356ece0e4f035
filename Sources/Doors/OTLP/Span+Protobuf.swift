import Events
import SwiftProtobuf

extension Span {
    /// The spans of a protobuf body, in the order they stand in it.
    static func all(inProtobuf body: [UInt8], room: SharedRoom) throws(Refusal) -> [Span] {
        var options = BinaryDecodingOptions()
        // What we don't know we don't carry along either.
        options.discardUnknownFields = true
        // A list in an attribute takes two levels, a map three: deeper than any instrumentation nests, and no call stack for it.
        options.messageDepthLimit = 100
        let export: WireExport
        do {
            export = try WireExport(serializedBytes: body, options: options)
        } catch {
            switch error as? BinaryDecodingError {
            case .messageDepthLimit: throw Refusal(.tooDeep, "The body is nested deeper than 100 messages.")
            default: throw Refusal(.badRequest, "The body is not an ExportTraceServiceRequest in protobuf.")
            }
        }
        var spans: [Span] = []
        for resource in export.resources {
            let attributes = members(of: resource.source.attributes)
            for scope in resource.scopes {
                let origin = Origin(
                    resource: attributes, library: text(scope.library.name), version: text(scope.library.version), room: room)
                for span in scope.spans { spans.append(Span(span, from: origin)) }
            }
        }
        return spans
    }

    private convenience init(_ wire: WireSpan, from origin: Origin) {
        self.init(from: origin)
        trace = Self.hex(wire.traceID, count: 16)
        id = Self.hex(wire.spanID, count: 8)
        parent = Self.hex(wire.parentSpanID, count: 8)
        state = Self.text(wire.traceState)
        name = Self.text(wire.name)
        kind = Int64(wire.kind)
        startNanos = wire.startNanos
        endNanos = wire.endNanos
        attributes.reserveCapacity(wire.attributes.count)
        for attribute in wire.attributes where !attribute.key.isEmpty {
            attributes.append(Attribute(Self.text(attribute.key), Self.value(attribute.value)))
        }
        events = wire.events.map {
            Happening(nanos: $0.nanos, name: Self.text($0.name), attributes: Self.members(of: $0.attributes))
        }
        links = wire.links.map {
            Link(
                trace: Self.hex($0.traceID, count: 16), id: Self.hex($0.spanID, count: 8), attributes: Self.members(of: $0.attributes))
        }
        statusCode = Int64(wire.status.code)
        statusMessage = Self.text(wire.status.message)
    }

    /// Bytes that are not UTF-8 become U+FFFD, each where it stands.
    private static func text(_ data: some Collection<UInt8>) -> String { String(decoding: data, as: UTF8.self) }

    private static func members(of attributes: [WireAttribute]) -> [String: AttributeValue] {
        var members: [String: AttributeValue] = [:]
        members.reserveCapacity(attributes.count)
        for attribute in attributes where !attribute.key.isEmpty { members[text(attribute.key)] = value(attribute.value) }
        return members
    }

    private static func value(_ wire: WireValue) -> AttributeValue {
        switch wire.kind {
        case .text(let data): .text(text(data))
        case .flag(let flag): .flag(flag)
        case .integer(let number): .integer(number)
        case .number(let number): .number(number)
        case .list(let list): .list(list.values.map(value))
        case .map(let map): .map(members(of: map.members))
        case .data(let data): .data(base64(Array(data)))
        case nil: .null
        }
    }
    /// RFC 4648, section 4.
    private static func base64(_ bytes: [UInt8]) -> String {
        let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let bits = group.reduce(0) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - group.count))
            for place in 0..<4 {
                text.append(place <= group.count ? digits[Int(bits >> UInt32(18 - 6 * place)) & 63] : UInt8(ascii: "="))
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
