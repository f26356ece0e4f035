import NIOCore
import NIOWebSocket
import Testing

@testable import Gateway

@Suite struct MessageAssemblerTests {
    private static let mask: WebSocketMaskingKey = [0x37, 0xfa, 0x21, 0x3d]
    private var messages = MessageAssembler(maximumBytes: 100)

    private func frame(_ text: String, _ opcode: WebSocketOpcode = .text, fin: Bool = true, rsv1: Bool = false, masked: Bool = true)
        -> WebSocketFrame
    {
        var data = ByteBuffer(string: text)
        if masked { data.webSocketMask(Self.mask) }
        return WebSocketFrame(fin: fin, rsv1: rsv1, opcode: opcode, maskKey: masked ? Self.mask : nil, data: data)
    }

    @Test("a masked text comes out as it was written, at every length around a word", arguments: 0...33)
    func unmask(length: Int) {
        var messages = messages
        let text = String(repeating: "aé", count: length).prefix(length)
        #expect(messages.take(frame(String(text))) == .text(Array(text.utf8)))
    }

    @Test("an unmasked frame and reserved bits are protocol violations")
    func unmasked() {
        var messages = messages
        #expect(violation(messages.take(frame("a", masked: false))) == .protocolViolation)
        #expect(violation(messages.take(frame("a", rsv1: true))) == .protocolViolation)
    }

    @Test("fragments become one message, with control frames in between")
    func fragments() {
        var messages = messages
        #expect(messages.take(frame("he", fin: false)) == .nothing)
        #expect(messages.take(frame("!", .ping)) == .ping(Array("!".utf8)))
        #expect(messages.take(frame("ll", .continuation, fin: false)) == .nothing)
        #expect(messages.take(frame("o", .continuation)) == .text(Array("hello".utf8)))
    }

    @Test("fragments that add up to more than the limit are too large")
    func fragmentLimit() {
        var messages = messages
        #expect(messages.take(frame(String(repeating: "x", count: 60), fin: false)) == .nothing)
        #expect(violation(messages.take(frame(String(repeating: "x", count: 41), .continuation))) == .frameTooLarge)
    }

    @Test("a continuation of nothing and a message within a message are violations")
    func fragmentOrder() {
        var first = messages
        #expect(violation(first.take(frame("x", .continuation))) == .protocolViolation)
        var second = messages
        _ = second.take(frame("x", fin: false))
        #expect(violation(second.take(frame("x"))) == .protocolViolation)
    }

    @Test("binary frames and unknown opcodes are refused")
    func opcodes() {
        var messages = messages
        #expect(violation(messages.take(frame("x", .binary))) == .binary)
        #expect(violation(messages.take(frame("x", WebSocketOpcode(encodedWebSocketOpcode: 0x3)!))) == .protocolViolation)
        #expect(violation(messages.take(frame("x", WebSocketOpcode(encodedWebSocketOpcode: 0xB)!))) == .protocolViolation)
    }

    @Test("close codes that may not be sent are violations", arguments: [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000])
    func badCloseCodes(code: Int) {
        var messages = messages
        #expect(violation(messages.take(close(UInt16(code)))) == .protocolViolation)
    }

    @Test("close codes that may be sent are echoed", arguments: [1000, 1001, 1003, 1007, 1011, 3000, 4999])
    func goodCloseCodes(code: Int) {
        var messages = messages
        #expect(messages.take(close(UInt16(code))) == .close(UInt16(code)))
    }

    @Test("a close without code is one; half a code and a reason that is not UTF-8 are not")
    func closeBodies() {
        var messages = messages
        #expect(messages.take(frame("", .connectionClose)) == .close(nil))
        #expect(violation(messages.take(frame("\u{3}", .connectionClose))) == .protocolViolation)
        #expect(violation(messages.take(close(1000, reason: [0xFF, 0xFE]))) == .notUTF8)
    }

    private func close(_ code: UInt16, reason: [UInt8] = []) -> WebSocketFrame {
        var data = ByteBuffer(bytes: [UInt8(code >> 8), UInt8(code & 255)] + reason)
        data.webSocketMask(Self.mask)
        return WebSocketFrame(fin: true, opcode: .connectionClose, maskKey: Self.mask, data: data)
    }

    private func violation(_ outcome: MessageAssembler.Outcome) -> CloseCode? {
        if case .violation(let code, _) = outcome { code } else { nil }
    }
}
