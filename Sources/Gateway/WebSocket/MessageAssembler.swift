import NIOCore

/// Puts frames together into messages and holds them to RFC 6455: fragments, control frames in between, close codes.
package struct MessageAssembler: Sendable {
    package enum Outcome: Sendable, Equatable {
        /// A fragment, or a pong: nothing to do.
        case nothing
        case text([UInt8])
        case binary([UInt8])
        case ping([UInt8])
        /// The peer closes; the code to echo, nil when it gave none.
        case close(UInt16?)
        case violation(CloseCode, String)
    }

    /// The bound of a whole message; more is refused as `frame_too_large`.
    let maximumBytes: Int
    /// Ours are JSON text.
    private let takesBinary: Bool
    private var fragments: (opcode: Frame.Opcode, bytes: [UInt8])?

    package init(maximumBytes: Int, takesBinary: Bool = false) { (self.maximumBytes, self.takesBinary) = (maximumBytes, takesBinary) }

    /// What the message that is coming in holds in memory.
    package var heldBytes: Int { fragments?.bytes.capacity ?? 0 }

    /// Forgets the message that is coming in.
    package mutating func forget() { fragments = nil }

    package mutating func take(_ frame: Frame) -> Outcome {
        switch frame.opcode {
        case .binary where !takesBinary: return .violation(.binary, "Frames are JSON text.")
        case .text, .binary:
            guard fragments == nil else { return .violation(.protocolViolation, "A new message began inside a fragmented one.") }
            let bytes = frame.unmasked()
            if frame.isLast { return whole(frame.opcode, bytes) }
            fragments = (frame.opcode, bytes)
            return .nothing
        case .continuation:
            // In place: a copy for each fragment would cost the square of the message.
            guard var message = fragments.take() else { return .violation(.protocolViolation, "There is no message to continue.") }
            guard message.bytes.count + frame.payload.readableBytes <= maximumBytes else {
                return .violation(.frameTooLarge, "A frame may have \(maximumBytes) bytes.")
            }
            message.bytes.append(contentsOf: frame.unmasked())
            if frame.isLast { return whole(message.opcode, message.bytes) }
            fragments = message
            return .nothing
        case .ping: return .ping(frame.unmasked())
        case .pong: return .nothing
        case .close: return close(frame.unmasked())
        }
    }

    private func whole(_ opcode: Frame.Opcode, _ bytes: [UInt8]) -> Outcome { opcode == .binary ? .binary(bytes) : .text(bytes) }

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
