import NIOCore

/// A frame as a client sent it (RFC 6455, section 5.2), within the bounds of the protocol and still masked.
package struct Frame: Sendable, Equatable {
    package enum Opcode: UInt8, Sendable {
        case continuation = 0x0
        case text = 0x1
        case binary = 0x2
        case close = 0x8
        case ping = 0x9
        case pong = 0xA

        var isControl: Bool { rawValue & 0x8 != 0 }
    }

    var isLast: Bool
    var opcode: Opcode
    /// The masking key, its bytes in the order they came.
    var mask: UInt32
    var payload: ByteBuffer

    /// The payload without its mask (section 5.3), eight bytes at a time.
    package func unmasked() -> [UInt8] {
        let word = UInt64(mask) | UInt64(mask) << 32
        return payload.withUnsafeReadableBytes { bytes in
            [UInt8](unsafeUninitializedCapacity: bytes.count) { output, count in
                let target = UnsafeMutableRawBufferPointer(output)
                var index = 0
                while index + 8 <= bytes.count {
                    target.storeBytes(
                        of: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self) ^ word, toByteOffset: index, as: UInt64.self)
                    index += 8
                }
                while index < bytes.count {
                    output[index] = bytes[index] ^ UInt8(truncatingIfNeeded: word >> (UInt64(index & 7) * 8))
                    index += 1
                }
                count = bytes.count
            }
        }
    }
}

/// Reads a client's frames out of what arrives, in place, and refuses what breaks a rule before its payload is there.
///
/// Our own for what NIO's decoder leaves open or hides: shortest lengths, masks, reserved bits and opcodes, and how to go on behind a
/// broken frame, so that a peer's close still arrives and nothing unread is left, which would reset the connection under our last words
/// (section 7.1.1).
package struct FrameDecoder: Sendable {
    package enum Step: Sendable, Equatable {
        case frame(Frame)
        case violation(CloseCode, String)
    }

    /// The bound of a data frame's payload.
    let maximumBytes: Int
    /// What is left of a broken frame and is passed over.
    private var broken = 0
    /// Whether it can't be said where the next frame begins.
    private var isLost = false
    /// Whether a close frame came, whole or broken: the peer sends nothing behind it (section 5.5.1).
    package private(set) var hasEnded = false

    package init(maximumBytes: Int) { self.maximumBytes = maximumBytes }

    /// Takes the next frame off the buffer; nil until there is one whole.
    package mutating func next(from buffer: inout ByteBuffer) -> Step? {
        passOver(&buffer)
        guard !isLost, broken == 0, let (head, headBytes) = header(at: buffer) else { return nil }
        if let (code, message) = fault(of: head) {
            if head.opcode == Frame.Opcode.close.rawValue { hasEnded = true }
            buffer.moveReaderIndex(forwardBy: headBytes)
            if head.length > UInt64(UInt32.max) { isLost = true } else { broken = Int(head.length) }
            passOver(&buffer)
            return .violation(code, message)
        }
        guard buffer.readableBytes >= headBytes + Int(head.length) else { return nil }
        buffer.moveReaderIndex(forwardBy: headBytes)
        guard let payload = buffer.readSlice(length: Int(head.length)), let opcode = Frame.Opcode(rawValue: head.opcode),
            let mask = head.mask
        else { return nil }
        if opcode == .close { hasEnded = true }
        return .frame(Frame(isLast: head.isLast, opcode: opcode, mask: mask, payload: payload))
    }

    /// Passes over everything from here on.
    package mutating func lose() { isLost = true }

    private mutating func passOver(_ buffer: inout ByteBuffer) {
        let count = isLost ? buffer.readableBytes : min(broken, buffer.readableBytes)
        buffer.moveReaderIndex(forwardBy: count)
        broken -= isLost ? 0 : count
    }

    private struct Header {
        var isLast: Bool
        var reserved: UInt8
        var opcode: UInt8
        var mask: UInt32?
        var length: UInt64
        /// Whether fewer bytes would have held the length.
        var isPadded: Bool
    }

    private func header(at buffer: ByteBuffer) -> (Header, bytes: Int)? {
        let start = buffer.readerIndex
        guard let first = buffer.getInteger(at: start, as: UInt8.self), let second = buffer.getInteger(at: start + 1, as: UInt8.self) else {
            return nil
        }
        var bytes = 2
        var length = UInt64(second & 0x7F)
        var isPadded = false
        switch length {
        case 126:
            guard let long = buffer.getInteger(at: start + 2, as: UInt16.self) else { return nil }
            (length, bytes, isPadded) = (UInt64(long), 4, long < 126)
        case 127:
            guard let long = buffer.getInteger(at: start + 2, as: UInt64.self) else { return nil }
            (length, bytes, isPadded) = (long, 10, long <= UInt64(UInt16.max))
        default: break
        }
        var mask: UInt32?
        if second & 0x80 != 0 {
            guard let key = buffer.getInteger(at: start + bytes, endianness: .little, as: UInt32.self) else { return nil }
            (mask, bytes) = (key, bytes + 4)
        }
        return (
            Header(
                isLast: first & 0x80 != 0, reserved: first & 0x70, opcode: first & 0x0F, mask: mask, length: length, isPadded: isPadded),
            bytes
        )
    }

    private func fault(of head: Header) -> (CloseCode, String)? {
        guard head.reserved == 0 else { return (.protocolViolation, "No extension was agreed on that uses the reserved bits.") }
        guard let opcode = Frame.Opcode(rawValue: head.opcode) else { return (.protocolViolation, "There is no such opcode.") }
        guard head.mask != nil else { return (.protocolViolation, "A client masks its frames (RFC 6455, section 5.1).") }
        guard !head.isPadded, head.length >> 63 == 0 else {
            return (.protocolViolation, "A length is written in as few bytes as hold it (RFC 6455, section 5.2).")
        }
        if opcode.isControl, !head.isLast || head.length > 125 {
            return (.protocolViolation, "A control frame is one frame of at most 125 bytes.")
        }
        return head.length > UInt64(maximumBytes) ? (.frameTooLarge, "A frame may have \(maximumBytes) bytes.") : nil
    }
}

extension ByteBuffer {
    /// Writes a frame of the server's, whole and unmasked.
    package mutating func write(frame opcode: Frame.Opcode, _ payload: [UInt8]) {
        writeInteger(0x80 | opcode.rawValue)
        switch payload.count {
        case 0...125: writeInteger(UInt8(payload.count))
        case 126...Int(UInt16.max):
            writeInteger(UInt8(126))
            writeInteger(UInt16(payload.count))
        default:
            writeInteger(UInt8(127))
            writeInteger(UInt64(payload.count))
        }
        writeBytes(payload)
    }
}
