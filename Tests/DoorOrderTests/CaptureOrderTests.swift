import Events
import Testing

/// Whatever order the recorded traffic comes in, however often and in whichever pieces, the conversations are the same.
@Suite("Recorded traffic in every order")
struct CaptureOrderTests {
    @Test("alone", arguments: [Call.Dialect.lunary, .opik, .agnost, .otlp])
    func alone(_ dialect: Call.Dialect) async throws {
        let captures = try Capture.all(dialect)
        #expect(captures.count >= (dialect == .otlp ? 4 : 20), "the recordings are there: \(captures.count)")
        for few in captures.chunks(of: 8) {
            try await House.with { house in
                for capture in few {
                    try await house.compare(capture.calls, with: try Orders.of(capture.calls), of: "\(dialect) \(capture.name)")
                }
            }
        }
    }

    @Test("a page's answer in Lunary's old thread API has its thread from the question in front of it in the same body")
    func oldThread() throws {
        let capture = try #require(try Capture.all(.lunary).first { $0.name == "js_browser_deprecated_thread_api.json" })
        func types(_ order: [Int]) throws -> [String] {
            var call = capture.calls[0]
            var events: [JSONText] = []
            try JSONDocument.read(call.bytes) { $0["events"]?.forEachElement { events.append(JSONText($0)) } }
            call.body = .list(name: "events", order.map { events[$0] })
            return try call.parcel().items.compactMap { if case .event(let event) = $0 { event.type } else { nil } }
        }
        #expect(try types([0, 1, 2]) == ["thread", "message", "message"])
        // Here order decides: the answer is a run's part, which a page may not write, and is kept in quarantine.
        #expect(try types([0, 2, 1]) == ["thread", "run", "message"])
        #expect(try types([2]) == ["run"])
    }
}

extension Array {
    /// Stretches of at most `count`; a store with few projects is read the faster.
    func chunks(of count: Int) -> [ArraySlice<Element>] {
        stride(from: 0, to: self.count, by: count).map { self[$0..<Swift.min($0 + count, self.count)] }
    }
}
