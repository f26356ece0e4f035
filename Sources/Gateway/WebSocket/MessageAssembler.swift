import NIOCore
import NIOWebSocket

/// Puts frames together into messages and holds them to RFC 6455, which NIO's decoder leaves to us: masks, reserved
/// bits, opcodes, fragments, control frames and close codes.
struct MessageAssembler: Sendable {
    enum Outcome: Sendable, Equatable {
        /// A fragment, or a pong: nothing to do.
        case nothing
        case text([UInt8])
        case ping([UInt8])
        /// The peer closes; the code to echo, nil when it gave none.
        case close(UInt16?)
        case violation(CloseCode, String)
    }

    /// The bound of a whole message; more is refused as `frame_too_large`.
    let maximumBytes: Int
    private var fragments: [UInt8]?

    init(maximumBytes: Int) { self.maximumBytes = maximumBytes }

    mutating func take(_ frame: WebSocketFrame) -> Outcome {
        guard let mask = frame.maskKey else { return .violation(.protocolViolation, "A client masks its frames (RFC 6455, section 5.1).") }
        guard !frame.rsv1, !frame.rsv2, !frame.rsv3 else {
            return .violation(.protocolViolation, "No extension was agreed on that uses the reserved bits.")
        }
        switch frame.opcode {
        case .text:
            guard fragments == nil else { return .violation(.protocolViolation, "A new message began inside a fragmented one.") }
            let bytes = frame.data.unmasked(mask)
            if frame.fin { return .text(bytes) }
            fragments = bytes
            return .nothing
        case .continuation:
            guard var whole = fragments.take() else { return .violation(.protocolViolation, "There is no message to continue.") }
            guard whole.count + frame.data.readableBytes <= maximumBytes else {
                return .violation(.frameTooLarge, "A frame may have \(maximumBytes) bytes.")
            }
            whole.append(contentsOf: frame.data.unmasked(mask))
            if frame.fin { return .text(whole) }
            fragments = whole
            return .nothing
        case .binary:
            return .violation(.binary, "Frames are JSON text.")
        case .ping:
            return .ping(frame.data.unmasked(mask))
        case .pong:
            return .nothing
        case .connectionClose:
            return close(frame.data.unmasked(mask))
        default:
            return .violation(.protocolViolation, "There is no such opcode.")
        }
    }

    /// RFC 6455, sections 5.5.1 and 7.4.
    private func close(_ body: [UInt8]) -> Outcome {
        guard !body.isEmpty else { return .close(nil) }
        guard body.count >= 2 else { return .violation(.protocolViolation, "A close code has two bytes.") }
        let code = UInt16(body[0]) << 8 | UInt16(body[1])
        let isSendable =
            switch code {
            case 1000...1003, 1007...1014, 3000...4999: true
            default: false
            }
        guard isSendable else { return .violation(.protocolViolation, "That close code is not for sending.") }
        guard body.count == 2 || String(validating: body[2...], as: UTF8.self) != nil else {
            return .violation(.notUTF8, "The reason of a close frame is UTF-8.")
        }
        return .close(code)
    }
}

extension ByteBuffer {
    /// The bytes without their mask (RFC 6455, section 5.3), eight at a time.
    fileprivate func unmasked(_ key: WebSocketMaskingKey) -> [UInt8] {
        let mask = [key[0], key[1], key[2], key[3]]
        let word = mask.withUnsafeBytes { UInt64($0.loadUnaligned(as: UInt32.self)) } * 0x1_0000_0001
        return withUnsafeReadableBytes { bytes in
            [UInt8](unsafeUninitializedCapacity: bytes.count) { output, count in
                let target = UnsafeMutableRawBufferPointer(output)
                var index = 0
                while index + 8 <= bytes.count {
                    target.storeBytes(
                        of: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self) ^ word, toByteOffset: index, as: UInt64.self)
                    index += 8
                }
                while index < bytes.count {
                    output[index] = bytes[index] ^ mask[index & 3]
                    index += 1
                }
                count = bytes.count
            }
        }
    }
}
