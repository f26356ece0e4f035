import Events
import Testing

@Suite("How far a store has committed a stream")
struct StreamMarkTests {
    @Test("a mark admits each delivery once, and those of a stream that counts anew")
    func marks() {
        func position(_ sequence: UInt64, _ time: Int64) -> StreamPosition {
            StreamPosition(stream: "PARLEY", shard: 0, sequence: sequence, storedAt: time)
        }
        var mark = StreamMark()
        let arrivals: [(StreamPosition, isNew: Bool)] = [
            (position(5, 100), true), (position(5, 100), false),
            // The next leader's clock is behind.
            (position(8, 90), true), (position(5, 100), false), (position(8, 90), false),
            // Power was lost with messages 6 to 8, and other ones have these numbers now.
            (position(6, 200), true), (position(6, 200), false), (position(7, 201), true),
        ]
        for (position, isNew) in arrivals {
            let admitted = mark.admit(position)
            #expect(admitted == isNew)
        }
    }

    @Test("a mark covers what comes after something it has, and not what comes after something it lacks")
    func covers() {
        var position = StreamPosition(stream: "PARLEY", shard: 0, sequence: 9, storedAt: 100)
        #expect(StreamMark().covers(position))
        position.after = 5
        #expect(StreamMark(sequence: 5, storedAt: 50).covers(position) && StreamMark(sequence: 9, storedAt: 100).covers(position))
        #expect(!StreamMark(sequence: 4, storedAt: 50).covers(position) && !StreamMark().covers(position))
    }
}
