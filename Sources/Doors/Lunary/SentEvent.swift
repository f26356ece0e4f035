import Events

/// One event as an SDK sent it, being read.
///
/// What is not mapped is kept: of a run in `extra`, of a message in `metadata`, of anything else under `sent`.
struct SentEvent {
    let name: String
    let type: String?
    let runID: String?
    let parent: String?
    /// The sender's clock; nil when it can't be read.
    let at: Timestamp?
    let user: Event.User?
    let runtime: String?
    let lane: Lane
    let receivedAt: Timestamp
    /// The event's members that were not taken yet.
    var members: Members
    var openTurns: [String: String]

    /// Whether its IDs are the names that lunary-py makes: its own events, and those of its LangChain handler.
    var isHashed: Bool { runtime?.hasPrefix("lunary-py") == true || runtime?.hasPrefix("langchain-py") == true }

    init(_ members: Members, lane: Lane, receivedAt: Timestamp, openTurns: [String: String]) throws(Refusal) {
        var members = members
        guard let name = members.text("event") else { throw Refusal(.missingField, field: "event", "event is required.") }
        self.name = name
        type = members.text("type")
        runID = members.text("runId")
        parent = members.text("parentRunId")
        at = members.time("timestamp")
        runtime = members.text("runtime")
        let userID = members.text("userId")
        // Without a user they stay with the rest.
        let props = userID == nil ? nil : members.object("userProps")
        user = userID.map { Event.User(id: $0, props: props.map { JSONText($0) }) }
        self.lane = lane
        self.receivedAt = receivedAt
        self.members = members
        self.openTurns = openTurns
    }

    /// What it becomes: at least one event, the one it is about first.
    mutating func events() throws(Refusal) -> [Event] {
        let isPartOfRun = ["start", "end", "error", "update"].contains(name)
        switch (name, type) {
        case ("chat", _): return try message()
        case ("custom-event", _): return customEvent()
        case ("feedback", _): return try feedback()
        case (_, "log"): return logLine()
        case ("start", "thread"): return try opening()
        case ("start", "chat"), ("end", "chat"): return try turn()
        case (_, "thread"): return other()
        default: return isPartOfRun ? try run() : other()
        }
    }

    func need(_ value: String?, _ field: String) throws(Refusal) -> String {
        guard let value else { throw Refusal(.missingField, field: field, "\(field) is required.") }
        return value
    }

    /// An ID made of all that was sent, for events that have none of their own.
    var derivedID: String { DerivedID.own(name, fingerprint) }

    /// All that was sent, in a form in which the order of members does not matter.
    var fingerprint: [UInt8] {
        var whole = ObjectText()
        whole.set(members.everything)
        return whole.text?.canonical ?? []
    }

    /// `{"sent":{…}}`: what was not mapped.
    func kept() -> JSONText? {
        var sent = ObjectText()
        sent.set(members.rest)
        sent.set("runtime", runtime)
        var unknown = ObjectText()
        unknown.set("sent", sent.text)
        return unknown.text
    }

    // MARK: beside the event itself

    /// What it says of its thread. The same again has the same ID: so neither time nor user are in it.
    mutating func threadPatch(of thread: String?) -> [Event] {
        guard let thread else { return [] }
        let metadata = members.object("threadMetadata").map { JSONText($0) }
        let tags = members.texts("threadTags")
        guard metadata != nil || !tags.isEmpty else { return [] }
        var said = ObjectText()
        said.set("thread", thread)
        said.set("metadata", metadata)
        for tag in tags { said.set("tag:" + tag, "") }
        return [
            Event(
                id: DerivedID.companion("thread", said.text?.canonical ?? []), thread: thread, metadata: metadata,
                body: .thread(Event.ThreadPatch(tags: tags)))
        ]
    }

    // MARK: types of their own

    private mutating func customEvent() -> [Event] {
        let patch = threadPatch(of: parent)
        let id = runID ?? derivedID
        let title = members.text("name") ?? "event"
        var metadata = ObjectText()
        metadata.merge(members.take("metadata"), orUnder: "metadata")
        return [
            Event(id: id, thread: parent, at: at, user: user, metadata: metadata.text, body: .event(name: title), unknown: kept())
        ] + patch
    }

    /// A line of the JavaScript SDKs' log: `{"event":"warn","type":"log","message","extra"?}`. Its parent may be a run, so that it
    /// is no item of a thread.
    private mutating func logLine() -> [Event] {
        let id = derivedID
        var metadata = ObjectText()
        metadata.set("level", name)
        metadata.set("message", members.take("message").map { JSONText($0) })
        metadata.set("extra", members.take("extra").map { JSONText($0) })
        metadata.set("run", runID)
        metadata.set("parent", parent)
        return [Event(id: id, at: at, user: user, metadata: metadata.text, body: .event(name: "log"), unknown: kept())]
    }

    /// The opening of a thread in the old thread API.
    private mutating func opening() throws(Refusal) -> [Event] {
        let thread = try need(runID, "runId")
        let id = derivedID
        let tags = members.texts("threadTags") + members.texts("tags")
        let metadata = members.object("threadMetadata") ?? members.object("metadata")
        return [
            Event(
                id: id, thread: thread, at: at, user: user, metadata: metadata.map { JSONText($0) },
                body: .thread(Event.ThreadPatch(tags: tags)), unknown: kept())
        ]
    }

    /// Something this door does not know: kept whole, under a type that is none of ours.
    mutating func other() -> [Event] {
        let id = derivedID
        var sent = ObjectText()
        sent.set(members.everything)
        var unknown = ObjectText()
        unknown.set("sent", sent.text)
        let type = String(String.UnicodeScalarView("x-\(name)".unicodeScalars.prefix(Event.Bounds.name)))
        return [Event(id: id, at: at, user: user, body: .other(type: type.replacing("\0", with: "")), unknown: unknown.text)]
    }
}
