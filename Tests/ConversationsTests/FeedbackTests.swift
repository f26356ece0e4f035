import Conversations
import Events
import TestKit
import Testing

@Suite("Feedback")
struct FeedbackTests {
    private func vote(_ event: Event) -> Vote? { Vote(event, at: event.at!) }

    @Test("only feedback makes a vote, and only a score a score")
    func kinds() {
        #expect(vote(Sample.message("m")) == nil)
        #expect(Score(Sample.message("m"), at: Sample.noon) == nil)
        let vote = vote(Sample.feedback("f", on: "m", .down, at: 2))
        #expect(vote?.target == "m" && vote?.thumb == .down && vote?.event == "f" && vote?.at == Sample.time(2))
    }

    @Test("a voter is the user it names, in whichever thread; without a name a thread has one voter")
    func voters() {
        func voter(_ user: String?, _ thread: String?) -> String? {
            vote(
                Event(
                    id: "f", thread: thread, at: Sample.noon, user: user.map { .init(id: $0) },
                    body: .feedback(.init(target: "m", thumb: .up))))?.voter
        }
        #expect(voter("a", "t-1") == voter("a", "t-2"))
        #expect(voter("a", nil) == voter("a", "t-1"))
        #expect(voter("a", nil) != voter("b", nil))
        #expect(voter(nil, "t-1") == voter(nil, "t-1"))
        #expect(voter(nil, nil) == voter(nil, nil))
        // A user cannot pass for a thread, nor for nobody.
        #expect(voter("t-1", nil) != voter(nil, "t-1"))
        #expect(voter("anonymous", nil) != voter(nil, nil))
        #expect(voter("thread:t-1", nil) != voter(nil, "t-1"))
    }

    @Test("of one voter's votes the last stands, whichever order they come in", arguments: 0..<50)
    func lastStands(_ seed: Int) throws {
        var random = SeededGenerator(UInt64(seed))
        let votes = (0..<6).map { number in
            vote(
                Sample.feedback("f-\(number)", on: "m", random.pick([.up, .down, nil]), at: Double(Int.random(in: 0..<3, using: &random))))!
        }
        func standing(_ votes: [Vote]) -> Vote? {
            votes.reduce(nil as Vote?) { standing, vote in standing?.merged(with: vote) ?? vote }
        }
        let expected = try #require(votes.max { ($0.at, $0.event) < ($1.at, $1.event) })
        for _ in 0..<10 { #expect(standing(votes.shuffled(using: &random)) == expected) }
        for vote in votes { #expect(vote.merged(with: vote) == vote) }
    }

    @Test("what a vote leaves stays as an earlier one said, whichever order they come in")
    func leaves() throws {
        func vote(_ id: String, _ thumb: Event.Thumb?, _ comment: String?, leaves: Event.Feedback.Part?, at: Double) throws -> Vote {
            let feedback = Event.Feedback(target: "m", thumb: thumb, comment: comment, leaves: leaves)
            return try #require(Vote(Event(id: id, at: Sample.time(at), body: .feedback(feedback)), at: Sample.time(at)))
        }
        let votes = [
            try vote("a", .down, "meh", leaves: nil, at: 1), try vote("b", nil, nil, leaves: .comment, at: 2),
            try vote("c", nil, "better", leaves: .thumb, at: 3), try vote("d", .up, nil, leaves: .comment, at: 4),
        ]
        var random = SeededGenerator(1)
        for _ in 0..<20 {
            let standing = try #require(votes.shuffled(using: &random).reduce(nil as Vote?) { $0?.merged(with: $1) ?? $1 })
            #expect(standing.thumb == .up && standing.comment == "better")
        }
        #expect(votes[0].merged(with: votes[1]).comment == "meh" && votes[0].merged(with: votes[1]).thumb == nil)
    }

    @Test("a summary counts thumbs and keeps votes in order of time")
    func summary() {
        let votes = [("c", Event.Thumb.up, 3.0), ("a", nil, 2), ("b", .down, 2), ("d", .up, 1)].map {
            vote(Sample.feedback($0, on: "m", $1, at: $2, user: $0))!
        }
        let summary = FeedbackSummary(votes: votes)
        #expect(summary.up == 2 && summary.down == 1)
        #expect(summary.votes.map(\.event) == ["d", "a", "b", "c"])
        #expect(FeedbackSummary().up == 0 && FeedbackSummary().votes.isEmpty)
    }

    @Test("a score without an author is the SDK's")
    func scores() {
        let event = Event(id: "s", at: Sample.noon, body: .score(.init(target: "m", name: "n", value: 0.5, category: "c", reason: "r")))
        let score = Score(event, at: Sample.noon)
        #expect(score == Score(target: "m", name: "n", value: 0.5, category: "c", reason: "r", author: "sdk", at: Sample.noon, event: "s"))
    }
}
