import NIOCore
import Testing

@testable import Gateway

@Suite struct FrameDecoderTests {
    private static let mask: [UInt8] = [0x37, 0xfa, 0x21, 0x3d]

    private func bytes(_ first: UInt8, _ length: [UInt8], payload: Int = 0, masked: Bool = true) -> [UInt8] {
        var length = length
        if masked { length[0] |= 0x80 }
        let text = (0..<payload).map { UInt8(truncatingIfNeeded: $0) ^ (masked ? Self.mask[$0 % 4] : 0) }
        return [first] + length + (masked ? Self.mask : []) + text
    }

    private func steps(_ pieces: [[UInt8]], most: Int = 70_000) -> [FrameDecoder.Step] {
        var decoder = FrameDecoder(maximumBytes: most)
        var buffer = ByteBuffer()
        var steps: [FrameDecoder.Step] = []
        for piece in pieces {
            buffer.writeBytes(piece)
            while let step = decoder.next(from: &buffer) { steps.append(step) }
        }
        return steps
    }

    private func codes(_ steps: [FrameDecoder.Step]) -> [CloseCode?] {
        steps.map { if case .violation(let code, _) = $0 { code } else { nil } }
    }

    @Test(
        "a frame of any length is read, however it is cut",
        arguments: [0, 1, 7, 8, 9, 125, 126, 127, 65_535, 65_536])
    func lengths(_ length: Int) throws {
        let field: [UInt8] =
            switch length {
            case 0...125: [UInt8(length)]
            case 126...65_535: [126, UInt8(length >> 8), UInt8(length & 255)]
            default: [127, 0, 0, 0, 0, 0, UInt8(length >> 16), UInt8(length >> 8 & 255), UInt8(length & 255)]
            }
        let whole = bytes(0x81, field, payload: length)
        let expected = (0..<length).map { UInt8(truncatingIfNeeded: $0) }
        let cuts = length <= 127 ? Array(0...whole.count) : [0, 1, 2, 3, 4, 8, 12, 14, whole.count / 2, whole.count - 1]
        for cut in cuts {
            let steps = steps([Array(whole[..<cut]), Array(whole[cut...])])
            guard case .frame(let frame)? = steps.first, steps.count == 1 else {
                Issue.record("cut at \(cut): \(steps)")
                continue
            }
            #expect(frame.isLast && frame.opcode == .text && frame.unmasked() == expected, "cut at \(cut)")
        }
    }

    @Test(
        "what breaks the grammar of frames is a violation",
        arguments: [
            ([0xC1, 0x80], CloseCode.protocolViolation), ([0xA1, 0x80], .protocolViolation), ([0x91, 0x80], .protocolViolation),
            ([0x83, 0x80], .protocolViolation), ([0x87, 0x80], .protocolViolation), ([0x8B, 0x80], .protocolViolation),
            ([0x8F, 0x80], .protocolViolation), ([0x09, 0x80], .protocolViolation), ([0x08, 0x80], .protocolViolation),
            ([0x89, 0xFE, 0, 126], .protocolViolation), ([0x81, 0xFE, 0, 125], .protocolViolation),
            ([0x81, 0xFE, 0, 0], .protocolViolation),
            ([0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], .protocolViolation),
            ([0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0], .protocolViolation),
            ([0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0x11, 0x71], .frameTooLarge),
            ([0x81, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], .frameTooLarge),
        ] as [([UInt8], CloseCode)])
    func violations(_ head: [UInt8], _ code: CloseCode) {
        #expect(codes(steps([head + Self.mask])) == [code])
        // Byte by byte too.
        #expect(codes(steps((head + Self.mask).map { [$0] })) == [code])
    }

    @Test("a frame without a mask is a violation")
    func unmasked() { #expect(codes(steps([bytes(0x81, [5], payload: 5, masked: false)])) == [.protocolViolation]) }

    @Test("behind a broken frame the next is found, so that a peer's close is heard")
    func resume() {
        let close = bytes(0x88, [2], payload: 2)
        let broken = [
            bytes(0xC1, [9], payload: 9), bytes(0x89, [126, 0, 200], payload: 200),
            bytes(0x81, [127, 0, 0, 0, 0, 0, 2, 0, 0], payload: 131_072),
        ]
        for frame in broken {
            let all = frame + close
            for size in [1, 7, all.count] {
                let pieces = stride(from: 0, to: all.count, by: size).map { Array(all[$0..<min($0 + size, all.count)]) }
                let steps = steps(pieces)
                #expect(steps.count == 2 && codes(steps)[0] != nil && codes(steps)[1] == nil)
            }
        }
    }

    @Test("behind a length that can't be, nothing is heard and nothing is left unread")
    func lost() {
        var decoder = FrameDecoder(maximumBytes: 100)
        var buffer = ByteBuffer(bytes: [0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF] + Self.mask)
        guard case .violation? = decoder.next(from: &buffer) else {
            Issue.record("it was taken")
            return
        }
        buffer.writeBytes(bytes(0x88, [0]))
        #expect(decoder.next(from: &buffer) == nil && buffer.readableBytes == 0)
    }

    @Test("what the server writes is read by the rule of shortest lengths", arguments: [0, 125, 126, 65_535, 65_536])
    func writes(_ length: Int) {
        var buffer = ByteBuffer()
        buffer.write(frame: .text, [UInt8](repeating: 7, count: length))
        let head: [UInt8] =
            switch length {
            case 0...125: [0x81, UInt8(length)]
            case 126...65_535: [0x81, 126, UInt8(length >> 8), UInt8(length & 255)]
            default: [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]
            }
        #expect(Array(buffer.readableBytesView) == head + [UInt8](repeating: 7, count: length))
    }
}
