import Conversations
import Events

extension ThreadFilter {
    /// The filters of `/v1/threads` and `/v1/export`, under the names the page's own address uses too.
    init(_ query: Query) throws(Refusal) {
        self.init()
        words = query["q"]
        user = query["user"]
        tag = query["tag"]
        role = try query.choice("role", of: Event.Role.allCases)
        feedback = try query.choice("feedback", of: [FeedbackKind.up, .down, .any, .none])
        from = try query.time("from")
        to = try query.time("to")
        status = try query.choice("status", of: [Event.ThreadPatch.Status.active, .inactive])
    }
}
