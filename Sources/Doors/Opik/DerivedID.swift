import Events

/// IDs for what the dialect gives none, made of what they stand for, so that the same thing has the same one.
enum DerivedID {
    /// The event under an ID made of its content.
    static func given(to event: Event) -> Event {
        var event = event
        event.id = ""
        event.id = uuid(version: 8, digest(of: event))  // RFC 9562, section 5.8: a UUID of one's own making.
        return event
    }

    static func digest(of event: Event) -> [UInt8] { ContentDigest(event).bytes }

    /// 16 bytes as a UUID of that version (RFC 9562, section 4).
    static func uuid(version: UInt8, _ digest: [UInt8]) -> String {
        var bytes = digest
        bytes[6] = bytes[6] & 0x0F | version << 4
        bytes[8] = bytes[8] & 0x3F | 0x80
        var text = ""
        for (index, byte) in bytes.enumerated() {
            if index == 4 || index == 6 || index == 8 || index == 10 { text += "-" }
            text += hex(UInt64(byte), digits: 2)
        }
        return text
    }

    static func hex(_ number: UInt64, digits: Int) -> String {
        let text = String(number, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
    }
}

/// The `thread_model_id` of a thread: its number in the form of a UUIDv7, which clients check for.
enum ThreadModelID {
    private static let front = "01900000-0000-7000-8000-"

    static func of(_ number: Int64) -> String { front + DerivedID.hex(UInt64(bitPattern: number) & 0xFFFF_FFFF_FFFF, digits: 12) }

    /// nil for anything `of` did not make.
    static func number(of id: String) -> Int64? {
        let id = id.lowercased()
        guard id.hasPrefix(front), id.utf8.count == front.utf8.count + 12 else { return nil }
        return Int64(id.dropFirst(front.count), radix: 16)
    }
}
