import Events
@testable import Gateway

/// Bodies before any door has seen them: JSON text, and what it comes packed in.
enum Bodies {
    /// What is read and written again is the same JSON, and nothing of it lies outside of what was sent.
    static func json(_ bytes: UnsafeBufferPointer<UInt8>) {
        for tolerant in [false, true] {
            guard let text = try? JSONDocument.read(bytes, tolerant: tolerant, walk) else { continue }
            let again = try? JSONDocument.read(text.bytes, isOurs: true, walk)
            hold(again == text, "what was written can't be read again as the same: \(text.string)")
            hold(again?.bytes == text.bytes, "what was written is written otherwise the second time: \(text.string)")
        }
    }

    private static func walk(_ value: JSONValue) -> JSONText {
        look(at: value, depth: 1)
        return JSONText(value)
    }

    private static func look(at value: JSONValue, depth: Int) {
        hold(depth <= JSONDocument.maximumDepth + 8, "a document is deeper than its bound")
        hold(value.approximateSize >= 0 && value.tapeWords > 0, "a value has no size")
        switch value.kind {
        case .object:
            var members = 0
            value.forEachMember { key, member in
                members += 1
                hold(value.member(String(decoding: key, as: UTF8.self)) != nil, "a member can't be found by its name")
                look(at: member, depth: depth + 1)
            }
            hold(members == value.count, "an object miscounts its members")
        case .array:
            var elements = 0
            value.forEachElement {
                elements += 1
                look(at: $0, depth: depth + 1)
            }
            hold(elements == value.count, "an array miscounts its elements")
        case .string: hold(value.string != nil, "a text is none")
        case .number: hold(value.double != nil || value.integer != nil, "a number is none")
        case .bool: hold(value.bool != nil, "a truth value is none")
        case .null: break
        }
    }

    /// However the bytes are cut, the same comes out, and never more than the limit lets through.
    static func inflate(_ bytes: UnsafeBufferPointer<UInt8>) {
        guard let first = bytes.first else { return }
        let body = UnsafeBufferPointer(rebasing: bytes.dropFirst())
        let encoding: ContentEncoding = first & 1 == 0 ? .gzip : .deflate
        let limit = 1 << (10 + Int(first >> 1) % 8)
        let whole = inflated(body, encoding, limit: limit, inPiecesOf: max(1, body.count))
        let cut = inflated(body, encoding, limit: limit, inPiecesOf: 1 + Int(first >> 4))
        hold(whole == cut, "the pieces in which a body arrives change what it says: \(whole?.count ?? -1) and \(cut?.count ?? -1) bytes")
    }

    private static func inflated(
        _ body: UnsafeBufferPointer<UInt8>, _ encoding: ContentEncoding, limit: Int, inPiecesOf size: Int
    ) -> [UInt8]? {
        let holder = Holdings.Holder(address: nil, key: nil, isPublic: false)
        let inflater = Inflater(encoding, limit: limit, holding: Holding(Holdings(total: 1 << 30), for: holder))
        do {
            var place = 0
            while place < body.count {
                let end = min(body.count, place + size)
                try inflater.append(UnsafeBufferPointer(rebasing: body[place..<end]))
                hold(inflater.output.count <= limit, "more was let through than the limit")
                place = end
            }
            return try inflater.finish()
        } catch {
            // One step of zlib may go beyond it before that is seen.
            hold(inflater.output.count <= limit + (32 << 10), "a bomb went off")
            return nil
        }
    }
}
