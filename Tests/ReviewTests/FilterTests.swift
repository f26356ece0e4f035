import Conversations
import Events
import Testing
@testable import Review

@Suite("Filters of the list")
struct FilterTests {
    @Test(
        "a score is asked for by name, by a comparison, or at all",
        arguments: [
            ("any", ThreadFilter.ScoreCondition.any), ("none", .none), ("quality", .named("quality")),
            ("quality%3E%3D0.5", .value("quality", .atLeast, 0.5)), ("quality<=1", .value("quality", .atMost, 1)),
            ("quality>0", .value("quality", .above, 0)), ("quality<-1", .value("quality", .below, -1)),
            ("quality=0.25", .value("quality", .equal, 0.25)), ("tone=kind", .category("tone", "kind")),
        ])
    func score(text: String, expected: ThreadFilter.ScoreCondition) throws {
        #expect(try ThreadFilter(Query("score=" + text), viewer: nil).score == expected)
    }

    @Test("every filter is read, and a wrong one says its rule")
    func all() throws {
        let filter = try ThreadFilter(
            Query(
                "q=a+b&user=u&tag=t&role=tool&feedback=none&status=active&provenance=differs&error=true&runs=orphan&reviewed=false&seen=false"
            ),
            viewer: StubStore.reader)
        var expected = ThreadFilter()
        (expected.words, expected.user, expected.tag, expected.role) = ("a b", "u", "t", .tool)
        (expected.feedback, expected.status, expected.provenance, expected.hasError) = (
            ThreadFilter.FeedbackKind.none, .active, .differs, true
        )
        (expected.runs, expected.isReviewed, expected.isSeen, expected.viewer) = (.orphan, false, false, "mem_reader")
        #expect(filter == expected)
        for wrong in ["score=quality>x", "provenance=forged", "error=maybe", "runs=lost", "reviewed=1", "seen=x"] {
            #expect(throws: Refusal.self) { try ThreadFilter(Query(wrong), viewer: StubStore.reader) }
        }
        #expect(throws: Refusal.self) { try ThreadFilter(Query("seen=true"), viewer: nil) }
    }
}
