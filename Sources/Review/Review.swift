public import Conversations
public import Events
public import Hummingbird
public import Logging
import HTTPTypes

/// The read API and the page: what people see of the conversations, and what they say of them.
///
/// A request is asked who reads (`Review+Access`), its parameters are checked (`Query`), the store is read, and the answer is written
/// as JSON (`JSONWriter+Conversation`) or streamed (`Export`, `Live`). What people say goes the way of every event, through the
/// `BackOffice`; the page (`Page`) is plain files that live in the binary and call this API.
///
/// Each project's reader sees that project only: every call to the store carries the project that the key or the session opened, and
/// no ID is looked up without it.
public struct Review: Sendable {
    public typealias Shelf = ConversationStore & QuarantineStore & OutcomeLedger & ControlStore & MemberStore & ReviewStore

    let store: any Shelf
    let authenticator: any ReadAuthenticator
    let office: any BackOffice
    let clock: WallClock
    let isServedOverHTTPS: @Sendable () -> Bool
    let newTicket: @Sendable () -> Ticket
    let logger: Logger
    let limiter = SignInLimiter()
    let passwords = PasswordDigest()
    let streams = StreamCount(maximum: Review.maximumStreams)

    /// - Parameters:
    ///   - isServedOverHTTPS: whether the address that people use begins with https, whatever a proxy hands on; asked at each sign-in.
    ///   - newTicket: makes the secret of a session; handed in so that tests can know it.
    public init(
        store: any Shelf, authenticator: any ReadAuthenticator, office: any BackOffice, clock: WallClock = .system,
        isServedOverHTTPS: @escaping @Sendable () -> Bool = { false }, newTicket: @escaping @Sendable () -> Ticket = { Ticket() },
        logger: Logger
    ) {
        self.store = store
        self.authenticator = authenticator
        self.office = office
        self.clock = clock
        self.isServedOverHTTPS = isServedOverHTTPS
        self.newTicket = newTicket
        self.logger = logger
    }

    /// Adds the read API under `/v1`, the page and its sign-in under `/ui`, and the way there from `/`.
    public func addRoutes(to router: Router<some RequestContext>) {
        let v1 = Routes(router: router, logger: logger)
        v1.add("/v1/threads", [.get: threads])
        v1.add("/v1/threads/:id", [.get: thread, .patch: changeThread])
        v1.add("/v1/threads/:id/seen", [.post: markSeen])
        v1.add("/v1/messages/:id", [.get: message])
        v1.add("/v1/messages/:id/feedback", [.put: vote])
        v1.add("/v1/runs/:id", [.get: run])
        v1.add("/v1/export", [.get: export])
        v1.add("/v1/live", [.get: live])

        v1.add("/v1/scores", [.post: score, .delete: removeScore])
        v1.add("/v1/score-names", [.get: scoreNames])
        v1.add("/v1/tags", [.get: tags])
        v1.add("/v1/comments", [.post: comment])
        v1.add("/v1/comments/:id", [.patch: changeComment, .delete: removeComment])
        v1.add("/v1/views", [.get: views, .post: addView])
        v1.add("/v1/views/:id", [.delete: removeView])

        v1.add("/v1/overview", [.get: overview])
        v1.add("/v1/users", [.get: users])
        v1.add("/v1/users/:id", [.get: user, .delete: eraseUser])

        v1.add("/v1/projects", [.get: projects, .post: addProject])
        v1.add("/v1/projects/:id", [.get: project, .patch: changeProject, .delete: removeProject])
        v1.add("/v1/scrubbing/preview", [.post: previewScrubbing])
        v1.add("/v1/keys", [.get: keys, .post: addKey])
        v1.add("/v1/keys/:id", [.delete: revokeKey])
        v1.add("/v1/outcomes", [.get: outcomes])
        v1.add("/v1/quarantine", [.get: quarantine, .delete: clearQuarantine])
        v1.add("/v1/quarantine/groups", [.get: quarantineGroups])
        v1.add("/v1/receipts", [.post: checkReceipt])
        v1.add("/v1/quarantine/replay", [.post: replayQuarantine])
        v1.add("/v1/audit", [.get: audit])

        v1.add("/v1/members", [.get: members, .post: addMember])
        v1.add("/v1/members/:id", [.patch: changeMember, .delete: removeMember])
        v1.add("/v1/members/:id/link", [.post: linkMember])
        v1.add("/ui/session", [.get: session, .post: signIn, .delete: signOut])
        v1.add("/ui/session/password", [.put: setPassword])
        Page().add(to: v1)
    }
}
