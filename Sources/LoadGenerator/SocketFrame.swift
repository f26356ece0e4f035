import NIOCore
import NIOWebSocket

/// A client's frame, made in place: room for the header is left before the payload, and the payload is masked where it lies.
enum SocketFrame {
    // 2 bytes, a length of up to 8, and the mask's 4 (RFC 6455, 5.2).
    static let room = 14

    /// Turns `room` bytes and the payload behind them into a single frame that ends the message.
    static func seal(_ buffer: inout ByteBuffer, as opcode: WebSocketOpcode, key: UInt32) {
        let length = buffer.readableBytes - room
        let start = buffer.readerIndex
        mask(&buffer, from: start + room, key: key)
        let headerLength = length < 126 ? 6 : length <= 0xFFFF ? 8 : 14
        var at = start + room - headerLength
        buffer.moveReaderIndex(to: at)
        at += buffer.setInteger(UInt8(0x80) | UInt8(webSocketOpcode: opcode), at: at)
        switch headerLength {
        case 6: at += buffer.setInteger(UInt8(0x80) | UInt8(length), at: at)
        case 8:
            at += buffer.setInteger(UInt8(0x80 | 126), at: at)
            at += buffer.setInteger(UInt16(length), at: at)
        default:
            at += buffer.setInteger(UInt8(0x80 | 127), at: at)
            at += buffer.setInteger(UInt64(length), at: at)
        }
        buffer.setInteger(key, at: at)
    }

    private static func mask(_ buffer: inout ByteBuffer, from start: Int, key: UInt32) {
        let skipped = start - buffer.readerIndex
        buffer.withUnsafeMutableReadableBytes { all in
            let bytes = UnsafeMutableRawBufferPointer(rebasing: all[skipped...])
            let word = (UInt64(key) << 32 | UInt64(key)).bigEndian
            var at = 0
            while at + 8 <= bytes.count {
                let masked = bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self) ^ word
                bytes.storeBytes(of: masked, toByteOffset: at, as: UInt64.self)
                at += 8
            }
            while at < bytes.count {
                bytes[at] ^= UInt8(truncatingIfNeeded: key >> UInt32(24 - 8 * (at & 3)))
                at += 1
            }
        }
    }
}
