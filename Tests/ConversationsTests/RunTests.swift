import Conversations
import Events
import TestKit
import Testing

@Suite("Run")
struct RunTests {
    private func part(_ fields: Event.RunPart, at seconds: Double, thread: String? = nil, user: String? = nil, metadata: JSONText? = nil)
        -> Run.Part
    {
        let event = Event(
            id: "r", thread: thread, at: Sample.time(seconds), user: user.map { .init(id: $0) }, metadata: metadata, body: .run(fields))
        return Run.Part(event: event, at: Sample.time(seconds), digest: ContentDigest(event))
    }

    private func randomPart(_ random: inout SeededGenerator) -> Run.Part {
        var fields = Event.RunPart()
        // Few values and few moments, so that parts often disagree and often tie.
        func maybe<Value>(_ values: [Value]) -> Value? { random.chance(1, in: 2) ? random.pick(values) : nil }
        fields.kind = maybe(Event.RunKind.allCases)
        fields.name = maybe(["a", "b"])
        fields.parent = maybe(["m-1", "m-2"])
        fields.input = maybe(["1", "{\"a\":1}"])
        fields.output = maybe(["2", "[]"])
        fields.model = maybe(["x", "y"])
        fields.provider = maybe(["x", "y"])
        fields.usage = maybe(["{}", "{\"i\":1}"])
        fields.cost = maybe([0, 0.5])
        fields.success = maybe([true, false])
        fields.error = maybe(["\"e\"", "{}"])
        fields.startedAt = maybe([Sample.time(0), Sample.time(1)])
        fields.endedAt = maybe([Sample.time(2), Sample.time(3)])
        fields.tags = maybe([["t"], ["u", "v"]]) ?? []
        return part(
            fields, at: Double(Int.random(in: 0..<4, using: &random)), thread: maybe(["t-1", "t-2"]), user: maybe(["u-1", "u-2"]),
            metadata: maybe(["{}", "{\"m\":1}"]))
    }

    @Test("the same parts give the same run in every order, repeated or not", arguments: 0..<60)
    func order(_ seed: Int) {
        var random = SeededGenerator(UInt64(seed))
        let parts = (0..<Int.random(in: 1...8, using: &random)).map { _ in randomPart(&random) }
        let run = Run(folding: parts)
        #expect(run?.id == "r")
        for _ in 0..<20 {
            #expect(Run(folding: parts.shuffled(using: &random)) == run)
            #expect(Run(folding: (parts + parts).shuffled(using: &random)) == run)
        }
    }

    @Test("a field that one part has is never erased by parts that lack it", arguments: 0..<60)
    func absence(_ seed: Int) throws {
        var random = SeededGenerator(UInt64(seed) + 1000)
        let parts = (0..<Int.random(in: 1...8, using: &random)).map { _ in randomPart(&random) }
        let run = try #require(Run(folding: parts))
        func expect<Value: Equatable>(_ name: String, _ folded: Value?, _ read: (Event, Event.RunPart) -> Value?) {
            var said: [(at: Timestamp, value: Value)] = []
            for part in parts {
                if case .run(let fields) = part.event.body, let value = read(part.event, fields) { said.append((part.at, value)) }
            }
            guard let latest = said.map(\.at).max() else { return #expect(folded == nil, "\(name) comes from nowhere") }
            #expect(said.contains { $0.at == latest && $0.value == folded }, "\(name) is not what the latest part says")
        }
        expect("kind", run.kind) { $1.kind }
        expect("name", run.name) { $1.name }
        expect("parent", run.parent) { $1.parent }
        expect("thread", run.thread) { event, _ in event.thread }
        expect("user", run.user) { event, _ in event.user?.id }
        expect("input", run.input) { $1.input }
        expect("output", run.output) { $1.output }
        expect("model", run.model) { $1.model }
        expect("provider", run.provider) { $1.provider }
        expect("usage", run.usage) { $1.usage }
        expect("cost", run.cost) { $1.cost }
        expect("success", run.success) { $1.success }
        expect("error", run.error) { $1.error }
        expect("startedAt", run.startedAt) { $1.startedAt }
        expect("endedAt", run.endedAt) { $1.endedAt }
        expect("metadata", run.metadata) { event, _ in event.metadata }
        expect("tags", run.tags.isEmpty ? nil : run.tags) { $1.tags.isEmpty ? nil : $1.tags }
    }

    @Test("no parts make no run")
    func nothing() { #expect(Run(folding: []) == nil) }

    @Test("a run took the time from its start to its end, where both are known and in order")
    func latency() throws {
        func run(_ started: Double?, _ ended: Double?) -> Run? {
            var fields = Event.RunPart()
            fields.startedAt = started.map(Sample.time)
            fields.endedAt = ended.map(Sample.time)
            return Run(folding: [part(fields, at: 0)])
        }
        #expect(run(1, 2.5)?.latencyMilliseconds == 1500)
        #expect(run(1, 1)?.latencyMilliseconds == 0)
        #expect(run(2, 1)?.latencyMilliseconds == nil)
        #expect(run(nil, 1)?.latencyMilliseconds == nil && run(1, nil)?.latencyMilliseconds == nil)
    }

    @Test(
        "a run failed if it says so, or if it brings an error and says nothing",
        arguments: [
            (nil, nil, false), (true, nil, false), (false, nil, true), (nil, "\"e\"", true), (true, "\"e\"", false), (false, "\"e\"", true),
        ] as [(Bool?, JSONText?, Bool)])
    func failed(_ success: Bool?, _ error: JSONText?, _ expected: Bool) throws {
        var fields = Event.RunPart()
        (fields.success, fields.error) = (success, error)
        #expect(Run(folding: [part(fields, at: 0)])?.failed == expected)
    }
}
