import NIOCore
@testable import Gateway

/// A client's bytes on a socket: whatever comes, in whatever pieces, the same frames and messages come out, within their bounds.
enum Frames {
    private static let bound = 4096

    static func run(_ bytes: UnsafeBufferPointer<UInt8>) {
        let whole = outcomes(of: bytes, inPiecesOf: max(1, bytes.count))
        // The first byte says how the rest is cut.
        let piece = 1 + Int(bytes.first ?? 0) % 17
        hold(outcomes(of: bytes, inPiecesOf: piece) == whole, "the pieces in which bytes arrive change what they say")
    }

    private static func outcomes(of bytes: UnsafeBufferPointer<UInt8>, inPiecesOf size: Int) -> [MessageAssembler.Outcome] {
        var decoder = FrameDecoder(maximumBytes: bound)
        var assembler = MessageAssembler(maximumBytes: bound)
        var buffer = ByteBuffer()
        var outcomes: [MessageAssembler.Outcome] = []
        var place = 0
        while place < bytes.count {
            let end = min(bytes.count, place + size)
            buffer.writeBytes(UnsafeBufferPointer(rebasing: bytes[place..<end]))
            place = end
            while let step = decoder.next(from: &buffer) {
                switch step {
                case .frame(let frame):
                    hold(frame.payload.readableBytes <= bound, "a payload is larger than its bound")
                    hold(frame.unmasked().count == frame.payload.readableBytes, "a mask changes lengths")
                    outcomes.append(assembler.take(frame))
                case .violation(let code, let message): outcomes.append(.violation(code, message))
                }
                switch outcomes.last {
                case .text(let message), .binary(let message): hold(message.count <= bound, "a message is larger than its bound")
                case .ping(let body): hold(body.count <= 125, "a control frame has more than 125 bytes")
                default: break
                }
            }
        }
        return outcomes
    }
}
