import CZlib
import Events
import Testing

@testable import Gateway

@Suite struct InflaterTests {
    @Test("gzip, deflate and raw deflate come out as they went in, in pieces of any size", arguments: [1, 7, 100_000])
    func roundTrip(piece: Int) throws {
        let plain = Array(String(repeating: "{\"id\":\"0197\"}\n", count: 5000).utf8)
        for (encoding, windowBits) in [(ContentEncoding.gzip, Int32(31)), (.deflate, 15), (.deflate, -15)] {
            let body = deflated(plain, windowBits: windowBits)
            #expect(try inflate(body, encoding, limit: plain.count, piece: piece) == plain)
        }
    }

    @Test("a bomb is stopped at the limit")
    func bomb() {
        let body = deflated([UInt8](repeating: 0x20, count: 50 * 1024 * 1024), windowBits: 31)
        #expect(body.count < 64 * 1024)
        let inflater = Inflater(.gzip, limit: 1024 * 1024, holding: Self.holding())
        #expect(throws: Refusal.self) { try body.withUnsafeBufferPointer { try inflater.append($0) } }
        #expect(inflater.output.count <= 1024 * 1024 + 64 * 1024)
    }

    @Test("exactly the limit is allowed and a byte more is not")
    func edge() throws {
        let body = deflated([UInt8](repeating: 1, count: 1000), windowBits: 31)
        #expect(try inflate(body, .gzip, limit: 1000).count == 1000)
        #expect(reason { try inflate(body, .gzip, limit: 999) } == .bodyTooLarge)
    }

    @Test("a truncated stream, garbage, and garbage behind the end do not match their encoding")
    func damage() {
        let body = deflated(Array("hello hello hello".utf8), windowBits: 31)
        #expect(reason { try inflate(Array(body.dropLast(3)), .gzip, limit: 1000) } == .unsupportedEncoding)
        #expect(reason { try inflate(Array("{\"events\":[]}".utf8), .gzip, limit: 1000) } == .unsupportedEncoding)
        #expect(reason { try inflate(body + [1, 2, 3], .gzip, limit: 1000) } == .unsupportedEncoding)
        #expect(reason { try inflate(deflated([1, 2, 3], windowBits: 15) + [9], .deflate, limit: 1000) } == .unsupportedEncoding)
    }

    @Test("members of a gzip file are one body")
    func members() throws {
        let body = deflated(Array("one ".utf8), windowBits: 31) + deflated(Array("two".utf8), windowBits: 31)
        #expect(try inflate(body, .gzip, limit: 100) == Array("one two".utf8))
    }

    @Test("an encoding in an encoding is not taken")
    func encodings() {
        #expect(ContentEncoding(header: nil) == .identity)
        #expect(ContentEncoding(header: "GZIP") == .gzip)
        #expect(ContentEncoding(header: "gzip, gzip") == nil)
        #expect(ContentEncoding(header: "br") == nil)
    }

    private static func holding() -> Holding {
        Holding(Holdings(total: 1 << 30), for: Holdings.Holder(address: nil, key: nil, isPublic: true))
    }

    private func inflate(_ body: [UInt8], _ encoding: ContentEncoding, limit: Int, piece: Int = .max) throws -> [UInt8] {
        let inflater = Inflater(encoding, limit: limit, holding: Self.holding())
        var rest = body[...]
        while !rest.isEmpty {
            try Array(rest.prefix(piece)).withUnsafeBufferPointer { try inflater.append($0) }
            rest = rest.dropFirst(piece)
        }
        return try inflater.finish()
    }

    private func reason(_ work: () throws -> some Any) -> Reason? {
        do { _ = try work() } catch { return (error as? Refusal)?.reason }
        return nil
    }

    private func deflated(_ plain: [UInt8], windowBits: Int32) -> [UInt8] {
        var stream = z_stream()
        deflateInit2_(&stream, 9, Z_DEFLATED, windowBits, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        defer { deflateEnd(&stream) }
        var plain = plain
        var output = [UInt8](repeating: 0, count: Int(deflateBound(&stream, UInt(plain.count))))
        let size = output.count
        plain.withUnsafeMutableBufferPointer { input in
            output.withUnsafeMutableBufferPointer { output in
                stream.next_in = input.baseAddress
                stream.avail_in = UInt32(input.count)
                stream.next_out = output.baseAddress
                stream.avail_out = UInt32(size)
                deflate(&stream, Z_FINISH)
            }
        }
        return Array(output.prefix(size - Int(stream.avail_out)))
    }
}
