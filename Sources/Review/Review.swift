public import Conversations
public import Events
public import Hummingbird
public import Logging
import HTTPTypes

/// The read API and the page: what people see of the conversations.
///
/// A request is asked who reads (`Review+Access`), its parameters are checked (`Query`), the store is read, and the
/// answer is written as JSON (`JSONWriter+Conversation`) or streamed (`Export`). Nothing here changes a conversation;
/// the page (`Page`) is plain files that live in the binary and call this API.
///
/// Each project's reader sees that project only: every call to the store carries the project that the key or the
/// session opened, and no ID is looked up without it.
public struct Review: Sendable {
    /// Sends things from quarantine through the door again, takes those that got in out of quarantine, and answers one
    /// verdict an item, in order.
    public typealias Replay = @Sendable (_ items: [QuarantineItem], _ project: Project) async throws -> [Verdict]

    let store: any ConversationStore & QuarantineStore & OutcomeLedger & ControlStore
    let authenticator: any ReadAuthenticator
    let replay: Replay
    let clock: WallClock
    let newTicket: @Sendable () -> Ticket
    let logger: Logger

    /// - Parameter newTicket: makes the secret of a reviewer's session; handed in so that tests can know it.
    public init(
        store: any ConversationStore & QuarantineStore & OutcomeLedger & ControlStore, authenticator: any ReadAuthenticator,
        replay: @escaping Replay, clock: WallClock = .system, newTicket: @escaping @Sendable () -> Ticket = { Ticket() }, logger: Logger
    ) {
        self.store = store
        self.authenticator = authenticator
        self.replay = replay
        self.clock = clock
        self.newTicket = newTicket
        self.logger = logger
    }

    /// Adds the read API under `/v1`, the page and its sign-in under `/ui`, and the way there from `/`.
    public func addRoutes(to router: Router<some RequestContext>) {
        let v1 = Routes(router: router, logger: logger)
        v1.add("/v1/threads", [.get: threads])
        v1.add("/v1/threads/:id", [.get: thread])
        v1.add("/v1/messages/:id", [.get: message])
        v1.add("/v1/runs/:id", [.get: run])
        v1.add("/v1/export", [.get: export])
        v1.add("/v1/projects", [.get: projects])
        v1.add("/v1/outcomes", [.get: outcomes])
        v1.add("/v1/quarantine", [.get: quarantine])
        v1.add("/v1/quarantine/replay", [.post: replayQuarantine])
        v1.add("/ui/session", [.get: session, .post: signIn, .delete: signOut])
        Page().add(to: v1)
    }
}
