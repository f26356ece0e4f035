import NIOCore
import Testing

@testable import Gateway

@Suite struct MessageAssemblerTests {
    private static let mask: [UInt8] = [0x37, 0xfa, 0x21, 0x3d]
    private var messages = MessageAssembler(maximumBytes: 100)

    private func frame(_ text: String, _ opcode: Frame.Opcode = .text, fin: Bool = true) -> Frame {
        frame(Array(text.utf8), opcode, fin: fin)
    }

    private func frame(_ bytes: [UInt8], _ opcode: Frame.Opcode, fin: Bool = true) -> Frame {
        let masked = bytes.enumerated().map { $1 ^ Self.mask[$0 % 4] }
        let key = Self.mask.reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return Frame(isLast: fin, opcode: opcode, mask: key, payload: ByteBuffer(bytes: masked))
    }

    @Test("a masked text comes out as it was written, at every length around a word", arguments: 0...33)
    func unmask(length: Int) {
        var messages = messages
        let text = String(repeating: "aé", count: length).prefix(length)
        #expect(messages.take(frame(String(text))) == .text(Array(text.utf8)))
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

    @Test("binary messages are refused where none are taken, and else are kept apart from text")
    func binary() {
        var messages = messages
        #expect(violation(messages.take(frame("x", .binary))) == .binary)
        var both = MessageAssembler(maximumBytes: 100, takesBinary: true)
        #expect(both.take(frame("x", .binary, fin: false)) == .nothing)
        #expect(both.take(frame("y", .continuation)) == .binary(Array("xy".utf8)))
        #expect(both.take(frame("z")) == .text(Array("z".utf8)))
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
        #expect(messages.take(frame("", .close)) == .close(nil))
        #expect(violation(messages.take(frame("\u{3}", .close))) == .protocolViolation)
        #expect(violation(messages.take(close(1000, reason: [0xFF, 0xFE]))) == .notUTF8)
    }

    private func close(_ code: UInt16, reason: [UInt8] = []) -> Frame {
        frame([UInt8(code >> 8), UInt8(code & 255)] + reason, .close)
    }

    private func violation(_ outcome: MessageAssembler.Outcome) -> CloseCode? {
        if case .violation(let code, _) = outcome { code } else { nil }
    }
}
